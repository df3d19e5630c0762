//! Served models of a cluster: its pods load what an address names when they start, so another version is another
//! generation of pods, and the old ones answer until the new ones do.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mlops_core::plan::{KindRules, Rules};
use mlops_core::{
    Action, Context, Error, ErrorKind, Failure, Found, Kind, Observed, Provider, Resource,
    ResourceId, Result, to_spec,
};
use mlops_k8s::kube::api::{Api, DynamicObject, Patch, PatchParams};
use mlops_k8s::target::ClusterTarget;
use mlops_k8s::{GroupKind, Lookup, ObjectId, WaitOptions};
use mlops_serving::oip::RestClient;
use mlops_serving::provider::{ServedModelProvider, ServedModelSpec};
use mlops_serving::registry::{ConnectMlflow, Resolved, resolve};
use mlops_serving::serve::ConnectMlServer;
use serde_json::{Value, json};

/// The kind of served models.
const SERVED: &str = "served-model";

/// How long new pods may take until they answer.
const PATIENCE: Duration = Duration::from_mins(5);

/// Serves models by the pods of a Deployment.
#[derive(Clone)]
pub(super) struct ClusterModels {
    target: ClusterTarget,
    registries: ServedModelProvider,
}

impl ClusterModels {
    pub(super) fn new(target: ClusterTarget) -> Self {
        // Of this only the way to the registry is used: no folder of this machine is a cluster's.
        let servers = Arc::new(ConnectMlServer::new(std::path::PathBuf::new()));
        Self {
            target,
            registries: ServedModelProvider::new(Arc::new(ConnectMlflow), servers),
        }
    }

    /// What the address of a model names now.
    async fn wanted(&self, spec: &ServedModelSpec, cx: &Context) -> Result<Resolved> {
        let switcher = self.registries.switcher(spec, cx).await?;
        resolve(switcher.registry(), &spec.uri).await
    }

    /// The version that a pod serves; `None` when it does not answer for the model.
    async fn serving(&self, spec: &ServedModelSpec, cx: &Context) -> Result<Option<String>> {
        let client = RestClient::new(&cx.endpoint(&spec.server).await?)?;
        let name = spec.model.as_str();
        if !client.is_model_ready(name).await? {
            return Ok(None);
        }
        let metadata = client.model_metadata(name).await?;
        Ok(metadata.versions.into_iter().next())
    }

    async fn look(&self, resource: &Resource, cx: &Context) -> Result<Observed> {
        let spec: ServedModelSpec = resource.typed()?;
        let Some(version) = self.serving(&spec, cx).await? else {
            return Ok(Observed::Absent);
        };
        let is_current = match self.wanted(&spec, cx).await {
            Ok(wanted) => wanted.version == version,
            // It cannot be current then, and applying says more.
            Err(error) if error.kind() == ErrorKind::NotFound || error.is_retryable() => false,
            Err(error) => return Err(error),
        };
        let mut fields = to_spec(&spec)?;
        fields.insert("current".to_owned(), Value::from(is_current));
        fields.insert("version".to_owned(), Value::from(version));
        Ok(Observed::Found(Found::ours(fields)))
    }

    /// The Deployment whose pods serve.
    async fn deployment(&self, resource: &Resource) -> Result<(Api<DynamicObject>, String)> {
        let doing = || format!("find the pods of `{}`", resource.id);
        let host = resource.within.as_ref().map(ResourceId::name);
        let name = host.and_then(|host| host.strip_prefix("deployment."));
        let name = name.ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, doing())
                .with_source("it is not served by a Deployment")
        })?;
        let client = self.target.client().await?;
        let kinds = self.target.kinds().await?;
        let Lookup::Known(kind) = kinds.find_any_version(&GroupKind::new("apps", "Deployment"))
        else {
            return Err(Error::new(ErrorKind::Unsupported, doing()));
        };
        let api = Api::namespaced_with(client, self.target.namespace(), &kind.api_resource());
        Ok((api, name.to_owned()))
    }

    /// Serves a version by new pods; the old ones come back when the new ones do not answer.
    async fn roll(&self, resource: &Resource, spec: &ServedModelSpec, version: &str) -> Result<()> {
        let (api, name) = self.deployment(resource).await?;
        let doing = || format!("serve version {version} of `{}`", spec.model);
        let annotation = format!("mlops.dev/serves-{}", spec.model);
        let now = api.get(&name).await;
        let now = now.map_err(|error| mlops_k8s::wrap(error, doing()))?;
        let before = now
            .data
            .pointer("/spec/template/metadata/annotations")
            .and_then(|annotations| annotations.get(&annotation))
            .and_then(Value::as_str)
            .map(str::to_owned);
        let write = async |version: Option<&str>| {
            let patch = json!({
                "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name },
                "spec": { "template": { "metadata": { "annotations": { annotation.as_str(): version } } } },
            });
            let manager = format!("mlops-model-{}", spec.model);
            let params = PatchParams::apply(&manager).force();
            let written = api.patch(&name, &params, &Patch::Apply(&patch)).await;
            written
                .map(drop)
                .map_err(|error| mlops_k8s::wrap(error, doing()))
        };
        write(Some(version)).await?;
        let id = ObjectId::new("apps", "Deployment", Some(self.target.namespace()), &name);
        let waited = self
            .target
            .waiter()
            .await?
            .wait_until_ready(&[id], &WaitOptions::new(PATIENCE), &|_| {})
            .await;
        if let Err(error) = waited {
            write(before.as_deref()).await?;
            return Err(Error::new(error.kind(), doing())
                .with_source(error)
                .with_hint(
                    "the version before is served again; look at the pods with `mlops-explain`",
                ));
        }
        Ok(())
    }
}

#[async_trait]
impl Provider for ClusterModels {
    fn rules(&self) -> Rules {
        Rules::from([(Kind::new(SERVED), KindRules::default())])
    }

    async fn observe(&self, wanted: &[&Resource], cx: &Context) -> Vec<(ResourceId, Observed)> {
        let looks = wanted.iter().map(|resource| async {
            let seen = self.look(resource, cx).await;
            let seen = seen.unwrap_or_else(|error| Observed::Unknown(Failure::from(&error)));
            (resource.id.clone(), seen)
        });
        futures::future::join_all(looks).await
    }

    async fn apply(&self, resource: &Resource, action: &Action, cx: &Context) -> Result<()> {
        // The pods' description, which goes as well, is all there is of it.
        if *action == Action::Remove {
            return Ok(());
        }
        let spec: ServedModelSpec = resource.typed()?;
        let wanted = self.wanted(&spec, cx).await?;
        if self.serving(&spec, cx).await?.as_ref() == Some(&wanted.version) {
            return Ok(());
        }
        let news = format!(
            "new pods load version {} of `{}`",
            wanted.version, spec.model
        );
        cx.events.progress(&resource.id, news);
        self.roll(resource, &spec, &wanted.version).await?;
        match self.serving(&spec, cx).await? {
            Some(version) if version == wanted.version => Ok(()),
            other => Err(Error::new(
                ErrorKind::Conflict,
                format!("serve version {} of `{}`", wanted.version, spec.model),
            )
            .with_source(match other {
                Some(version) => format!("a pod serves version {version}"),
                None => "no pod answers for it".to_owned(),
            })),
        }
    }
}
