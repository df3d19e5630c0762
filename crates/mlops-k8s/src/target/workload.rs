//! What runs the pods of a component: how it is, and how many pods it runs.

use std::collections::BTreeMap;

use kube::api::{DynamicObject, Patch, PatchParams};
use mlops_core::{Resource, Result};
use serde_json::{Value, json};

use super::Connection;
use super::kinds::{api, kind_of};
use crate::error::wrap;
use crate::wait::{ReadyRules, Status, status_of};

/// How workloads are, by component.
pub(super) async fn status<'r>(
    to: &Connection,
    workloads: impl Iterator<Item = &'r Resource>,
    namespace: &str,
) -> Result<BTreeMap<String, Status>> {
    let client = to.client().await?;
    let mut statuses = BTreeMap::new();
    for resource in workloads {
        let Some((kind, name)) = kind_of(resource, to).await? else {
            continue;
        };
        let found = api(&client, &kind, namespace).get_opt(&name).await;
        let found = found.map_err(|error| wrap(error, format!("look at `{}`", resource.id)))?;
        let status = match found {
            None => Status::Absent,
            Some(object) if replicas(&object) == Some(0) => Status::Absent,
            Some(object) => {
                let json = serde_json::to_value(&object).unwrap_or_default();
                status_of(&kind.group_kind(), &json, &ReadyRules::default())
            }
        };
        statuses.insert(resource.component.to_string(), status);
    }
    Ok(statuses)
}

/// Whether a workload was told to run no pods, which is never wanted.
pub(super) fn is_down(json: &Value) -> bool {
    json.pointer("/spec/replicas").and_then(Value::as_u64) == Some(0)
}

/// Has a workload run a pod again whose number is not ours to say; an autoscaler leaves one without pods alone.
pub(super) async fn scale_up(to: &Connection, resource: &Resource, namespace: &str) -> Result<()> {
    let Some((kind, name)) = kind_of(resource, to).await? else {
        return Ok(());
    };
    let api = api(&to.client().await?, &kind, namespace);
    let doing = || format!("start `{}`", resource.id);
    let now = api.get(&name).await.map_err(|error| wrap(error, doing()))?;
    if replicas(&now) != Some(0) {
        return Ok(());
    }
    let one = json!({ "spec": { "replicas": 1 } });
    let patched = api
        .patch(&name, &PatchParams::default(), &Patch::Merge(&one))
        .await;
    patched.map(drop).map_err(|error| wrap(error, doing()))
}

fn replicas(object: &DynamicObject) -> Option<u64> {
    object
        .data
        .pointer("/spec/replicas")
        .and_then(Value::as_u64)
}

/// Has a workload run no pods; whether it did before.
pub(super) async fn scale_down(
    to: &Connection,
    resource: &Resource,
    namespace: &str,
) -> Result<bool> {
    let doing = || format!("stop `{}`", resource.id);
    let Some((kind, name)) = kind_of(resource, to).await? else {
        return Ok(false);
    };
    let api = api(&to.client().await?, &kind, namespace);
    let found = api
        .get_opt(&name)
        .await
        .map_err(|error| wrap(error, doing()))?;
    if found
        .as_ref()
        .is_none_or(|object| replicas(object) == Some(0))
    {
        return Ok(false);
    }
    let none = json!({ "spec": { "replicas": 0 } });
    api.patch(&name, &PatchParams::default(), &Patch::Merge(&none))
        .await
        .map_err(|error| wrap(error, doing()))?;
    Ok(true)
}
