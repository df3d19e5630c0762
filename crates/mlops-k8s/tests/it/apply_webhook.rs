//! Webhooks that change what is sent, or refuse it, called by the real API server.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use mlops_core::ErrorKind;
use mlops_k8s::explain::{CauseCode, ObjectRef, explain_refusal};
use mlops_k8s::{
    Action, Applier, ApplyEvent, ApplyOptions, ObjectId, ObjectSet, Outcome, PlanOptions,
};
use serde_json::{Value, json};

use crate::support::*;
use crate::tls_server::TlsServer;

/// Adds a label, a key, and a text at the end of nothing that we own.
fn review(request: &Value) -> Value {
    let base64 = base64::engine::general_purpose::STANDARD;
    let patch = json!([
        {"op": "add", "path": "/metadata/labels/injected", "value": "yes"},
        {"op": "add", "path": "/data/added", "value": "by the webhook"},
    ]);
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "response": {
            "uid": request["request"]["uid"], "allowed": true, "patchType": "JSONPatch",
            "patch": base64.encode(patch.to_string()),
        },
    })
}

fn configuration(namespace: &str, server: &TlsServer) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": namespace},
        "webhooks": [{
            "name": "inject.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "failurePolicy": "Fail", "timeoutSeconds": 10,
            "clientConfig": server.client_config("/mutate"),
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "objectSelector": {"matchLabels": {"app": "demo"}},
            "rules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
                "resources": ["configmaps"],
            }],
        }],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_webhook_adds_is_left_alone() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let server = TlsServer::start(move |_, _, request| {
        counted.fetch_add(1, Ordering::Relaxed);
        (200, review(request))
    });
    let client = client().await;
    let namespace = namespace(&client, "mutated").await;
    let hooks = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
    send(&client, "POST", hooks, &configuration(&namespace, &server)).await;
    let maps = format!("/api/v1/namespaces/{namespace}/configmaps");
    // The API server asks it from some moments later on.
    let deadline = Instant::now() + Duration::from_secs(20);
    for at in 0.. {
        let probe = json!({"metadata": {"name": format!("probe-{at}"), "labels": {"app": "demo"}}, "data": {"a": "b"}});
        let made = send(&client, "POST", &maps, &probe).await;
        if made["metadata"]["labels"]["injected"] == "yes" {
            break;
        }
        assert!(Instant::now() < deadline, "the webhook is never asked");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    let set = |value: &str| {
        yaml(&format!(
            "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: one, namespace: {namespace}, labels: {{app: demo}}}},
              data: {{text: '{value}'}}}}"
        ))
    };
    let applier = Applier::new(client.clone()).with_set("demo", &namespace);
    let report = apply(&applier, &set("1")).await;
    assert_eq!(report.count(&Outcome::Created), 1);
    let one = format!("{maps}/one");
    let injected = |found: &Value| {
        assert_eq!(found["data"]["added"], "by the webhook", "{found:#}");
        assert_eq!(found["metadata"]["labels"]["injected"], "yes", "{found:#}");
    };
    injected(&get(&client, &one).await);
    assert_nothing_to_do(&applier, &set("1")).await;
    let before = calls.load(Ordering::Relaxed);
    let report = apply(&applier, &set("1")).await;
    assert_eq!(report.count(&Outcome::Unchanged), 1);
    assert_eq!(calls.load(Ordering::Relaxed), before);

    // A change of ours is just that change, and what the webhook added stays.
    let id = ObjectId::new("", "ConfigMap", Some(&namespace), "one");
    let plan = applier
        .plan(&set("2"), &PlanOptions::default())
        .await
        .unwrap();
    let Some(Action::Update { fields }) = plan.action(&id) else {
        panic!("{plan}")
    };
    let paths: Vec<&str> = fields.iter().map(|field| field.path.as_str()).collect();
    assert_eq!(paths, [".data.text"], "{plan}");
    apply(&applier, &set("2")).await;
    let found = get(&client, &one).await;
    assert_eq!(found["data"]["text"], "2");
    injected(&found);
    assert_nothing_to_do(&applier, &set("2")).await;
    send(
        &client,
        "DELETE",
        &format!("{hooks}/{namespace}"),
        &json!({}),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_webhook_guards_is_written_after_it() {
    let server = TlsServer::start(|_, _, request| (200, review(request)));
    let client = client().await;
    let namespace = namespace(&client, "guarded").await;
    let mut set = ObjectSet::new();
    for (name, app) in [("one", "demo"), ("two", "free")] {
        set.add_value(json!({
            "apiVersion": "v1", "kind": "ConfigMap", "data": {"text": "1"},
            "metadata": {"name": name, "namespace": namespace, "labels": {"app": app}},
        }))
        .unwrap();
    }
    let mut hook = configuration(&namespace, &server);
    hook["apiVersion"] = json!("admissionregistration.k8s.io/v1");
    set.add_value(hook).unwrap();
    let order = Mutex::new(Vec::new());
    let on_event = |event: ApplyEvent| match event {
        ApplyEvent::Started { id } => order.lock().unwrap().push(format!("start {}", id.name)),
        ApplyEvent::Done { id, .. } => order.lock().unwrap().push(format!("end {}", id.name)),
        _ => {}
    };
    let applier = Applier::new(client.clone()).with_set("demo", &namespace);
    let report = applier
        .apply(&set, &ApplyOptions::default(), &on_event)
        .await
        .unwrap();
    assert!(report.is_complete(), "{report:?}");
    let order = order.into_inner().unwrap();
    let at = |what: String| order.iter().position(|found| *found == what).unwrap();
    assert!(
        at(format!("end {namespace}")) < at("start one".to_owned()),
        "{order:?}"
    );
    // What it does not guard waits for nothing.
    assert!(
        at("start two".to_owned()) < at(format!("end {namespace}")),
        "{order:?}"
    );
    assert_nothing_to_do(&applier, &set).await;
    apply(&applier, &ObjectSet::new()).await;
}

/// Refuses all: one with the answer of a policy, others without a status of their own.
fn denial(request: &Value) -> Value {
    let mut status = json!({"message": "maps need an owner\u{1b}[2J"});
    if request["request"]["name"] == "one" {
        status["code"] = json!(403);
    }
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "response": {"uid": request["request"]["uid"], "allowed": false, "status": status},
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_webhook_denies_is_said_with_its_name_and_word() {
    let server = TlsServer::start(|_, _, request| (200, denial(request)));
    let client = client().await;
    let namespace = namespace(&client, "denied").await;
    let mut hook = configuration(&namespace, &server);
    hook["kind"] = json!("ValidatingWebhookConfiguration");
    hook["webhooks"][0]["name"] = json!("owners.example.com");
    let hooks = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
    send(&client, "POST", hooks, &hook).await;
    // The API server asks it from some moments later on.
    let maps = format!("/api/v1/namespaces/{namespace}/configmaps?dryRun=All");
    let probe = json!({"metadata": {"name": "probe", "labels": {"app": "demo"}}}).to_string();
    let is_taken = async || {
        let request = http::Request::post(&maps).header("content-type", "application/json");
        let request = request.body(probe.clone().into_bytes()).unwrap();
        client.request::<Value>(request).await.is_ok()
    };
    let deadline = Instant::now() + Duration::from_secs(20);
    while is_taken().await {
        assert!(Instant::now() < deadline, "the webhook is never asked");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    let mut set = ObjectSet::new();
    for (name, app) in [("one", "demo"), ("two", "demo"), ("three", "free")] {
        set.add_value(json!({
            "apiVersion": "v1", "kind": "ConfigMap", "data": {"text": "1"},
            "metadata": {"name": name, "namespace": namespace, "labels": {"app": app}},
        }))
        .unwrap();
    }
    let applier = Applier::new(client.clone()).with_set("demo", &namespace);
    let report = applier
        .apply(&set, &ApplyOptions::default(), &quiet)
        .await
        .unwrap();
    assert!(!report.is_complete());
    let outcome = |name: &str| {
        let mut all = report.outcomes.iter();
        &all.find(|(id, _)| id.name == name).unwrap().1
    };
    assert_eq!(*outcome("three"), Outcome::Created);
    for (name, kind) in [
        ("one", ErrorKind::PermissionDenied),
        ("two", ErrorKind::InvalidInput),
    ] {
        let Outcome::Failed(failure) = outcome(name) else {
            panic!("{report:?}")
        };
        assert_eq!(failure.kind, kind, "{failure:?}");
        let said = failure.causes.join(": ");
        let word =
            r#"admission webhook "owners.example.com" denied the request: maps need an owner"#;
        assert!(said.contains(word), "{said}");
        assert!(!said.contains(char::is_control), "{said:?}");
        assert_eq!(
            failure.hint.as_deref(),
            Some("change the object as the webhook says, or change the policy (webhook-denied)")
        );
        let subject = ObjectRef::new("v1", "ConfigMap", Some(&namespace), name);
        let cause = explain_refusal(&subject, &said).unwrap();
        assert_eq!(cause.code, CauseCode::WebhookDenied);
    }

    // Without the webhook the same apply does what was left.
    let one = format!("{hooks}/{namespace}");
    send(&client, "DELETE", &one, &json!({})).await;
    while !is_taken().await {
        assert!(Instant::now() < deadline, "the webhook is still asked");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let report = apply(&applier, &set).await;
    assert_eq!(report.count(&Outcome::Created), 2);
    assert_nothing_to_do(&applier, &set).await;
}
