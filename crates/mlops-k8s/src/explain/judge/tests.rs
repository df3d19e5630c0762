//! Causes from facts written down by hand: those that no test server shows, and the words of older or other servers.
//! The facts that a node and an API server really gave are judged in `tests/it/explain_recorded.rs`.

use serde_json::{Value, json};

use super::super::codes::CauseCode;
use super::super::facts::{Event, Facts, Found, Object};
use super::super::model::{Explanation, ObjectRef};
use super::{judge, judge_refusal};

fn facts(subject: &str, objects: &[Value]) -> Facts {
    let objects: Vec<Object> = objects
        .iter()
        .map(|value| Object {
            id: ObjectRef::new(
                value["apiVersion"].as_str().unwrap_or("v1"),
                value["kind"].as_str().unwrap(),
                value["metadata"]["namespace"].as_str(),
                value["metadata"]["name"].as_str().unwrap(),
            ),
            value: value.clone(),
        })
        .collect();
    let id = objects
        .iter()
        .find(|object| object.id.kind == subject)
        .unwrap()
        .id
        .clone();
    let mut facts = Facts::new(id, Found::Present, "2026-01-01T00:00:00Z".parse().unwrap());
    for kind in [
        "Pod",
        "Secret",
        "ConfigMap",
        "Service",
        "Node",
        "StorageClass",
        "PersistentVolume",
        "IngressClass",
    ] {
        facts.known.insert(kind.to_owned());
    }
    facts.objects = objects;
    facts
}

