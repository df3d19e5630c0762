//! Whether a cluster can take what one wants to bring, asked before the first write.
//!
//! ```no_run
//! # async fn example(client: kube::Client) {
//! use mlops_k8s::preflight::{Preflight, Right, State};
//!
//! let report = Preflight::new()
//!     .with_versions((1, 33), (1, 35))
//!     .with_namespace("models")
//!     .with_right(Right::new("create", "apps", "deployments").in_namespace("models"))
//!     .run(&client)
//!     .await;
//! for check in report.checks.iter().filter(|check| check.state != State::Passed) {
//!     // For example `right to create deployments.apps in models`, and why.
//!     let line = format!("{}: {}", check.name, check.reason);
//! #   drop(line);
//! }
//! # }
//! ```

mod admission;
mod asked;
mod cluster;
mod pull_secret;
mod quantity;
mod rights;
mod room;
mod volume;

use std::fmt;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt, join_all};
use kube::Client;
use serde::{Deserialize, Serialize};

pub use asked::Asked;
pub use rights::{Right, rights_for, rights_for_members};
pub use room::Room;

use crate::explain::text::clean;

/// How one check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// The cluster offers it.
    Passed,
    /// It was not looked at, since something it needs is not there.
    Skipped,
    /// It could not be asked. That says nothing about the cluster.
    Unknown,
    /// The cluster does not offer it.
    Failed,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passed => "passed",
            Self::Skipped => "skipped",
            Self::Unknown => "unknown",
            Self::Failed => "failed",
        })
    }
}

/// One check with its result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What was checked.
    pub name: String,
    /// How it ended.
    pub state: State,
    /// Why, as one sentence without a full stop.
    pub reason: String,
    /// What a person can do, where it did not pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Check {
    fn new(name: impl Into<String>, state: State, reason: impl AsRef<str>) -> Self {
        Self {
            name: name.into(),
            state,
            reason: clean(reason.as_ref()),
            remedy: None,
        }
    }

    fn passed(name: impl Into<String>, reason: impl AsRef<str>) -> Self {
        Self::new(name, State::Passed, reason)
    }

    fn failed(name: impl Into<String>, reason: impl AsRef<str>, remedy: impl AsRef<str>) -> Self {
        Self::new(name, State::Failed, reason).with_remedy(remedy)
    }

    /// An error of a question: nothing is known.
    fn unknown(name: impl Into<String>, error: &kube::Error) -> Self {
        let (reason, remedy) = crate::error::reason_of(error);
        Self::new(name, State::Unknown, format!("could not ask: {reason}")).with_remedy(remedy)
    }

    fn with_remedy(mut self, remedy: impl AsRef<str>) -> Self {
        self.remedy = Some(clean(remedy.as_ref()));
        self
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {}: {}",
            self.state,
            clean(&self.name),
            clean(&self.reason)
        )?;
        match &self.remedy {
            Some(remedy) => write!(f, "\n  remedy: {}", clean(remedy)),
            None => Ok(()),
        }
    }
}

/// The results of all checks, in the order in which they were asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreflightReport {
    /// The checks.
    pub checks: Vec<Check>,
}

impl PreflightReport {
    /// The worst state among the checks; passed when there is none.
    pub fn worst(&self) -> State {
        self.checks
            .iter()
            .map(|check| check.state)
            .max()
            .unwrap_or(State::Passed)
    }
}

impl fmt::Display for PreflightReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, check) in self.checks.iter().enumerate() {
            let end = if index == 0 { "" } else { "\n" };
            write!(f, "{end}{check}")?;
        }
        Ok(())
    }
}

/// The Pod Security level under which a pod is tried: <https://kubernetes.io/docs/concepts/security/pod-security-standards/>.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PodSecurity {
    /// A pod that keeps every rule.
    Restricted,
    /// A pod that asks for nothing special, and gives up nothing.
    Baseline,
    /// A pod that may do all that its node may.
    Privileged,
}

/// How a volume is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeTrial {
    namespace: String,
    class: Option<String>,
    image: String,
    patience: Duration,
}

impl VolumeTrial {
    /// A claim of 1 MiB of the default `StorageClass` in a namespace, with 60 seconds to bind.
    pub fn new(namespace: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            class: None,
            image: "registry.k8s.io/pause:3.10".to_owned(),
            patience: Duration::from_mins(1),
        }
    }

    /// Another `StorageClass` than the default one.
    #[must_use]
    pub fn with_class(mut self, class: impl Into<String>) -> Self {
        self.class = Some(class.into());
        self
    }

    /// The image of the pod that a class needs which waits for the first pod. It need not be there: the volume binds as
    /// soon as the pod has a node.
    #[must_use]
    pub fn with_image(mut self, image: impl Into<String>) -> Self {
        self.image = image.into();
        self
    }

    /// How long the claim may take to bind.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }
}

