//! The mlops-explain command: why an object of a cluster is not ready, and what to do about it.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use mlops_cli::Exit;
use mlops_cli::tool::{Tool, ToolArgs, find_object, run_tool};
use mlops_core::Result;
use mlops_k8s::Kinds;
use mlops_k8s::explain::{ObjectRef, explain_within};

#[derive(Debug, Parser)]
#[command(
    name = "mlops-explain",
    version,
    about = "Say why an object of a cluster is not ready: the first cause, what shows it, and what to do",
    after_help = "Examples:\n  \
        mlops-explain deployment/mlflow -n models   why is it not ready?\n  \
        mlops-explain -n models                     all that is in a namespace\n\n\
        Exit codes:\n  \
        0 it is ready, 1 failed, 2 wrong input, 4 it is not ready, 130 interrupted"
)]
struct Args {
    /// The object, such as `deployment/mlflow`; without it, all that is in the namespace.
    #[arg(value_name = "KIND/NAME")]
    object: Option<String>,

    /// Wait so many seconds for a cause when it is not ready and there is none yet.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    within: u64,

    #[command(flatten)]
    tool: ToolArgs,
}

fn main() -> ExitCode {
    run_tool(|args: &Args| &args.tool, work)
}

async fn work(tool: &Tool, args: &Args) -> Result<Exit> {
    let to = tool.connect().await?;
    let subject = match &args.object {
        Some(text) => {
            let kinds = Kinds::of_server(&to.client).await?;
            find_object(&kinds, text, &to.namespace)?
        }
        None => ObjectRef::of_namespace(&to.namespace),
    };
    let within = Duration::from_secs(args.within);
    let explanation = explain_within(&to.client, &subject, within).await?;
    tool.printer
        .show(&explanation, |_| explanation.to_string())?;
    Ok(if explanation.ready {
        Exit::Done
    } else {
        Exit::CheckFailed
    })
}
