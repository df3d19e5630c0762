//! MLServer: the repository extension of the protocol, over a folder of models.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use futures::TryStreamExt as _;
use mlops_core::{Endpoint, Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt as _;

use super::{ConnectModelServer, Entry, ModelServer, Serving, Via};
use crate::oip::{GrpcClient, InferRequest, InferResponse, ModelMetadata, RestClient};
use crate::registry::{ArtifactFile, Registry, join};

/// The file by which MLServer finds a model.
const SETTINGS: &str = "model-settings.json";

/// Where fetched versions are, below the models. MLServer looks for models with a glob, which passes by hidden folders.
const STAGED: &str = ".versions";

/// Before the key in a model's `platform`, by which a loaded model is known.
const PLATFORM: &str = "mlflow/";

/// Opens servers of MLServer that load from one folder of models.
#[derive(Debug, Clone)]
pub struct ConnectMlServer {
    models_root: PathBuf,
}

impl ConnectMlServer {
    /// Servers whose models are in `models_root`, an absolute path on this machine.
    pub fn new(models_root: impl Into<PathBuf>) -> Self {
        Self {
            models_root: models_root.into(),
        }
    }
}

impl ConnectModelServer for ConnectMlServer {
    fn connect(&self, rest: &Endpoint, grpc: Option<&Endpoint>) -> Result<Arc<dyn ModelServer>> {
        Ok(Arc::new(MlServer::new(rest, grpc, &self.models_root)?))
    }
}

/// An MLServer with its folder of models.
#[derive(Debug, Clone)]
pub struct MlServer {
    rest: RestClient,
    grpc: Option<GrpcClient>,
    root: PathBuf,
}

/// `model-settings.json`, described at
/// <https://github.com/SeldonIO/MLServer/blob/master/docs/reference/model-settings.md>; MLServer ignores `mlops`.
#[derive(Serialize, Deserialize)]
struct Settings {
    name: String,
    #[serde(default)]
    implementation: String,
    #[serde(default)]
    platform: String,
    #[serde(default)]
    versions: Vec<String>,
    parameters: SettingsParameters,
    mlops: Option<SettingsMark>,
}

#[derive(Serialize, Deserialize)]
struct SettingsParameters {
    uri: String,
}

#[derive(Serialize, Deserialize)]
struct SettingsMark {
    platform: String,
    model: String,
}

impl Settings {
    fn of(entry: &Entry) -> Self {
        Self {
            name: entry.name.clone(),
            implementation: "mlserver_mlflow.MLflowRuntime".to_owned(),
            platform: format!("{PLATFORM}{}", entry.key),
            versions: vec![entry.version.clone()],
            parameters: SettingsParameters {
                uri: entry.location.clone(),
            },
            mlops: Some(SettingsMark {
                platform: entry.platform.clone(),
                model: entry.model.clone(),
            }),
        }
    }

    fn into_entry(self) -> Option<Entry> {
        let mark = self.mlops?;
        Some(Entry {
            name: self.name,
            model: mark.model,
            platform: mark.platform,
            version: self.versions.into_iter().next().unwrap_or_default(),
            key: self.platform.strip_prefix(PLATFORM)?.to_owned(),
            location: self.parameters.uri,
        })
    }
}

impl MlServer {
    /// The server at these addresses, whose models are in `models_root`; without the second it speaks REST only.
    ///
    /// # Errors
    ///
    /// When an address cannot be used.
    pub fn new(rest: &Endpoint, grpc: Option<&Endpoint>, models_root: &Path) -> Result<Self> {
        Ok(Self {
            rest: RestClient::new(rest)?,
            grpc: grpc.map(GrpcClient::new).transpose()?,
            root: models_root.to_owned(),
        })
    }

    fn staged(&self, model: &str) -> PathBuf {
        self.root.join(STAGED).join(model)
    }
}

fn on_disk(doing: impl Into<String>, path: &Path, error: io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::Exhausted,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            ErrorKind::PermissionDenied
        }
        _ => ErrorKind::Failed,
    };
    Error::new(kind, format!("{} in {}", doing.into(), path.display())).with_source(error)
}

/// Runs file work off the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::new(ErrorKind::Failed, "work with files").with_source(error))?
}