#[derive(Debug, Clone)]
enum ClassWanted {
    Default,
    Named(String),
}

impl ClassWanted {
    fn name(&self) -> Option<&str> {
        match self {
            Self::Default => None,
            Self::Named(name) => Some(name),
        }
    }
}

/// What to check. Nothing is checked that was not asked for.
#[derive(Debug, Clone, Default)]
pub struct Preflight {
    versions: Option<((u32, u32), (u32, u32))>,
    rights: Vec<Right>,
    namespaces: Vec<String>,
    volumes: Vec<VolumeTrial>,
    ingresses: Vec<ClassWanted>,
    dns: Option<()>,
    admission: Vec<(String, PodSecurity)>,
    room: Option<Room>,
    cert_manager: Option<String>,
    pull_secrets: Vec<(String, String)>,
}

impl Preflight {
    /// Checks nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The server's version must be within two, both included, as `(major, minor)`.
    #[must_use]
    pub fn with_versions(mut self, lowest: (u32, u32), highest: (u32, u32)) -> Self {
        self.versions = Some((lowest, highest));
        self
    }

    /// We must have a right.
    #[must_use]
    pub fn with_right(mut self, right: Right) -> Self {
        self.rights.push(right);
        self
    }

    /// A namespace must be there and not on its way out, or we must be able to create it.
    #[must_use]
    pub fn with_namespace(mut self, name: impl Into<String>) -> Self {
        self.namespaces.push(name.into());
        self
    }

    /// A volume must bind: a temporary claim is made, with a pod where the class waits for one, and removed again.
    #[must_use]
    pub fn with_volume(mut self, trial: VolumeTrial) -> Self {
        self.volumes.push(trial);
        self
    }

    /// There must be an `IngressClass`: this one, or with none a default one. May be asked of several.
    #[must_use]
    pub fn with_ingress_class(mut self, name: Option<&str>) -> Self {
        let wanted = name.map(|name| ClassWanted::Named(name.to_owned()));
        self.ingresses.push(wanted.unwrap_or(ClassWanted::Default));
        self
    }

    /// The cluster's DNS must have endpoints.
    #[must_use]
    pub fn with_dns(mut self) -> Self {
        self.dns = Some(());
        self
    }

    /// A pod of this level must be taken in a namespace (a dry run).
    #[must_use]
    pub fn with_admission(mut self, namespace: impl Into<String>, level: PodSecurity) -> Self {
        self.admission.push((namespace.into(), level));
        self
    }

    /// Nodes must have this much that no pod has requested.
    #[must_use]
    pub fn with_room(mut self, room: Room) -> Self {
        self.room = Some(room);
        self
    }

    /// cert-manager must be served and answer in a namespace (a dry run of an Issuer).
    #[must_use]
    pub fn with_cert_manager(mut self, namespace: impl Into<String>) -> Self {
        self.cert_manager = Some(namespace.into());
        self
    }

    /// A Secret with which images are pulled must be in a namespace, of a type that pods can use for it.
    #[must_use]
    pub fn with_pull_secret(
        mut self,
        namespace: impl Into<String>,
        name: impl Into<String>,
    ) -> Self {
        self.pull_secrets.push((namespace.into(), name.into()));
        self
    }

    /// Makes all checks side by side. What cannot be asked is [`State::Unknown`]; nothing here is an error.
    pub async fn run(&self, client: &Client) -> PreflightReport {
        let mut work: Vec<BoxFuture<'_, Vec<Check>>> = Vec::new();
        if let Some((lowest, highest)) = self.versions {
            work.push(one(cluster::version(client, lowest, highest)));
        }
        for namespace in &self.namespaces {
            work.push(one(cluster::namespace(client, namespace)));
        }
        work.push(rights::check(client, &self.rights).boxed());
        for (namespace, name) in &self.pull_secrets {
            work.push(one(pull_secret::check(client, namespace, name)));
        }
        for (namespace, level) in &self.admission {
            work.push(one(admission::check(client, namespace, *level)));
        }
        for trial in &self.volumes {
            work.push(volume::check(client, trial).boxed());
        }
        for class in &self.ingresses {
            work.push(one(cluster::ingress_class(client, class.name())));
        }
        if self.dns.is_some() {
            work.push(one(cluster::dns(client)));
        }
        if let Some(room) = &self.room {
            work.push(one(room::check(client, *room)));
        }
        if let Some(namespace) = &self.cert_manager {
            work.push(one(cluster::cert_manager(client, namespace)));
        }
        let checks = join_all(work).await.into_iter().flatten().collect();
        PreflightReport { checks }
    }
}

fn one<'a>(check: impl Future<Output = Check> + Send + 'a) -> BoxFuture<'a, Vec<Check>> {
    check.map(|check| vec![check]).boxed()
}
