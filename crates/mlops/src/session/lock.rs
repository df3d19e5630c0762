//! The right to change a platform.

use mlops_core::{Event, EventSink, Result};
use mlops_k8s::LeaseGuard;
use mlops_k8s::target::ClusterTarget;
use mlops_local::PlatformLock;

use super::Session;
use super::cluster_models::{ClusterModels, SERVED};

/// Held while a platform is changed: here, and where it is.
pub(super) struct Lock {
    here: PlatformLock,
    /// Renewed until it is dropped.
    there: Option<LeaseGuard>,
}

impl Lock {
    /// Gives back what is held elsewhere, and waits until that is known there: the program may end now.
    pub(super) async fn give_back(self) -> PlatformLock {
        if let Some(lease) = self.there {
            lease.give_back().await;
        }
        self.here
    }
}

impl Session {
    /// As [`Self::lock`], for what only takes away: where no namespace is, none is made to lock it.
    pub(super) async fn lock_what_is_there(&self, events: &EventSink) -> Result<Lock> {
        match &self.cluster {
            Some(cluster) if !cluster.has_namespace().await? => Ok(Lock {
                here: self.target.lock(events).await?,
                there: None,
            }),
            _ => self.lock(events).await,
        }
    }

    /// Takes the right to change the platform, waiting for another run; `events` is told of the wait.
    pub(super) async fn lock(&self, events: &EventSink) -> Result<Lock> {
        let here = self.target.lock(events).await?;
        let there = match &self.cluster {
            Some(cluster) => {
                // What a run of this folder held that was killed is free for the next one here at once.
                let new = || mlops_k8s::holder_name(&self.user);
                let holder = self.target.holder(&here, new)?;
                let tell = |holder: &str| {
                    let holder = holder.to_owned();
                    events.emit(Event::Locked { holder });
                };
                let lease = cluster.lock(&self.graph, &holder, &tell).await?;
                self.take_back_models(cluster).await?;
                Some(lease)
            }
            None => None,
        };
        Ok(Lock { here, there })
    }

    /// What a killed run was trying is put back before anything is looked at: old pods serve, and new ones may never.
    async fn take_back_models(&self, cluster: &ClusterTarget) -> Result<()> {
        let models = ClusterModels::new(cluster.clone());
        for resource in self.graph.resources() {
            if resource.id.kind().as_str() == SERVED {
                models.take_back(resource).await?;
            }
        }
        Ok(())
    }
}
