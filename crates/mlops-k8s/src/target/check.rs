//! A check from inside the cluster: a Job whose pod runs a command, whose report is its log, and nothing of which stays.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use futures::FutureExt as _;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service as ClusterService, ServiceAccount};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{DeleteParams, ListParams};
use kube::{Api, Client, ResourceExt as _};
use mlops_core::kubernetes::{PLATFORM_LABEL, egress};
use mlops_core::{Error, ErrorKind, Result, SecretName, SecretText, Service};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::ClusterTarget;
use super::check_objects::{Frame, LABEL, NAME, to_any_api_server};
use super::check_pod::{PATIENCE, ended_pod, hopeless, late, read, told};
use crate::apply::{Applier, ApplyOptions, Outcome};
use crate::error::wrap;
use crate::explain::ObjectRef;
use crate::objects::{ObjectId, ObjectSet};
use crate::wait::{WaitOptions, Waiter};

/// Where the pod finds its files.
pub const FILES_AT: &str = "/etc/mlops";

/// Where the pod finds the secrets that are handed in.
pub const HANDED_AT: &str = "/run/mlops";

/// How long what a check made may take to go.
const GOING: Duration = Duration::from_mins(1);

/// Files of more bytes are refused before they are sent: a `ConfigMap` takes 1 MiB with all that is around them.
const MOST_FILES: usize = 900 << 10;

/// A check to be made by a pod of the cluster.
#[derive(Debug, Clone)]
pub struct CheckJob {
    /// The image, which has the program `mlops` on its path.
    pub image: String,
    /// The Secrets of the namespace that let it be pulled.
    pub pull_secrets: Vec<String>,
    /// The arguments of `mlops`.
    pub args: Vec<String>,
    /// Text by path below [`FILES_AT`]. Anybody who may read the namespace may read them.
    pub files: BTreeMap<String, String>,
    /// The platform's own secrets that the pod may read.
    pub reads: BTreeSet<SecretName>,
    /// Secrets from elsewhere, by the name of their file below [`HANDED_AT`].
    pub handed: BTreeMap<String, SecretText>,
    /// The services that it may reach.
    pub reaches: Vec<Service>,
}

/// How the pod of a check ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// What it printed. It may hold control characters.
    pub log: String,
    /// Its exit code.
    pub code: i32,
}

impl ClusterTarget {
    /// Has a pod of the platform's namespace make a check, and removes all of it again, whatever came of it. What an
    /// earlier one left behind is removed first, so the caller must hold the platform's [lock](ClusterTarget::lock).
    ///
    /// # Errors
    ///
    /// When an object cannot be made, with the first cause when the pod cannot start; [`ErrorKind::Interrupted`] when
    /// `cancel` was; [`ErrorKind::InvalidInput`] when the files are too many for a `ConfigMap`.
    pub async fn check(&self, job: &CheckJob, cancel: &CancellationToken) -> Result<Ended> {
        let bytes: usize = job.files.values().map(String::len).sum();
        if bytes > MOST_FILES {
            let doing = "bring the platform's description into the cluster";
            return Err(Error::new(ErrorKind::InvalidInput, doing).with_source(format!(
                "the platform file and the folders of components have {bytes} bytes; a ConfigMap takes {MOST_FILES}"
            )));
        }
        self.remove_checks().await?;
        let ended = tokio::select! {
            biased;
            () = cancel.cancelled() => Err(Error::new(ErrorKind::Interrupted, "check from inside the cluster")
                .with_source("it was interrupted")),
            ended = self.run(job).boxed() => ended,
        };
        let removed = self.remove_checks().await;
        let ended = ended?;
        removed.map(|_| ended)
    }

    async fn run(&self, job: &CheckJob) -> Result<Ended> {
        let client = self.client().await?;
        let frame = Frame {
            namespace: self.namespace(),
            platform: &self.platform,
            job,
            api_server: api_server(&client).await,
        };
        let mut set = ObjectSet::new();
        for object in frame.objects() {
            set.add_value(object)?;
        }
        let applier = Applier::new(client.clone()).with_namespace(self.namespace());
        let report = applier
            .apply(&set, &ApplyOptions::default(), &|_| {})
            .await?;
        if let Some((id, outcome)) = report.problems().next() {
            let doing = format!("make {id} for the check");
            return Err(match outcome {
                Outcome::Failed(failure) => {
                    Error::new(failure.kind, doing).with_source(failure.to_error())
                }
                other => Error::new(ErrorKind::Failed, doing).with_source(format!("{other:?}")),
            });
        }
        let subject = ObjectRef::new("batch/v1", "Job", Some(self.namespace()), NAME);
        let pod = tokio::select! {
            pod = ended_pod(&client, self.namespace()) => pod?,
            cause = hopeless(&client, &subject) => return Err(told(&cause)),
            () = tokio::time::sleep(PATIENCE) => {
                return Err(late(&client, &subject).await);
            }
        };
        read(&client, self.namespace(), &subject, &pod).await
    }

