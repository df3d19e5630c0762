//! The mlops command: describe a machine learning platform in one file, make it so, prove that it works.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use mlops_cli::Host;
use mlops_core::{Error, ErrorKind, Result};
use mlops_local::{Supervise, become_child, supervise};

/// A platform is very many small values: with this allocator a plan of a thousand components takes a sixth less.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    // What a supervisor starts comes first: it must not touch terminal, threads or signals before.
    match args.get(1).and_then(|verb| verb.to_str()) {
        Some("__child") => return hidden(become_child().map(|never| match never {})),
        Some("__supervise") => return hidden(supervise_with(args.get(2..).unwrap_or_default())),
        _ => {}
    }
    // Fails only when a provider is there already, which serves as well.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    mlops_cli::run(args, Host::of_process())
}

/// Keeps the processes of one platform: `mlops __supervise FOLDER SOCKET`.
fn supervise_with(args: &[OsString]) -> Result<()> {
    let [folder, socket] = args else {
        return Err(Error::new(ErrorKind::InvalidInput, "supervise a platform"));
    };
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| Error::new(ErrorKind::Failed, "start the runtime").with_source(error))?;
    runtime.block_on(supervise(Supervise::new(folder, socket, ["__child"])))
}

/// Ends a hidden verb. Behind standard error is the log of the supervisor or of the process.
fn hidden(result: Result<()>) -> ExitCode {
    let Err(error) = result else {
        return ExitCode::SUCCESS;
    };
    let chain = [vec![error.to_string()], error.causes()]
        .concat()
        .join(": ");
    // There is nobody left to tell when the log cannot be written.
    let _ = writeln!(std::io::stderr(), "error: {chain}");
    ExitCode::FAILURE
}
