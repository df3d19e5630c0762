//! Pods that are on their way out: as long as they are there, a workload may count them as ready.

use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};
use mlops_core::kubernetes::ObjectSpec;
use mlops_core::{Resource, Result};
use serde_json::Value;

use super::provider::PATIENCE;
use crate::error::wrap;
use crate::objects::ObjectId;
use crate::wait::{WaitOptions, Waiter};

/// Which pods are waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// All that run: whatever they belong to runs none. Those of a Job that is done stay.
    All,
    /// Those that somebody has removed.
    Leaving,
}

/// Waits until pods with these labels are gone.
pub(super) async fn until_gone(
    client: &Client,
    namespace: &str,
    labels: &str,
    which: Which,
) -> Result<()> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let mut wanted = ListParams::default().labels(labels);
    if which == Which::All {
        wanted = wanted.fields("status.phase!=Succeeded,status.phase!=Failed");
    }
    let found = pods
        .list_metadata(&wanted)
        .await
        .map_err(|error| wrap(error, format!("look for the pods of `{labels}`")))?;
    let there = found
        .items
        .iter()
        .filter(|pod| which == Which::All || pod.metadata.deletion_timestamp.is_some());
    let ids: Vec<ObjectId> = there
        .map(|pod| ObjectId::new("", "Pod", Some(namespace), pod.name_any()))
        .collect();
    if ids.is_empty() {
        return Ok(());
    }
    Waiter::new(client.clone())
        .wait_until_gone(&ids, &WaitOptions::new(PATIENCE), &|_| {})
        .await
}

/// By which labels a workload finds its pods.
fn selector(spec: &ObjectSpec) -> Option<String> {
    let labels = spec.object.pointer("/spec/selector/matchLabels")?;
    let labels = labels.as_object()?.iter();
    let labels = labels.filter_map(|(name, value)| Some(format!("{name}={}", value.as_str()?)));
    Some(labels.collect::<Vec<_>>().join(",")).filter(|labels| !labels.is_empty())
}

/// Waits for what is left of the pods that a `StatefulSet` had before: its numbers do not tell them from new ones.
pub(super) async fn until_old_are_gone(
    client: &Client,
    namespace: &str,
    resource: &Resource,
) -> Result<()> {
    let spec: ObjectSpec = resource.typed()?;
    let kind = spec.object.get("kind").and_then(Value::as_str);
    match selector(&spec) {
        Some(labels) if kind == Some("StatefulSet") => {
            until_gone(client, namespace, &labels, Which::Leaving).await
        }
        _ => Ok(()),
    }
}
