//! Objects that are being removed and do not go.

use super::super::codes::CauseCode;
use super::super::facts::text;
use super::search::claims;
use super::{Finding, Rule, Scene, Weight};

pub(super) const RULES: &[Rule] = &[
    Rule::fault(CauseCode::FinalizerHolds, &[], held),
    Rule {
        code: CauseCode::NamespaceContentRemains,
        weight: Weight::Consequence,
        kinds: &["Namespace"],
        judge: content_remains,
    },
];

fn held(scene: &Scene<'_>) -> Option<Finding> {
    let object = scene.object;
    let since = object.text("/metadata/deletionTimestamp");
    let finalizers: Vec<&str> = object
        .list("/metadata/finalizers")
        .iter()
        .filter_map(serde_json::Value::as_str)
        .collect();
    if since.is_empty() || finalizers.is_empty() {
        return None;
    }
    let names = finalizers.join(", ");
    let finding = Finding::new(format!("is being removed since {since}, held by {names}"))
        .with([object.field("metadata.finalizers", &names)]);
    let Some(remedy) = remedy(scene, &finalizers) else {
        return Some(finding);
    };
    Some(finding.with_remedy(remedy))
}

/// What the finalizers of Kubernetes itself wait for.
fn remedy(scene: &Scene<'_>, finalizers: &[&str]) -> Option<String> {
    if finalizers.contains(&"kubernetes.io/pvc-protection") {
        let name = &scene.object.id.name;
        let users: Vec<&str> = scene
            .facts
            .of_kind("Pod")
            .filter(|pod| claims(pod).contains(name))
            .map(|pod| pod.id.name.as_str())
            .collect();
        return (!users.is_empty())
            .then(|| format!("end the pods that use the claim: {}", users.join(", ")));
    }
    if finalizers.contains(&"foregroundDeletion") {
        return Some("wait until what it owns is gone; look what holds that".to_owned());
    }
    None
}

fn content_remains(scene: &Scene<'_>) -> Option<Finding> {
    if scene.object.text("/status/phase") != "Terminating" {
        return None;
    }
    let kinds = [
        "NamespaceFinalizersRemaining",
        "NamespaceContentRemaining",
        "NamespaceDeletionContentFailure",
    ];
    let condition = kinds
        .iter()
        .filter_map(|kind| scene.object.condition(kind))
        .find(|condition| text(condition, "/status") == "True")?;
    Some(
        Finding::new(text(condition, "/message"))
            .with([scene.object.condition_evidence(condition)]),
    )
}
