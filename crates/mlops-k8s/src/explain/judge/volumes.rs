//! Volume claims that do not bind, and volumes that cannot be mounted.

use super::super::codes::CauseCode;
use super::super::facts::{Event, Facts, Object, Seen, text};
use super::refusal::between;
use super::search::claims;
use super::{Evidence, Finding, ObjectRef, Rule, Scene, Weight};

const CLAIM: &[&str] = &["PersistentVolumeClaim"];
const POD: &[&str] = &["Pod"];

/// For how many seconds a provisioner may be at work without a word before it counts as silent.
const PATIENCE: i64 = 10;

pub(super) const CLAIM_RULES: &[Rule] = &[
    Rule::fault(CauseCode::ClaimLost, CLAIM, lost),
    Rule::fault(CauseCode::StorageClassMissing, CLAIM, class_missing),
    Rule::fault(CauseCode::NoStorageClass, CLAIM, no_class),
    Rule::fault(CauseCode::NoMatchingVolume, CLAIM, no_volume),
    Rule::fault(CauseCode::ProvisioningFailed, CLAIM, provisioning_failed),
    Rule::fault(CauseCode::ProvisionerSilent, CLAIM, provisioner_silent),
    Rule {
        code: CauseCode::WaitsForFirstConsumer,
        weight: Weight::Note,
        kinds: CLAIM,
        judge: waits_for_pod,
    },
];

pub(super) const POD_RULES: &[Rule] = &[
    Rule::fault(CauseCode::SecretMissing, POD, |s| {
        mount_lacks(s, "Secret", "secret \"")
    }),
    Rule::fault(CauseCode::ConfigMapMissing, POD, |s| {
        mount_lacks(s, "ConfigMap", "configmap \"")
    }),
    Rule::fault(CauseCode::KeyMissing, POD, key_missing),
    Rule::fault(CauseCode::VolumeMountFailed, POD, mount_failed),
];

fn is_pending(claim: &Object) -> bool {
    claim.text("/status/phase") == "Pending"
}

/// The class that a claim names: none, `""` (no class wanted), or a name.
fn class_name(claim: &Object) -> Option<&str> {
    let old = claim
        .at("/metadata/annotations")
        .get("volume.beta.kubernetes.io/storage-class");
    old.or_else(|| claim.value.pointer("/spec/storageClassName"))
        .and_then(serde_json::Value::as_str)
}

fn class<'a>(facts: &'a Facts, claim: &Object) -> Option<&'a Object> {
    match facts.see("StorageClass", class_name(claim)?) {
        Seen::There(class) => Some(class),
        Seen::Absent | Seen::Unknown => None,
    }
}

/// The newest event of a claim that says why it is not bound.
fn said<'a>(scene: &Scene<'a>, reason: &str) -> Option<&'a Event> {
    scene
        .facts
        .events_of(scene.object)
        .find(|event| event.reason == reason)
}

fn lost(scene: &Scene<'_>) -> Option<Finding> {
    let claim = scene.object;
    (claim.text("/status/phase") == "Lost").then(|| {
        Finding::new(format!(
            "its volume {} is gone",
            claim.text("/spec/volumeName")
        ))
        .with([claim.field("status.phase", "Lost")])
        .with(said(scene, "ClaimLost").map(Event::evidence))
    })
}

fn class_missing(scene: &Scene<'_>) -> Option<Finding> {
    let claim = scene.object;
    let name = class_name(claim).filter(|name| !name.is_empty())?;
    if !is_pending(claim) || !scene.facts.is_absent("StorageClass", name) {
        return None;
    }
    let object = ObjectRef::new("storage.k8s.io/v1", "StorageClass", None, name);
    Some(
        Finding::new(format!("there is no StorageClass {name}"))
            .with([Evidence::Missing { object }])
            .with(said(scene, "ProvisioningFailed").map(Event::evidence)),
    )
}

fn no_class(scene: &Scene<'_>) -> Option<Finding> {
    let claim = scene.object;
    if !is_pending(claim) || class_name(claim).is_some() || has_volume(claim) {
        return None;
    }
    let asked = scene.facts.known.contains("StorageClass");
    let default = scene.facts.of_kind("StorageClass").any(is_default);
    (asked && !default).then(|| {
        Finding::new("names no StorageClass, and the cluster has no default one")
            .with([claim.field("spec.storageClassName", "not set")])
            .with(said(scene, "FailedBinding").map(Event::evidence))
    })
}

fn has_volume(claim: &Object) -> bool {
    !claim.text("/spec/volumeName").is_empty()
}

fn is_default(class: &Object) -> bool {
    let annotations = class.at("/metadata/annotations");
    annotations
        .get("storageclass.kubernetes.io/is-default-class")
        .is_some_and(|value| value.as_str() == Some("true"))
}

/// A claim that wants a volume that is there already, and none fits.
fn no_volume(scene: &Scene<'_>) -> Option<Finding> {
    let claim = scene.object;
    let by_hand = class_name(claim) == Some("")
        || class(scene.facts, claim)
            .is_some_and(|class| class.text("/provisioner") == "kubernetes.io/no-provisioner");
    let named = claim.text("/spec/volumeName");
    if !is_pending(claim) || (!by_hand && named.is_empty()) {
        return None;
    }
    if !named.is_empty() {
        let object = ObjectRef::new("v1", "PersistentVolume", None, named);
        return scene.facts.is_absent("PersistentVolume", named).then(|| {
            Finding::new(format!("its volume {named} is not there"))
                .with([Evidence::Missing { object }])
        });
    }
    let waits = said(scene, "WaitForFirstConsumer").is_some() && !is_used(scene);
    (!waits).then(|| {
        Finding::new("no PersistentVolume fits the claim, and nobody makes one")
            .with([claim.field(
                "spec.storageClassName",
                class_name(claim).unwrap_or_default(),
            )])
            .with(said(scene, "FailedBinding").map(Event::evidence))
    })
}

