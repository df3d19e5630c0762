//! What the engine asks of the code that owns a system.

use std::sync::Arc;

use async_trait::async_trait;

use crate::error::{Error, ErrorKind, Result};
use crate::event::EventSink;
use crate::graph::Graph;
use crate::name::{PlatformName, SecretName, ServiceName};
use crate::observation::Observed;
use crate::plan::{Action, Rules};
use crate::probe::{Finding, Probe};
use crate::resource::{Resource, ResourceId};
use crate::secret::SecretText;
use crate::service::Endpoint;

/// Where secrets are kept by name.
#[async_trait]
pub trait SecretStore: Send + Sync {
    /// The secret, or `None` when there is none of that name.
    async fn find(&self, name: &SecretName) -> Result<Option<SecretText>>;

    /// Keeps `text` under `name` unless there is one already, and returns the one that is kept then.
    async fn create(&self, name: &SecretName, text: SecretText) -> Result<SecretText>;

    /// Forgets the secret; fine when it is gone already.
    async fn remove(&self, name: &SecretName) -> Result<()>;

    /// The names of all secrets that are kept here.
    async fn list(&self) -> Result<Vec<SecretName>>;
}

/// Where services are reached.
#[async_trait]
pub trait Endpoints: Send + Sync {
    /// The place of a service.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] when the platform has no such service.
    async fn get(&self, name: &ServiceName) -> Result<Endpoint>;
}

/// What providers and probers are handed: the platform's surroundings.
#[derive(Clone)]
pub struct Context {
    /// The platform, whose mark our things bear.
    pub platform: PlatformName,
    /// Its secrets.
    pub secrets: Arc<dyn SecretStore>,
    /// Its addresses.
    pub endpoints: Arc<dyn Endpoints>,
    /// Where news go.
    pub events: EventSink,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("platform", &self.platform)
            .finish_non_exhaustive()
    }
}

impl Context {
    /// The secret of that name.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] when there is none.
    pub async fn secret(&self, name: &SecretName) -> Result<SecretText> {
        self.secrets.find(name).await?.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("find secret `{name}`"))
                .with_source("there is no such secret")
        })
    }

    /// The place of a service.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] when the platform has no such service.
    pub async fn endpoint(&self, name: &ServiceName) -> Result<Endpoint> {
        self.endpoints.get(name).await
    }
}

/// The code that observes and changes some kinds of resource in one system.
///
/// Every method may be called again after a kill at any point; every write is safe to repeat.
#[async_trait]
pub trait Provider: Send + Sync {
    /// The kinds it is responsible for, with what plans must know of them.
    fn rules(&self) -> Rules;

    /// Looks at all `wanted` resources (all of its kinds, and what they live in is ready) with as few reads as
    /// possible. What cannot be asked for is [`Observed::Unknown`]; a resource left out counts as absent.
    async fn observe(&self, wanted: &[&Resource], cx: &Context) -> Vec<(ResourceId, Observed)>;

    /// Things that bear this platform's mark and are not in the graph. Only asked of providers whose system is
    /// reachable without resources of the graph, or whose resources live in one that is ready.
    async fn find_strays(&self, graph: &Graph, cx: &Context) -> Result<Vec<Resource>> {
        let _ = (graph, cx);
        Ok(Vec::new())
    }

    /// Carries out one of create, update, replace, adopt, wait and remove; returns when the resource is ready (or
    /// gone). Dropping the future at any await must leave a state from which the next run goes on.
    async fn apply(&self, resource: &Resource, action: &Action, cx: &Context) -> Result<()>;

    /// One line that says what data a resource holds, such as "3 tables, 12 MB"; `None` when it holds none.
    async fn holdings(&self, resource: &Resource, cx: &Context) -> Result<Option<String>> {
        let _ = (resource, cx);
        Ok(None)
    }
}

/// The code that carries out some kinds of probe.
#[async_trait]
pub trait Prober: Send + Sync {
    /// The kinds of probe it knows.
    fn kinds(&self) -> Vec<String>;

    /// Carries out a probe with the consumer's own credentials and leaves nothing behind. An error means that the
    /// probe could not be made at all.
    async fn probe(&self, probe: &Probe, cx: &Context) -> Result<Vec<Finding>>;
}
