//! Registering a model from files, so that it may be killed between any two writes and go on from there.

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{StreamExt as _, TryStreamExt as _, iter};
use mlops_core::{Digest, Error, ErrorKind, ModelAlias, ModelName, PlatformName, Result};

use super::{PLATFORM_TAG, PROBE_TAG, REGISTERING_TAG, Registry, join};
use crate::mlflow::{LoggedModel, RegisteredModel, Tags, proxy_path};
use crate::serve::InferenceProbe;

/// How many files are written at once.
const AT_ONCE: usize = 4;

/// A model as files, as `mlflow.*.save_model` wrote them.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    /// The files by their path with `/`, among them `MLmodel`.
    pub files: Vec<(String, Bytes)>,
    /// A test request for it.
    pub probe: Option<InferenceProbe>,
}

impl Sample {
    /// Tells this content from any other.
    fn digest(&self) -> String {
        let all: Vec<(&str, Digest)> = self
            .files
            .iter()
            .map(|(path, content)| (path.as_str(), Digest::of_bytes(content)))
            .collect();
        Digest::of(&all).short().to_owned()
    }
}

/// Whose a registered model is, by its tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tagged {
    /// This platform's, and complete.
    Ours,
    /// This platform's, and its registration was cut off.
    Half,
    /// Somebody else's.
    Other,
}

impl Tagged {
    /// Looks at the tags of a registered model.
    pub fn of(model: &RegisteredModel, platform: &PlatformName) -> Self {
        if model.tags.get(PLATFORM_TAG).map(String::as_str) != Some(platform.as_str()) {
            Self::Other
        } else if model.tags.contains_key(REGISTERING_TAG) {
            Self::Half
        } else {
            Self::Ours
        }
    }
}

/// Registers a sample as the first version of a model with an alias, unless the model is there and complete.
///
/// The registered model comes first and bears a tag until everything else is there; the logged model bears the sample's
/// digest. By these two a later call finds what an interrupted one left, and uses it.
///
/// # Errors
///
/// [`ErrorKind::Conflict`] when a model of that name is somebody else's; otherwise as the registry refuses.
pub async fn register_sample(
    registry: &dyn Registry,
    platform: &PlatformName,
    model: &ModelName,
    alias: &ModelAlias,
    sample: &Sample,
) -> Result<()> {
    let name = model.as_str();
    let doing = || format!("register sample model `{model}`");
    let found = registry.find_registered_model(name).await?;
    match found.as_ref().map(|found| Tagged::of(found, platform)) {
        Some(Tagged::Ours) => return Ok(()),
        Some(Tagged::Half) => {}
        Some(Tagged::Other) => {
            return Err(Error::new(ErrorKind::Conflict, doing())
                .with_source("there is a model of that name without this platform's mark")
                .with_hint("rename one of the two, or leave the sample out"));
        }
        None => {
            let tags = Tags::from([
                (PLATFORM_TAG.to_owned(), platform.to_string()),
                (REGISTERING_TAG.to_owned(), name.to_owned()),
            ]);
            registry.create_registered_model(name, &tags).await?;
        }
    }
    let logged = ensure_logged(registry, platform, model, sample).await?;
    let version = ensure_version(registry, platform, model, &logged, sample).await?;
    if found.is_none_or(|found| found.alias(alias.as_str()).is_none()) {
        registry.set_alias(name, alias.as_str(), &version).await?;
    }
    registry
        .remove_registered_model_tag(name, REGISTERING_TAG)
        .await
}

/// The value of [`REGISTERING_TAG`] of logged models.
fn origin(model: &ModelName, sample: &Sample) -> String {
    format!("{model}/{}", sample.digest())
}