/// The settings in a folder; `None` when there are none that can be read as such.
fn read_settings(folder: &Path) -> Result<Option<Settings>> {
    match std::fs::read(folder.join(SETTINGS)) {
        Ok(text) => Ok(serde_json::from_slice(&text).ok()),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(on_disk("read model settings", folder, error)),
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// The entries of a folder of models that bear a mark.
fn read_entries(root: &Path) -> Result<Vec<Entry>> {
    let listing = match std::fs::read_dir(root) {
        Ok(listing) => listing,
        Err(error) if is_absent(&error) => return Ok(Vec::new()),
        Err(error) => return Err(on_disk("list models", root, error)),
    };
    let mut entries = Vec::new();
    for folder in listing {
        let folder = folder.map_err(|error| on_disk("list models", root, error))?;
        let settings = read_settings(&folder.path())?;
        entries.extend(settings.and_then(Settings::into_entry));
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

/// Removes the candidates that an interrupted switch left in a folder of models. To be called before a model server is
/// started that loads everything it finds: MLServer ends when one of the models cannot be loaded.
///
/// # Errors
///
/// When the folder cannot be read or written.
pub fn remove_candidates(models_root: &Path) -> Result<()> {
    for entry in read_entries(models_root)? {
        if entry.is_candidate() {
            remove_folder(&models_root.join(&entry.name))?;
        }
    }
    Ok(())
}

fn remove_folder(path: &Path) -> Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if !is_absent(&error) => Err(on_disk("remove a model", path, error)),
        _ => Ok(()),
    }
}

/// Writes beside and renames, so that a reader finds the old content or the new one.
fn write_settings(folder: &Path, text: &[u8]) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let beside = folder.join(".model-settings.new");
    let mut file = std::fs::File::create(&beside)?;
    file.write_all(text)?;
    file.sync_all()?;
    std::fs::rename(&beside, folder.join(SETTINGS))
}

#[async_trait]
impl ModelServer for MlServer {
    async fn serving(&self, name: &str) -> Result<Option<Serving>> {
        let metadata = match self.rest.model_metadata(name).await {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(Some(Serving {
            ready: self.rest.is_model_ready(name).await?,
            key: metadata.platform.strip_prefix(PLATFORM).map(str::to_owned),
            version: metadata.versions.into_iter().next(),
        }))
    }

    async fn entries(&self) -> Result<Vec<Entry>> {
        let root = self.root.clone();
        blocking(move || read_entries(&root)).await
    }

    async fn has_foreign_entry(&self, name: &str) -> Result<bool> {
        let folder = self.root.join(name);
        blocking(move || {
            let there = folder.join(SETTINGS).try_exists();
            let there = there.map_err(|error| on_disk("look for a model", &folder, error))?;
            let ours = read_settings(&folder)?.and_then(Settings::into_entry);
            Ok(there && ours.is_none())
        })
        .await
    }

    async fn write_entry(&self, entry: &Entry) -> Result<()> {
        let folder = self.root.join(&entry.name);
        let text = serde_json::to_vec_pretty(&Settings::of(entry)).map_err(|error| {
            Error::new(ErrorKind::InvalidInput, "write model settings").with_source(error)
        })?;
        blocking(move || {
            write_settings(&folder, &text)
                .map_err(|error| on_disk("write model settings", &folder, error))
        })
        .await
    }

    async fn remove_entry(&self, name: &str) -> Result<()> {
        let folder = self.root.join(name);
        blocking(move || remove_folder(&folder)).await
    }

    async fn stage(
        &self,
        registry: &dyn Registry,
        folder: &str,
        files: &[ArtifactFile],
        model: &str,
        key: &str,
    ) -> Result<String> {
        let all = self.staged(model);
        let (ready, partial) = (all.join(key), all.join(format!(".{key}.partial")));
        let failed = |error: io::Error| on_disk("fetch a model", &ready, error);
        let location = ready.to_str().map(str::to_owned).ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidInput,
                format!("keep models in {}", ready.display()),
            )
            .with_source("its name is not valid UTF-8")
        })?;
        if tokio::fs::try_exists(&ready).await.map_err(failed)? {
            return Ok(location);
        }
        let old = partial.clone();
        blocking(move || remove_folder(&old)).await?;
        for file in files {
            let path = partial.join(&file.path);
            if let Some(parent) = path.parent() {
                tokio::fs::create_dir_all(parent).await.map_err(failed)?;
            }
            let mut pieces = registry
                .get_artifact_stream(&join(folder, &file.path))
                .await?;
            let mut out = tokio::fs::File::create(&path).await.map_err(failed)?;
            while let Some(piece) = pieces.try_next().await? {
                out.write_all(&piece).await.map_err(failed)?;
            }
            out.sync_all().await.map_err(failed)?;
        }
        tokio::fs::rename(&partial, &ready).await.map_err(failed)?;
        Ok(location)
    }

    async fn remove_staged(&self, model: &str, but: Option<&str>) -> Result<()> {
        let (all, but) = (self.staged(model), but.map(str::to_owned));
        blocking(move || {
            let listing = match std::fs::read_dir(&all) {
                Ok(listing) => listing,
                Err(error) if is_absent(&error) => return Ok(()),
                Err(error) => return Err(on_disk("list fetched versions", &all, error)),
            };
            for found in listing {
                let found = found.map_err(|error| on_disk("list fetched versions", &all, error))?;
                if but.as_deref().map(std::ffi::OsStr::new) != Some(&found.file_name()) {
                    remove_folder(&found.path())?;
                }
            }
            if but.is_none() {
                remove_folder(&all)?;
            }
            Ok(())
        })
        .await
    }

    async fn load(&self, name: &str) -> Result<()> {
        self.rest.load_model(name).await
    }

    async fn unload(&self, name: &str) -> Result<()> {
        self.rest.unload_model(name).await
    }

    async fn metadata(&self, name: &str) -> Result<ModelMetadata> {
        self.rest.model_metadata(name).await
    }

    fn speaks(&self, via: Via) -> bool {
        via == Via::Rest || self.grpc.is_some()
    }

    async fn infer(&self, via: Via, name: &str, request: &InferRequest) -> Result<InferResponse> {
        match (via, &self.grpc) {
            (Via::Rest, _) => self.rest.infer(name, request).await,
            (Via::Grpc, Some(grpc)) => grpc.infer(name, request).await,
            (Via::Grpc, None) => Err(Error::new(
                ErrorKind::Unsupported,
                format!("infer by gRPC from `{name}`"),
            )
            .with_source("the address for gRPC is not known")),
        }
    }
}