    /// Removes what checks of the platform made, and waits until it is gone. Returns whether there was anything. Who may
    /// not even look for roles has made none, and that they are not looked for is no error then.
    ///
    /// # Errors
    ///
    /// When something cannot be looked for, or does not go.
    pub async fn remove_checks(&self) -> Result<bool> {
        let client = self.client().await?;
        let (namespace, labels) = (self.namespace(), self.check_labels());
        // A Job that is removed so goes after its pods; the rest has nothing to wait for and is gone at once.
        let after_pods = DeleteParams::foreground();
        let jobs = delete_all::<Job>(&client, namespace, &labels, &after_pods)
            .boxed()
            .await?;
        let at_once = DeleteParams::background();
        let rest = futures::future::try_join_all([
            delete_all::<Secret>(&client, namespace, &labels, &at_once).boxed(),
            delete_all::<ConfigMap>(&client, namespace, &labels, &at_once).boxed(),
            delete_all::<NetworkPolicy>(&client, namespace, &labels, &at_once).boxed(),
            delete_all::<ServiceAccount>(&client, namespace, &labels, &at_once).boxed(),
            allowed(delete_all::<RoleBinding>(
                &client, namespace, &labels, &at_once,
            ))
            .boxed(),
            allowed(delete_all::<Role>(&client, namespace, &labels, &at_once)).boxed(),
        ])
        .await?;
        let gone: Vec<ObjectId> = jobs
            .iter()
            .map(|name| ObjectId::new("batch", "Job", Some(namespace), name))
            .collect();
        if !gone.is_empty() {
            let options = WaitOptions::new(GOING);
            let waiter = Waiter::new(client.clone());
            waiter.wait_until_gone(&gone, &options, &|_| {}).await?;
        }
        let is_any = rest.iter().any(|names| !names.is_empty());
        Ok(is_any || !jobs.is_empty())
    }

    fn check_labels(&self) -> String {
        format!("{PLATFORM_LABEL}={},{LABEL}", self.platform)
    }
}

/// Removes all of a kind with those labels; the names of what was there.
async fn delete_all<K>(
    client: &Client,
    namespace: &str,
    labels: &str,
    how: &DeleteParams,
) -> Result<Vec<String>>
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    let doing = || format!("remove what a check made ({})", K::kind(&()));
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let found = api
        .list_metadata(&ListParams::default().labels(labels))
        .await;
    let found = found.map_err(|error| wrap(error, doing()))?;
    let mut names = Vec::new();
    for object in found.items {
        let name = object.name_any();
        let removed = api.delete(&name, how).await;
        if let Err(error) = removed.map_err(|error| wrap(error, doing()))
            && error.kind() != ErrorKind::NotFound
        {
            return Err(error);
        }
        names.push(name);
    }
    Ok(names)
}

/// What cannot be looked for for want of rights was not made with them.
async fn allowed(names: impl Future<Output = Result<Vec<String>>>) -> Result<Vec<String>> {
    match names.await {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            tracing::debug!(error = %error, "roles of checks are not looked for");
            Ok(Vec::new())
        }
        result => result,
    }
}

/// Egress rules that lead to the API server: its own address and its Service's, since network plugins differ in which of
/// them they see.
async fn api_server(client: &Client) -> Vec<Value> {
    let slices: Api<EndpointSlice> = Api::namespaced(client.clone(), "default");
    let services: Api<ClusterService> = Api::namespaced(client.clone(), "default");
    let of_it = ListParams::default().labels("kubernetes.io/service-name=kubernetes");
    let (slices, service) = tokio::join!(slices.list(&of_it), services.get("kubernetes"));
    let (Ok(slices), Ok(service)) = (slices, service) else {
        // Not everybody may look into that namespace.
        return vec![to_any_api_server()];
    };
    let parsed = |text: &String| text.parse::<IpAddr>().ok();
    let mut rules: Vec<Value> = slices
        .items
        .iter()
        .map(|slice| {
            let addresses = slice.endpoints.iter().flatten();
            let addresses = addresses.flat_map(|endpoint| &endpoint.addresses);
            let addresses: Vec<IpAddr> = addresses.filter_map(parsed).collect();
            let ports = slice.ports.iter().flatten().filter_map(|port| port.port);
            (addresses, ports.collect::<Vec<i32>>())
        })
        .filter(|(addresses, ports)| !addresses.is_empty() && !ports.is_empty())
        .map(|(addresses, ports)| egress::to_addresses(&addresses, &ports))
        .collect();
    let spec = service.spec.unwrap_or_default();
    let addresses: Vec<IpAddr> = spec
        .cluster_ips
        .iter()
        .flatten()
        .filter_map(parsed)
        .collect();
    let ports: Vec<i32> = spec.ports.iter().flatten().map(|port| port.port).collect();
    if !addresses.is_empty() && !ports.is_empty() {
        rules.push(egress::to_addresses(&addresses, &ports));
    }
    if rules.is_empty() {
        rules.push(to_any_api_server());
    }
    rules
}
