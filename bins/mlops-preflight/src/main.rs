//! The mlops-preflight command: whether a cluster offers what is about to be asked of it.

use std::process::ExitCode;

use clap::Parser;
use mlops_cli::Exit;
use mlops_cli::tool::{Checking, Tool, ToolArgs, run_tool};
use mlops_core::Result;

#[derive(Debug, Parser)]
#[command(
    name = "mlops-preflight",
    version,
    about = "Say whether a cluster offers what is about to be asked of it",
    after_help = "Examples:\n  \
        mlops-preflight -n models                       version, namespace, DNS, admission, a volume\n  \
        mlops-preflight -n models manifests/            and the rights, room and classes that those objects take\n  \
        mlops-preflight --cpu 2000 --memory 4096        and room for two cores and 4 GiB\n\n\
        Exit codes:\n  \
        0 all passed, 1 failed, 2 wrong input, 4 a check failed or could not be made, 130 interrupted"
)]
struct Args {
    #[command(flatten)]
    what: Checking,

    #[command(flatten)]
    tool: ToolArgs,
}

fn main() -> ExitCode {
    run_tool(|args: &Args| &args.tool, work)
}

async fn work(tool: &Tool, args: &Args) -> Result<Exit> {
    args.what.check(tool).await
}
