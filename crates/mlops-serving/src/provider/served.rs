//! Served models.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use mlops_core::plan::{Action, KindRules, Rules};
use mlops_core::{
    Context, ErrorKind, Found, Graph, Kind, ModelName, Observed, Owner, Provider, Resource,
    ResourceId, Result, SecretName, ServiceName, to_spec,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Credentials, connect, host_of, no_such_action, unknown};
use crate::registry::{ConnectRegistry, ModelUri, resolve};
use crate::serve::{ConnectModelServer, InferenceProbe, ModelServer, Switcher, has_candidates};

/// What a resource of kind `served-model` says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServedModelSpec {
    /// The model server, for REST.
    pub server: ServiceName,
    /// The model server, for gRPC.
    #[serde(default)]
    pub grpc: Option<ServiceName>,
    /// The registry that it comes from.
    pub registry: RegistryAccess,
    /// The name it is served under.
    pub model: ModelName,
    /// What is served.
    pub uri: ModelUri,
    /// The test request that every version must answer.
    #[serde(default)]
    pub probe: Option<InferenceProbe>,
    /// Always true: what is served is what the address names now, and nothing is left of the way to it.
    #[serde(default = "yes")]
    pub current: bool,
}

fn yes() -> bool {
    true
}

/// A registry with who asks it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistryAccess {
    /// The MLflow server.
    pub server: ServiceName,
    /// The user.
    pub user: String,
    /// The secret that is the password.
    pub password: SecretName,
}

/// Serves models of a registry by a model server.
#[derive(Clone)]
pub struct ServedModelProvider {
    registries: Arc<dyn ConnectRegistry>,
    servers: Arc<dyn ConnectModelServer>,
}

impl std::fmt::Debug for ServedModelProvider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServedModelProvider")
    }
}

impl ServedModelProvider {
    /// Serves models of registries opened by one, by servers opened by the other.
    pub fn new(registries: Arc<dyn ConnectRegistry>, servers: Arc<dyn ConnectModelServer>) -> Self {
        Self {
            registries,
            servers,
        }
    }

    /// What switches the versions of a served model, to [follow](crate::serve::follow) its address.
    ///
    /// # Errors
    ///
    /// When an address or a secret is not known.
    pub async fn switcher(&self, spec: &ServedModelSpec, cx: &Context) -> Result<Switcher> {
        let server = self.server(spec, cx).await?;
        let credentials = Credentials {
            user: spec.registry.user.clone(),
            password: spec.registry.password.clone(),
        };
        let registry = connect(&*self.registries, &spec.registry.server, &credentials, cx).await?;
        Ok(Switcher::new(
            server,
            registry,
            cx.platform.clone(),
            spec.model.clone(),
            spec.probe.clone(),
        ))
    }

    async fn server(&self, spec: &ServedModelSpec, cx: &Context) -> Result<Arc<dyn ModelServer>> {
        let rest = cx.endpoint(&spec.server).await?;
        let grpc = match &spec.grpc {
            Some(name) => Some(cx.endpoint(name).await?),
            None => None,
        };
        self.servers.connect(&rest, grpc.as_ref())
    }

    async fn look(&self, resource: &Resource, cx: &Context) -> Result<Observed> {
        let spec: ServedModelSpec = resource.typed()?;
        let server = self.server(&spec, cx).await?;
        let name = spec.model.as_str();
        let (serving, entry) = (server.serving(name).await?, server.find_entry(name).await?);
        let mut fields = to_spec(&spec)?;
        let owner = match &entry {
            Some(entry) if entry.platform == cx.platform.as_str() => Owner::Ours,
            Some(entry) => Owner::Other(format!("it belongs to platform `{}`", entry.platform)),
            None if serving.is_none() && !server.has_foreign_entry(name).await? => {
                return Ok(Observed::Absent);
            }
            None => Owner::Other("the model server has it from somewhere else".to_owned()),
        };
        let is_current = match &serving {
            Some(serving)
                if serving.ready
                    && !has_candidates(&*server, &cx.platform, &spec.model).await? =>
            {
                let key = self.wanted_key(&spec, cx).await?;
                key.is_some() && serving.key == key
            }
            _ => false,
        };
        fields.insert("current".to_owned(), Value::from(is_current));
        if let Some(version) = serving.as_ref().and_then(|serving| serving.version.clone()) {
            // Not wanted by itself, so not compared: it is what status shows.
            fields.insert("version".to_owned(), Value::from(version));
        }
        Ok(Observed::Found(Found {
            fields,
            owner,
            ready: serving.is_some_and(|serving| serving.ready),
        }))
    }

