//! Readiness of the kinds of Kubernetes itself.

use serde_json::Value;

use super::status::{Condition, Status, condition};
use crate::objects::GroupKind;

/// The state of an object of a kind that has rules of its own.
pub(super) fn status(kind: &GroupKind, json: &Value) -> Option<Status> {
    Some(match (kind.group.as_str(), kind.kind.as_str()) {
        ("apps", "Deployment") => deployment(json),
        ("apps", "StatefulSet") => stateful_set(json),
        ("apps", "DaemonSet") => daemon_set(json),
        ("apps", "ReplicaSet") => replica_set(json),
        ("", "Pod") => pod(json),
        ("batch", "Job") => job(json),
        ("", "PersistentVolumeClaim") => phase(json, &["Bound"], &["Lost"]),
        ("", "PersistentVolume") => phase(json, &["Bound", "Available", "Released"], &["Failed"]),
        ("", "Namespace") => phase(json, &["Active"], &[]),
        ("", "Service") => service(json),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => definition(json),
        ("apiregistration.k8s.io", "APIService") => api_service(json),
        ("policy", "PodDisruptionBudget") => budget(json),
        ("networking.k8s.io", "Ingress") | ("batch", "CronJob") => Status::Ready,
        _ => return None,
    })
}

fn number(json: &Value, path: &str) -> Option<i64> {
    json.pointer(path).and_then(Value::as_i64)
}

fn count(json: &Value, path: &str) -> i64 {
    number(json, path).unwrap_or_default()
}

fn text<'a>(json: &'a Value, path: &str) -> &'a str {
    json.pointer(path)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn waiting(why: impl Into<String>) -> Status {
    Status::InProgress(why.into())
}

/// Whether the controller has written a status at all.
fn is_unseen(json: &Value) -> bool {
    number(json, "/status/observedGeneration").is_none()
}

const UNSEEN: &str = "its controller has not seen it";

fn deployment(json: &Value) -> Status {
    let progress = condition(json, "Progressing");
    if let Some(progress) =
        progress.filter(|progress| progress.why("").starts_with("ProgressDeadlineExceeded"))
    {
        return Status::Failed(progress.why(""));
    }
    if is_unseen(json) {
        return waiting(UNSEEN);
    }
    let wanted = number(json, "/spec/replicas").unwrap_or(1);
    let updated = count(json, "/status/updatedReplicas");
    if updated < wanted {
        let failure = condition(json, "ReplicaFailure").filter(Condition::is_true);
        let why = failure.map_or(String::new(), |failure| format!(": {}", failure.why("")));
        return waiting(format!(
            "{updated} of {wanted} replicas are of the new version{why}"
        ));
    }
    let all = count(json, "/status/replicas");
    if all > updated {
        return waiting(format!(
            "{} replicas of the old version are still there",
            all - updated
        ));
    }
    let available = count(json, "/status/availableReplicas");
    if available < updated {
        return waiting(format!("{available} of {updated} replicas are available"));
    }
    match condition(json, "Available") {
        Some(condition) if !condition.is_true() => waiting(condition.why("it is not available")),
        _ => Status::Ready,
    }
}

fn stateful_set(json: &Value) -> Status {
    if is_unseen(json) {
        return waiting(UNSEEN);
    }
    let wanted = number(json, "/spec/replicas").unwrap_or(1);
    for (field, what) in [("replicas", "are there"), ("readyReplicas", "are ready")] {
        let found = count(json, &format!("/status/{field}"));
        if found < wanted {
            return waiting(format!("{found} of {wanted} replicas {what}"));
        }
    }
    if count(json, "/status/replicas") > wanted {
        return waiting("replicas are still being ended");
    }
    if text(json, "/spec/updateStrategy/type") == "OnDelete" {
        return Status::Ready;
    }
    let partition = count(json, "/spec/updateStrategy/rollingUpdate/partition");
    let updated = count(json, "/status/updatedReplicas");
    if partition > 0 {
        let needed = (wanted - partition).max(0);
        return if updated < needed {
            waiting(format!(
                "{updated} of {needed} replicas are of the new version"
            ))
        } else {
            Status::Ready
        };
    }
    if text(json, "/status/currentRevision") != text(json, "/status/updateRevision") {
        return waiting(format!(
            "{updated} of {wanted} replicas are of the new version"
        ));
    }
    Status::Ready
}

fn daemon_set(json: &Value) -> Status {
    if is_unseen(json) {
        return waiting(UNSEEN);
    }
    let wanted = count(json, "/status/desiredNumberScheduled");
    for (field, what) in [
        ("currentNumberScheduled", "have a pod"),
        ("updatedNumberScheduled", "have a pod of the new version"),
        ("numberAvailable", "have a pod that is available"),
        ("numberReady", "have a pod that is ready"),
    ] {
        let found = count(json, &format!("/status/{field}"));
        if found < wanted
            && !(field == "updatedNumberScheduled"
                && text(json, "/spec/updateStrategy/type") == "OnDelete")
        {
            return waiting(format!("{found} of {wanted} nodes {what}"));
        }
    }
    Status::Ready
}

