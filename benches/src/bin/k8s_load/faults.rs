//! Pods that cannot become ready, and how soon after the first evidence the cause is named.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use futures::{StreamExt as _, TryStreamExt as _};
use mlops_k8s::explain::{ObjectRef, explain_until};
use mlops_k8s::kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind};
use mlops_k8s::kube::runtime::WatchStreamExt as _;
use mlops_k8s::kube::runtime::watcher::{self, watcher};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{Place, create};

/// How long a fault may take to show.
const PATIENCE: Duration = Duration::from_mins(1);

/// Reasons of a container that waits and may yet start.
const STARTING: [&str; 2] = ["ContainerCreating", "PodInitializing"];

#[derive(Debug, Serialize)]
pub(crate) struct Explained {
    /// The cause, as its code.
    cause: &'static str,
    /// Milliseconds from the first evidence that a watch was told of.
    after_evidence: f64,
}

/// A pod with each fault, by the code of its cause. The image is that of the test node.
fn faults() -> Vec<(&'static str, Value)> {
    let container = |rest: Value| {
        let mut container = json!({ "name": "main", "image": "localhost/busybox:1" });
        if let (Some(container), Value::Object(rest)) = (container.as_object_mut(), rest) {
            container.extend(rest);
        }
        json!({ "restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "containers": [container] })
    };
    let shell = |text: &str| json!(["/bin/sh", "-c", text]);
    vec![
        (
            "image-never-pull",
            container(json!({ "image": "localhost/missing:1", "imagePullPolicy": "Never" })),
        ),
        (
            "container-failed",
            container(json!({ "command": shell("echo no such table; exit 2") })),
        ),
        (
            "out-of-memory",
            container(json!({
                "command": ["/bin/busybox", "tail", "/dev/zero"],
                "resources": { "limits": { "memory": "32Mi" } },
            })),
        ),
        (
            "readiness-probe-failing",
            container(json!({
                "command": shell("sleep 600"),
                "readinessProbe": { "exec": { "command": shell("echo not yet; exit 1") }, "periodSeconds": 1 },
            })),
        ),
        (
            "unschedulable-cpu",
            container(json!({ "resources": { "requests": { "cpu": "4000" } } })),
        ),
        (
            "config-map-missing",
            container(json!({ "envFrom": [{ "configMapRef": { "name": "settings" } }] })),
        ),
    ]
}

/// Whether a pod or an event about one tells of a fault.
fn is_evidence(object: &Value) -> bool {
    if object["type"] == "Warning" {
        return true;
    }
    let list = |at: &str| object.pointer(at).and_then(Value::as_array);
    let unscheduled = list("/status/conditions").is_some_and(|conditions| {
        conditions
            .iter()
            .any(|one| one["type"] == "PodScheduled" && one["status"] == "False")
    });
    let broken = list("/status/containerStatuses").is_some_and(|containers| {
        containers.iter().any(|one| {
            let waits = one.pointer("/state/waiting/reason").and_then(Value::as_str);
            let exit = one.pointer("/state/terminated/exitCode");
            waits.is_some_and(|reason| !STARTING.contains(&reason))
                || exit.and_then(Value::as_i64).is_some_and(|code| code != 0)
        })
    });
    unscheduled || broken
}

/// The moment at which a watch is first told of a fault in the namespace.
async fn first_evidence(client: &mlops_k8s::kube::Client, namespace: &str) -> Result<Instant> {
    let watched = ["Pod", "Event"].map(|kind| {
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", kind));
        let api = Api::<DynamicObject>::namespaced_with(client.clone(), namespace, &kind);
        watcher(api, watcher::Config::default())
            .touched_objects()
            .boxed()
    });
    let mut objects = futures::stream::select_all(watched);
    while let Some(object) = objects.try_next().await? {
        if is_evidence(&serde_json::to_value(&object)?) {
            return Ok(Instant::now());
        }
    }
    bail!("the watch ended")
}

/// Makes the pods one after another in namespaces of their own, and has each explained.
pub(crate) async fn explained(place: &Place) -> Result<Vec<Explained>> {
    let client = place.connect().await?;
    let mut all = Vec::new();
    for (number, (cause, spec)) in faults().into_iter().enumerate() {
        let namespace = format!("{}-{number}", place.namespace);
        let body = json!({ "metadata": { "name": namespace } });
        create(&client, "/api/v1/namespaces", &body).await?;
        wait_for_account(&client, &namespace).await?;
        let subject = ObjectRef::new("v1", "Pod", Some(&namespace), "faulty");
        let answer = async {
            let is_named = |found: &mlops_k8s::explain::Explanation| {
                let code = found.cause.as_ref().map(|cause| cause.code.as_str());
                code == Some(cause)
            };
            explain_until(&client, &subject, PATIENCE, is_named).await?;
            anyhow::Ok(Instant::now())
        };
        let evidence = async {
            let found = tokio::time::timeout(PATIENCE, first_evidence(&client, &namespace)).await;
            found.context("there was no evidence")?
        };
        let start = async {
            // Both watch by then.
            tokio::time::sleep(Duration::from_millis(300)).await;
            let body = json!({ "metadata": { "name": "faulty" }, "spec": spec });
            create(
                &client,
                &format!("/api/v1/namespaces/{namespace}/pods"),
                &body,
            )
            .await
        };
        let (named, shown, ()) = tokio::try_join!(answer, evidence, start)
            .with_context(|| format!("failed to see `{cause}` explained"))?;
        let after = named.saturating_duration_since(shown);
        all.push(Explained {
            cause,
            after_evidence: after.as_secs_f64() * 1000.0,
        });
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Namespace"));
        Api::<DynamicObject>::all_with(client.clone(), &kind)
            .delete(&namespace, &mlops_k8s::kube::api::DeleteParams::default())
            .await?;
    }
    Ok(all)
}

/// A controller makes the account that pods have.
async fn wait_for_account(client: &mlops_k8s::kube::Client, namespace: &str) -> Result<()> {
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "ServiceAccount"));
    let api = Api::<DynamicObject>::namespaced_with(client.clone(), namespace, &kind);
    let only = watcher::Config::default().fields("metadata.name=default");
    let mut made = watcher(api, only).applied_objects().boxed();
    tokio::time::timeout(PATIENCE, made.try_next())
        .await
        .context("no account was made")??;
    Ok(())
}
