//! A lease that is held: renewed beside the work, given back at its end.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
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
    /// Whoever has it now; empty when nobody has.
    lost: Option<String>,
    /// Whether the Lease goes when it is given back.
    is_last: bool,
}

struct Inner {
    state: Arc<Mutex<State>>,
    token: u64,
    client: kube::Client,
    lease: LeaseOptions,
    stop: DropGuard,
    /// Cancelled when it was given back, or could not be.
    ended: CancellationToken,
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A lease that may have been given back.
#[derive(Clone)]
pub(crate) struct WeakLease(Weak<Inner>);

impl WeakLease {
    /// The lease, while somebody holds it.
    pub(crate) fn held(&self) -> Option<LeaseGuard> {
        self.0.upgrade().map(|inner| LeaseGuard { inner })
    }
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
        let ends = self.inner.state().ends;
        ends.saturating_duration_since(Instant::now())
    }

    /// Gives the lease back and waits until the server knows, for programs that end now: what is merely dropped is given
    /// back a moment later, or runs out. Does nothing while there are other clones.
    pub async fn give_back(self) {
        let Some(Inner { stop, ended, .. }) = Arc::into_inner(self.inner) else {
            return;
        };
        drop(stop);
        // It runs out by itself when the server does not answer.
        let _ = tokio::time::timeout(LOOK, ended.cancelled()).await;
    }

    /// The same lease, for those that must not keep it.
    pub(crate) fn downgrade(&self) -> WeakLease {
        WeakLease(Arc::downgrade(&self.inner))
    }

    /// Takes the Lease away when it is given back, because what it was for is gone.
    pub(crate) fn leave_nothing(&self) {
        self.inner.state().is_last = true;
    }

    /// Whether a write may begin now.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Conflict`] when another has the lease, or may have it soon because it could not be renewed.
    pub fn check(&self) -> Result<()> {
        let state = self.inner.state();
        let cause = match &state.lost {
            Some(holder) if holder.is_empty() => "nobody has the lease any more".to_owned(),
            Some(holder) => format!("`{holder}` has the lease now"),
            None if Instant::now() >= state.valid_until => {
                "the lease could not be renewed in time".to_owned()
            }
            None => return Ok(()),
        };
        Err(self.refusal(cause))
    }

    /// As [`LeaseGuard::check`]; a lease that ran out is looked at, so that the error names who has it now.
    ///
    /// # Errors
    ///
    /// As [`LeaseGuard::check`].
    pub async fn confirm(&self) -> Result<()> {
        let Err(error) = self.check() else {
            return Ok(());
        };
        if self.inner.state().lost.is_some() {
            return Err(error);
        }
        let lease = &self.inner.lease;
        let look = Call::get(lease.path(true)).within(Duration::ZERO);
        let doing = || lease.doing("look at");
        let found = find(&self.inner.client, &look, &doing);
        if let Ok(Ok(Some(found))) = tokio::time::timeout(LOOK, found).await {
            let other = Other::of(&found);
            if !other.is(&lease.holder, self.inner.token) {
                self.inner.state().lost = Some(crate::error::printable(&other.holder));
                return self.check();
            }
        }
        Err(error)
    }

    fn refusal(&self, cause: String) -> Error {
        let lease = &self.inner.lease;
        let doing = format!(
            "write under the lease `{}` in `{}`",
            lease.name, lease.namespace
        );
        Error::new(ErrorKind::Conflict, doing)
            .with_source(cause)
            .with_hint("run this again when the other is done: it goes on from what is there")
    }
}

/// How long a look at a lease that ran out may take, or the word that it is given back.
const LOOK: Duration = Duration::from_secs(3);

impl LeaseOptions {
    /// Renews from now on.
    pub(super) fn guard(self, client: &kube::Client, held: Held) -> LeaseGuard {
        let token = held.transitions;
        let state = Arc::new(Mutex::new(State {
            valid_until: self.valid_until(held.started),
            ends: held.started + self.duration,
            lost: None,
            is_last: false,
        }));
        let (stop, ended) = (CancellationToken::new(), CancellationToken::new());
        let guard = LeaseGuard {
            inner: Arc::new(Inner {
                state: Arc::clone(&state),
                token,
                client: client.clone(),
                lease: self.clone(),
                stop: stop.clone().drop_guard(),
                ended: ended.clone(),
            }),
        };
        let client = client.clone();
        tokio::spawn(async move {
            let _ended = ended.drop_guard();
            let version = stop
                .run_until_cancelled(self.renew(&client, &held, &state))
                .await;
            if version.is_none() {
                let is_last = locked(&state).is_last;
                self.release(&client, is_last).await;
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
                                found.map_or(String::new(), |found| Other::of(&found).holder);
                            locked(state).lost = Some(crate::error::printable(&holder));
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
                    let mut state = locked(state);
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
    async fn release(&self, client: &kube::Client, is_last: bool) {
        let doing = || self.doing("give back");
        let Ok(Some(found)) = find(client, &Call::get(self.path(true)), &doing).await else {
            return;
        };
        let other = Other::of(&found);
        if other.holder != self.holder {
            return;
        }
        if is_last {
            let options = json!({"preconditions": {"resourceVersion": other.version}});
            if let Err(error) = ask(client, &Call::delete(self.path(true), &options), &doing).await
            {
                tracing::debug!(error = %error, "a lease was not taken away");
            }
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
