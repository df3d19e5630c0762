//! A described platform on this machine: everything the command can do, as calls.

mod cluster_models;
mod engine;
mod follow;
mod images;
mod inside;
mod lock;
mod look;
mod machine;
mod models;
mod objects;
mod outside;
mod pods;
mod rights;
mod roll;
mod status;
mod work;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::Arc;

use mlops_catalog::{Catalog, UsedImage, resolve};
use mlops_core::platform::{Platform, Target};
use mlops_core::{Context, Endpoints, Error, ErrorKind, EventSink, Graph, Result, SecretStore};
use mlops_k8s::target::{Access, ClusterTarget};
use mlops_local::{LocalTarget, Roots};

pub use images::{DigestSource, Image, ImageDigest, ImageUser, Images};
pub use inside::{InsideCheck, handed_name};
pub use look::{ClientValue, Credential};
pub use models::{Protocol, Question};
pub use outside::SecretReader;
pub use status::{ComponentStatus, ModelStatus, Status};
pub use work::UpOptions;

use crate::engine::Engine;
use outside::LayeredSecrets;

/// Whether the network may be used to fill the caches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Network {
    /// It may.
    #[default]
    Use,
    /// What is not in the caches is an error.
    Avoid,
}

/// What a session needs beside the platform and the catalogue.
#[derive(Clone)]
pub struct SessionOptions {
    /// The folders that everything is in; see [`mlops_local::default_roots`].
    pub roots: Roots,
    /// The environment that the program was started with.
    pub env: BTreeMap<String, String>,
    /// A program and its arguments that call [`mlops_local::supervise`] with the platform's folder and the socket,
    /// which are added to them.
    pub supervisor: Vec<OsString>,
    /// Reads the secrets that the platform file refers to.
    pub secret_reader: SecretReader,
    /// Whether the network may be used.
    pub network: Network,
    /// How the cluster is reached, for platforms with `target: cluster`; others need none.
    pub cluster: Option<Access>,
}

impl std::fmt::Debug for SessionOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The environment may hold secrets.
        f.debug_struct("SessionOptions")
            .field("roots", &self.roots)
            .field("supervisor", &self.supervisor)
            .field("network", &self.network)
            .finish_non_exhaustive()
    }
}

/// A platform that is planned, applied, checked, used and removed.
///
/// It holds no state of its own: what is there is found by looking, at every call.
pub struct Session {
    graph: Graph,
    /// Processes of this machine; of a platform elsewhere only its record and its lock.
    target: LocalTarget,
    /// Where the platform is when it is not here.
    cluster: Option<ClusterTarget>,
    engine: Engine,
    secrets: Arc<dyn SecretStore>,
    endpoints: Arc<dyn Endpoints>,
    network: Network,
    /// The images of components, with what the platform file has in place of the catalogue's; of a cluster only.
    mapped_images: Vec<UsedImage>,
    /// The image of this program itself; of a cluster only.
    tools: Option<UsedImage>,
    /// The Secrets that let images be pulled; of a cluster only.
    pull_secrets: Vec<String>,
    /// Who runs this, for others that wait.
    user: String,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("platform", &self.graph.platform)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// Resolves a platform. Asks nobody and writes nothing.
    ///
    /// # Errors
    ///
    /// When the platform does not resolve, see [`mlops_catalog::resolve`].
    pub fn open(platform: &Platform, catalog: &Catalog, options: SessionOptions) -> Result<Self> {
        let target = LocalTarget::new(machine::local_options(platform, &options))?;
        let user = options.env.get("USER").filter(|user| !user.is_empty());
        let user = user.map_or_else(|| "mlops".to_owned(), Clone::clone);
        let catalog = catalog.clone().with_python_lock(target.python().lock());
        let graph = resolve(platform, &catalog)?;
        let cluster = match platform.target {
            Target::Local => None,
            Target::Cluster => Some(cluster_target(platform, options.cluster)?),
        };
        let ours = match &cluster {
            Some(cluster) => cluster.secrets(),
            None => target.secrets(),
        };
        let secrets: Arc<dyn SecretStore> = Arc::new(LayeredSecrets {
            ours,
            sources: graph.secret_sources.clone(),
            reader: options.secret_reader,
        });
        let endpoints = match &cluster {
            Some(cluster) => cluster.endpoints(&graph),
            None => target.endpoints(&graph),
        };
        let (mapped_images, tools) = match &cluster {
            Some(_) => (
                mlops_catalog::images(platform, &catalog)?,
                Some(mlops_catalog::tools_image(platform)?),
            ),
            None => (Vec::new(), None),
        };
        let samples = engine::samples(&catalog)?;
        let engine = match &cluster {
            Some(cluster) => engine::for_cluster(cluster, &graph, samples)?,
            None => engine::for_local(&target, samples)?,
        };
        Ok(Self {
            graph,
            target,
            cluster,
            engine,
            secrets,
            endpoints,
            network: options.network,
            mapped_images,
            tools,
            pull_secrets: {
                let names = &platform.cluster.image_pull_secrets;
                names.iter().map(ToString::to_string).collect()
            },
            user,
        })
    }

    /// The cluster's side, of a platform with `target: cluster`.
    pub fn cluster(&self) -> Option<&ClusterTarget> {
        self.cluster.as_ref()
    }

    /// What the platform resolved to.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The machine's side: processes, logs, recorded events.
    pub fn target(&self) -> &LocalTarget {
        &self.target
    }

    /// The engine with every provider and prober of the local target.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The surroundings that providers and probers are handed.
    pub fn context(&self, events: EventSink) -> Context {
        Context {
            platform: self.graph.platform.clone(),
            secrets: Arc::clone(&self.secrets),
            endpoints: Arc::clone(&self.endpoints),
            events,
        }
    }

    fn secrets(&self) -> &dyn SecretStore {
        self.secrets.as_ref()
    }

    fn endpoints(&self) -> &dyn Endpoints {
        self.endpoints.as_ref()
    }
}

/// A platform's namespace in the cluster that the caller can reach.
fn cluster_target(platform: &Platform, access: Option<Access>) -> Result<ClusterTarget> {
    let access = access.ok_or_else(|| {
        Error::new(ErrorKind::InvalidInput, "reach the cluster")
            .with_source("there is no kubeconfig, and this is no pod of a cluster")
            .with_hint("name one in `cluster.kubeconfig`, or in the environment as `KUBECONFIG`")
    })?;
    let namespace = platform.namespace();
    Ok(ClusterTarget::new(access, platform.name.clone(), namespace))
}
