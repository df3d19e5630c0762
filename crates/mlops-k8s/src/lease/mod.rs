//! One at a time: a Lease (<https://kubernetes.io/docs/concepts/architecture/leases/>) with fencing.
//!
//! Whoever holds it renews it. Another that finds it unchanged for its whole duration, measured by its own clock, takes
//! it over with the condition that it is still unchanged, so that only one of many succeeds. The old holder stops
//! writing before that moment: its guard is valid only until a part of the duration before the last renewal that
//! reached the server runs out, whatever the reason why no other did.

mod guard;

use std::time::{Duration, Instant};

use futures::StreamExt as _;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, watch_object};
use mlops_core::{Error, ErrorKind, Result};
use serde_json::{Value, json};

pub use guard::LeaseGuard;
pub(crate) use guard::WeakLease;

use crate::http::{Call, FIRST_PATIENCE, FIRST_PAUSE, LONGEST_PAUSE, ask, find};
use crate::wait::Pauses;

/// Which lease, and for whom.
#[derive(Debug, Clone)]
pub struct LeaseOptions {
    name: String,
    namespace: String,
    holder: String,
    duration: Duration,
    wait: Duration,
}

impl LeaseOptions {
    /// The Lease `name` in `namespace`, for a holder whose name must differ from every other's: a host and a random
    /// number, for example. It lasts 15 s after the last renewal, and is not waited for.
    pub fn new(name: &str, namespace: &str, holder: &str) -> Self {
        Self {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            holder: holder.to_owned(),
            duration: Duration::from_secs(15),
            wait: Duration::ZERO,
        }
    }

    /// Sets how long the lease lasts after a renewal, in whole seconds, at least 1.
    #[must_use]
    pub fn with_duration(self, duration: Duration) -> Self {
        Self {
            duration: Duration::from_secs(duration.as_secs().max(1)),
            ..self
        }
    }

    /// Waits for another holder, for this long. One that is dead is taken over after its duration.
    #[must_use]
    pub fn with_wait(self, wait: Duration) -> Self {
        Self { wait, ..self }
    }

    fn path(&self, with_name: bool) -> String {
        let path = format!(
            "/apis/coordination.k8s.io/v1/namespaces/{}/leases",
            self.namespace
        );
        if with_name {
            format!("{path}/{}", self.name)
        } else {
            path
        }
    }

    fn doing(&self, verb: &str) -> String {
        format!("{verb} the lease `{}` in `{}`", self.name, self.namespace)
    }

