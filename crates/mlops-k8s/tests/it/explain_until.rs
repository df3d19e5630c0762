//! Explanations on an API server alone: refusals of writes, whole namespaces, hostile texts, speed.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, Patch, PatchParams, PostParams};
use mlops_core::ErrorKind;
use mlops_k8s::explain::{CauseCode, ObjectRef, explain, explain_refusal, explain_until};
use mlops_testkit::kubernetes::TestCluster;
use serde_json::{Value, json};

use crate::explain_stage::{Stage, client_of, unique};

async fn stage() -> Stage {
    let kubeconfig = tokio::task::spawn_blocking(|| TestCluster::shared().kubeconfig())
        .await
        .unwrap();
    Stage::on(&kubeconfig).await
}

fn pod(name: &str, spec: &Value) -> Pod {
    serde_json::from_value(json!({ "metadata": { "name": name }, "spec": spec })).unwrap()
}

fn plain() -> Value {
    json!({ "containers": [{ "name": "web", "image": "localhost/web:1" }] })
}

/// What the server says to a pod.
async fn refusal(client: &kube::Client, namespace: &str, spec: &Value) -> Option<CauseCode> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let Err(error) = api.create(&PostParams::default(), &pod("web", spec)).await else {
        panic!("the pod was taken in {namespace}");
    };
    let kube::Error::Api(status) = error else {
        panic!("{error}")
    };
    let subject = ObjectRef::new("v1", "Pod", Some(namespace), "web");
    explain_refusal(&subject, &status.message).map(|cause| cause.code)
}

#[tokio::test]
async fn a_refused_write_is_explained() {
    let stage = stage().await;
    let namespace = unique("refused");
    let labels = json!({ "pod-security.kubernetes.io/enforce": "baseline" });
    stage
        .create_namespace(&namespace, labels.as_object().unwrap())
        .await;
    let mut strange = plain();
    strange["serviceAccountName"] = json!("robot");
    assert_eq!(
        refusal(&stage.client, &namespace, &strange).await,
        Some(CauseCode::ServiceAccountMissing)
    );
    let mut host = plain();
    host["hostNetwork"] = json!(true);
    assert_eq!(
        refusal(&stage.client, &namespace, &host).await,
        Some(CauseCode::PodSecurityViolated)
    );
    let range = json!({
        "apiVersion": "v1", "kind": "LimitRange", "metadata": { "name": "range", "namespace": namespace },
        "spec": { "limits": [{ "type": "Container", "max": { "memory": "1Mi" } }] },
    });
    stage.create(&range, &namespace).await;
    let mut large = plain();
    large["containers"][0]["resources"] = json!({ "limits": { "memory": "1Gi" } });
    // The range comes into force some moments after it was made.
    let api: Api<Pod> = Api::namespaced(stage.client.clone(), &namespace);
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    while api.create(&dry_run, &pod("try", &large)).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(
        refusal(&stage.client, &namespace, &large).await,
        Some(CauseCode::LimitRangeViolated)
    );
    let kubeconfig = TestCluster::shared().kubeconfig();
    let visitor = client_of(&kubeconfig, Some("visitor")).await;
    assert_eq!(
        refusal(&visitor, &namespace, &plain()).await,
        Some(CauseCode::Forbidden)
    );
}

#[tokio::test]
async fn what_may_not_be_asked_is_said_and_is_not_absent() {
    let stage = stage().await;
    let namespace = unique("half");
    stage
        .create_namespace(&namespace, &serde_json::Map::new())
        .await;
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": { "name": "r", "namespace": namespace },
        "rules": [{ "apiGroups": [""], "resources": ["persistentvolumeclaims"], "verbs": ["get", "list"] }],
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": { "name": "r", "namespace": namespace },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r" },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": namespace }],
    });
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": "data", "namespace": namespace },
        "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } },
    });
    for object in [&role, &binding, &claim] {
        stage.create(object, &namespace).await;
    }
    let reader = client_of(&TestCluster::shared().kubeconfig(), Some(&namespace)).await;
    let subject = ObjectRef::new("v1", "PersistentVolumeClaim", Some(&namespace), "data");
    // Rights come into force some moments after they were given.
    let explanation = explain_until(&reader, &subject, Duration::from_secs(30), |found| {
        found.cause.is_none()
    })
    .await
    .unwrap();
    assert!(!explanation.ready);
    assert!(
        explanation
            .unknown
            .iter()
            .any(|text| text.contains("storageclasses")),
        "{explanation}"
    );
    let all = explain(&stage.client, &ObjectRef::of_namespace(&namespace))
        .await
        .unwrap();
    assert_eq!(
        all.cause.map(|cause| cause.code),
        Some(CauseCode::NoStorageClass)
    );
}

