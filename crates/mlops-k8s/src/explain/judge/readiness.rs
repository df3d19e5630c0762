//! Whether an object says of itself that it is ready.

use super::super::facts::{Object, number, text};
use super::Scene;

/// Whether an object is ready by its own status. Kinds without one are ready as soon as they are there.
pub(crate) fn is_ready(scene: &Scene<'_>) -> bool {
    let object = scene.object;
    if object.has("/metadata/deletionTimestamp") {
        return false;
    }
    match object.id.kind.as_str() {
        "Pod" => is_pod_ready(object),
        "Deployment" | "ReplicaSet" | "StatefulSet" if is_of(object, "apps") => {
            has_replicas(object)
        }
        "DaemonSet" if is_of(object, "apps") => {
            let wanted = object.number("/status/desiredNumberScheduled");
            is_observed(object)
                && object.number("/status/numberAvailable") >= wanted
                && object.number("/status/updatedNumberScheduled") >= wanted
        }
        "Job" if is_of(object, "batch") => object.is_condition("Complete", "True"),
        "PersistentVolumeClaim" => object.text("/status/phase") == "Bound",
        "Node" => object.is_condition("Ready", "True"),
        "Namespace" => object.text("/status/phase") != "Terminating",
        "Service" | "Ingress" | "HorizontalPodAutoscaler" | "CronJob" => true,
        _ => is_fine_by_conditions(object),
    }
}

fn is_of(object: &Object, group: &str) -> bool {
    object.id.group == group
}

fn is_pod_ready(pod: &Object) -> bool {
    pod.text("/status/phase") == "Succeeded" || pod.is_condition("Ready", "True")
}

fn is_observed(object: &Object) -> bool {
    object.number("/status/observedGeneration") >= object.number("/metadata/generation")
}

fn has_replicas(object: &Object) -> bool {
    let wanted = object.at("/spec/replicas").as_i64().unwrap_or(1);
    let status = object.at("/status");
    // A ReplicaSet does not count updated ones: all of its pods are of its one template.
    let updated = match object.id.kind.as_str() {
        "ReplicaSet" => number(status, "/replicas"),
        _ => number(status, "/updatedReplicas"),
    };
    let available = number(status, "/availableReplicas");
    is_observed(object)
        && updated >= wanted
        && available >= wanted
        && number(status, "/replicas") <= wanted
}

/// The rule for kinds that we do not know: none of the usual conditions says otherwise.
fn is_fine_by_conditions(object: &Object) -> bool {
    super::workloads::telling_condition(object).is_none()
}

/// The pod's containers that have a status, with whether they only prepare it.
pub(super) fn containers(pod: &Object) -> impl Iterator<Item = Container<'_>> {
    let init = pod
        .list("/status/initContainerStatuses")
        .iter()
        .map(|status| (status, true));
    let main = pod
        .list("/status/containerStatuses")
        .iter()
        .map(|status| (status, false));
    init.chain(main)
        .map(move |(status, init)| Container { pod, status, init })
}

/// A container as its pod's status shows it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Container<'a> {
    pub(super) pod: &'a Object,
    pub(super) status: &'a serde_json::Value,
    pub(super) init: bool,
}

impl<'a> Container<'a> {
    pub(super) fn name(&self) -> &'a str {
        text(self.status, "/name")
    }

    pub(super) fn waits_for(&self) -> &'a str {
        text(self.status, "/state/waiting/reason")
    }

    pub(super) fn waiting_message(&self) -> &'a str {
        text(self.status, "/state/waiting/message")
    }

    pub(super) fn is_running(&self) -> bool {
        self.status.pointer("/state/running").is_some()
    }

    pub(super) fn restarts(&self) -> i64 {
        number(self.status, "/restartCount")
    }

    /// How it ended: now, or before it was started again.
    pub(super) fn ended(&self) -> Option<&'a serde_json::Value> {
        let now = self.status.pointer("/state/terminated");
        now.or_else(|| self.status.pointer("/lastState/terminated"))
    }

    /// How it ended, if that was with an error.
    pub(super) fn failed(&self) -> Option<&'a serde_json::Value> {
        self.ended().filter(|ended| number(ended, "/exitCode") != 0)
    }

    /// Its state now.
    pub(super) fn evidence(&self) -> super::Evidence {
        let state = ["waiting", "terminated", "running"]
            .into_iter()
            .find(|state| self.status.pointer(&format!("/state/{state}")).is_some())
            .unwrap_or("waiting");
        self.state_evidence(
            state,
            super::super::facts::at(self.status, &format!("/state/{state}")),
        )
    }

    /// How it ended.
    pub(super) fn end_evidence(&self) -> Option<super::Evidence> {
        self.ended()
            .map(|ended| self.state_evidence("terminated", ended))
    }

    fn state_evidence(&self, state: &str, value: &serde_json::Value) -> super::Evidence {
        super::Evidence::Container {
            about: self.pod.id.clone(),
            container: super::clean(self.name()),
            state: state.to_owned(),
            reason: super::clean(text(value, "/reason")),
            message: super::clean(text(value, "/message")),
            exit_code: value.get("exitCode").and_then(serde_json::Value::as_i64),
            restarts: self.restarts(),
        }
    }
}
