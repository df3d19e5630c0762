//! Registered models that come from samples.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use mlops_core::plan::{Action, KindRules, Rules};
use mlops_core::{
    Context, Error, ErrorKind, Found, Kind, ModelAlias, ModelName, Observed, Owner, Provider,
    Resource, ResourceId, Result, ServiceName, to_spec,
};
use serde::{Deserialize, Serialize};

use super::{Credentials, again_once, connect, no_such_action, unknown};
use crate::registry::{
    ConnectRegistry, PLATFORM_TAG, Sample, Tagged, logged_of_samples, register_sample,
    remove_registered,
};

/// What a resource of kind `registered-model` says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegisteredModelSpec {
    /// The MLflow server.
    pub server: ServiceName,
    /// Who registers it.
    pub credentials: Credentials,
    /// Its name.
    pub model: ModelName,
    /// The sample that becomes version 1 when there is no such model.
    pub sample: String,
    /// The alias of that version.
    pub alias: ModelAlias,
}

/// Registers samples. A model that is there is left as it is: what its versions and aliases are is its users' business.
pub struct RegisteredModelProvider {
    connect: Arc<dyn ConnectRegistry>,
    samples: BTreeMap<String, Sample>,
}

impl std::fmt::Debug for RegisteredModelProvider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RegisteredModelProvider")
            .field("samples", &self.samples.keys())
            .finish_non_exhaustive()
    }
}

impl RegisteredModelProvider {
    /// Registers these samples through `connect`.
    pub fn new(connect: Arc<dyn ConnectRegistry>, samples: BTreeMap<String, Sample>) -> Self {
        Self { connect, samples }
    }

    async fn look(&self, resource: &Resource, cx: &Context) -> Result<Observed> {
        let spec: RegisteredModelSpec = resource.typed()?;
        let registry = connect(&*self.connect, &spec.server, &spec.credentials, cx).await?;
        let found = registry.find_registered_model(spec.model.as_str()).await?;
        let tagged = match &found {
            Some(found) => Tagged::of(found, &cx.platform),
            // Files without a model are what an interrupted removal left.
            None => match logged_of_samples(&*registry, &cx.platform, &spec.model).await? {
                left if left.is_empty() => return Ok(Observed::Absent),
                _ => Tagged::Half,
            },
        };
        let mut fields = to_spec(&spec)?;
        let owner = match tagged {
            Tagged::Ours => Owner::Ours,
            Tagged::Half => {
                // What is missing is what the alias stands for; it is set last.
                fields.insert("alias".to_owned(), serde_json::Value::Null);
                Owner::Ours
            }
            Tagged::Other => Owner::Other(
                match found.and_then(|found| found.tags.get(PLATFORM_TAG).cloned()) {
                    Some(platform) => format!("it belongs to platform `{platform}`"),
                    None => "it was registered by somebody else".to_owned(),
                },
            ),
        };
        Ok(Observed::Found(Found {
            fields,
            owner,
            ready: true,
        }))
    }
}

#[async_trait]
impl Provider for RegisteredModelProvider {
    fn rules(&self) -> Rules {
        let rules = KindRules {
            immutable: BTreeSet::from(["model".to_owned()]),
            ..KindRules::default()
        };
        [(Kind::new("registered-model"), rules)].into()
    }

    async fn observe(&self, wanted: &[&Resource], cx: &Context) -> Vec<(ResourceId, Observed)> {
        let looks = wanted.iter().map(|resource| async {
            let observed = self.look(resource, cx).await;
            let observed = observed.unwrap_or_else(|error| unknown(&error));
            (resource.id.clone(), observed)
        });
        futures::future::join_all(looks).await
    }

    async fn apply(&self, resource: &Resource, action: &Action, cx: &Context) -> Result<()> {
        let spec: RegisteredModelSpec = resource.typed()?;
        let registry = connect(&*self.connect, &spec.server, &spec.credentials, cx).await?;
        match action {
            Action::Create | Action::Update { .. } => {
                let sample = self.samples.get(&spec.sample).ok_or_else(|| {
                    Error::new(
                        ErrorKind::NotFound,
                        format!("find sample model `{}`", spec.sample),
                    )
                    .with_source(format!(
                        "this program has {:?}",
                        self.samples.keys().collect::<Vec<_>>()
                    ))
                })?;
                cx.events
                    .progress(&resource.id, format!("registering `{}`", spec.model));
                again_once(|| {
                    register_sample(&*registry, &cx.platform, &spec.model, &spec.alias, sample)
                })
                .await
            }
            Action::Wait => Ok(()),
            Action::Remove => remove_registered(&*registry, &cx.platform, &spec.model).await,
            other => Err(no_such_action(resource, other.verb())),
        }
    }

    async fn holdings(&self, resource: &Resource, cx: &Context) -> Result<Option<String>> {
        let spec: RegisteredModelSpec = resource.typed()?;
        let registry = connect(&*self.connect, &spec.server, &spec.credentials, cx).await?;
        let versions = registry.list_model_versions(spec.model.as_str()).await?;
        Ok(match versions.len() {
            0 => None,
            1 => Some("1 version".to_owned()),
            n => Some(format!("{n} versions")),
        })
    }
}
