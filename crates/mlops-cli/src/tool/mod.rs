//! What the small programs share, each of which does one thing to a cluster: options, output, signals, exit codes.

mod access;
mod applying;
mod checking;
mod objects;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{ArgAction, Args as ClapArgs, CommandFactory, Parser};
use clap_complete::Shell;
use mlops_core::{Error, ErrorKind, Result};
use tokio_util::sync::CancellationToken;

pub use access::Connection;
pub(crate) use access::{find_kubeconfig, read_access};
pub use applying::Applying;
pub use checking::Checking;
pub use objects::{Checks, Objects, find_object};

use crate::args::{Color, Output};
use crate::exit::Exit;
use crate::interrupt;
use crate::printer::{Input, Printer, Style, Verbosity};
use crate::report;
use crate::run::{Host, print_usage};
use crate::trace;

/// The options of every tool.
#[derive(Debug, Clone, Default, ClapArgs)]
pub struct ToolArgs {
    /// The kubeconfig [default: `$KUBECONFIG`, else `~/.kube/config`, else the credentials of the pod].
    #[arg(long, value_name = "FILE", help_heading = CLUSTER)]
    pub kubeconfig: Option<PathBuf>,

    /// The context of the kubeconfig [default: its current one].
    #[arg(long, value_name = "NAME", help_heading = CLUSTER)]
    pub context: Option<String>,

    /// The namespace of what names none; objects that name another one are refused then [default: that of the context,
    /// else `default`, and objects may name any].
    #[arg(short, long, value_name = "NAME", help_heading = CLUSTER)]
    pub namespace: Option<String>,

    /// Print text for people, or one JSON document for programs.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub output: Output,

    /// Print results and errors only.
    #[arg(short, long, conflicts_with = "verbose")]
    pub quiet: bool,

    /// Tell more: `-v` what is done, `-vv` how; `RUST_LOG` chooses exactly.
    #[arg(short, long, action = ArgAction::Count)]
    pub verbose: u8,

    /// Colour the output: with `auto` on terminals only, and as `NO_COLOR` says.
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub color: Color,

    /// Print what a shell needs to complete the command, and end.
    #[arg(long, value_name = "SHELL")]
    pub completions: Option<Shell>,

    /// Print the manual page, and end.
    #[arg(long)]
    pub man: bool,
}

const CLUSTER: &str = "Cluster";

/// A tool at work.
#[derive(Debug)]
pub struct Tool {
    /// Where results, news and errors go.
    pub printer: Arc<Printer>,
    /// Standard input.
    pub input: Input,
    /// Cancelled when the user wants the work to end.
    pub cancel: CancellationToken,
    /// The options.
    pub options: ToolArgs,
    /// The environment that the program was started with.
    env: BTreeMap<String, String>,
}

/// Runs a tool as this process: `options` finds in its arguments what all tools have in common, and `work`, which may be
/// left at any await, does it.
pub fn run_tool<A, W>(options: fn(&A) -> &ToolArgs, work: W) -> ExitCode
where
    A: Parser + CommandFactory,
    W: AsyncFnOnce(&Tool, &A) -> Result<Exit>,
{
    let host = Host::of_process();
    let args = match A::try_parse_from(std::env::args_os()) {
        Ok(args) => args,
        Err(usage) => return print_usage(&usage, host).into(),
    };
    let options = options(&args).clone();
    let style = Style {
        output: options.output,
        verbosity: match (options.quiet, options.verbose) {
            (true, _) => Verbosity::Quiet,
            (false, 0) => Verbosity::Normal,
            (false, _) => Verbosity::Verbose,
        },
        color: options.color,
    };
    let (printer, input) = Printer::new(host.streams, style, &host.env);
    let tool = Tool {
        printer: Arc::new(printer),
        input,
        cancel: CancellationToken::new(),
        options,
        env: host.env,
    };
    let printer = Arc::clone(&tool.printer);
    match run(tool, &args, work) {
        Ok(exit) => exit.into(),
        Err(error) if error.kind() == ErrorKind::Interrupted => {
            printer.say("interrupted");
            Exit::Interrupted.into()
        }
        Err(error) => {
            report::print(&printer, &error);
            Exit::of(&error).into()
        }
    }
}

fn run<A, W>(mut tool: Tool, args: &A, work: W) -> Result<Exit>
where
    A: Parser + CommandFactory,
    W: AsyncFnOnce(&Tool, &A) -> Result<Exit>,
{
    if print_page::<A>(&tool)? {
        return Ok(Exit::Done);
    }
    if let Some(filter) = trace::filter(&tool.env, tool.options.verbose)? {
        trace::start(filter, &tool.printer);
    }
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| Error::new(ErrorKind::Failed, "start the runtime").with_source(error))?;
    let result = runtime.block_on(async {
        tool.cancel = interrupt::listen(&tool.printer)?;
        interrupt::until(&tool.cancel, work(&tool, args)).await
    });
    // A thread that still waits for input or a name server must not hold up the end.
    runtime.shutdown_background();
    result
}

/// Prints completions or the manual page, if asked to.
fn print_page<A: CommandFactory>(tool: &Tool) -> Result<bool> {
    let mut command = A::command();
    let name = command.get_name().to_owned();
    let mut text = Vec::new();
    if let Some(shell) = tool.options.completions {
        clap_complete::generate(shell, &mut command, name, &mut text);
    } else if tool.options.man {
        clap_mangen::Man::new(command)
            .render(&mut text)
            .map_err(|error| {
                Error::new(ErrorKind::Failed, "write a manual page").with_source(error)
            })?;
    } else {
        return Ok(false);
    }
    tool.printer.raw(&text)?;
    Ok(true)
}