    /// The key of what the address names now. `None` when the registry does not run yet, its user is still to be made,
    /// or the address names nothing: then what is served cannot be current, and applying will say more.
    async fn wanted_key(&self, spec: &ServedModelSpec, cx: &Context) -> Result<Option<String>> {
        let wanted = async {
            let switcher = self.switcher(spec, cx).await?;
            resolve(switcher.registry(), &spec.uri).await
        };
        match wanted.await {
            Ok(wanted) => Ok(Some(wanted.key)),
            Err(error)
                if error.is_retryable()
                    || matches!(
                        error.kind(),
                        ErrorKind::NotFound | ErrorKind::Unauthenticated
                    ) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

#[async_trait]
impl Provider for ServedModelProvider {
    fn rules(&self) -> Rules {
        let rules = KindRules {
            immutable: BTreeSet::from(["model".to_owned()]),
            ..KindRules::default()
        };
        [(Kind::new("served-model"), rules)].into()
    }

    async fn observe(&self, wanted: &[&Resource], cx: &Context) -> Vec<(ResourceId, Observed)> {
        let looks = wanted.iter().map(|resource| async {
            let observed = self.look(resource, cx).await;
            let observed = observed.unwrap_or_else(|error| unknown(&error));
            (resource.id.clone(), observed)
        });
        futures::future::join_all(looks).await
    }

    async fn find_strays(&self, graph: &Graph, cx: &Context) -> Result<Vec<Resource>> {
        // Without any served model in the graph its server's names are not known.
        let neighbour = graph
            .resources()
            .find(|resource| resource.id.kind().as_str() == "served-model");
        let Some(neighbour) = neighbour else {
            return Ok(Vec::new());
        };
        let like: ServedModelSpec = neighbour.typed()?;
        let server = self.server(&like, cx).await?;
        let mut strays = Vec::new();
        for entry in server.entries().await? {
            let id = ResourceId::new("served-model", entry.model.as_str());
            if entry.is_candidate()
                || entry.platform != cx.platform.as_str()
                || graph.find(&id).is_some()
            {
                continue;
            }
            let Ok(model) = entry.model.parse() else {
                continue;
            };
            let spec = ServedModelSpec {
                model,
                ..like.clone()
            };
            let mut stray = Resource::new(id, neighbour.component.clone()).with_spec(&spec)?;
            if let Some(host) = host_of(graph, &like.server) {
                stray = stray.with_within(host);
            }
            strays.push(stray);
        }
        Ok(strays)
    }

    async fn apply(&self, resource: &Resource, action: &Action, cx: &Context) -> Result<()> {
        let spec: ServedModelSpec = resource.typed()?;
        let switcher = match action {
            // Taking away needs no registry, which may be gone already.
            Action::Remove => {
                let server = self.server(&spec, cx).await?;
                return Switcher::remove_from(&*server, &cx.platform, &spec.model).await;
            }
            Action::Create | Action::Update { .. } | Action::Wait => {
                self.switcher(&spec, cx).await?
            }
            other => return Err(no_such_action(resource, other.verb())),
        };
        let wanted = resolve(switcher.registry(), &spec.uri).await?;
        if switcher.is_serving(&wanted).await? {
            return switcher.tidy(&wanted).await;
        }
        cx.events.progress(
            &resource.id,
            format!("loading version {} of `{}`", wanted.version, spec.model),
        );
        switcher.switch_to(&wanted).await.map(drop)
    }
}
