//! The right to change a platform.

use mlops_core::{Event, EventSink, Result};
use mlops_k8s::LeaseGuard;
use mlops_local::PlatformLock;

use super::Session;

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
    /// Takes the right to change the platform, waiting for another run; `events` is told of the wait.
    pub(super) async fn lock(&self, events: &EventSink) -> Result<Lock> {
        let here = self.target.lock(events).await?;
        let there = match &self.cluster {
            Some(cluster) => {
                let holder = mlops_k8s::holder_name(&self.user)?;
                let tell = |holder: &str| {
                    let holder = holder.to_owned();
                    events.emit(Event::Locked { holder });
                };
                Some(cluster.lock(&self.graph, &holder, &tell).await?)
            }
            None => None,
        };
        Ok(Lock { here, there })
    }
}
