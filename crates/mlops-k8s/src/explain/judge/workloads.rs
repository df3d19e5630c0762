//! Jobs, Deployments, autoscalers, and what the conditions of any object say.

use serde_json::Value;

use super::super::codes::CauseCode;
use super::super::facts::{Object, text};
use super::{Finding, Rule, Scene, judge_refusal};

pub(super) const RULES: &[Rule] = &[
    Rule::consequence(CauseCode::JobBackoffLimit, &["Job"], |s| {
        failed_job(s, "BackoffLimitExceeded")
    }),
    Rule::consequence(CauseCode::JobDeadline, &["Job"], |s| {
        failed_job(s, "DeadlineExceeded")
    }),
    Rule::consequence(
        CauseCode::ProgressDeadline,
        &["Deployment"],
        progress_deadline,
    ),
    Rule::fault(
        CauseCode::ScaleTargetMissing,
        &["HorizontalPodAutoscaler"],
        scale_target,
    ),
    Rule::fault(
        CauseCode::MetricsMissing,
        &["HorizontalPodAutoscaler"],
        metrics,
    ),
];

/// What is looked at when nothing else is known of an object.
pub(super) const LAST_RULES: &[Rule] =
    &[Rule::consequence(CauseCode::ConditionSaysSo, &[], says_so)];

fn failed_job(scene: &Scene<'_>, reason: &str) -> Option<Finding> {
    let condition = scene
        .object
        .condition("Failed")
        .filter(|c| text(c, "/status") == "True")?;
    if text(condition, "/reason") != reason {
        return None;
    }
    Some(
        Finding::new(text(condition, "/message"))
            .with([scene.object.condition_evidence(condition)]),
    )
}

fn progress_deadline(scene: &Scene<'_>) -> Option<Finding> {
    let condition = scene
        .object
        .condition("Progressing")
        .filter(|c| text(c, "/status") == "False")?;
    Some(
        Finding::new(text(condition, "/message"))
            .with([scene.object.condition_evidence(condition)]),
    )
}

fn scale_target(scene: &Scene<'_>) -> Option<Finding> {
    let condition = scene
        .object
        .condition("AbleToScale")
        .filter(|c| text(c, "/status") == "False")?;
    if text(condition, "/reason") != "FailedGetScale" {
        return None;
    }
    Some(
        Finding::new(text(condition, "/message"))
            .with([scene.object.condition_evidence(condition)]),
    )
}

fn metrics(scene: &Scene<'_>) -> Option<Finding> {
    let condition = scene
        .object
        .condition("ScalingActive")
        .filter(|c| text(c, "/status") == "False")?;
    let reason = text(condition, "/reason");
    if !reason.starts_with("FailedGet") && reason != "InvalidMetricSourceType" {
        return None;
    }
    Some(
        Finding::new(text(condition, "/message"))
            .with([scene.object.condition_evidence(condition)]),
    )
}

fn says_so(scene: &Scene<'_>) -> Option<Finding> {
    // Pods, and what has pods, say by their conditions only that something below is not ready.
    if matches!(
        scene.object.id.kind.as_str(),
        "Pod" | "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet"
    ) || scene.object.id.kind == "HorizontalPodAutoscaler"
    {
        return None;
    }
    let condition = telling_condition(scene.object)?;
    let message = [
        text(condition, "/message"),
        text(condition, "/reason"),
        text(condition, "/type"),
    ]
    .into_iter()
    .find(|part| !part.is_empty())?;
    let evidence = [scene.object.condition_evidence(condition)];
    Some(match judge_refusal(message) {
        Some((code, finding)) => finding.with_code(code).with(evidence),
        None => Finding::new(message).with(evidence),
    })
}

/// The condition by which an object of any kind says that it is not well.
pub(super) fn telling_condition(object: &Object) -> Option<&Value> {
    const GOOD: &[&str] = &[
        "Ready",
        "Available",
        "Established",
        "NamesAccepted",
        "Synced",
        "Healthy",
    ];
    const BAD: &[&str] = &["Failed", "Degraded", "Stalled", "ReconcileFailed"];
    let conditions = object.list("/status/conditions");
    let is = |condition: &Value, kinds: &[&str], status: &str| {
        kinds.contains(&text(condition, "/type")) && text(condition, "/status") == status
    };
    let bad = conditions
        .iter()
        .find(|condition| is(condition, BAD, "True"));
    bad.or_else(|| {
        conditions
            .iter()
            .find(|condition| is(condition, GOOD, "False"))
    })
}
