//! Real Kubernetes for tests: an API server alone, or a whole node that runs pods.
//!
//! All programs of Kubernetes are one program of ours (`crates/mlops-testkit/node`), built by Go into a cache.

mod addons;
mod bring;
mod cable;
mod certificates;
mod cluster;
mod commands;
pub mod cyclonus;
pub mod images;
mod node;
pub mod platform;
pub(crate) mod programs;
mod proxy;
mod space;
mod state;
pub mod tools;
mod trouble;

pub use addons::BUSYBOX;
pub use cable::Way;
pub use certificates::Credentials;
pub use cluster::TestCluster;
pub use node::{NODE, TestNode};
pub use programs::{Programs, VERSION, build_all, programs};
pub use proxy::{Fault, FaultProxy};
pub use space::{OwnNamespace, TEST_LABEL};

#[cfg(test)]
mod tests;
