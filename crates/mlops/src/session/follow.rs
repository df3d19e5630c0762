//! Following the addresses of models in a cluster: their pods are rolled as soon as one names another version.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{Stream, unfold};
use mlops_core::event::millis;
use mlops_core::{
    Action, Context, Error, ErrorKind, Failure, Found, Observed, Provider as _, Resource, Result,
};
use mlops_k8s::target::ClusterTarget;
use mlops_serving::provider::{ServedModelProvider, ServedModelSpec};
use mlops_serving::registry::{ConnectMlflow, Resolved, resolve};
use mlops_serving::serve::{ConnectMlServer, FollowEvent, Switched};
use serde_json::Value;
use tokio::time::Instant;

use super::cluster_models::ClusterModels;

/// Asks every `every` whether the pods serve what the address of a model names, and has new pods load it when they do
/// not. The stream never ends; dropping it stops at the next await, and a roll that is cut off goes on in the cluster.
pub(super) fn follow_there<'a>(
    cluster: &ClusterTarget,
    resource: &'a Resource,
    cx: &'a Context,
    every: Duration,
) -> Result<impl Stream<Item = FollowEvent> + Send + 'a> {
    // Of this only the way to the registry is used: no folder of this machine is a cluster's.
    let servers = Arc::new(ConnectMlServer::new(std::path::PathBuf::new()));
    let state = State {
        models: ClusterModels::new(cluster.clone()),
        registries: ServedModelProvider::new(Arc::new(ConnectMlflow), servers),
        spec: resource.typed()?,
        resource,
        cx,
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
    /// The version that was told last to be served.
    told: Option<String>,
    /// The key of the version that was refused: it is tried again only when the address has named another in between.
    refused: Option<String>,
    /// The trouble that was told last, so that it is told once.
    trouble: Option<Failure>,
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
        let seen = self.models.observe(&[self.resource], self.cx).await;
        let (from, is_current) = match seen.into_iter().next() {
            Some((_, Observed::Unknown(failure))) => return self.unreachable(failure),
            Some((_, Observed::Found(found))) => {
                let is_current = found.fields.get("current") == Some(&Value::from(true));
                (text(&found, "version"), is_current)
            }
            _ => (None, false),
        };
        if let Some(version) = from.as_ref().filter(|_| is_current) {
            self.refused = None;
            return self.serving(version.clone());
        }
        let wanted = match self.wanted().await {
            Ok(wanted) => wanted,
            Err(error) => return self.unreachable(Failure::from(&error)),
        };
        if self.refused.as_ref() == Some(&wanted.key) {
            return None;
        }
        if from.is_none() && self.told.as_ref() == Some(&wanted.version) {
            // Its pods have it, and none answers at this moment: others would not answer sooner.
            let doing = format!(
                "ask for version {} of `{}`",
                wanted.version, self.spec.model
            );
            let error =
                Error::new(ErrorKind::Unavailable, doing).with_source("no pod answers for it");
            return self.unreachable(Failure::from(&error));
        }
        self.switch(from, wanted).await
    }

    async fn switch(&mut self, from: Option<String>, wanted: Resolved) -> Option<FollowEvent> {
        let begin = Instant::now();
        let served = self.models.apply(self.resource, &Action::Create, self.cx);
        match served.await {
            Ok(()) => {
                self.refused = None;
                self.trouble = None;
                self.told = Some(wanted.version.clone());
                Some(FollowEvent::Switched(Switched {
                    from,
                    to: wanted.version,
                    took_ms: millis(begin.elapsed()),
                }))
            }
            Err(error) if error.is_retryable() => self.unreachable(Failure::from(&error)),
            Err(error) => {
                self.refused = Some(wanted.key);
                // Going back to the old version is news.
                self.told = None;
                Some(FollowEvent::Refused {
                    version: wanted.version,
                    failure: Failure::from(&error),
                })
            }
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
