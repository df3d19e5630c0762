//! The cluster target of one platform: its objects, secrets and addresses in one namespace.

mod check;
mod check_objects;
mod check_pod;
mod endpoints;
mod object;
mod provider;
mod running;
mod store;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::BoxStream;
use kube::Client;
use mlops_core::kubernetes::OBJECT;
use mlops_core::{
    Endpoints, Error, ErrorKind, Graph, PlatformName, Provider, Resource, Result, SecretStore,
    ServiceName,
};
use tokio::sync::OnceCell;

use crate::client::{ClusterAccess, connect_in_cluster};
use crate::lease::{LeaseGuard, LeaseOptions};
use crate::reach::{LogLine, LogOptions, logs};
use crate::wait::Status;

pub use check::{CheckJob, Ended, FILES_AT, HANDED_AT};
pub use provider::ObjectProvider;
pub use store::ClusterSecrets;

/// How the API server is reached.
#[derive(Clone)]
pub enum Access {
    /// By a kubeconfig.
    Kubeconfig(Box<ClusterAccess>),
    /// By the token of the pod that this process runs in. Services are reached as from anywhere else: through ports that
    /// lead to their pods, whatever the network policies say of this pod.
    InCluster,
    /// The same from a pod that the platform's network policies let in, which reaches services by their names.
    Within,
    /// By a client that is there already.
    Client(Client),
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Kubeconfig(access) => f.debug_tuple("Kubeconfig").field(access).finish(),
            Self::InCluster => f.write_str("InCluster"),
            Self::Within => f.write_str("Within"),
            Self::Client(_) => f.write_str("Client"),
        }
    }
}

/// A client that is made when it is needed first: until then nothing runs and nobody is asked.
#[derive(Clone)]
pub(crate) struct Connection {
    access: Access,
    client: Arc<OnceCell<Client>>,
}

impl Connection {
    pub(crate) async fn client(&self) -> Result<Client> {
        let client = self.client.get_or_try_init(|| async {
            match &self.access {
                Access::Kubeconfig(access) => access.connect().await,
                Access::InCluster | Access::Within => connect_in_cluster(),
                Access::Client(client) => Ok(client.clone()),
            }
        });
        client.await.cloned()
    }
}

/// One platform in one namespace of a cluster.
///
/// ```no_run
/// # async fn example(client: kube::Client, graph: &mlops_core::Graph) -> mlops_core::Result<()> {
/// use mlops_k8s::target::{Access, ClusterTarget};
///
/// let target = ClusterTarget::new(Access::Client(client), graph.platform.clone(), "demo");
/// for (component, status) in target.status(graph).await? {
///     println!("{component}: {status}");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ClusterTarget {
    connection: Connection,
    platform: PlatformName,
    namespace: String,
}

impl std::fmt::Debug for ClusterTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClusterTarget")
            .field("platform", &self.platform)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

/// How long another run on the same platform is waited for.
const PATIENCE: Duration = Duration::from_hours(1);

