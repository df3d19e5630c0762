//! What a controller may not create: quota, limits, Pod Security, accounts, webhooks, rights.

use super::super::codes::CauseCode;
use super::super::facts::{Event, text};
use super::{Finding, Rule, Scene, judge_refusal};

const OWNERS: &[&str] = &[
    "ReplicaSet",
    "StatefulSet",
    "DaemonSet",
    "Job",
    "ReplicationController",
    "CronJob",
];

pub(super) const RULES: &[Rule] = &[
    Rule::fault(CauseCode::CreateRefused, OWNERS, refused_create),
    Rule::fault(CauseCode::CreateRefused, &["Deployment"], replica_failure),
];

/// The last event that says that a pod could not be created, while pods are missing.
fn refused_create(scene: &Scene<'_>) -> Option<Finding> {
    let failed = scene
        .facts
        .events_of(scene.object)
        .find(|event| event.reason == "FailedCreate")?;
    if is_over(scene, failed) {
        return None;
    }
    let message = failed
        .message
        .strip_prefix("Error creating: ")
        .unwrap_or(&failed.message);
    let (code, finding) =
        judge_refusal(message).unwrap_or_else(|| (CauseCode::CreateRefused, Finding::new(message)));
    Some(
        finding
            .with_code(code)
            .with([failed.evidence()])
            .with(more(scene, code)),
    )
}

/// Whether what could not be created has been since: the events stay for an hour.
fn is_over(scene: &Scene<'_>, failed: &Event) -> bool {
    let object = scene.object;
    if matches!(
        object.id.kind.as_str(),
        "ReplicaSet" | "StatefulSet" | "ReplicationController"
    ) {
        let wanted = object.at("/spec/replicas").as_i64().unwrap_or(1);
        return object.number("/status/replicas") >= wanted;
    }
    let mut events = scene.facts.events_of(object);
    events.any(|event| event.reason == "SuccessfulCreate" && event.last > failed.last)
}

/// A Deployment repeats what its `ReplicaSet` cannot do.
fn replica_failure(scene: &Scene<'_>) -> Option<Finding> {
    let condition = scene
        .object
        .condition("ReplicaFailure")
        .filter(|c| text(c, "/status") == "True")?;
    let message = text(condition, "/message");
    let (code, finding) =
        judge_refusal(message).unwrap_or_else(|| (CauseCode::CreateRefused, Finding::new(message)));
    Some(
        finding
            .with_code(code)
            .with([scene.object.condition_evidence(condition)]),
    )
}

fn more(scene: &Scene<'_>, code: CauseCode) -> Option<super::Evidence> {
    if code != CauseCode::ServiceAccountMissing {
        return None;
    }
    let named = scene.object.text("/spec/template/spec/serviceAccountName");
    scene
        .facts
        .is_absent("ServiceAccount", named)
        .then(|| super::Evidence::Missing {
            object: scene.object.neighbour("ServiceAccount", named),
        })
}
