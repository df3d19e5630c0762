//! The switch from one version to the next.

use std::sync::Arc;
use std::time::Instant;

use mlops_core::event::millis;
use mlops_core::{Error, ErrorKind, ModelName, PlatformName, Result};
use tracing::debug;

use super::{Entry, InferenceProbe, ModelServer, Serving, Via};
use crate::mlflow::proxy_path;
use crate::registry::{MlModel, Registry, Resolved, join, list_files};

/// The flavor that every runtime for MLflow models loads.
const FLAVOR: &str = "python_function";

/// An `MLmodel` file longer than this is none.
const LONGEST_MLMODEL: usize = 16 << 20;

/// Serves one model from a registry, one version after another.
#[derive(Debug, Clone)]
pub struct Switcher {
    server: Arc<dyn ModelServer>,
    registry: Arc<dyn Registry>,
    platform: PlatformName,
    model: ModelName,
    probe: Option<InferenceProbe>,
}

/// What a switch did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switched {
    /// The version that was served before, if any was.
    pub from: Option<String>,
    /// The version that is served now.
    pub to: String,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

impl Switcher {
    /// Serves `model` of `platform` by `server` from `registry`. `probe` is the test request that every version must
    /// answer; without one a version's own is used, and without that a request made from what the model says of its
    /// inputs.
    pub fn new(
        server: Arc<dyn ModelServer>,
        registry: Arc<dyn Registry>,
        platform: PlatformName,
        model: ModelName,
        probe: Option<InferenceProbe>,
    ) -> Self {
        Self {
            server,
            registry,
            platform,
            model,
            probe,
        }
    }

    /// The registry.
    pub fn registry(&self) -> &dyn Registry {
        &*self.registry
    }

    /// What is served now.
    ///
    /// # Errors
    ///
    /// When the server cannot be asked.
    pub async fn serving(&self) -> Result<Option<Serving>> {
        self.server.serving(self.model.as_str()).await
    }

    /// Whether this very version is served and answers.
    ///
    /// # Errors
    ///
    /// When the server cannot be asked.
    pub async fn is_serving(&self, wanted: &Resolved) -> Result<bool> {
        Ok(self
            .serving()
            .await?
            .is_some_and(|serving| serving.ready && serving.key.as_ref() == Some(&wanted.key)))
    }

    /// Whether this very version is served, and nothing is left of the way to it.
    ///
    /// # Errors
    ///
    /// When the server or its repository cannot be asked.
    pub async fn is_settled(&self, wanted: &Resolved) -> Result<bool> {
        Ok(self.is_serving(wanted).await?
            && !has_candidates(&*self.server, &self.platform, &self.model).await?)
    }

    /// Takes away what the way to a served version left: older versions' files, then the candidate, by which the rest
    /// is known to be there.
    ///
    /// # Errors
    ///
    /// When the server refuses.
    pub async fn tidy(&self, served: &Resolved) -> Result<()> {
        self.server
            .remove_staged(self.model.as_str(), Some(&served.key))
            .await?;
        remove_candidates(&*self.server, &self.platform, &self.model).await
    }