#[tokio::test]
async fn a_fault_is_explained_soon_after_its_first_evidence_and_its_text_is_harmless() {
    let stage = stage().await;
    let namespace = unique("soon");
    stage
        .create_namespace(&namespace, &serde_json::Map::new())
        .await;
    let api: Api<Pod> = Api::namespaced(stage.client.clone(), &namespace);
    let made = api
        .create(&PostParams::default(), &pod("web", &plain()))
        .await
        .unwrap();
    let subject = ObjectRef::new("v1", "Pod", Some(&namespace), "web");
    let before = explain_until(
        &stage.client,
        &subject,
        Duration::from_millis(300),
        |found| found.cause.is_some(),
    )
    .await;
    assert_eq!(before.unwrap_err().kind(), ErrorKind::Timeout);
    let watching = tokio::spawn({
        let (client, subject) = (stage.client.clone(), subject.clone());
        async move {
            let found = explain_until(&client, &subject, Duration::from_secs(30), |found| {
                found.cause.is_some()
            })
            .await;
            (found.unwrap(), Instant::now())
        }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let event = json!({
        "apiVersion": "v1", "kind": "Event", "metadata": { "name": "web.1", "namespace": namespace },
        "involvedObject": { "apiVersion": "v1", "kind": "Pod", "namespace": namespace, "name": "web", "uid": made.metadata.uid },
        "type": "Warning", "reason": "FailedScheduling",
        "message": "0/1 nodes are available: 1 Insufficient cpu.\u{1b}[2J\u{1b}]0;owned\u{7} preemption: none",
    });
    let shown = Instant::now();
    stage.create(&event, &namespace).await;
    let (explanation, seen) = watching.await.unwrap();
    assert_eq!(
        explanation.cause.as_ref().map(|cause| cause.code),
        Some(CauseCode::UnschedulableCpu)
    );
    let took = seen.duration_since(shown);
    assert!(took < Duration::from_secs(2), "it took {took:?}");
    assert!(
        !explanation
            .to_string()
            .chars()
            .any(|c| c.is_control() && c != '\n')
    );
}

#[tokio::test]
async fn a_crash_ends_the_silence_of_a_pod_that_was_ready() {
    let stage = stage().await;
    let namespace = unique("crash");
    stage
        .create_namespace(&namespace, &serde_json::Map::new())
        .await;
    let api: Api<Pod> = Api::namespaced(stage.client.clone(), &namespace);
    api.create(&PostParams::default(), &pod("web", &plain()))
        .await
        .unwrap();
    let status = |ready: &str, containers: Value| {
        let condition = json!({ "type": "Ready", "status": ready });
        Patch::Merge(
            json!({ "status": { "phase": "Running", "conditions": [condition], "containerStatuses": containers } }),
        )
    };
    api.patch_status("web", &PatchParams::default(), &status("True", json!([])))
        .await
        .unwrap();
    let subject = ObjectRef::new("v1", "Pod", Some(&namespace), "web");
    assert!(explain(&stage.client, &subject).await.unwrap().ready);
    let crashed = json!([{
        "name": "web", "image": "localhost/web:1", "imageID": "", "ready": false, "restartCount": 4,
        "state": { "waiting": { "reason": "CrashLoopBackOff" } },
        "lastState": { "terminated": { "reason": "Error", "exitCode": 1 } },
    }]);
    api.patch_status("web", &PatchParams::default(), &status("False", crashed))
        .await
        .unwrap();
    let found = explain(&stage.client, &subject).await.unwrap();
    assert_eq!(
        found.cause.map(|cause| cause.code),
        Some(CauseCode::CrashLoop)
    );
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_an_error_and_no_explanation() {
    let kubeconfig = tokio::task::spawn_blocking(|| TestCluster::shared().kubeconfig())
        .await
        .unwrap();
    let text = std::fs::read_to_string(&kubeconfig).unwrap();
    let nowhere = text.replace(&TestCluster::shared().url(), "https://127.0.0.1:1");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kubeconfig");
    std::fs::write(&path, nowhere).unwrap();
    let client = client_of(&path, None).await;
    let error = explain(&client, &ObjectRef::new("v1", "Pod", Some("a"), "web"))
        .await
        .unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::Unavailable,
        "{error}: {:?}",
        error.causes()
    );
}
