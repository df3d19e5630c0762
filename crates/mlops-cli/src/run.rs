//! From the arguments to the exit code.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use mlops_core::{Error, ErrorKind, Result};
use tokio_util::sync::CancellationToken;

use crate::args::{Args, Verb};
use crate::commands;
use crate::cx::Cx;
use crate::exit::Exit;
use crate::interrupt;
use crate::printer::{Printer, Streams, Style, Verbosity, wants_color};
use crate::report;
use crate::trace;

/// The surroundings of the command. It looks at nothing else of its process.
#[derive(Debug)]
pub struct Host {
    /// The environment that the program was started with.
    pub env: BTreeMap<String, String>,
    /// The program itself, which is started again to supervise a platform.
    pub program: PathBuf,
    /// Input, output and errors.
    pub streams: Streams,
}

impl Host {
    /// The surroundings of this process.
    pub fn of_process() -> Self {
        Self {
            env: std::env::vars_os()
                .filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.into_string().ok()?))
                })
                .collect(),
            program: std::env::current_exe().unwrap_or_else(|_| "mlops".into()),
            streams: Streams::standard(),
        }
    }
}

/// Runs the command; `args` begin with the name of the program.
///
/// ```
/// use mlops_cli::{Host, Streams};
///
/// let host = Host {
///     env: Default::default(),
///     program: "mlops".into(),
///     streams: Streams::standard(),
/// };
/// let code = mlops_cli::run(["mlops", "--version"], host);
/// assert_eq!(code, std::process::ExitCode::SUCCESS);
/// ```
pub fn run(args: impl IntoIterator<Item = impl Into<OsString> + Clone>, host: Host) -> ExitCode {
    match Args::try_parse_from(args) {
        Ok(args) => run_parsed(args, host).into(),
        Err(usage) => print_usage(&usage, host).into(),
    }
}

/// Help and version go to standard output, what is wrong with the arguments to standard error.
pub(crate) fn print_usage(usage: &clap::Error, host: Host) -> Exit {
    let Host { env, streams, .. } = host;
    let (mut stream, is_terminal, exit) = if usage.use_stderr() {
        (streams.stderr, streams.stderr_is_terminal, Exit::WrongInput)
    } else {
        (streams.stdout, streams.stdout_is_terminal, Exit::Done)
    };
    let text = usage.render();
    let written = if wants_color(crate::Color::Auto, &env, is_terminal) {
        write!(stream, "{}", text.ansi())
    } else {
        write!(stream, "{text}")
    };
    match written.and_then(|()| stream.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Exit::Failed,
        _ => exit,
    }
}

fn run_parsed(args: Args, host: Host) -> Exit {
    let style = Style {
        output: args.global.output,
        verbosity: match (args.global.quiet, args.global.verbose) {
            (true, _) => Verbosity::Quiet,
            (false, 0) => Verbosity::Normal,
            (false, _) => Verbosity::Verbose,
        },
        color: args.global.color,
    };
    let (printer, input) = Printer::new(host.streams, style, &host.env);
    let printer = Arc::new(printer);
    let cx = Cx {
        printer: Arc::clone(&printer),
        input: Arc::new(input),
        env: host.env,
        program: host.program,
        tells_profile: !matches!(
            args.verb,
            Verb::Credentials(_)
                | Verb::Env(_)
                | Verb::Events(_)
                | Verb::Logs(_)
                | Verb::Open(_)
                | Verb::Predict(_)
        ),
        file: args.verb.file(&args.global).map(PathBuf::from),
        global: args.global,
    };
    match run_verb(&cx, &args.verb) {
        Ok(exit) => exit,
        Err(error) => {
            if error.kind() == ErrorKind::Interrupted {
                printer.say("interrupted");
                printer.tell(&report::explain(printer.err_paint(), &error));
            } else {
                report::print(&printer, &error);
            }
            Exit::of(&error)
        }
    }
}

fn run_verb(cx: &Cx, verb: &Verb) -> Result<Exit> {
    if let Some(filter) = trace::filter(&cx.env, cx.global.verbose)? {
        trace::start(filter, &cx.printer);
    }
    match verb {
        Verb::Init(args) => commands::init::init(cx, args),
        Verb::Rights(args) => commands::rights::rights(cx, args),
        Verb::Schema(_) => commands::schema::schema(cx),
        Verb::Completions(args) => commands::completions::completions(cx, args),
        Verb::Man(args) => commands::man::man(cx, args),
        Verb::Plan(args) if args.offline => commands::plan::plan_offline(cx, args),
        verb => {
            let runtime = tokio::runtime::Runtime::new().map_err(|error| {
                Error::new(ErrorKind::Failed, "start the runtime").with_source(error)
            })?;
            let result = runtime.block_on(async {
                let cancel = interrupt::listen(&cx.printer)?;
                Box::pin(run_async(cx, verb, &cancel)).await
            });
            // A thread that still waits for input or a name server must not hold up the end.
            runtime.shutdown_background();
            result
        }
    }
}

async fn run_async(cx: &Cx, verb: &Verb, cancel: &CancellationToken) -> Result<Exit> {
    // What changes the world ends in order when it is told to; the rest is just left.
    let work = async {
        match verb {
            Verb::Plan(args) => commands::plan::plan(cx, args).await,
            Verb::Diff(args) => commands::diff::diff(cx, args).await,
            Verb::Status(_) => commands::status::status(cx).await,
            Verb::Check(args) => commands::check::check(cx, args).await,
            Verb::Logs(args) => commands::logs::logs(cx, args).await,
            Verb::Events(args) => commands::events::events(cx, args).await,
            Verb::Credentials(args) => commands::credentials::credentials(cx, args).await,
            Verb::Env(args) => commands::env::env(cx, args).await,
            Verb::Open(args) => commands::open::open(cx, args).await,
            Verb::Predict(args) => commands::predict::predict(cx, args).await,
            Verb::Images(args) => commands::images::images(cx, args).await,
            Verb::Prefetch(_) => commands::prefetch::prefetch(cx).await,
            Verb::Doctor(_) => commands::doctor::doctor(cx).await,
            // These are done before or below.
            _ => Ok(Exit::Done),
        }
    };
    match verb {
        Verb::Up(args) => commands::up::up(cx, args, cancel).await,
        Verb::Down(_) => commands::down::down(cx, cancel).await,
        Verb::Remove(args) => commands::remove::remove(cx, args, cancel).await,
        Verb::Check(args) if args.in_cluster => commands::check::inside(cx, args, cancel).await,
        Verb::Serve(args) => commands::serve::serve(cx, args, cancel).await,
        _ => interrupt::until(cancel, work).await,
    }
}
