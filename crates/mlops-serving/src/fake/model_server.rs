//! A model server in memory.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::TryStreamExt as _;
use mlops_core::hook::{Hook, NoHook};
use mlops_core::{Endpoint, Error, ErrorKind, Result};

use crate::oip::{InferRequest, InferResponse, ModelMetadata, Tensor, TensorData};
use crate::registry::{ArtifactFile, Registry, join};
use crate::serve::{ConnectModelServer, Entry, ModelServer, Serving, Via};

/// The file of a version that holds the classes it answers, with spaces between; without one it answers 0.
const CLASS: &str = "class.txt";

/// The file of a version that cannot be loaded.
const BROKEN: &str = "broken.txt";

/// A model server in memory; every connection shares its state.
///
/// A version answers every request with the whole numbers in its file `class.txt`, one for each row; one that has a
/// file `broken.txt` cannot be loaded.
#[derive(Clone)]
pub struct FakeModelServer {
    state: Arc<Mutex<State>>,
    hook: Hook,
}

#[derive(Default)]
struct State {
    entries: BTreeMap<String, Entry>,
    staged: BTreeMap<String, BTreeMap<String, Bytes>>,
    loaded: BTreeMap<String, Loaded>,
}

struct Loaded {
    entry: Entry,
    classes: Vec<i64>,
}

impl fmt::Debug for FakeModelServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FakeModelServer")
    }
}

impl Default for FakeModelServer {
    fn default() -> Self {
        Self::with_hook(Arc::new(NoHook))
    }
}

impl FakeModelServer {
    /// A server without models; `hook` is asked before and after every write.
    pub fn with_hook(hook: Hook) -> Self {
        Self {
            state: Arc::default(),
            hook,
        }
    }

    /// The same server with another hook, as another run of a simulation sees it.
    #[must_use]
    pub fn hooked(&self, hook: Hook) -> Self {
        Self {
            state: Arc::clone(&self.state),
            hook,
        }
    }

    /// Forgets what is loaded, as a server does that ends and starts again; its files stay.
    pub fn restart(&self) {
        self.lock().loaded.clear();
    }

    /// The locations of the versions that were fetched, for comparison.
    pub fn staged(&self) -> Vec<String> {
        self.lock().staged.keys().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn write<T: Send>(
        &self,
        what: &str,
        change: impl FnOnce(&mut State) -> Result<T> + Send,
    ) -> Result<T> {
        self.hook.before(what).await?;
        let done = change(&mut self.lock())?;
        self.hook.after(what).await?;
        Ok(done)
    }
}

impl ConnectModelServer for FakeModelServer {
    fn connect(&self, _rest: &Endpoint, _grpc: Option<&Endpoint>) -> Result<Arc<dyn ModelServer>> {
        Ok(Arc::new(self.clone()))
    }
}

fn missing(name: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("find model `{name}`"))
        .with_source("there is none of that name")
}

#[async_trait]
impl ModelServer for FakeModelServer {
    async fn serving(&self, name: &str) -> Result<Option<Serving>> {
        Ok(self.lock().loaded.get(name).map(|loaded| Serving {
            ready: true,
            version: Some(loaded.entry.version.clone()),
            key: Some(loaded.entry.key.clone()),
        }))
    }

    async fn entries(&self) -> Result<Vec<Entry>> {
        Ok(self.lock().entries.values().cloned().collect())
    }

    async fn has_foreign_entry(&self, _name: &str) -> Result<bool> {
        Ok(false)
    }

    async fn write_entry(&self, entry: &Entry) -> Result<()> {
        self.write("write entry", |state| {
            state.entries.insert(entry.name.clone(), entry.clone());
            Ok(())
        })
        .await
    }

    async fn remove_entry(&self, name: &str) -> Result<()> {
        self.write("remove entry", |state| {
            state.entries.remove(name);
            Ok(())
        })
        .await
    }

    async fn stage(
        &self,
        registry: &dyn Registry,
        folder: &str,
        files: &[ArtifactFile],
        model: &str,
        key: &str,
    ) -> Result<String> {
        let location = format!("{model}/{key}");
        if self.lock().staged.contains_key(&location) {
            return Ok(location);
        }
        let mut fetched = BTreeMap::new();
        for file in files {
            let path = join(folder, &file.path);
            let mut pieces = registry.get_artifact_stream(&path).await?;
            let mut content = BytesMut::new();
            while let Some(piece) = pieces.try_next().await? {
                content.extend_from_slice(&piece);
            }
            fetched.insert(file.path.clone(), content.freeze());
        }
        self.write("stage", |state| {
            state.staged.insert(location.clone(), fetched);
            Ok(location)
        })
        .await
    }

    async fn remove_staged(&self, model: &str, but: Option<&str>) -> Result<()> {
        let prefix = format!("{model}/");
        let keep = but.map(|key| format!("{prefix}{key}"));
        self.write("remove staged", |state| {
            state.staged.retain(|location, _| {
                !location.starts_with(&prefix) || Some(location) == keep.as_ref()
            });
            Ok(())
        })
        .await
    }

    async fn load(&self, name: &str) -> Result<()> {
        self.write("load", |state| {
            let entry = state.entries.get(name).ok_or_else(|| missing(name))?;
            let files = state.staged.get(&entry.location);
            let failed = |cause: &str| {
                Err(
                    Error::new(ErrorKind::Failed, format!("load model `{name}`"))
                        .with_source(cause.to_owned()),
                )
            };
            let Some(files) = files else {
                return failed("its files are not there");
            };
            if files.contains_key(BROKEN) {
                return failed("it is broken");
            }
            let classes = match files.get(CLASS).map(|text| String::from_utf8_lossy(text)) {
                Some(text) => match text.split_whitespace().map(str::parse).collect() {
                    Ok(classes) => classes,
                    Err(_) => return failed("its class is no number"),
                },
                None => vec![0],
            };
            let loaded = Loaded {
                entry: entry.clone(),
                classes,
            };
            state.loaded.insert(name.to_owned(), loaded);
            Ok(())
        })
        .await
    }

    async fn unload(&self, name: &str) -> Result<()> {
        self.write("unload", |state| {
            state.loaded.remove(name);
            Ok(())
        })
        .await
    }

    async fn metadata(&self, name: &str) -> Result<ModelMetadata> {
        let state = self.lock();
        let loaded = state.loaded.get(name).ok_or_else(|| missing(name))?;
        Ok(ModelMetadata {
            name: name.to_owned(),
            versions: vec![loaded.entry.version.clone()],
            ..ModelMetadata::default()
        })
    }

    fn speaks(&self, _via: Via) -> bool {
        true
    }

    async fn infer(&self, _via: Via, name: &str, _request: &InferRequest) -> Result<InferResponse> {
        let classes = {
            let state = self.lock();
            let loaded = state.loaded.get(name).ok_or_else(|| missing(name))?;
            loaded.classes.clone()
        };
        let shape = [classes.len(), 1];
        let output = Tensor::new("output-1", shape, TensorData::from_vec(classes))?;
        Ok(InferResponse {
            model_name: name.to_owned(),
            outputs: vec![output],
            ..InferResponse::default()
        })
    }
}
