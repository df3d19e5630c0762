//! A check from inside the cluster: a Job whose pod runs a command, whose report is its log, and nothing of which stays.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use futures::FutureExt as _;
use k8s_openapi::api::core::v1::Service as ClusterService;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::ListParams;
use kube::{Api, Client};
use mlops_core::kubernetes::egress;
use mlops_core::{Error, ErrorKind, Result, SecretName, SecretText, Service};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::ClusterTarget;
use super::check_objects::{Frame, NAME, to_any_api_server};
use super::check_pod::{PATIENCE, ended_pod, failed, late, read};
use crate::apply::{Applier, ApplyOptions, Outcome};
use crate::explain::{ObjectRef, Waits, hopeless};
use crate::objects::ObjectSet;

/// Where the pod finds its files.
pub const FILES_AT: &str = "/etc/mlops";

/// Where the pod finds the secrets that are handed in.
pub const HANDED_AT: &str = "/run/mlops";

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
        removed.map(|()| ended)
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
            cause = hopeless(&client, &subject, Waits::ForCheck, &|_| {}) => return Err(failed(&cause)),
            () = tokio::time::sleep(PATIENCE) => {
                return Err(late(&client, &subject).await);
            }
        };
        read(&client, self.namespace(), &subject, &pod).await
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
