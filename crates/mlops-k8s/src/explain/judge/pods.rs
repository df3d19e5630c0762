//! Pods as a whole: put out, refused by their node, without a sandbox; and the nodes under them.

use super::super::codes::CauseCode;
use super::super::facts::text;
use super::{Finding, Rule, Scene};

pub(super) const RULES: &[Rule] = &[
    Rule::fault(CauseCode::Evicted, &["Pod"], evicted),
    Rule::fault(CauseCode::RejectedByNode, &["Pod"], rejected),
    Rule::fault(CauseCode::SandboxFailed, &["Pod"], sandbox),
    Rule::fault(CauseCode::NodeNotReady, &["Node"], node_not_ready),
];

fn evicted(scene: &Scene<'_>) -> Option<Finding> {
    let pod = scene.object;
    (pod.text("/status/reason") == "Evicted").then(|| {
        let message = pod.text("/status/message");
        Finding::new(message)
            .with([pod.field("status.reason", "Evicted")])
            .with(
                scene
                    .facts
                    .event(pod, "Evicted", "")
                    .map(super::super::facts::Event::evidence),
            )
    })
}

/// `OutOfcpu`, `OutOfmemory`, `NodeAffinity`, `NodePorts`, `UnexpectedAdmissionError` and the like: the pod has a reason
/// of its own, and no container ever started.
fn rejected(scene: &Scene<'_>) -> Option<Finding> {
    let pod = scene.object;
    let reason = pod.text("/status/reason");
    let never_started = pod.list("/status/containerStatuses").is_empty();
    let rejected = pod.text("/status/phase") == "Failed" && never_started && !reason.is_empty();
    (rejected
        && !matches!(
            reason,
            "Evicted" | "DeadlineExceeded" | "Shutdown" | "Terminated"
        ))
    .then(|| Finding::new(pod.text("/status/message")).with([pod.field("status.reason", reason)]))
}

fn sandbox(scene: &Scene<'_>) -> Option<Finding> {
    let pod = scene.object;
    let event = scene.facts.event(pod, "FailedCreatePodSandBox", "")?;
    // Once a container has run there was a sandbox after all.
    let ran = pod.list("/status/containerStatuses").iter().any(|status| {
        status.pointer("/state/running").is_some() || status.pointer("/state/terminated").is_some()
    });
    (!ran && pod.text("/status/phase") == "Pending")
        .then(|| Finding::new(&event.message).with([event.evidence()]))
}

fn node_not_ready(scene: &Scene<'_>) -> Option<Finding> {
    let node = scene.object;
    let condition = node
        .condition("Ready")
        .filter(|c| text(c, "/status") != "True")?;
    Some(Finding::new(text(condition, "/message")).with([node.condition_evidence(condition)]))
}