impl ClusterTarget {
    /// A platform in a namespace. Asks nobody.
    pub fn new(access: Access, platform: PlatformName, namespace: impl Into<String>) -> Self {
        Self {
            connection: Connection {
                access,
                client: Arc::default(),
            },
            platform,
            namespace: namespace.into(),
        }
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The name of a service in the cluster
    /// (<https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/>).
    pub fn host_of(&self, service: &ServiceName) -> String {
        endpoints::host_of(service, &self.namespace)
    }

    /// A client of the cluster.
    ///
    /// # Errors
    ///
    /// When the credentials cannot be had.
    pub async fn client(&self) -> Result<Client> {
        self.connection.client().await
    }

    /// The platform's secrets, each a Secret of the namespace.
    pub fn secrets(&self) -> Arc<dyn SecretStore> {
        Arc::new(ClusterSecrets::new(
            self.connection.clone(),
            &self.platform,
            &self.namespace,
        ))
    }

    /// Whether this process runs in a pod that reaches services by their names: [`Access::Within`].
    pub fn is_within(&self) -> bool {
        matches!(self.connection.access, Access::Within)
    }

    /// Where the services of a graph are: ports of this machine that lead to their pods, opened when they are asked for
    /// and kept as long as this value. With [`Access::Within`], their names in the cluster.
    pub fn endpoints(&self, graph: &Graph) -> Arc<dyn Endpoints> {
        if self.is_within() {
            let services = graph.services.clone();
            return Arc::new(endpoints::Names::new(&self.namespace, services));
        }
        Arc::new(endpoints::Forwards::new(
            self.connection.clone(),
            &self.namespace,
            graph.services.clone(),
        ))
    }

    /// The provider of objects and Secrets.
    pub fn provider(&self) -> Arc<dyn Provider> {
        Arc::new(ObjectProvider::new(
            self.connection.clone(),
            &self.platform,
            &self.namespace,
        ))
    }

    /// Takes the right to change the platform: a Lease of its namespace, which is made first when it is not there yet.
    /// Another run is waited for, up to an hour. `holder` must differ from every other run's.
    ///
    /// # Errors
    ///
    /// When the namespace is somebody else's, or another run goes on for too long.
    pub async fn lock(&self, graph: &Graph, holder: &str) -> Result<LeaseGuard> {
        let client = self.client().await?;
        provider::make_namespace(&client, graph, &self.platform, &self.namespace).await?;
        let name = format!("mlops-{}", self.platform);
        LeaseOptions::new(&name, &self.namespace, holder)
            .with_wait(PATIENCE)
            .acquire(&client)
            .await
    }

    /// How the workload of each component is.
    ///
    /// # Errors
    ///
    /// When the API server cannot be asked.
    pub async fn status(&self, graph: &Graph) -> Result<BTreeMap<String, Status>> {
        let client = self.client().await?;
        let workloads = graph.resources().filter(|resource| is_server(resource));
        provider::status(&client, workloads, &self.namespace).await
    }

    /// Has every workload of the platform run no pod; all else stays. Returns the names of what was stopped.
    ///
    /// # Errors
    ///
    /// When a workload cannot be changed.
    pub async fn stop(&self, graph: &Graph) -> Result<Vec<String>> {
        let client = self.client().await?;
        let mut stopped = Vec::new();
        for resource in graph.ordered().filter(|resource| is_server(resource)) {
            if provider::scale_down(&client, resource, &self.namespace).await? {
                stopped.push(resource.component.to_string());
            }
        }
        Ok(stopped)
    }

    /// What the pods of a component print.
    ///
    /// # Errors
    ///
    /// As [`logs`].
    pub async fn logs(
        &self,
        component: &str,
        options: LogOptions,
    ) -> Result<BoxStream<'static, Result<LogLine>>> {
        let labels = format!(
            "app.kubernetes.io/instance={},app.kubernetes.io/name={component}",
            self.platform
        );
        logs(&self.client().await?, &self.namespace, &labels, options).await
    }

    /// The name of whoever runs this, for a Lease: differs from run to run.
    ///
    /// # Errors
    ///
    /// When the system has no random numbers.
    pub fn holder(host: &str) -> Result<String> {
        let mut bytes = [0_u8; 8];
        std::fs::File::open("/dev/urandom")
            .and_then(|mut file| std::io::Read::read_exact(&mut file, &mut bytes))
            .map_err(|error| Error::new(ErrorKind::Failed, "make a name").with_source(error))?;
        Ok(format!("{host}-{:016x}", u64::from_be_bytes(bytes)))
    }
}

/// Whether a resource is what runs the pods of a component's server.
fn is_server(resource: &Resource) -> bool {
    let kind = resource.id.name().split('.').next().unwrap_or_default();
    resource.id.kind().as_str() == OBJECT
        && matches!(kind, "deployment" | "statefulset" | "daemonset")
}