fn event(facts: &mut Facts, kind: &str, reason: &str, message: &str) {
    let about = facts
        .objects
        .iter()
        .find(|object| object.id.kind == kind)
        .unwrap()
        .id
        .clone();
    facts.events.push(Event {
        about,
        uid: String::new(),
        part: String::new(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        warning: true,
        count: 1,
        first: None,
        last: None,
    });
}

#[expect(clippy::needless_pass_by_value, reason = "json! makes values")]
fn pod(spec: Value, status: Value) -> Value {
    json!({
        "kind": "Pod",
        "metadata": { "name": "web", "namespace": "a", "uid": "1", "labels": { "app": "web" } },
        "spec": spec,
        "status": status,
    })
}

fn waiting(reason: &str, message: &str) -> Value {
    let state = json!({ "waiting": { "reason": reason, "message": message } });
    let container = json!({ "name": "web", "image": "r/web:1", "ready": false, "restartCount": 0, "state": state });
    pod(
        json!({ "nodeName": "n" }),
        json!({ "phase": "Pending", "containerStatuses": [container] }),
    )
}

fn first(explanation: &Explanation) -> CauseCode {
    match &explanation.cause {
        Some(cause) => cause.code,
        None => panic!("no cause: {explanation}"),
    }
}

#[test]
fn pulls_fail_in_the_words_of_several_runtimes() {
    for (message, code) in [
        (
            "rpc error: code = NotFound desc = failed to pull and unpack image",
            CauseCode::ImageNotFound,
        ),
        (
            "reading manifest 9 in docker.io/x: manifest unknown",
            CauseCode::ImageNotFound,
        ),
        (
            "pull access denied, repository does not exist or may require authorization",
            CauseCode::ImagePullDenied,
        ),
        (
            "failed to authorize: failed to fetch oauth token: 403 Forbidden",
            CauseCode::ImagePullDenied,
        ),
        (
            "dial tcp: lookup registry.invalid: no such host",
            CauseCode::RegistryUnreachable,
        ),
        (
            "net/http: TLS handshake timeout",
            CauseCode::RegistryUnreachable,
        ),
        (
            "tls: failed to verify certificate: x509: certificate has expired",
            CauseCode::CertificateWrong,
        ),
        (
            "failed to extract layer: no space left on device",
            CauseCode::ImagePullFailed,
        ),
    ] {
        let found = judge(&facts("Pod", &[waiting("ErrImagePull", message)]));
        assert_eq!(first(&found), code, "{message}");
    }
}

#[test]
fn an_event_tells_what_a_short_state_does_not() {
    let mut facts = facts(
        "Pod",
        &[waiting(
            "ImagePullBackOff",
            "Back-off pulling image \"r/web:1\"",
        )],
    );
    assert_eq!(first(&judge(&facts)), CauseCode::ImagePullFailed);
    event(
        &mut facts,
        "Pod",
        "Failed",
        "Failed to pull image \"r/web:1\": manifest unknown",
    );
    assert_eq!(first(&judge(&facts)), CauseCode::ImageNotFound);
}

#[test]
fn a_key_that_a_volume_wants_is_missing() {
    let mut facts = facts("Pod", &[waiting("ContainerCreating", "")]);
    let message = "MountVolume.SetUp failed for volume \"c\" : configmap references non-existent config key: app.ini";
    event(&mut facts, "Pod", "FailedMount", message);
    assert_eq!(first(&judge(&facts)), CauseCode::KeyMissing);
}

fn unscheduled(message: &str) -> Value {
    let condition = json!({ "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message });
    pod(
        json!({}),
        json!({ "phase": "Pending", "conditions": [condition] }),
    )
}

#[test]
fn verdicts_of_schedulers_old_and_new() {
    for (message, code) in [
        ("no nodes available to schedule pods", CauseCode::NoNodes),
        (
            "0/1 nodes are available: 1 node(s) had untolerated taint {gpu: true}. preemption: 0/1",
            CauseCode::UnschedulableTaint,
        ),
        (
            "0/1 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/not-ready: }.",
            CauseCode::NodeNotReady,
        ),
        (
            "0/2 nodes are available: 2 node(s) had volume node affinity conflict.",
            CauseCode::UnschedulableVolume,
        ),
        (
            "0/2 nodes are available: 2 Insufficient ephemeral-storage.",
            CauseCode::UnschedulableResource,
        ),
        (
            "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) didn't match Pod's node affinity/selector.",
            CauseCode::UnschedulableCpu,
        ),
        (
            "0/3 nodes are available: 3 node(s) didn't match pod topology spread constraints.",
            CauseCode::UnschedulablePodAffinity,
        ),
        (
            "0/1 nodes are available: 1 node(s) did something new.",
            CauseCode::Unschedulable,
        ),
    ] {
        let mut facts = facts("Pod", &[unscheduled(message)]);
        // Nodes that may not be listed say nothing against the message.
        facts.known.remove("Node");
        assert_eq!(first(&judge(&facts)), code, "{message}");
    }
}

#[expect(clippy::needless_pass_by_value, reason = "json! makes values")]
fn claim(spec: Value, phase: &str) -> Value {
    json!({
        "kind": "PersistentVolumeClaim",
        "metadata": { "name": "data", "namespace": "a" },
        "spec": spec,
        "status": { "phase": phase },
    })
}

#[test]
fn claims_lost_and_claims_without_their_volume() {
    let lost = facts(
        "PersistentVolumeClaim",
        &[claim(json!({ "volumeName": "v" }), "Lost")],
    );
    assert_eq!(first(&judge(&lost)), CauseCode::ClaimLost);
    let named = json!({ "volumeName": "v", "storageClassName": "" });
    let missing = facts("PersistentVolumeClaim", &[claim(named, "Pending")]);
    assert_eq!(first(&judge(&missing)), CauseCode::NoMatchingVolume);
}

#[test]
fn what_could_not_be_asked_is_never_taken_for_absent() {
    let mut facts = facts("PersistentVolumeClaim", &[claim(json!({}), "Pending")]);
    assert_eq!(first(&judge(&facts)), CauseCode::NoStorageClass);
    facts.known.remove("StorageClass");
    facts.unknown.push("storageclasses: forbidden".to_owned());
    let found = judge(&facts);
    assert_eq!(
        (found.cause, found.ready, found.unknown.len()),
        (None, false, 1)
    );
}

#[test]
fn the_answer_for_a_deployment_is_the_claim_of_its_pod() {
    let owned = |kind: &str, name: &str, uid: &str, owner: &str| {
        json!({
            "apiVersion": "apps/v1", "kind": kind,
            "metadata": { "name": name, "namespace": "a", "uid": uid, "ownerReferences": [{ "uid": owner }] },
            "spec": { "replicas": 1 },
            "status": { "conditions": [{ "type": "Progressing", "status": "False", "message": "timed out" }] },
        })
    };
    let mut web = unscheduled(
        "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found",
    );
    web["metadata"]["ownerReferences"] = json!([{ "uid": "rs" }]);
    web["spec"] =
        json!({ "volumes": [{ "name": "d", "persistentVolumeClaim": { "claimName": "data" } }] });
    let objects = [
        owned("Deployment", "web", "d", ""),
        owned("ReplicaSet", "web-1", "rs", "d"),
        web,
        claim(json!({}), "Pending"),
    ];
    let found = judge(&facts("Deployment", &objects));
    let codes: Vec<&str> = found
        .cause
        .iter()
        .chain(&found.others)
        .map(|cause| cause.code.as_str())
        .collect();
    assert_eq!(
        codes,
        [
            "no-storage-class",
            "unschedulable-volume",
            "progress-deadline"
        ]
    );
}

#[test]
fn an_event_of_an_earlier_pod_with_the_same_name_does_not_count() {
    let mut facts = facts("Pod", &[waiting("ContainerCreating", "")]);
    event(
        &mut facts,
        "Pod",
        "FailedMount",
        "secret \"keys\" not found",
    );
    facts.events[0].uid = "another".to_owned();
    assert_eq!(judge(&facts).cause, None);
    facts.events[0].uid = "1".to_owned();
    assert_eq!(first(&judge(&facts)), CauseCode::SecretMissing);
}

#[test]
fn a_killed_container_with_a_limit_was_out_of_memory_unless_somebody_else_may_kill_it() {
    let cause = |spec: Value| {
        let ended = json!({ "terminated": { "reason": "Error", "exitCode": 137 } });
        let status = json!({ "name": "web", "ready": false, "restartCount": 0, "state": ended });
        let pod = pod(
            json!({ "nodeName": "n", "containers": [spec] }),
            json!({ "phase": "Failed", "containerStatuses": [status] }),
        );
        first(&judge(&facts("Pod", &[pod])))
    };
    let limits = json!({ "limits": { "memory": "32Mi" } });
    assert_eq!(
        cause(json!({ "name": "web", "resources": limits })),
        CauseCode::OutOfMemory
    );
    assert_eq!(cause(json!({ "name": "web" })), CauseCode::ContainerFailed);
    let probed = json!({ "name": "web", "resources": limits, "livenessProbe": {} });
    assert_eq!(cause(probed), CauseCode::ContainerFailed);
}

#[test]
fn what_is_ready_has_no_cause() {
    let ready =
        json!({ "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] });
    let mut facts = facts("Pod", &[pod(json!({ "nodeName": "n" }), ready)]);
    event(
        &mut facts,
        "Pod",
        "FailedMount",
        "secret \"keys\" not found",
    );
    let found = judge(&facts);
    assert!(
        found.ready && found.cause.is_none() && found.others.is_empty(),
        "{found}"
    );
}

#[test]
fn refusals_by_their_words() {
    for (message, code) in [
        (
            "pods \"a\" is forbidden: failed quota: small: must specify limits.cpu for: web",
            CauseCode::QuotaExceeded,
        ),
        (
            "pods \"a\" is forbidden: maximum cpu usage per Container is 1, but limit is 2",
            CauseCode::LimitRangeViolated,
        ),
        (
            "admission webhook \"p.example.com\" denied the request: no",
            CauseCode::WebhookDenied,
        ),
        (
            "failed calling webhook \"p\": Post \"https://p.a.svc\": service \"p\" not found",
            CauseCode::WebhookUnreachable,
        ),
        (
            "failed calling webhook \"p\": tls: failed to verify certificate: x509: unknown",
            CauseCode::CertificateWrong,
        ),
        (
            "jobs.batch is forbidden: User \"u\" cannot create resource \"jobs\" in API group",
            CauseCode::Forbidden,
        ),
    ] {
        assert_eq!(
            judge_refusal(message).map(|(code, _)| code),
            Some(code),
            "{message}"
        );
    }
    assert!(judge_refusal("the object has been modified").is_none());
}

#[test]
fn conditions_of_kinds_that_nobody_knows() {
    let object = json!({
        "apiVersion": "example.com/v1", "kind": "Thing", "metadata": { "name": "t", "namespace": "a" },
        "status": { "conditions": [{ "type": "Ready", "status": "False", "reason": "Waiting", "message": "no disk" }] },
    });
    let found = judge(&facts("Thing", &[object]));
    assert_eq!(first(&found), CauseCode::ConditionSaysSo);
    assert_eq!(found.cause.unwrap().message, "no disk");
}

#[test]
fn text_of_a_cluster_moves_no_cursor() {
    let mut facts = facts("Pod", &[waiting("ContainerCreating", "")]);
    event(
        &mut facts,
        "Pod",
        "FailedMount",
        "secret \"\u{1b}[2Jkeys\" not found\u{1b}]0;owned\u{7}\nremedy: none",
    );
    let found = judge(&facts);
    let text = found.to_string();
    assert!(
        !text.chars().any(|c| c.is_control() && c != '\n'),
        "{text:?}"
    );
    assert!(
        text.lines().all(|line| !line.starts_with("remedy")),
        "{text}"
    );
    let json = serde_json::to_string(&found).unwrap();
    assert!(!json.contains("u001b"), "{json}");
}