fn replica_set(json: &Value) -> Status {
    if is_unseen(json) {
        return waiting(UNSEEN);
    }
    let wanted = number(json, "/spec/replicas").unwrap_or(1);
    if let Some(failure) = condition(json, "ReplicaFailure").filter(Condition::is_true) {
        return waiting(failure.why("it cannot make its pods"));
    }
    for (field, what) in [
        ("availableReplicas", "are available"),
        ("readyReplicas", "are ready"),
    ] {
        let found = count(json, &format!("/status/{field}"));
        if found < wanted {
            return waiting(format!("{found} of {wanted} replicas {what}"));
        }
    }
    if count(json, "/status/replicas") > wanted {
        return waiting("replicas are still being ended");
    }
    Status::Ready
}

fn pod(json: &Value) -> Status {
    match text(json, "/status/phase") {
        "Succeeded" => Status::Ready,
        "Failed" => {
            let why = [text(json, "/status/reason"), text(json, "/status/message")].join(" ");
            let why = crate::error::printable(why.trim());
            Status::Failed(if why.is_empty() {
                "its containers have ended".to_owned()
            } else {
                why
            })
        }
        "Running" | "Pending" => match condition(json, "Ready") {
            Some(ready) if ready.is_true() => Status::Ready,
            _ => waiting(pod_waits(json)),
        },
        _ => waiting("it is not seen by the scheduler"),
    }
}

/// What a pod waits for: the first container that says why, or the scheduler.
fn pod_waits(json: &Value) -> String {
    let containers = ["/status/initContainerStatuses", "/status/containerStatuses"];
    let containers = containers
        .iter()
        .filter_map(|path| json.pointer(path).and_then(Value::as_array))
        .flatten();
    for container in containers {
        let reason = text(container, "/state/waiting/reason");
        if !reason.is_empty() {
            let name = text(container, "/name");
            return crate::error::printable(&format!("container {name}: {reason}"));
        }
    }
    match condition(json, "PodScheduled") {
        Some(scheduled) if !scheduled.is_true() => scheduled.why("it has no node"),
        _ => "its containers are not ready".to_owned(),
    }
}

fn job(json: &Value) -> Status {
    if let Some(failed) = condition(json, "Failed").filter(Condition::is_true) {
        return Status::Failed(failed.why("it has failed"));
    }
    if condition(json, "Complete").is_some_and(|complete| complete.is_true()) {
        return Status::Ready;
    }
    if json.pointer("/spec/suspend").and_then(Value::as_bool) == Some(true) {
        return waiting("it is suspended");
    }
    let (active, failed) = (count(json, "/status/active"), count(json, "/status/failed"));
    waiting(format!("{active} pods run, {failed} have failed"))
}

fn phase(json: &Value, ready: &[&str], failed: &[&str]) -> Status {
    let phase = text(json, "/status/phase");
    if ready.contains(&phase) {
        return Status::Ready;
    }
    if failed.contains(&phase) {
        return Status::Failed(format!("its phase is {phase}"));
    }
    waiting(match phase {
        "" => "it has no phase".to_owned(),
        phase => format!("its phase is {}", crate::error::printable(phase)),
    })
}

fn service(json: &Value) -> Status {
    if text(json, "/spec/type") != "LoadBalancer" {
        return Status::Ready;
    }
    let addresses = json
        .pointer("/status/loadBalancer/ingress")
        .and_then(Value::as_array);
    if addresses.is_some_and(|addresses| !addresses.is_empty()) {
        return Status::Ready;
    }
    waiting("its load balancer has no address")
}

fn definition(json: &Value) -> Status {
    if let Some(names) = condition(json, "NamesAccepted").filter(|names| names.status == "False") {
        return Status::Failed(names.why("its names are taken"));
    }
    match condition(json, "Established") {
        Some(established) if established.is_true() => Status::Ready,
        Some(established) => waiting(established.why("it is not established")),
        None => waiting("it is not established"),
    }
}

fn api_service(json: &Value) -> Status {
    match condition(json, "Available") {
        Some(available) if available.is_true() => Status::Ready,
        Some(available) => waiting(available.why("it is not available")),
        None => waiting("it is not available"),
    }
}

fn budget(json: &Value) -> Status {
    if is_unseen(json) {
        return waiting(UNSEEN);
    }
    let (healthy, wanted) = (
        count(json, "/status/currentHealthy"),
        count(json, "/status/desiredHealthy"),
    );
    if healthy < wanted {
        return waiting(format!("{healthy} of {wanted} pods are healthy"));
    }
    Status::Ready
}

#[cfg(test)]
mod tests;
