//! The mlops-apply command: some objects, and the wish that a cluster has them.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use mlops_cli::Exit;
use mlops_cli::tool::{Applying, Checks, Tool, ToolArgs, run_tool};
use mlops_core::Result;

#[derive(Debug, Parser)]
#[command(
    name = "mlops-apply",
    version,
    about = "Bring objects to a cluster: plan, apply, prune, wait, and explain what does not become ready",
    after_help = "Examples:\n  \
        mlops-apply manifests/ --set demo -n models    apply, remove what is wanted no more, wait\n  \
        mlops-apply manifests/ --set demo --plan       what that would do\n  \
        mlops-apply manifests/ --offline               what it would do to an empty cluster, without one\n  \
        mlops-apply --remove --set demo -n models      take all of the set away, volumes excepted\n\n\
        Exit codes:\n  \
        0 done, 1 failed, 2 wrong input, 3 `--exit-code` found changes, 4 not ready in time, 130 interrupted"
)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command"
)]
struct Args {
    /// Files and folders of YAML; `-` is standard input.
    #[arg(value_name = "PATH", required_unless_present_any = ["remove", "completions", "man"])]
    paths: Vec<PathBuf>,

    #[command(flatten)]
    how: Applying,

    /// Only show what would be done.
    #[arg(long)]
    plan: bool,

    /// Show what would be done to an empty cluster, and ask none.
    #[arg(long)]
    offline: bool,

    #[command(flatten)]
    checks: Checks,

    /// With `--plan`, end with code 3 when there is something to do.
    #[arg(long, requires = "plan")]
    exit_code: bool,

    /// Take all members of the set away; what holds data stays unless it is named by `--data`.
    #[arg(long, requires = "set", conflicts_with_all = ["plan", "offline", "paths"])]
    remove: bool,

    #[command(flatten)]
    tool: ToolArgs,
}

fn main() -> ExitCode {
    run_tool(|args: &Args| &args.tool, work)
}

async fn work(tool: &Tool, args: &Args) -> Result<Exit> {
    if args.remove {
        return args.how.remove(tool).await;
    }
    let objects = tool.read_objects(&args.paths)?;
    objects.check(tool, &args.checks, &tool.namespace("default"))?;
    if args.offline {
        let plan = mlops_k8s::plan_without_cluster(&objects.set, &tool.namespace("default"))?;
        tool.printer.show(&plan, |_| plan.to_string())?;
        return Ok(Exit::Done);
    }
    let to = tool.connect().await?;
    objects.check_for(&args.checks, &to).await?;
    if !args.plan {
        return args.how.apply(tool, &to, &objects.set).await;
    }
    let plan = args.how.plan(&to, &objects.set).await?;
    tool.printer.show(&plan, |_| plan.to_string())?;
    let is_change = args.exit_code && !plan.is_empty();
    Ok(if is_change { Exit::Changes } else { Exit::Done })
}
