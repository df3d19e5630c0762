#![doc = include_str!("../README.md")]

pub mod binding;
mod digest;
mod error;
pub mod event;
mod graph;
pub mod hook;
pub mod kubernetes;
mod name;
pub mod observation;
pub mod plan;
pub mod platform;
pub mod probe;
pub mod process;
pub mod provider;
pub mod report;
mod resource;
mod secret;
mod service;
pub mod template;
pub mod threads;

pub use binding::Binding;
pub use digest::Digest;
pub use error::{Error, ErrorKind, Failure, Result};
pub use event::{Event, EventSink};
pub use graph::Graph;
pub use name::{
    BucketName, CapabilityName, ComponentName, DatabaseName, ModelAlias, ModelName, PlatformName,
    RoleName, SecretName, ServiceName, nearest,
};
pub use observation::{Found, Observation, Observed, Owner};
pub use plan::{Action, Change, Plan};
pub use platform::{Diagnostic, Diagnostics, Platform};
pub use probe::{Finding, Probe};
pub use provider::{Context, Endpoints, Prober, Provider, SecretStore};
pub use report::Report;
pub use resource::{Kind, Resource, ResourceId, Spec, to_spec};
pub use secret::SecretText;
pub use service::{Endpoint, SecretSource, Service};
