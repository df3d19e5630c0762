//! The supervisor as a program of its own, for tests and for embedders that have no subcommand for it.

use std::process::ExitCode;

use mlops_local::{Supervise, become_child, supervise};

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    let done = match args.as_slice() {
        [child] if child == "child" => become_child().map(|never| match never {}),
        [folder, socket] => run(Supervise::new(folder, socket, ["child"])),
        _ => return ExitCode::from(2),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The log of the supervisor, or of the process, is behind standard error.
            drop(std::io::Write::write_all(
                &mut std::io::stderr(),
                format!("error: {error}: {}\n", error.causes().join(": ")).as_bytes(),
            ));
            ExitCode::FAILURE
        }
    }
}

fn run(options: Supervise) -> mlops_core::Result<()> {
    let runtime = tokio::runtime::Runtime::new().map_err(|error| {
        mlops_core::Error::new(mlops_core::ErrorKind::Failed, "start a runtime").with_source(error)
    })?;
    runtime.block_on(supervise(options))
}
