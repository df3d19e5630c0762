//! Pods for which no node is found. The scheduler's message names each reason with the number of nodes.

use super::super::codes::CauseCode;
use serde_json::Value;

use super::super::facts::{Object, text};
use super::refusal::between;
use super::{Evidence, Finding, Rule, Scene};

const POD: &[&str] = &["Pod"];

/// By what each reason is recognised: `pkg/scheduler/framework/plugins/*` in kubernetes/kubernetes.
/// Nodes that are tainted, cordoned or not selected are not meant for the pod, so these reasons come last.
pub(super) const RULES: &[Rule] = &[
    Rule::fault(CauseCode::ClaimMissing, POD, claim_missing),
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
    Rule::fault(CauseCode::UnschedulablePodAffinity, POD, |s| {
        says(s, AFFINITY)
    }),
    Rule::fault(CauseCode::UnschedulableVolume, POD, |s| says(s, VOLUME)),
    Rule::fault(CauseCode::UnschedulableSelector, POD, not_selected),
    Rule::fault(CauseCode::UnschedulableNode, POD, cordoned),
    Rule::fault(CauseCode::UnschedulableTaint, POD, tainted),
    Rule::fault(CauseCode::NodeNotReady, POD, nodes_not_ready),
    Rule::consequence(CauseCode::UnschedulableVolume, POD, |s| {
        says(s, &["unbound immediate PersistentVolumeClaims"])
    }),
    Rule::consequence(CauseCode::Unschedulable, POD, otherwise),
];

const NOT_READY: &[&str] = &[
    "{node.kubernetes.io/not-ready",
    "{node.kubernetes.io/unreachable",
];
const TAINTED: &[&str] = &["untolerated taint", "taints that the pod didn't tolerate"];
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

/// The verdict without what it says about making room for the pod.
fn reasons(message: &str) -> &str {
    let ends = [" no new claims to deallocate", " preemption: "].map(|text| message.find(text));
    let end = ends.into_iter().flatten().min().unwrap_or(message.len());
    let reasons = message
        .get(..end)
        .unwrap_or(message)
        .trim_end_matches([' ', ',', '.']);
    // The scheduler of 1.35 ends a verdict so that it has no node for.
    reasons.strip_suffix(". not found").unwrap_or(reasons)
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

/// The nodes that the pod's node selector allows; all, if it has none.
fn allowed<'a>(scene: &Scene<'a>) -> impl Iterator<Item = &'a Object> {
    let selector = scene.object.at("/spec/nodeSelector");
    let nodes = scene.facts.of_kind("Node");
    nodes.filter(move |node| selector.is_null() || node.is_selected_by(selector))
}

/// A reason that holds for some node. Where the pod selects nodes and the reason is not one of theirs, it says little.
fn of_allowed(scene: &Scene<'_>, finding: Finding, is_it: impl Fn(&Object) -> bool) -> Finding {
    let selects = scene.object.has("/spec/nodeSelector") && allowed(scene).next().is_some();
    if selects && !allowed(scene).any(is_it) {
        finding.into_consequence()
    } else {
        finding
    }
}

fn not_selected(scene: &Scene<'_>) -> Option<Finding> {
    let finding = says(scene, SELECTOR)?;
    let selects = scene.object.has("/spec/nodeSelector");
    let selector = scene.object.at("/spec/nodeSelector").as_object();
    let pairs = selector.into_iter().flatten();
    let fields = pairs.map(|(key, value)| {
        scene.object.field(
            "spec.nodeSelector",
            &format!("{key}={}", value.as_str().unwrap_or_default()),
        )
    });
    let finding = finding.with(fields);
    // Other nodes may well be left out: some are allowed, and have another reason.
    Some(if selects && allowed(scene).next().is_some() {
        finding.into_consequence()
    } else {
        finding
    })
}

fn cordoned(scene: &Scene<'_>) -> Option<Finding> {
    let finding = says(scene, &["were unschedulable"])?;
    Some(of_allowed(scene, finding, |node| {
        node.at("/spec/unschedulable") == &Value::Bool(true)
    }))
}

/// Taints of a node that does not work, or takes no pods: they have causes of their own.
const OF_THE_NODE: &str = "node.kubernetes.io/";

/// Newer schedulers do not say which taint, so the nodes are looked at.
fn tainted(scene: &Scene<'_>) -> Option<Finding> {
    let finding = says(scene, TAINTED)?;
    let own = |node: &Object| {
        untolerated(scene, node).any(|taint| !text(taint, "/key").starts_with(OF_THE_NODE))
    };
    let known = scene.facts.known.contains("Node");
    if says(scene, NOT_READY).is_some() || (known && !scene.facts.of_kind("Node").any(own)) {
        return None;
    }
    let taints =
        allowed(scene).flat_map(|node| untolerated(scene, node).map(move |taint| (node, taint)));
    let fields: Vec<Evidence> = taints
        .map(|(node, taint)| node.field("spec.taints", &words(taint)))
        .take(5)
        .collect();
    Some(of_allowed(scene, finding.with(fields), own))
}

/// Nodes that do not work have taints that keep pods away.
fn nodes_not_ready(scene: &Scene<'_>) -> Option<Finding> {
    if let Some(finding) = says(scene, NOT_READY) {
        return Some(finding);
    }
    let finding = says(scene, TAINTED)?;
    let dead = allowed(scene).find(|node| {
        let keys = [
            "node.kubernetes.io/not-ready",
            "node.kubernetes.io/unreachable",
        ];
        node.list("/spec/taints")
            .iter()
            .any(|taint| keys.contains(&text(taint, "/key")))
    })?;
    let condition = dead
        .condition("Ready")
        .map(|condition| dead.condition_evidence(condition));
    // With other nodes that work, this is not what keeps the pod waiting.
    let works = allowed(scene).any(|node| node.is_condition("Ready", "True"));
    let finding = finding.with(condition);
    Some(if works {
        finding.into_consequence()
    } else {
        finding
    })
}

fn words(taint: &Value) -> String {
    let value = text(taint, "/value");
    let equals = if value.is_empty() { "" } else { "=" };
    format!(
        "{}{equals}{value}:{}",
        text(taint, "/key"),
        text(taint, "/effect")
    )
}

/// The taints of a node that keep a pod away.
fn untolerated<'a>(scene: &Scene<'a>, node: &'a Object) -> impl Iterator<Item = &'a Value> {
    let tolerations = scene.object.list("/spec/tolerations");
    let keeps_away = |taint: &&Value| text(taint, "/effect") != "PreferNoSchedule";
    node.list("/spec/taints")
        .iter()
        .filter(keeps_away)
        .filter(move |taint| {
            !tolerations
                .iter()
                .any(|toleration| tolerates(toleration, taint))
        })
}

fn tolerates(toleration: &Value, taint: &Value) -> bool {
    let same = |field: &str| text(toleration, field) == text(taint, field);
    let effect = text(toleration, "/effect").is_empty() || same("/effect");
    let exists = text(toleration, "/operator") == "Exists";
    effect
        && ((exists && text(toleration, "/key").is_empty())
            || (same("/key") && (exists || same("/value"))))
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