    /// Serves a version in place of the one that is served.
    ///
    /// The version is loaded under a name of its own and must answer its test request over REST and gRPC there, before
    /// the model's own name is loaded again. When it does not, it is taken away again and the old version was never
    /// touched. May be cut off at any point: what is left is found and taken away by the next call.
    ///
    /// # Errors
    ///
    /// When the version cannot be fetched, loaded, or does not answer as it must; the old version is served then.
    pub async fn switch_to(&self, wanted: &Resolved) -> Result<Switched> {
        let begun = Instant::now();
        let failed = |error: Error| {
            Error::new(
                error.kind(),
                format!("serve version {} of `{}`", wanted.version, self.model),
            )
            .with_source(error)
        };
        let before = self.serving().await.map_err(failed)?;
        let (server, model) = (&*self.server, &self.model);
        check_owner(server, &self.platform, model)
            .await
            .map_err(failed)?;
        remove_candidates(server, &self.platform, model)
            .await
            .map_err(failed)?;
        let location = self.stage(wanted).await.map_err(failed)?;
        let entry = Entry {
            name: self.model.to_string(),
            model: self.model.to_string(),
            platform: self.platform.to_string(),
            version: wanted.version.clone(),
            key: wanted.key.clone(),
            location,
        };
        if let Err(error) = self.try_candidate(&entry, wanted).await {
            // Best effort: the refusal is what matters, and the next call takes the rest away.
            if let Err(error) = remove_candidates(server, &self.platform, model).await {
                debug!(%error, "a refused candidate is left for the next attempt");
            }
            return Err(failed(error).with_hint(match &before {
                Some(Serving {
                    version: Some(version),
                    ..
                }) => format!("version {version} is still served; see the log of the model server"),
                _ => "see the log of the model server".to_owned(),
            }));
        }
        self.replace(&entry, wanted).await.map_err(failed)?;
        self.tidy(wanted).await.map_err(failed)?;
        Ok(Switched {
            from: before.and_then(|serving| serving.version),
            to: wanted.version.clone(),
            took_ms: millis(begun.elapsed()),
        })
    }

    /// Fetches the files when they come through MLflow's proxy; otherwise the model server must fetch them itself.
    async fn stage(&self, wanted: &Resolved) -> Result<String> {
        let Some(folder) = proxy_path(&wanted.files) else {
            return Ok(wanted.uri.clone());
        };
        let files = list_files(&*self.registry, folder).await?;
        let unfit = |cause: String| {
            Error::new(ErrorKind::InvalidInput, format!("use `{}`", wanted.uri)).with_source(cause)
        };
        if !files.iter().any(|file| file.path == "MLmodel") {
            return Err(unfit("it has no file `MLmodel`".to_owned()));
        }
        let text = self.read_small(&join(folder, "MLmodel")).await?;
        let model = MlModel::parse(&text)?;
        if !model.has_flavor(FLAVOR) {
            return Err(unfit(format!(
                "it has no flavor `{FLAVOR}`, only {:?}",
                model.flavors
            )));
        }
        self.server
            .stage(
                &*self.registry,
                folder,
                &files,
                self.model.as_str(),
                &wanted.key,
            )
            .await
    }

