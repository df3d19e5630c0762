//! The mlops-preflight command: whether a cluster offers what is about to be asked of it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use mlops_cli::tool::{Tool, ToolArgs, run_tool};
use mlops_cli::{Exit, Host};
use mlops_core::Result;
use mlops_k8s::preflight::{PodSecurity, Preflight, Room, State, VolumeTrial};

#[derive(Debug, Parser)]
#[command(
    name = "mlops-preflight",
    version,
    about = "Say whether a cluster offers what is about to be asked of it",
    after_help = "Examples:\n  \
        mlops-preflight -n models                       version, namespace, DNS, admission, a volume\n  \
        mlops-preflight -n models manifests/            and the rights to apply those objects\n  \
        mlops-preflight --cpu 2000 --memory 4096        and room for two cores and 4 GiB\n\n\
        Exit codes:\n  \
        0 all passed, 1 failed, 2 wrong input, 4 a check failed or could not be made, 130 interrupted"
)]
struct Args {
    /// Files and folders of objects that are to be applied; `-` is standard input.
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// The StorageClass whose volumes must bind [default: the cluster's default].
    #[arg(long, value_name = "NAME")]
    storage_class: Option<String>,

    /// The image of the pod by which a volume is tried: one with `/bin/sh`.
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,

    /// Do not make a volume and a pod to see that volumes bind.
    #[arg(long)]
    no_volume: bool,

    /// The IngressClass that must be there; `default` for a default one.
    #[arg(long, value_name = "NAME")]
    ingress_class: Option<String>,

    /// Cpu that must be free, in thousandths of a core.
    #[arg(long, value_name = "MILLICORES", default_value_t = 0)]
    cpu: u64,

    /// Memory that must be free, in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 0)]
    memory: u64,

    /// cert-manager must be there.
    #[arg(long)]
    cert_manager: bool,

    #[command(flatten)]
    tool: ToolArgs,
}

fn main() -> ExitCode {
    let host = Host::of_process();
    run_tool(
        std::env::args_os(),
        host,
        |args: &Args| &args.tool,
        |tool, args| Box::pin(tool.until_interrupted(work(tool, args))),
    )
}

async fn work(tool: &Tool, args: &Args) -> Result<Exit> {
    let to = tool.connect().await?;
    let mut checks = Preflight::new()
        .with_versions(mlops_k8s::SUPPORTED.0, mlops_k8s::SUPPORTED.1)
        .with_namespace(&to.namespace)
        .with_dns()
        .with_admission(&to.namespace, PodSecurity::Restricted);
    if !args.paths.is_empty() {
        // RIGHTS
        tool.read_objects(&args.paths)?;
    }
    if !args.no_volume {
        let mut trial = VolumeTrial::new(&to.namespace);
        trial = args
            .storage_class
            .iter()
            .fold(trial, |trial, name| trial.with_class(name));
        trial = args
            .image
            .iter()
            .fold(trial, |trial, name| trial.with_image(name));
        checks = checks.with_volume(trial);
    }
    if let Some(name) = &args.ingress_class {
        checks = checks.with_ingress_class(Some(name.as_str()).filter(|name| *name != "default"));
    }
    if args.cpu > 0 || args.memory > 0 {
        checks = checks.with_room(Room {
            cpu: args.cpu,
            memory: args.memory << 20,
        });
    }
    if args.cert_manager {
        checks = checks.with_cert_manager(&to.namespace);
    }
    let report = checks.run(&to.client).await;
    tool.printer.show(&report, |_| report.to_string())?;
    Ok(match report.worst() {
        State::Failed | State::Unknown => Exit::CheckFailed,
        _ => Exit::Done,
    })
}
