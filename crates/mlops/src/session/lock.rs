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
    /// As [`Self::lock`], for what only takes away: where no namespace is, none is made to lock it.
    pub(super) async fn lock_what_is_there(&self, events: &EventSink) -> Result<Lock> {
        match &self.cluster {
            Some(cluster) if !cluster.has_namespace().await? => Ok(Lock {
                here: self.target.lock(events).await?,
                _there: None,
            }),
            _ => self.lock(events).await,
        }
    }

    /// Takes the right to change the platform, waiting for another run; `events` is told of the wait.
    pub(super) async fn lock(&self, events: &EventSink) -> Result<Lock> {
        let here = self.target.lock(events).await?;
        let there = match &self.cluster {
            Some(cluster) => {
                let host = self.graph.platform.as_str();
                // What a run of this folder held that was killed is free for the next one here at once.
                let holder = self.target.holder(&here, || ClusterTarget::holder(host))?;
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
