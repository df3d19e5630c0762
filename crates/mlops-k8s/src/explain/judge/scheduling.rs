//! Pods for which no node is found. The scheduler's message names each reason with the number of nodes.

use super::super::codes::CauseCode;
use super::super::facts::text;
use super::refusal::between;
use super::{Evidence, Finding, Rule, Scene, Weight};

const POD: &[&str] = &["Pod"];

/// By what each reason is recognised: `pkg/scheduler/framework/plugins/*` in kubernetes/kubernetes.
pub(super) const RULES: &[Rule] = &[
    Rule::fault(CauseCode::ClaimMissing, POD, |s| claim_missing(s)),
    Rule::fault(CauseCode::NoNodes, POD, |s| {
        says(s, &["no nodes available to schedule pods"])
    }),
    Rule::fault(CauseCode::UnschedulableCpu, POD, |s| {
        says(s, &["Insufficient cpu"])
    }),
    Rule::fault(CauseCode::UnschedulableMemory, POD, |s| {
        says(s, &["Insufficient memory"])
    }),
    Rule::fault(CauseCode::UnschedulableResource, POD, other_resource),
    Rule::fault(CauseCode::UnschedulablePods, POD, |s| {
        says(s, &["Too many pods"])
    }),
    Rule::fault(CauseCode::UnschedulablePorts, POD, |s| {
        says(s, &["didn't have free ports"])
    }),
    Rule::fault(CauseCode::NodeNotReady, POD, |s| says(s, NOT_READY)),
    Rule::fault(CauseCode::UnschedulableTaint, POD, tainted),
    Rule::fault(CauseCode::UnschedulableNode, POD, |s| {
        says(s, &["were unschedulable"])
    }),
    Rule::fault(CauseCode::UnschedulableSelector, POD, |s| says(s, SELECTOR)),
    Rule::fault(CauseCode::UnschedulablePodAffinity, POD, |s| {
        says(s, AFFINITY)
    }),
    Rule::fault(CauseCode::UnschedulableVolume, POD, |s| says(s, VOLUME)),
    Rule::consequence(CauseCode::UnschedulableVolume, POD, |s| {
        says(s, &["unbound immediate PersistentVolumeClaims"])
    }),
    Rule {
        code: CauseCode::Unschedulable,
        weight: Weight::Consequence,
        kinds: POD,
        judge: otherwise,
    },
];

const NOT_READY: &[&str] = &[
    "{node.kubernetes.io/not-ready",
    "{node.kubernetes.io/unreachable",
];
const SELECTOR: &[&str] = &[
    "node affinity/selector",
    "didn't match the requested node name",
];
const AFFINITY: &[&str] = &[
    "pod affinity rules",
    "pod anti-affinity rules",
    "pods anti-affinity rules",
    "pod topology spread constraints",
];
const VOLUME: &[&str] = &[
    "volume node affinity conflict",
    "match PersistentVolume's node affinity",
    "no available volume zone",
    "find available persistent volumes to bind",
    "not have enough free storage",
    "exceed max volume count",
    "ReadWriteOncePod",
    "had no available disk",
    "bound to non-existent pv",
];

/// What the scheduler said last, as long as the pod has no node.
fn verdict<'a>(scene: &Scene<'a>) -> Option<(&'a str, Evidence)> {
    let pod = scene.object;
    if !pod.text("/spec/nodeName").is_empty() {
        return None;
    }
    if let Some(event) = scene
        .facts
        .events_of(pod)
        .find(|event| event.reason == "FailedScheduling")
    {
        return Some((&event.message, event.evidence()));
    }
    let condition = pod
        .condition("PodScheduled")
        .filter(|c| text(c, "/status") == "False")?;
    Some((
        text(condition, "/message"),
        pod.condition_evidence(condition),
    ))
}

/// The verdict without what it says about making room.
fn reasons(message: &str) -> &str {
    message
        .split(" preemption: ")
        .next()
        .unwrap_or(message)
        .trim_end()
}

fn says(scene: &Scene<'_>, any_of: &[&str]) -> Option<Finding> {
    let (message, evidence) = verdict(scene)?;
    let reasons = reasons(message);
    any_of
        .iter()
        .any(|text| reasons.contains(text))
        .then(|| Finding::new(reasons).with([evidence]))
}

fn claim_missing(scene: &Scene<'_>) -> Option<Finding> {
    let (message, evidence) = verdict(scene)?;
    let claim = between(message, "persistentvolumeclaim \"", "\" not found")?;
    let object = scene.object.neighbour("PersistentVolumeClaim", claim);
    Some(
        Finding::new(format!("PersistentVolumeClaim {claim} is not there"))
            .with([Evidence::Missing { object }, evidence]),
    )
}

fn other_resource(scene: &Scene<'_>) -> Option<Finding> {
    let (message, evidence) = verdict(scene)?;
    let named = reasons(message)
        .split("Insufficient ")
        .skip(1)
        .filter_map(|rest| rest.split([',', ' ']).next())
        .map(|name| name.trim_end_matches('.'))
        .find(|name| !matches!(*name, "cpu" | "memory"))?;
    Some(Finding::new(format!("no node has enough {named}")).with([evidence]))
}

/// Taints that are not those of a node that does not work. Newer schedulers do not say which taint.
fn tainted(scene: &Scene<'_>) -> Option<Finding> {
    let finding = says(
        scene,
        &["untolerated taint", "taints that the pod didn't tolerate"],
    )?;
    if says(scene, NOT_READY).is_some() {
        return None;
    }
    let taints: Vec<Evidence> = scene
        .facts
        .of_kind("Node")
        .flat_map(|node| {
            node.list("/spec/taints")
                .iter()
                .map(move |taint| (node, taint))
        })
        .map(|(node, taint)| {
            let value = text(taint, "/value");
            let equals = if value.is_empty() { "" } else { "=" };
            let taint = format!(
                "{}{equals}{value}:{}",
                text(taint, "/key"),
                text(taint, "/effect")
            );
            node.field("spec.taints", &taint)
        })
        .take(5)
        .collect();
    Some(finding.with(taints))
}

/// Whatever else the scheduler says, unless one of the reasons above is in it.
fn otherwise(scene: &Scene<'_>) -> Option<Finding> {
    let (message, evidence) = verdict(scene)?;
    let known = RULES
        .iter()
        .filter(|rule| rule.code != CauseCode::Unschedulable);
    for rule in known {
        if (rule.judge)(scene).is_some() {
            return None;
        }
    }
    (!message.is_empty()).then(|| Finding::new(reasons(message)).with([evidence]))
}
