//! The right to change a platform.

use mlops_core::{EventSink, Result};
use mlops_k8s::LeaseGuard;
use mlops_k8s::target::ClusterTarget;
use mlops_local::PlatformLock;

use super::Session;

/// Held while a platform is changed: here, and where it is.
pub(super) struct Lock {
    pub(super) here: PlatformLock,
    /// Renewed until it is dropped.
    _there: Option<LeaseGuard>,
}

impl Session {
    /// Takes the right to change the platform, waiting for another run; `events` is told of the wait.
    pub(super) async fn lock(&self, events: &EventSink) -> Result<Lock> {
        let here = self.target.lock(events).await?;
        let there = match &self.cluster {
            Some(cluster) => {
                let host = self.graph.platform.as_str();
                let holder = ClusterTarget::holder(host)?;
                Some(cluster.lock(&self.graph, &holder).await?)
            }
            None => None,
        };
        Ok(Lock {
            here,
            _there: there,
        })
    }
}
