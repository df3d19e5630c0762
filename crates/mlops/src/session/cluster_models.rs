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
use mlops_serving::oip::{GrpcClient, RestClient};
use mlops_serving::provider::{ServedModelProvider, ServedModelSpec};
use mlops_serving::registry::{ConnectMlflow, Resolved, resolve};
use mlops_serving::serve::{ConnectMlServer, InferenceProbe};
use serde_json::{Value, json};

use super::roll::{Described, Roll};

/// The kind of served models.
pub(super) const SERVED: &str = "served-model";

/// How long new pods may take until they answer.
const PATIENCE: Duration = Duration::from_mins(5);

/// How long a service may know pods that were told to go.
const FORGETTING: Duration = Duration::from_secs(30);

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
        let host = resource.within.as_ref().map(ResourceId::name);
        let name = host.and_then(|host| host.strip_prefix("deployment."));
        let name = name.ok_or_else(|| {
            let doing = format!("find the pods of `{}`", resource.id);
            Error::new(ErrorKind::Unsupported, doing)
                .with_source("it is not served by a Deployment")
        })?;
        Ok((self.api("apps", "Deployment").await?, name.to_owned()))
    }

    async fn api(&self, group: &str, kind: &str) -> Result<Api<DynamicObject>> {
        let client = self.target.client().await?;
        let kinds = self.target.kinds().await?;
        let Lookup::Known(kind) = kinds.find_any_version(&GroupKind::new(group, kind)) else {
            let doing = format!("find the kind `{kind}`");
            return Err(Error::new(ErrorKind::Unsupported, doing));
        };
        let resource = kind.api_resource();
        Ok(Api::namespaced_with(
            client,
            self.target.namespace(),
            &resource,
        ))
    }

    /// Notes what is served first, so that pods that start later serve the same, wherever the alias is by then. From the
    /// first other version on, the description of the pods says it.
    async fn note(&self, resource: &Resource, spec: &ServedModelSpec, uri: &str) -> Result<()> {
        let (_, deployment) = self.deployment(resource).await?;
        let (api, name) = (
            self.api("", "ConfigMap").await?,
            format!("{deployment}-models"),
        );
        let doing = || format!("note what is served as `{}`", spec.model);
        let failed = |error| mlops_k8s::wrap(error, doing());
        if api.get_opt(&name).await.map_err(failed)?.is_none() {
            return Ok(());
        }
        let key = format!("{}.version", spec.model);
        let patch = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": { key: uri },
        });
        let written = api
            .patch(&name, &manager(spec), &Patch::Apply(&patch))
            .await;
        written.map(drop).map_err(failed)
    }

    /// Serves a version by new pods. They take no request before they have answered their test request, and the old ones
    /// answer until they do: so when they do not, the old ones were never touched, and the new ones go again.
    ///
    /// The inner error is the version's: it was tried, and is not served. The outer one says nothing of it, such as that
    /// the cluster refused a write because another run has the platform now.
    pub(super) async fn switch(
        &self,
        resource: &Resource,
        wanted: &Resolved,
        cx: &Context,
    ) -> Result<Result<()>> {
        let spec: ServedModelSpec = resource.typed()?;
        let (version, model) = (&wanted.version, &spec.model);
        let news = format!("new pods load version {version} of `{model}`");
        cx.events.progress(&resource.id, news);
        let roll = self.roll_of(resource, &spec).await?;
        let failed = |error: Error| {
            let doing = format!("serve version {version} of `{model}`");
            Error::new(error.kind(), doing).with_source(error)
        };
        let before = roll.find().await.map_err(failed)?.pods;
        let begin = roll.write(
            Some(&wanted.uri),
            Some(before.as_deref().unwrap_or_default()),
        );
        begin.await.map_err(failed)?;
        let rolled = async {
            tokio::select! {
                ready = self.wait(&roll) => ready,
                refusal = roll.refusal(&wanted.uri) => Err(refusal),
            }?;
            self.prove(&spec, wanted, cx).await
        };
        let Err(error) = rolled.await else {
            let end = roll.write(Some(&wanted.uri), None).await;
            return end.map(Ok).map_err(failed);
        };
        roll.write(before.as_deref(), None).await.map_err(failed)?;
        // Pods that are still there would be taken for the next attempt's. Why the version was refused is what matters:
        // how its pods go is not told.
        drop(self.wait(&roll).await);
        Ok(Err(failed(error).with_hint(
            "the version before is served as ever; correct the version, or move the alias back",
        )))
    }

    /// Puts back what was served before a roll that nobody ended: its program was killed, and nobody proved the version.
    pub(super) async fn take_back(&self, resource: &Resource) -> Result<()> {
        let roll = self.roll_of(resource, &resource.typed()?).await?;
        let found = roll.find().await;
        match found {
            Ok(Described {
                before: Some(before),
                ..
            }) => {
                let before = Some(before.as_str()).filter(|before| !before.is_empty());
                roll.write(before, None).await
            }
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn roll_of(&self, resource: &Resource, spec: &ServedModelSpec) -> Result<Roll> {
        Ok(Roll {
            deployments: self.deployment(resource).await?,
            pods: self.api("", "Pod").await?,
            annotation: format!("mlops.dev/serves-{}", spec.model),
            before: format!("mlops.dev/served-before-{}", spec.model),
            manager: manager(spec),
        })
    }

    async fn wait(&self, roll: &Roll) -> Result<()> {
        let name = &roll.deployments.1;
        let id = ObjectId::new("apps", "Deployment", Some(self.target.namespace()), name);
        let waiter = self.target.waiter().await?;
        waiter
            .wait_until_ready(&[id], &WaitOptions::new(PATIENCE), &|_| {})
            .await
    }

    /// Asks what is behind the service now, both ways, as a user would.
    async fn prove(&self, spec: &ServedModelSpec, wanted: &Resolved, cx: &Context) -> Result<()> {
        let name = spec.model.as_str();
        let deadline = tokio::time::Instant::now() + FORGETTING;
        let serving = loop {
            let serving = self.serving(spec, cx).await?;
            // The service forgets the old pods a moment after they were told to go.
            if serving.as_ref() == Some(&wanted.version) || tokio::time::Instant::now() > deadline {
                break serving;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        };
        if serving.as_ref() != Some(&wanted.version) {
            let doing = format!("find version {} of `{name}`", wanted.version);
            return Err(
                Error::new(ErrorKind::Conflict, doing).with_source(match serving {
                    Some(version) => format!("a pod serves version {version}"),
                    None => "no pod answers for it".to_owned(),
                }),
            );
        }
        let rest = RestClient::new(&cx.endpoint(&spec.server).await?)?;
        let made;
        let probe = if let Some(probe) = spec.probe.as_ref().or(wanted.probe.as_ref()) {
            probe
        } else {
            let metadata = rest.model_metadata(name).await?;
            // Without any idea of its inputs, being loaded is all that can be asked of it.
            let Some(zeros) = InferenceProbe::zeros(&metadata.inputs) else {
                return Ok(());
            };
            made = zeros;
            &made
        };
        let request = probe.to_request()?;
        probe.check(&rest.infer(name, &request).await?)?;
        if let Some(grpc) = &spec.grpc {
            let client = GrpcClient::new(&cx.endpoint(grpc).await?)?;
            probe.check(&client.infer(name, &request).await?)?;
        }
        Ok(())
    }
}

/// Who owns what is written for a served model: nothing else does, so the objects' own descriptions never take it back.
fn manager(spec: &ServedModelSpec) -> PatchParams {
    PatchParams::apply(&format!("mlops-model-{}", spec.model)).force()
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
            return self.note(resource, &spec, &wanted.uri).await;
        }
        self.switch(resource, &wanted, cx).await?
    }
}
