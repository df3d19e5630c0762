//! The cluster target of one platform: its objects, secrets and addresses in one namespace.

mod check;
mod check_left;
mod check_objects;
mod check_pod;
mod connection;
mod endpoints;
mod kinds;
mod object;
mod pods;
mod provider;
mod rights;
mod running;
mod space;
mod store;
mod trouble;
mod workload;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::BoxStream;
use kube::Client;
use mlops_core::kubernetes::OBJECT;
use mlops_core::{
    Endpoints, Graph, PlatformName, Provider, Resource, Result, SecretStore, ServiceName,
};

pub(crate) use connection::Connection;

use crate::client::ClusterAccess;
use crate::discovery::Kinds;
use crate::lease::{LeaseGuard, LeaseOptions};
use crate::reach::{LogLine, LogOptions, logs};
use crate::wait::{Status, Waiter};

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
    lease: Duration,
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

/// For how long a run that died keeps others out.
const LEASE: Duration = Duration::from_secs(15);

impl ClusterTarget {
    /// A platform in a namespace. Asks nobody.
    pub fn new(access: Access, platform: PlatformName, namespace: impl Into<String>) -> Self {
        Self {
            connection: Connection::new(access),
            platform,
            namespace: namespace.into(),
            lease: LEASE,
        }
    }

    /// Sets for how long a run that died keeps others out, in whole seconds; 15 s unless this is called.
    #[must_use]
    pub fn with_lease_duration(self, lease: Duration) -> Self {
        Self { lease, ..self }
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

    /// A client of the cluster. While the right to change the platform is held ([`ClusterTarget::lock`]), each of its
    /// writes is refused once another has that right.
    ///
    /// # Errors
    ///
    /// When the credentials cannot be had.
    pub async fn client(&self) -> Result<Client> {
        self.connection.client().await
    }

    /// The kinds of the server: asked for once, and again when one is not known.
    ///
    /// # Errors
    ///
    /// As [`Kinds::of_server`].
    pub async fn kinds(&self) -> Result<Arc<Kinds>> {
        self.connection.kinds().await
    }

    /// Waits for objects of the cluster.
    ///
    /// # Errors
    ///
    /// When the credentials cannot be had.
    pub async fn waiter(&self) -> Result<Waiter> {
        let client = self.client().await?;
        Ok(Waiter::new(client).with_known_kinds(self.connection.known().clone()))
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
    /// Another run is waited for, up to an hour, and its name told once. `holder` must differ from every other run's
    /// ([`crate::holder_name`]).
    ///
    /// As long as the guard is held, no write of this target, its providers and its secret store is sent unless the
    /// lease is still ours: one that was paused for too long, and whose lease another took over, is refused with
    /// [`Conflict`](mlops_core::ErrorKind::Conflict). Whoever takes no lock writes freely.
    ///
    /// # Errors
    ///
    /// When the namespace is somebody else's, or another run goes on for too long.
    pub async fn lock(
        &self,
        graph: &Graph,
        holder: &str,
        on_wait: &(dyn Fn(&str) + Send + Sync),
    ) -> Result<LeaseGuard> {
        self.lock_within(graph, holder, PATIENCE, on_wait).await
    }

    /// As [`ClusterTarget::lock`], waiting no longer than this for another run.
    ///
    /// # Errors
    ///
    /// As [`ClusterTarget::lock`].
    pub async fn lock_within(
        &self,
        graph: &Graph,
        holder: &str,
        wait: Duration,
        on_wait: &(dyn Fn(&str) + Send + Sync),
    ) -> Result<LeaseGuard> {
        let client = self.connection.free_client().await?;
        space::make_namespace(&client, graph, &self.platform, &self.namespace).await?;
        let lease = LeaseOptions::new(&self.lease_name(), &self.namespace, holder)
            .with_duration(self.lease)
            .with_wait(wait)
            .acquire_telling(&client, on_wait)
            .await?;
        self.connection.write_under(&lease);
        Ok(lease)
    }

    fn lease_name(&self) -> String {
        format!("mlops-{}", self.platform)
    }

    /// Whether the platform's namespace is there. One that is being removed is waited for.
    ///
    /// # Errors
    ///
    /// When the API server cannot be asked, or the namespace does not go.
    pub async fn has_namespace(&self) -> Result<bool> {
        let client = self.client().await?;
        let found = space::settled(&client, &self.namespace).await?;
        Ok(found.is_some())
    }

    /// How the workload of each component is.
    ///
    /// # Errors
    ///
    /// When the API server cannot be asked.
    pub async fn status(&self, graph: &Graph) -> Result<BTreeMap<String, Status>> {
        let workloads = graph.resources().filter(|resource| is_server(resource));
        workload::status(&self.connection, workloads, &self.namespace).await
    }

    /// Has every workload of the platform run no pod, and waits until none is left; all else stays. Returns the names
    /// of what was stopped.
    ///
    /// # Errors
    ///
    /// When a workload cannot be changed.
    pub async fn stop(&self, graph: &Graph) -> Result<Vec<String>> {
        let mut stopped = Vec::new();
        for resource in graph.ordered().filter(|resource| is_server(resource)) {
            if workload::scale_down(&self.connection, resource, &self.namespace).await? {
                stopped.push(resource.component.to_string());
            }
        }
        let ours = format!("app.kubernetes.io/instance={}", self.platform);
        let client = self.client().await?;
        pods::until_gone(&client, &self.namespace, &ours, pods::Which::All).await?;
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
}

/// Whether a resource is what runs the pods of a component's server.
fn is_server(resource: &Resource) -> bool {
    let kind = resource.id.name().split('.').next().unwrap_or_default();
    resource.id.kind().as_str() == OBJECT
        && matches!(kind, "deployment" | "statefulset" | "daemonset")
}
