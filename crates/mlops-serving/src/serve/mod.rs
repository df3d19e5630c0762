//! From a registered model to a served one, and from one version to the next without a refused or wrong request.
//!
//! How the switch works with MLServer (read in
//! [`registry.py`](https://github.com/SeldonIO/MLServer/blob/master/mlserver/registry.py) of 1.7.1): a model that is
//! loaded again under its name **without** `parameters.version` is loaded first and replaces the old one in one step
//! after that; one that is loaded **with** a new version becomes the default *before* it is loaded, and requests are
//! refused meanwhile. So the version is told in `versions` of the model's metadata, and `parameters.version` is left out.
//!
//! Loading happens in the server's event loop, so requests wait for it. The files of a version are therefore fetched
//! beforehand, by this crate, into a folder beside the models: loading from there takes a seventh of the time it takes
//! through MLflow, and the model server can start again when MLflow does not run.

mod follow;
mod mlserver;
mod probe;
mod switch;

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use mlops_core::{Endpoint, Result};
use serde::{Deserialize, Serialize};

pub use follow::{FollowEvent, follow, follow_in_turn};
pub use mlserver::{ConnectMlServer, MlServer, remove_candidates};
pub use probe::{InferenceProbe, ProbeInput};
pub(crate) use switch::has_candidates;
pub use switch::{Switched, Switcher};

use crate::oip::{InferRequest, InferResponse, ModelMetadata};
use crate::registry::{ArtifactFile, Registry};

/// Which way a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// REST.
    Rest,
    /// gRPC.
    Grpc,
}

/// A model's entry in the server's repository: what it is to be served as, and from where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The name it answers to: the model's, or a candidate's.
    pub name: String,
    /// The model it belongs to.
    pub model: String,
    /// The platform it belongs to.
    pub platform: String,
    /// The version for people.
    pub version: String,
    /// The version for us; see [`Resolved::key`](crate::registry::Resolved::key).
    pub key: String,
    /// Where the server loads it from: a folder, or an address that MLflow resolves.
    pub location: String,
}

impl Entry {
    /// Whether it is there to be tried only.
    pub fn is_candidate(&self) -> bool {
        self.name != self.model
    }
}

/// What a server has loaded under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serving {
    /// Whether it answers.
    pub ready: bool,
    /// The version for people, if it was loaded by us.
    pub version: Option<String>,
    /// The version for us, if it was loaded by us.
    pub key: Option<String>,
}

/// A model server with the repository that it loads from. Every method that writes makes one write.
///
/// [`MlServer`] is the real one, `FakeModelServer` one in memory.
#[async_trait]
pub trait ModelServer: Send + Sync + Debug {
    /// What is loaded under a name, in the server's own words, whatever the repository says.
    async fn serving(&self, name: &str) -> Result<Option<Serving>>;

    /// All entries of the repository that are ours or another platform's.
    async fn entries(&self) -> Result<Vec<Entry>>;

    /// The entry of a name, if there is one of ours or another platform's.
    async fn find_entry(&self, name: &str) -> Result<Option<Entry>> {
        let entries = self.entries().await?;
        Ok(entries.into_iter().find(|entry| entry.name == name))
    }

    /// Whether the repository has an entry of that name that nobody marked.
    async fn has_foreign_entry(&self, name: &str) -> Result<bool>;

    /// Writes an entry, over the one of its name; nothing is loaded by it.
    async fn write_entry(&self, entry: &Entry) -> Result<()>;

    /// Removes an entry; fine when there is none. What is loaded stays so.
    async fn remove_entry(&self, name: &str) -> Result<()>;

    /// Fetches the files of a version, complete or not at all, and returns the location for an [`Entry`].
    async fn stage(
        &self,
        registry: &dyn Registry,
        folder: &str,
        files: &[ArtifactFile],
        model: &str,
        key: &str,
    ) -> Result<String>;

    /// Removes all fetched versions of a model but one.
    async fn remove_staged(&self, model: &str, but: Option<&str>) -> Result<()>;

    /// Loads the entry of that name, in place of what is loaded under it.
    async fn load(&self, name: &str) -> Result<()>;

    /// Unloads; fine when nothing is loaded.
    async fn unload(&self, name: &str) -> Result<()>;

    /// What the server says of a loaded model.
    async fn metadata(&self, name: &str) -> Result<ModelMetadata>;

    /// Whether requests can go that way at all.
    fn speaks(&self, via: Via) -> bool;

    /// Asks a model.
    async fn infer(&self, via: Via, name: &str, request: &InferRequest) -> Result<InferResponse>;
}

/// Opens model servers.
pub trait ConnectModelServer: Send + Sync {
    /// The server at these addresses; without the second it speaks REST only.
    ///
    /// # Errors
    ///
    /// When an address cannot be used at all.
    fn connect(&self, rest: &Endpoint, grpc: Option<&Endpoint>) -> Result<Arc<dyn ModelServer>>;
}
