//! Whether a cluster offers what is about to be asked of it, as a person asks.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args as ClapArgs;
use mlops_core::{ErrorKind, Result};
use mlops_k8s::SetName;
use mlops_k8s::preflight::{
    Asked, PodSecurity, Preflight, Room, State, VolumeTrial, rights_for, rights_for_members,
};

use super::{Checks, Connection, Tool};
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

    /// The `StorageClass` whose volumes must bind [default: those of the objects' claims; without paths, the cluster's
    /// default].
    #[arg(long, value_name = "NAME")]
    pub storage_class: Option<String>,

    /// The image of the pod by which a volume is tried: one with `/bin/sh`.
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,

    /// Do not make a volume and a pod to see that volumes bind.
    #[arg(long)]
    pub no_volume: bool,

    /// The `IngressClass` that must be there; `default` for a default one [default: those that the objects name].
    #[arg(long, value_name = "NAME")]
    pub ingress_class: Option<String>,

    /// Cpu that must be free, in thousandths of a core [default: what the objects request].
    #[arg(long, value_name = "MILLICORES")]
    pub cpu: Option<u64>,

    /// Memory that must be free, in MiB [default: what the objects request].
    #[arg(long, value_name = "MIB")]
    pub memory: Option<u64>,

    /// A Secret with which images are pulled must be there; may be given several times.
    #[arg(long, value_name = "NAME")]
    pub pull_secret: Vec<String>,

    /// cert-manager must be there, also without objects of it.
    #[arg(long)]
    pub cert_manager: bool,

    #[command(flatten)]
    checks: Checks,
}

impl Checking {
    /// Makes the checks and shows them; the exit code says whether all passed.
    ///
    /// # Errors
    ///
    /// When the objects cannot be read, or there is no way to the cluster.
    pub async fn check(&self, tool: &Tool) -> Result<Exit> {
        let objects = match self.paths.as_slice() {
            [] => None,
            paths => Some(tool.read_objects(paths)?),
        };
        let mut asked = Asked::NONE;
        if let Some(objects) = &objects {
            objects.check(tool, &self.checks, &tool.namespace("default"))?;
            asked = Asked::by(&objects.set)?;
        } else {
            asked.storage_classes.insert(None);
        }
        let to = tool.connect().await?;
        let mut checks = self.asks(&to, asked);
        if let Some(objects) = &objects {
            // A server that does not answer is told below.
            if let Err(error) = objects.check_for(&self.checks, &to).await
                && error.kind() == ErrorKind::InvalidInput
            {
                return Err(error);
            }
            let set = &objects.set;
            let rights = match &self.set {
                Some(name) => rights_for_members(set, &SetName::new(name, &to.namespace))?,
                None => rights_for(set, &to.namespace)?,
            };
            checks = rights.into_iter().fold(checks, Preflight::with_right);
        }
        let report = checks.run(&to.client).await;
        tool.printer.show(&report, |_| report.to_string())?;
        Ok(match report.worst() {
            State::Failed | State::Unknown => Exit::CheckFailed,
            _ => Exit::Done,
        })
    }

    /// The checks but for rights: what an option says goes before what the objects ask for.
    fn asks(&self, to: &Connection, asked: Asked) -> Preflight {
        let mut checks = Preflight::new()
            .with_versions(mlops_k8s::SUPPORTED.0, mlops_k8s::SUPPORTED.1)
            .with_namespace(&to.namespace)
            .with_dns()
            .with_admission(&to.namespace, PodSecurity::Restricted);
        for name in &self.pull_secret {
            checks = checks.with_pull_secret(&to.namespace, name);
        }
        let classes = match &self.storage_class {
            Some(name) => BTreeSet::from([Some(name.clone())]),
            None => asked.storage_classes,
        };
        for class in classes.iter().filter(|_| !self.no_volume) {
            let mut trial = VolumeTrial::new(&to.namespace);
            if let Some(name) = class {
                trial = trial.with_class(name);
            }
            if let Some(name) = &self.image {
                trial = trial.with_image(name);
            }
            checks = checks.with_volume(trial);
        }
        let classes = match &self.ingress_class {
            Some(name) => BTreeSet::from([name.clone()]),
            None => asked.ingress_classes,
        };
        for name in &classes {
            // A class that an object names may be called so as well.
            let is_default = self.ingress_class.is_some() && name == "default";
            checks = checks.with_ingress_class((!is_default).then_some(name.as_str()));
        }
        let mebi = self.memory.map(|mebi| mebi.saturating_mul(1 << 20));
        let room = Room {
            cpu: self.cpu.unwrap_or(asked.room.cpu),
            memory: mebi.unwrap_or(asked.room.memory),
        };
        if room.cpu > 0 || room.memory > 0 {
            checks = checks.with_room(room);
        }
        if self.cert_manager || asked.cert_manager {
            checks = checks.with_cert_manager(&to.namespace);
        }
        checks
    }
}