    fn body(&self, metadata: &Value, transitions: u64, acquired: Option<&Value>) -> Value {
        let now = Value::from(
            jiff::Timestamp::now()
                .strftime("%Y-%m-%dT%H:%M:%S%.6fZ")
                .to_string(),
        );
        json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata,
            "spec": {
                "holderIdentity": self.holder,
                "leaseDurationSeconds": self.duration.as_secs(),
                "acquireTime": acquired.unwrap_or(&now),
                "renewTime": now,
                "leaseTransitions": transitions,
            },
        })
    }

    /// Takes the lease, and renews it until the last clone of the guard is dropped.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Conflict`] when another holds it for longer than we wait; the cause names it.
    pub async fn acquire(self, client: &kube::Client) -> Result<LeaseGuard> {
        self.acquire_telling(client, &|_| {}).await
    }

    /// As [`LeaseOptions::acquire`]; a holder that is waited for is told once.
    ///
    /// # Errors
    ///
    /// As [`LeaseOptions::acquire`].
    pub async fn acquire_telling(
        self,
        client: &kube::Client,
        on_wait: &(dyn Fn(&str) + Send + Sync),
    ) -> Result<LeaseGuard> {
        let deadline = Instant::now() + self.wait;
        let mut is_told = self.wait.is_zero();
        loop {
            let (transitions, held) = match self.try_patiently(client, None).await? {
                Answer::Held(held) => return Ok(self.guard(client, held)),
                Answer::Taken(found) => (found.transitions, found),
            };
            if !is_told {
                is_told = true;
                on_wait(&crate::error::printable(&held.holder));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            // The other's own duration counts, from when we saw it last change.
            let still = tokio::time::timeout(left, self.until_silent(client, &held)).await;
            match still {
                Ok(Ok(version)) => {
                    let taken = Some((version, transitions));
                    if let Answer::Held(held) = self.try_patiently(client, taken).await? {
                        return Ok(self.guard(client, held));
                    }
                }
                Ok(Err(error)) => return Err(error),
                Err(_) => {
                    let holder = crate::error::printable(&held.holder);
                    return Err(Error::new(ErrorKind::Conflict, self.doing("take"))
                        .with_source(format!("`{holder}` holds it"))
                        .with_hint("wait until it is done, or end it"));
                }
            }
        }
    }

    /// Attempts until the server answers. A write whose answer was lost is seen by the next look: the lease is ours then.
    async fn try_patiently(
        &self,
        client: &kube::Client,
        over: Option<(String, u64)>,
    ) -> Result<Answer> {
        let begun = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            match self.try_once(client, over.clone()).await {
                Err(error) if error.is_retryable() && begun.elapsed() < FIRST_PATIENCE => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                answer => return answer,
            }
        }
    }

    /// One attempt: makes the lease, takes it when nobody has it, or, told a version, takes it over.
    async fn try_once(&self, client: &kube::Client, over: Option<(String, u64)>) -> Result<Answer> {
        let doing = || self.doing("take");
        let started = Instant::now();
        let Some(found) = find(client, &Call::get(self.path(true)), &doing).await? else {
            let body = self.body(
                &json!({"name": self.name, "namespace": self.namespace}),
                0,
                None,
            );
            return match ask(client, &Call::post(self.path(false), &body), &doing).await {
                Ok(made) => Ok(Answer::Held(Held::of(&made, started))),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    Box::pin(self.try_once(client, over)).await
                }
                Err(error) => Err(error),
            };
        };
        let other = Other::of(&found);
        let is_free = other.holder.is_empty() || other.holder == self.holder;
        let is_dead = over.is_some_and(|(version, _)| version == other.version);
        if !is_free && !is_dead {
            return Ok(Answer::Taken(other));
        }
        let metadata = json!({
            "name": self.name, "namespace": self.namespace, "resourceVersion": other.version,
        });
        let body = self.body(&metadata, other.transitions + 1, None);
        match ask(client, &Call::put(self.path(true), &body), &doing).await {
            Ok(made) => Ok(Answer::Held(Held::of(&made, started))),
            // Another was quicker.
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(Answer::Taken(other)),
            Err(error) => Err(error),
        }
    }

    /// Waits until the lease has not changed for its whole duration, or is free or gone; tells the version seen.
    async fn until_silent(&self, client: &kube::Client, seen: &Other) -> Result<String> {
        let api: Api<Lease> = Api::namespaced(client.clone(), &self.namespace);
        let mut changes = Box::pin(watch_object(api, &self.name).backoff(Pauses::default()));
        let mut last = seen.clone();
        let mut since = Instant::now();
        loop {
            let left = last.duration.saturating_sub(since.elapsed());
            match tokio::time::timeout(left, changes.next()).await {
                Err(_) => return Ok(last.version),
                Ok(Some(Ok(None))) => return Ok(String::new()),
                Ok(Some(Ok(Some(lease)))) => {
                    let json = serde_json::to_value(&lease).unwrap_or_default();
                    let now = Other::of(&json);
                    if now.holder.is_empty() {
                        return Ok(now.version);
                    }
                    if now.version != last.version {
                        since = Instant::now();
                    }
                    last = now;
                }
                Ok(Some(Err(watcher::Error::InitialListFailed(error)))) => {
                    let error = crate::error::wrap(error, self.doing("watch"));
                    if error.kind() == ErrorKind::PermissionDenied {
                        return Err(error);
                    }
                }
                Ok(Some(Err(_))) => {}
                Ok(None) => {
                    return Err(Error::new(ErrorKind::Failed, self.doing("watch"))
                        .with_source("the watch ended"));
                }
            }
        }
    }
}

/// The name of a holder, which differs from run to run: who runs it, on which machine, and a random number.
///
/// # Errors
///
/// When the system has no random numbers.
pub fn holder_name(who: &str) -> Result<String> {
    let mut bytes = [0_u8; 8];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut file| std::io::Read::read_exact(&mut file, &mut bytes))
        .map_err(|error| Error::new(ErrorKind::Failed, "make a name").with_source(error))?;
    let number = u64::from_be_bytes(bytes);
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    Ok(match host.trim() {
        "" => format!("{who}-{number:016x}"),
        host => format!("{who}@{host}-{number:016x}"),
    })
}

enum Answer {
    Held(Held),
    Taken(Other),
}

struct Held {
    acquired: Value,
    version: String,
    transitions: u64,
    started: Instant,
}

impl Held {
    fn of(json: &Value, started: Instant) -> Self {
        let other = Other::of(json);
        Self {
            acquired: json
                .pointer("/spec/acquireTime")
                .cloned()
                .unwrap_or_default(),
            version: other.version,
            transitions: other.transitions,
            started,
        }
    }
}

/// What a lease says.
#[derive(Clone)]
struct Other {
    holder: String,
    version: String,
    transitions: u64,
    duration: Duration,
}

impl Other {
    fn of(json: &Value) -> Self {
        let text = |path: &str| {
            json.pointer(path)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let number = |path: &str| json.pointer(path).and_then(Value::as_u64);
        Self {
            holder: text("/spec/holderIdentity"),
            version: text("/metadata/resourceVersion"),
            transitions: number("/spec/leaseTransitions").unwrap_or_default(),
            duration: Duration::from_secs(number("/spec/leaseDurationSeconds").unwrap_or(15)),
        }
    }

    fn is(&self, holder: &str, transitions: u64) -> bool {
        self.holder == holder && self.transitions == transitions
    }
}
