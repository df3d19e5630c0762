//! A program to be kept running, as data.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::name::{SecretName, ServiceName};
use crate::resource::Spec;

/// A process of a component: how it is started, when it is ready, how it stops.
///
/// The texts of `args`, `env` and `files` are templates (see [`crate::template`]) over `vars`, the secrets and the
/// services named here; arguments may not use secrets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProcessSpec {
    /// What is run.
    pub program: Program,
    /// Its arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Its environment; nothing else is passed but `PATH`, `HOME`, `LANG`, `TMPDIR` and the proxy and certificate settings.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Files written into its folder before it starts, mode 0600: relative path to content.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
    /// The services it listens at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listens: Vec<ServiceName>,
    /// The services its templates mention.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub services: BTreeSet<ServiceName>,
    /// The secrets its templates mention.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub secrets: BTreeSet<SecretName>,
    /// When it is ready.
    pub ready: Ready,
    /// How it is stopped.
    #[serde(default)]
    pub stop: Stop,
    /// What templates see beside secrets and services: settings, sizes, bindings.
    #[serde(default, skip_serializing_if = "Spec::is_empty")]
    pub vars: Spec,
}

/// What a process runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Program {
    /// The interpreter of the locked Python environment.
    Python,
    /// The PostgreSQL server, as an unprivileged user.
    Postgres,
    /// The S3 server inside the supervisor; `env` gives `ACCESS_KEY`, `SECRET_KEY` and `REGION`.
    EmbeddedS3,
    /// A program by absolute path or by name on `PATH`.
    Command(String),
}

/// When a process is ready. Readiness says that it answers; that it works is for probes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Ready {
    /// A GET at a path of a service answers 2xx.
    Http {
        /// The service.
        service: ServiceName,
        /// The path with its leading slash.
        path: String,
        /// Seconds until it counts as failed.
        #[serde(default = "default_ready_seconds")]
        within_seconds: u64,
    },
    /// A service accepts a connection.
    Tcp {
        /// The service.
        service: ServiceName,
        /// Seconds until it counts as failed.
        #[serde(default = "default_ready_seconds")]
        within_seconds: u64,
    },
    /// A PostgreSQL server says that it accepts connections (it also does so while it refuses a password).
    Postgres {
        /// The service.
        service: ServiceName,
        /// Seconds until it counts as failed.
        #[serde(default = "default_ready_seconds")]
        within_seconds: u64,
    },
}

impl Ready {
    /// The service that is asked.
    pub fn service(&self) -> &ServiceName {
        match self {
            Self::Http { service, .. }
            | Self::Tcp { service, .. }
            | Self::Postgres { service, .. } => service,
        }
    }

    /// Seconds until a process that does not answer counts as failed.
    pub fn within_seconds(&self) -> u64 {
        match self {
            Self::Http { within_seconds, .. }
            | Self::Tcp { within_seconds, .. }
            | Self::Postgres { within_seconds, .. } => *within_seconds,
        }
    }
}

fn default_ready_seconds() -> u64 {
    120
}

/// How a process is stopped: a signal, and after some time SIGKILL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stop {
    /// The signal.
    #[serde(default)]
    pub signal: StopSignal,
    /// Seconds it is given.
    #[serde(default = "default_stop_seconds")]
    pub within_seconds: u64,
}

impl Default for Stop {
    fn default() -> Self {
        Self {
            signal: StopSignal::default(),
            within_seconds: default_stop_seconds(),
        }
    }
}

fn default_stop_seconds() -> u64 {
    10
}

/// A signal that asks a process to end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StopSignal {
    /// SIGTERM.
    #[default]
    Terminate,
    /// SIGINT: PostgreSQL's fast shutdown
    /// (<https://www.postgresql.org/docs/current/server-shutdown.html>).
    Interrupt,
}