    async fn read_small(&self, path: &str) -> Result<String> {
        use futures::TryStreamExt as _;
        let mut pieces = self.registry.get_artifact_stream(path).await?;
        let mut text = Vec::new();
        while let Some(piece) = pieces.try_next().await? {
            text.extend_from_slice(&piece);
            if text.len() > LONGEST_MLMODEL {
                return Err(
                    Error::new(ErrorKind::InvalidInput, format!("read artifact `{path}`"))
                        .with_source(format!("it is longer than {LONGEST_MLMODEL} bytes")),
                );
            }
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    async fn try_candidate(&self, entry: &Entry, wanted: &Resolved) -> Result<()> {
        let candidate = Entry {
            name: format!("{}--{}", self.model, wanted.key),
            ..entry.clone()
        };
        self.server.write_entry(&candidate).await?;
        self.server.load(&candidate.name).await?;
        self.ask(&candidate.name, wanted).await
    }

    /// Asks both ways and compares with what is expected.
    async fn ask(&self, name: &str, wanted: &Resolved) -> Result<()> {
        let known = self.probe.as_ref().or(wanted.probe.as_ref());
        let made;
        let probe = if let Some(probe) = known {
            probe
        } else {
            let metadata = self.server.metadata(name).await?;
            // Without any idea of its inputs, being loaded is all that can be asked of it.
            let Some(zeros) = InferenceProbe::zeros(&metadata.inputs) else {
                return Ok(());
            };
            made = zeros;
            &made
        };
        let request = probe.to_request()?;
        let ways = [Via::Rest, Via::Grpc];
        for via in ways.into_iter().filter(|via| self.server.speaks(*via)) {
            probe.check(&self.server.infer(via, name, &request).await?)?;
        }
        Ok(())
    }

    /// Loads the model's own name anew; goes back when that does not work although the candidate did.
    async fn replace(&self, entry: &Entry, wanted: &Resolved) -> Result<()> {
        let old = self.server.find_entry(&entry.name).await?;
        self.server.write_entry(entry).await?;
        let mut done = self.server.load(&entry.name).await;
        if done.is_ok() {
            done = match self.is_serving(wanted).await {
                Ok(true) => self.ask(&entry.name, wanted).await,
                Ok(false) => Err(Error::new(
                    ErrorKind::Failed,
                    format!("find version {} under `{}`", wanted.version, entry.name),
                )
                .with_source("the server loaded it and tells of another")),
                Err(error) => Err(error),
            };
        }
        let Err(error) = done else {
            return Ok(());
        };
        let back = match &old {
            Some(old) => match self.server.write_entry(old).await {
                Ok(()) => self.server.load(&old.name).await,
                failed => failed,
            },
            None => match self.server.unload(&entry.name).await {
                Ok(()) => self.server.remove_entry(&entry.name).await,
                failed => failed,
            },
        };
        if let Err(error) = back {
            debug!(%error, "the former version could not be put back");
        }
        Err(error)
    }

    /// Stops serving a model and forgets its files; fine when it is not served.
    ///
    /// # Errors
    ///
    /// When it is somebody else's, or the server refuses.
    pub async fn remove_from(
        server: &dyn ModelServer,
        platform: &PlatformName,
        model: &ModelName,
    ) -> Result<()> {
        check_owner(server, platform, model).await?;
        remove_candidates(server, platform, model).await?;
        let name = model.as_str();
        if server.find_entry(name).await?.is_some() {
            server.unload(name).await?;
        }
        server.remove_staged(name, None).await?;
        // Last, because by it the rest is known to be there.
        server.remove_entry(name).await
    }
}

/// Whether the name is the platform's to write.
async fn check_owner(
    server: &dyn ModelServer,
    platform: &PlatformName,
    model: &ModelName,
) -> Result<()> {
    let name = model.as_str();
    let other = match server.find_entry(name).await? {
        Some(entry) if entry.platform != platform.as_str() => {
            format!("it belongs to platform `{}`", entry.platform)
        }
        None if server.has_foreign_entry(name).await? => {
            "somebody wrote its `model-settings.json` by hand".to_owned()
        }
        _ => return Ok(()),
    };
    Err(Error::new(
        ErrorKind::Conflict,
        format!("take over the served model `{name}`"),
    )
    .with_source(other))
}

/// The candidates of a model that interrupted attempts left.
async fn candidates(
    server: &dyn ModelServer,
    platform: &PlatformName,
    model: &ModelName,
) -> Result<Vec<Entry>> {
    let mut entries = server.entries().await?;
    entries.retain(|entry| {
        entry.platform == platform.as_str() && entry.model == model.as_str() && entry.is_candidate()
    });
    Ok(entries)
}

/// Whether an interrupted attempt left something.
pub(crate) async fn has_candidates(
    server: &dyn ModelServer,
    platform: &PlatformName,
    model: &ModelName,
) -> Result<bool> {
    Ok(!candidates(server, platform, model).await?.is_empty())
}

/// Takes away what interrupted attempts left.
async fn remove_candidates(
    server: &dyn ModelServer,
    platform: &PlatformName,
    model: &ModelName,
) -> Result<()> {
    for entry in candidates(server, platform, model).await? {
        // The entry goes last: by it the loaded model is known.
        server.unload(&entry.name).await?;
        server.remove_entry(&entry.name).await?;
    }
    Ok(())
}
