//! Whether a cluster offers what is about to be asked of it, as a person asks.

use std::path::PathBuf;

use clap::Args as ClapArgs;
use mlops_core::Result;
use mlops_k8s::SetName;
use mlops_k8s::preflight::{
    PodSecurity, Preflight, Room, State, VolumeTrial, rights_for, rights_for_members,
};

use super::{Connection, Tool};
use crate::exit::Exit;

/// What is checked.
#[derive(Debug, Clone, ClapArgs)]
pub struct Checking {
    /// Files and folders of objects that are to be applied; `-` is standard input.
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,

    /// The set that the objects are to be members of.
    #[arg(long, value_name = "NAME")]
    pub set: Option<String>,

    /// The `StorageClass` whose volumes must bind [default: the cluster's default].
    #[arg(long, value_name = "NAME")]
    pub storage_class: Option<String>,

    /// The image of the pod by which a volume is tried: one with `/bin/sh`.
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,

    /// Do not make a volume and a pod to see that volumes bind.
    #[arg(long)]
    pub no_volume: bool,

    /// The `IngressClass` that must be there; `default` for a default one.
    #[arg(long, value_name = "NAME")]
    pub ingress_class: Option<String>,

    /// Cpu that must be free, in thousandths of a core.
    #[arg(long, value_name = "MILLICORES", default_value_t = 0)]
    pub cpu: u64,

    /// Memory that must be free, in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 0)]
    pub memory: u64,

    /// A Secret with which images are pulled must be there; may be given several times.
    #[arg(long, value_name = "NAME")]
    pub pull_secret: Vec<String>,

    /// cert-manager must be there.
    #[arg(long)]
    pub cert_manager: bool,
}

impl Checking {
    /// Makes the checks and shows them; the exit code says whether all passed.
    ///
    /// # Errors
    ///
    /// When the objects cannot be read, or there is no way to the cluster.
    pub async fn check(&self, tool: &Tool) -> Result<Exit> {
        let to = tool.connect().await?;
        let report = self.checks(tool, &to)?.run(&to.client).await;
        tool.printer.show(&report, |_| report.to_string())?;
        Ok(match report.worst() {
            State::Failed | State::Unknown => Exit::CheckFailed,
            _ => Exit::Done,
        })
    }

    fn checks(&self, tool: &Tool, to: &Connection) -> Result<Preflight> {
        let mut checks = Preflight::new()
            .with_versions(mlops_k8s::SUPPORTED.0, mlops_k8s::SUPPORTED.1)
            .with_namespace(&to.namespace)
            .with_dns()
            .with_admission(&to.namespace, PodSecurity::Restricted);
        if !self.paths.is_empty() {
            let objects = tool.read_objects(&self.paths)?;
            let rights = match &self.set {
                Some(name) => rights_for_members(&objects.set, &SetName::new(name, &to.namespace))?,
                None => rights_for(&objects.set, &to.namespace)?,
            };
            checks = rights.into_iter().fold(checks, Preflight::with_right);
        }
        for name in &self.pull_secret {
            checks = checks.with_pull_secret(&to.namespace, name);
        }
        if !self.no_volume {
            let mut trial = VolumeTrial::new(&to.namespace);
            if let Some(name) = &self.storage_class {
                trial = trial.with_class(name);
            }
            if let Some(name) = &self.image {
                trial = trial.with_image(name);
            }
            checks = checks.with_volume(trial);
        }
        if let Some(name) = self.ingress_class.as_deref() {
            checks = checks.with_ingress_class(Some(name).filter(|name| *name != "default"));
        }
        if self.cpu > 0 || self.memory > 0 {
            checks = checks.with_room(Room {
                cpu: self.cpu,
                memory: self.memory << 20,
            });
        }
        if self.cert_manager {
            checks = checks.with_cert_manager(&to.namespace);
        }
        Ok(checks)
    }
}