/// One complete logged model of the sample's files.
async fn ensure_logged(
    registry: &dyn Registry,
    platform: &PlatformName,
    model: &ModelName,
    sample: &Sample,
) -> Result<LoggedModel> {
    let origin = origin(model, sample);
    let left = registry
        .find_logged_models(REGISTERING_TAG, &origin)
        .await?;
    let left = left
        .into_iter()
        .filter(|found| found.tags.get(PLATFORM_TAG).map(String::as_str) == Some(platform.as_str()))
        .max_by_key(LoggedModel::is_ready);
    let logged = match left {
        Some(found) if found.is_ready() => return Ok(found),
        Some(found) => found,
        None => {
            let tags = Tags::from([
                (PLATFORM_TAG.to_owned(), platform.to_string()),
                (REGISTERING_TAG.to_owned(), origin),
            ]);
            registry.create_logged_model(model.as_str(), &tags).await?
        }
    };
    let folder = proxy_path(&logged.artifact_uri).ok_or_else(|| {
        Error::new(
            ErrorKind::Unsupported,
            format!("write the files of `{}`", logged.model_id),
        )
        .with_source(format!("they belong to `{}`", logged.artifact_uri))
        .with_hint(
            "let MLflow proxy its artifacts: `--serve-artifacts` and an `--artifacts-destination`",
        )
    })?;
    // Writing over what an interrupted attempt wrote is harmless.
    let writes: Vec<_> = sample
        .files
        .iter()
        .map(|(path, content)| put(registry, join(folder, path), content.clone()))
        .collect();
    iter(writes)
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await?;
    registry.finalize_logged_model(&logged.model_id).await?;
    Ok(logged)
}

fn put(registry: &dyn Registry, path: String, content: Bytes) -> BoxFuture<'_, Result<()>> {
    Box::pin(async move { registry.put_artifact(&path, content).await })
}

/// The version that was made from the logged model.
async fn ensure_version(
    registry: &dyn Registry,
    platform: &PlatformName,
    model: &ModelName,
    logged: &LoggedModel,
    sample: &Sample,
) -> Result<String> {
    let source = format!("models:/{}", logged.model_id);
    let versions = registry.list_model_versions(model.as_str()).await?;
    if let Some(version) = versions.into_iter().find(|v| v.source == source) {
        return Ok(version.version);
    }
    let mut tags = Tags::from([(PLATFORM_TAG.to_owned(), platform.to_string())]);
    if let Some(probe) = &sample.probe {
        let text = serde_json::to_string(probe).map_err(|error| {
            Error::new(ErrorKind::InvalidInput, "write a test request").with_source(error)
        })?;
        tags.insert(PROBE_TAG.to_owned(), text);
    }
    let version = registry
        .create_model_version(model.as_str(), &logged.model_id, &tags)
        .await?;
    Ok(version.version)
}

/// Removes a registered model of this platform with all versions, and the logged models that came from samples; fine
/// when it is gone.
///
/// # Errors
///
/// [`ErrorKind::Conflict`] when it is somebody else's; otherwise as the registry refuses.
pub async fn remove_registered(
    registry: &dyn Registry,
    platform: &PlatformName,
    model: &ModelName,
) -> Result<()> {
    let found = registry.find_registered_model(model.as_str()).await?;
    if let Some(found) = &found
        && Tagged::of(found, platform) == Tagged::Other
    {
        return Err(Error::new(
            ErrorKind::Conflict,
            format!("remove registered model `{model}`"),
        )
        .with_source("it does not bear this platform's mark"));
    }
    // Before its files: a registered model without them would be taken for a whole one when a kill comes between.
    if found.is_some() {
        registry.remove_registered_model(model.as_str()).await?;
    }
    for logged in logged_of_samples(registry, platform, model).await? {
        registry.remove_logged_model(&logged.model_id).await?;
    }
    Ok(())
}

/// The logged models that came from samples for this model. Without a registered model they are what an interrupted
/// removal left.
pub(crate) async fn logged_of_samples(
    registry: &dyn Registry,
    platform: &PlatformName,
    model: &ModelName,
) -> Result<Vec<LoggedModel>> {
    let prefix = format!("{model}/");
    let mut logged = registry
        .find_logged_models(PLATFORM_TAG, platform.as_str())
        .await?;
    logged.retain(|logged| {
        let origin = logged.tags.get(REGISTERING_TAG);
        origin.is_some_and(|origin| origin.starts_with(&prefix))
    });
    Ok(logged)
}
