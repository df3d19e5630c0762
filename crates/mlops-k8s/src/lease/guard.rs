//! A lease that is held: renewed beside the work, given back at its end.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mlops_core::{Error, ErrorKind, Result};
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Held, LeaseOptions, Other};
use crate::http::{Call, ask, find};

struct State {
    /// Until when writes may begin.
    valid_until: Instant,
    /// When another may take it.
    ends: Instant,
    lost: Option<String>,
}

struct Inner {
    state: Arc<Mutex<State>>,
    token: u64,
    _stop: DropGuard,
}

/// A lease that is held. Clones share it; it is given back when the last one is dropped.
///
/// ```no_run
/// # async fn example(client: kube::Client) -> mlops_core::Result<()> {
/// use std::time::Duration;
/// use mlops_k8s::{Applier, LeaseOptions};
///
/// let lease = LeaseOptions::new("demo", "models", "build-7.example.org-4711")
///     .with_wait(Duration::from_secs(60))
///     .acquire(&client)
///     .await?;
/// let applier = Applier::new(client).with_set("demo", "models").with_lease(lease);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct LeaseGuard {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for LeaseGuard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LeaseGuard")
            .field("token", &self.inner.token)
            .finish_non_exhaustive()
    }
}

impl LeaseGuard {
    /// The fencing token: larger for each later holder.
    pub fn token(&self) -> u64 {
        self.inner.token
    }

    /// For how long the lease lasts if it is not renewed.
    pub(crate) fn left(&self) -> Duration {
        let state = self
            .inner
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        state.ends.saturating_duration_since(Instant::now())
    }

    /// Whether a write may begin now.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Conflict`] when another has the lease, or may have it soon because it could not be renewed.
    pub fn check(&self) -> Result<()> {
        let state = self
            .inner
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let cause = match &state.lost {
            Some(holder) => format!("`{holder}` has the lease now"),
            None if Instant::now() >= state.valid_until => {
                "the lease could not be renewed in time".to_owned()
            }
            None => return Ok(()),
        };
        Err(Error::new(ErrorKind::Conflict, "write under a lease").with_source(cause))
    }
}

impl LeaseOptions {
    /// Renews from now on.
    pub(super) fn guard(self, client: &kube::Client, held: Held) -> LeaseGuard {
        let token = held.transitions;
        let state = Arc::new(Mutex::new(State {
            valid_until: self.valid_until(held.started),
            ends: held.started + self.duration,
            lost: None,
        }));
        let stop = CancellationToken::new();
        let guard = LeaseGuard {
            inner: Arc::new(Inner {
                state: Arc::clone(&state),
                token,
                _stop: stop.clone().drop_guard(),
            }),
        };
        let client = client.clone();
        tokio::spawn(async move {
            let version = stop
                .run_until_cancelled(self.renew(&client, &held, &state))
                .await;
            if version.is_none() {
                self.release(&client).await;
            }
        });
        guard
    }

    /// Until when writes may begin after a renewal that began at a moment: a quarter of the duration is left to those
    /// that are on their way.
    fn valid_until(&self, renewed: Instant) -> Instant {
        renewed + self.duration * 3 / 4
    }

    /// Renews until somebody else has the lease.
    async fn renew(&self, client: &kube::Client, held: &Held, state: &Mutex<State>) {
        let (mut version, token) = (held.version.clone(), held.transitions);
        let pause = self.duration / 4;
        let doing = || self.doing("renew");
        loop {
            tokio::time::sleep(pause).await;
            let metadata =
                json!({"name": self.name, "namespace": self.namespace, "resourceVersion": version});
            let started = Instant::now();
            let body = self.body(&metadata, token, Some(&held.acquired));
            let call = Call::put(self.path(true), &body);
            // A connection that hangs must leave time for another attempt.
            let Ok(answer) =
                tokio::time::timeout(self.duration / 4, ask(client, &call, &doing)).await
            else {
                continue;
            };
            let answer = match answer {
                // An answer that was lost leaves another version behind: it may be our own.
                Err(error) if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::NotFound) => {
                    match find(client, &Call::get(self.path(true)).within(pause), &doing).await {
                        Ok(Some(found)) if Other::of(&found).is(&self.holder, token) => {
                            Other::of(&found).version.clone_into(&mut version);
                            continue;
                        }
                        Ok(found) => {
                            let holder =
                                found.map_or("nobody".to_owned(), |found| Other::of(&found).holder);
                            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                            state.lost = Some(crate::error::printable(&holder));
                            return;
                        }
                        Err(error) => Err(error),
                    }
                }
                answer => answer,
            };
            match answer {
                Ok(renewed) => {
                    Held::of(&renewed, started).version.clone_into(&mut version);
                    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                    state.valid_until = self.valid_until(started);
                    state.ends = started + self.duration;
                }
                // The guard runs out by itself unless another attempt succeeds in time.
                Err(error) => {
                    tracing::warn!(error = %error, causes = ?error.causes(), "a lease was not renewed");
                }
            }
        }
    }

    /// Gives the lease back, so that the next need not wait. When that fails it runs out.
    async fn release(&self, client: &kube::Client) {
        let doing = || self.doing("give back");
        let Ok(Some(found)) = find(client, &Call::get(self.path(true)), &doing).await else {
            return;
        };
        let other = Other::of(&found);
        if other.holder != self.holder {
            return;
        }
        let metadata = json!({"name": self.name, "namespace": self.namespace, "resourceVersion": other.version});
        let mut body = self.body(&metadata, other.transitions, None);
        if let Some(spec) = body.get_mut("spec").and_then(Value::as_object_mut) {
            spec.insert("holderIdentity".to_owned(), Value::from(""));
        }
        if let Err(error) = ask(client, &Call::put(self.path(true), &body), &doing).await {
            tracing::debug!(error = %error, "a lease was not given back");
        }
    }
}
