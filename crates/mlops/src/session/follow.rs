//! Following the addresses of models: in turn with other runs, and in a cluster their pods are rolled as soon as one
//! names another version.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{Stream, unfold};
use mlops_core::event::millis;
use mlops_core::{
    Context, Error, ErrorKind, EventSink, Failure, Found, Observed, Provider as _, Resource, Result,
};
use mlops_k8s::target::ClusterTarget;
use mlops_serving::provider::{ServedModelProvider, ServedModelSpec};
use mlops_serving::registry::{ConnectMlflow, Resolved, resolve};
use mlops_serving::serve::{ConnectMlServer, FollowEvent, Switched};
use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;

use super::Session;
use super::cluster_models::ClusterModels;
use super::lock::Lock;

/// The right to change the platform, which each switch takes for itself: between two of them others may have it.
pub(super) struct Turn<'a> {
    session: &'a Session,
    events: &'a EventSink,
    /// The models of one run wait here for one another; what is in it is held elsewhere as well.
    held: Mutex<Option<Lock>>,
}

impl<'a> Turn<'a> {
    pub(super) fn new(session: &'a Session, events: &'a EventSink) -> Self {
        Self {
            session,
            events,
            held: Mutex::new(None),
        }
    }

    /// Waits for other runs. What one that was killed was trying is put back then.
    async fn take(&self) -> Result<MutexGuard<'_, Option<Lock>>> {
        let mut held = self.held.lock().await;
        *held = Some(self.session.lock_what_is_there(self.events).await?);
        Ok(held)
    }

    /// The same on this machine, where nothing is held elsewhere: dropping what is returned gives it back.
    pub(super) async fn hold(&self) -> Result<Held<'_>> {
        Ok(Held(self.take().await?))
    }

    /// Gives back what a switch that was cut off had.
    pub(super) async fn end(self) {
        give_back(&mut self.held.into_inner()).await;
    }
}

/// A turn on this machine.
pub(super) struct Held<'a>(MutexGuard<'a, Option<Lock>>);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        *self.0 = None;
    }
}

async fn give_back(held: &mut Option<Lock>) {
    if let Some(lock) = held.take() {
        lock.give_back().await;
    }
}

/// Asks every `every` whether the pods serve what the address of a model names, and has new pods load it when they do
/// not. The stream never ends; dropping it stops at the next await, and a roll that is cut off goes on in the cluster.
pub(super) fn follow_there<'a>(
    cluster: &ClusterTarget,
    resource: &'a Resource,
    cx: &'a Context,
    every: Duration,
    turn: &'a Turn<'a>,
) -> Result<impl Stream<Item = FollowEvent> + Send + 'a> {
    // Of this only the way to the registry is used: no folder of this machine is a cluster's.
    let servers = Arc::new(ConnectMlServer::new(std::path::PathBuf::new()));
    let state = State {
        models: ClusterModels::new(cluster.clone()),
        registries: ServedModelProvider::new(Arc::new(ConnectMlflow), servers),
        spec: resource.typed()?,
        resource,
        cx,
        turn,
        told: None,
        refused: None,
        trouble: None,
    };
    Ok(unfold(
        (state, false),
        move |(mut state, begun)| async move {
            let mut begun = begun;
            loop {
                if begun {
                    tokio::time::sleep(every).await;
                }
                begun = true;
                if let Some(event) = state.look().await {
                    return Some((event, (state, begun)));
                }
            }
        },
    ))
}

struct State<'a> {
    models: ClusterModels,
    registries: ServedModelProvider,
    spec: ServedModelSpec,
    resource: &'a Resource,
    cx: &'a Context,
    turn: &'a Turn<'a>,
    /// The version that was told last to be served.
    told: Option<String>,
    /// The key of the version that was refused: it is tried again only when the address has named another in between.
    refused: Option<String>,
    /// The trouble that was told last, so that it is told once.
    trouble: Option<Failure>,
}

