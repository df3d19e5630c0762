//! Preflight on a server that offers an ingress class and cert-manager. It is a server of its own: on the others the same
//! questions have another answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use State::{Failed, Passed, Skipped};
use mlops_k8s::Applier;
use mlops_k8s::preflight::{Check, Preflight, State};
use mlops_testkit::kubernetes::TestCluster;
use serde_json::{Value, json};

use crate::support::*;
use crate::tls_server::TlsServer;

/// The kind of cert-manager that preflight tries, as <https://cert-manager.io/docs/reference/api-docs/> has it.
const ISSUERS: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: issuers.cert-manager.io}
spec:
  group: cert-manager.io
  scope: Namespaced
  names: {plural: issuers, singular: issuer, kind: Issuer}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, required: [selfSigned], properties: {
      selfSigned: {type: object}}}}}}
";

/// The webhook that cert-manager registers for its own kinds.
fn webhook(server: &TlsServer) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "cert-manager-webhook"},
        "webhooks": [{
            "name": "webhook.cert-manager.io", "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "failurePolicy": "Fail", "timeoutSeconds": 10,
            "clientConfig": server.client_config("/validate"),
            "rules": [{
                "apiGroups": ["cert-manager.io"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
                "resources": ["*/*"],
            }],
        }],
    })
}

/// The only check that is asked for.
async fn check(client: &kube::Client, wanted: Preflight) -> Check {
    wanted.run(client).await.checks.remove(0)
}

/// The server takes up new kinds and webhooks some moments after they were written.
async fn until(client: &kube::Client, namespace: &str, state: State, says: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let found = check(client, Preflight::new().with_cert_manager(namespace)).await;
        if found.state == state && found.reason.contains(says) {
            return;
        }
        assert!(Instant::now() < deadline, "{found} is not {state}: {says}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ingress_class_and_cert_manager_that_are_there_pass() {
    let cluster = tokio::task::spawn_blocking(TestCluster::start)
        .await
        .unwrap();
    let client = client_of(&cluster.kubeconfig()).await;
    let namespace = namespace(&client, "offers").await;
    let classes = "/apis/networking.k8s.io/v1/ingressclasses";
    for (name, is_default) in [("private", "false"), ("public", "true")] {
        let mark = json!({"ingressclass.kubernetes.io/is-default-class": is_default});
        let class = json!({
            "metadata": {"name": name, "annotations": mark}, "spec": {"controller": format!("example.com/{name}")},
        });
        send(&client, "POST", classes, &class).await;
    }
    let class = |name| Preflight::new().with_ingress_class(name);
    let found = check(&client, class(None)).await;
    assert_eq!(found.state, Passed, "{found}");
    assert_eq!(found.reason, "public, served by example.com/public");
    let found = check(&client, class(Some("private"))).await;
    assert_eq!(found.state, Passed, "{found}");
    let found = check(&client, class(Some("other"))).await;
    assert_eq!(found.state, Failed, "{found}");
    assert_eq!(found.reason, "there are private, public");

    until(&client, &namespace, Failed, "is not served").await;
    apply(&Applier::new(client.clone()), &yaml(ISSUERS)).await;
    until(&client, &namespace, Passed, "takes an Issuer").await;
    until(&client, "not-there-yet", Skipped, "not there yet").await;
    // The same with its webhook: one that refuses, one that takes it, and none that answers.
    let allows = Arc::new(AtomicBool::new(false));
    let server = TlsServer::start({
        let allows = Arc::clone(&allows);
        move |_, _, request| {
            let allowed = allows.load(Ordering::Relaxed);
            let response = json!({
                "uid": request["request"]["uid"], "allowed": allowed, "status": {"message": "not now"},
            });
            (
                200,
                json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}),
            )
        }
    });
    let hooks = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
    send(&client, "POST", hooks, &webhook(&server)).await;
    until(&client, &namespace, Failed, "webhook-denied").await;
    allows.store(true, Ordering::Relaxed);
    until(&client, &namespace, Passed, "takes an Issuer").await;
    let mut nowhere = webhook(&server);
    nowhere["webhooks"][0]["clientConfig"]["url"] = json!("https://127.0.0.1:1/validate");
    let path = format!("{hooks}/cert-manager-webhook");
    send(&client, "PATCH", &path, &nowhere).await;
    until(&client, &namespace, Failed, "webhook-unreachable").await;
    tokio::task::spawn_blocking(move || drop(cluster))
        .await
        .unwrap();
}