fn is_used(scene: &Scene<'_>) -> bool {
    scene
        .facts
        .of_kind("Pod")
        .any(|pod| claims(pod).contains(&scene.object.id.name))
}

fn provisioning_failed(scene: &Scene<'_>) -> Option<Finding> {
    let event = said(scene, "ProvisioningFailed")?;
    let finding = Finding::new(&event.message).with([event.evidence()]);
    // Where the class is gone, that is the cause; another rule says so.
    (is_pending(scene.object) && class_missing(scene).is_none()).then_some(finding)
}

fn provisioner_silent(scene: &Scene<'_>) -> Option<Finding> {
    let event = said(scene, "ExternalProvisioning")?;
    if !is_pending(scene.object) || said(scene, "ProvisioningFailed").is_some() {
        return None;
    }
    let waited = event.first.map_or(PATIENCE, |first| {
        scene.facts.now.as_second() - first.as_second()
    });
    let provisioner = class(scene.facts, scene.object)
        .map_or("its provisioner", |class| class.text("/provisioner"));
    (waited >= PATIENCE).then(|| {
        Finding::new(format!("{provisioner} has not made the volume"))
            .with([event.evidence()])
            .with_remedy(format!(
                "install or repair the provisioner {provisioner}, which the StorageClass names"
            ))
    })
}

fn waits_for_pod(scene: &Scene<'_>) -> Option<Finding> {
    let waits = class(scene.facts, scene.object)
        .is_some_and(|class| class.text("/volumeBindingMode") == "WaitForFirstConsumer");
    let event = said(scene, "WaitForFirstConsumer");
    let pending = is_pending(scene.object) && (waits || event.is_some());
    (pending && !is_used(scene))
        .then(|| Finding::new("binds as soon as a pod uses it").with(event.map(Event::evidence)))
}

/// Whether the pod still waits for its volumes.
fn is_mounting(pod: &Object) -> bool {
    let statuses = pod
        .list("/status/containerStatuses")
        .iter()
        .chain(pod.list("/status/initContainerStatuses"));
    let mut started =
        statuses.filter(|status| text(status, "/state/waiting/reason") != "ContainerCreating");
    pod.text("/status/phase") == "Pending"
        && started.all(|status| text(status, "/state/waiting/reason") == "PodInitializing")
}

/// Whether the pod was made in the last seconds.
fn is_young(scene: &Scene<'_>) -> bool {
    let made: Option<jiff::Timestamp> = scene
        .object
        .text("/metadata/creationTimestamp")
        .parse()
        .ok();
    made.is_some_and(|made| scene.facts.now.as_second() - made.as_second() < PATIENCE)
}

fn mount_event<'a>(scene: &Scene<'a>) -> Option<&'a Event> {
    let reasons = ["FailedMount", "FailedAttachVolume", "FailedMapVolume"];
    is_mounting(scene.object).then_some(())?;
    // A namespace gets this one moments after it was made, from a controller.
    let comes = |event: &&Event| event.message.contains("\"kube-root-ca.crt\"") && is_young(scene);
    let mut events = scene
        .facts
        .events_of(scene.object)
        .filter(|event| reasons.contains(&event.reason.as_str()))
        .filter(|event| !comes(event));
    let newest = events.next()?;
    // "timed out waiting for the condition" says less than the event before it.
    let telling = std::iter::once(newest)
        .chain(events)
        .find(|event| !event.message.contains("timed out waiting"));
    Some(telling.unwrap_or(newest))
}

fn mount_lacks(scene: &Scene<'_>, kind: &str, before: &str) -> Option<Finding> {
    let event = mount_event(scene)?;
    let name = between(&event.message, before, "\" not found")?;
    if matches!(scene.facts.see(kind, name), Seen::There(_)) {
        return None;
    }
    Some(missing(scene.object, kind, name).with([event.evidence()]))
}

/// The finding for a Secret or `ConfigMap` that is not there.
pub(super) fn missing(pod: &Object, kind: &str, name: &str) -> Finding {
    let object = pod.neighbour(kind, name);
    Finding::new(format!("{kind} {name} is not there"))
        .with_remedy(format!("create {object}, or correct its name in the pod"))
        .with([Evidence::Missing { object }])
}

fn key_missing(scene: &Scene<'_>) -> Option<Finding> {
    let event = mount_event(scene)?;
    event
        .message
        .contains("references non-existent ")
        .then(|| Finding::new(&event.message).with([event.evidence()]))
}

fn mount_failed(scene: &Scene<'_>) -> Option<Finding> {
    let event = mount_event(scene)?;
    let by_reference = mount_lacks(scene, "Secret", "secret \"").is_some()
        || mount_lacks(scene, "ConfigMap", "configmap \"").is_some()
        || key_missing(scene).is_some();
    // A claim that is not bound yet is a cause of its own.
    (!by_reference).then(|| Finding::new(&event.message).with([event.evidence()]))
}