/// What a look at the pods and at the address has come to.
enum Look {
    /// There is nothing to do, and perhaps something to tell.
    Done(Option<FollowEvent>),
    /// Another version is wanted than the one that is served.
    Behind {
        from: Option<String>,
        wanted: Resolved,
    },
}

fn text(found: &Found, field: &str) -> Option<String> {
    found
        .fields
        .get(field)
        .and_then(Value::as_str)
        .map(str::to_owned)
}

impl State<'_> {
    async fn look(&mut self) -> Option<FollowEvent> {
        if let Look::Done(event) = self.compare().await {
            return event;
        }
        let mut held = match self.turn.take().await {
            Ok(held) => held,
            Err(error) => return self.unreachable(Failure::from(&error)),
        };
        // Whoever was waited for may have served it, and the address may have moved on.
        let event = match self.compare().await {
            Look::Done(event) => event,
            Look::Behind { from, wanted } => self.switch(from, wanted).await,
        };
        give_back(&mut held).await;
        event
    }

    async fn compare(&mut self) -> Look {
        let seen = self.models.observe(&[self.resource], self.cx).await;
        let (from, is_current) = match seen.into_iter().next() {
            Some((_, Observed::Unknown(failure))) => {
                return Look::Done(self.unreachable(failure));
            }
            Some((_, Observed::Found(found))) => {
                let is_current = found.fields.get("current") == Some(&Value::from(true));
                (text(&found, "version"), is_current)
            }
            _ => (None, false),
        };
        if let Some(version) = from.as_ref().filter(|_| is_current) {
            self.refused = None;
            return Look::Done(self.serving(version.clone()));
        }
        let wanted = match self.wanted().await {
            Ok(wanted) => wanted,
            Err(error) => return Look::Done(self.unreachable(Failure::from(&error))),
        };
        if self.refused.as_ref() == Some(&wanted.key) {
            return Look::Done(None);
        }
        if from.is_none() && self.told.as_ref() == Some(&wanted.version) {
            // Its pods have it, and none answers at this moment: others would not answer sooner.
            let doing = format!(
                "ask for version {} of `{}`",
                wanted.version, self.spec.model
            );
            let error =
                Error::new(ErrorKind::Unavailable, doing).with_source("no pod answers for it");
            return Look::Done(self.unreachable(Failure::from(&error)));
        }
        Look::Behind { from, wanted }
    }

    async fn switch(&mut self, from: Option<String>, wanted: Resolved) -> Option<FollowEvent> {
        let begin = Instant::now();
        let served = self.models.switch(self.resource, &wanted, self.cx).await;
        match served {
            Ok(Ok(())) => {
                self.refused = None;
                self.trouble = None;
                self.told = Some(wanted.version.clone());
                Some(FollowEvent::Switched(Switched {
                    from,
                    to: wanted.version,
                    took_ms: millis(begin.elapsed()),
                }))
            }
            Ok(Err(error)) if !error.is_retryable() => {
                self.refused = Some(wanted.key);
                // Going back to the old version is news.
                self.told = None;
                Some(FollowEvent::Refused {
                    version: wanted.version,
                    failure: Failure::from(&error),
                })
            }
            // It is no word on the version, which is tried again.
            Ok(Err(error)) | Err(error) => self.unreachable(Failure::from(&error)),
        }
    }

    /// What the address names now. The way there is looked for anew each time: ports that lead to pods break with them.
    async fn wanted(&self) -> Result<Resolved> {
        let switcher = self.registries.switcher(&self.spec, self.cx).await?;
        resolve(switcher.registry(), &self.spec.uri).await
    }

    fn serving(&mut self, version: String) -> Option<FollowEvent> {
        self.trouble = None;
        if self.told.as_ref() == Some(&version) {
            return None;
        }
        self.told = Some(version.clone());
        Some(FollowEvent::Serving { version })
    }

    fn unreachable(&mut self, failure: Failure) -> Option<FollowEvent> {
        if self.trouble.as_ref() == Some(&failure) {
            return None;
        }
        self.trouble = Some(failure.clone());
        Some(FollowEvent::Unreachable { failure })
    }
}
