//! Ways to sign in.

use std::time::{Duration, Instant};

use mlops_core::ErrorKind;
use mlops_k8s::{Applier, ClusterAccess, PlanOptions, connect_in_cluster};
use mlops_testkit::kubernetes::TestCluster;
use serde_json::{Value, json};

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn the_program_of_a_kubeconfig_runs_when_connecting_and_not_before() {
    let cluster = TestCluster::shared();
    let folder = tempfile::tempdir().unwrap();
    let (answer, mark) = (
        folder.path().join("answer.json"),
        folder.path().join("it-ran"),
    );
    let who = cluster.client("by-program", Some("system:masters"));
    let credential = json!({
        "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
        "status": {"clientCertificateData": who.certificate, "clientKeyData": who.key},
    });
    std::fs::write(&answer, credential.to_string()).unwrap();
    let script = format!("touch {} && cat {}", mark.display(), answer.display());
    let (file, authority) = (
        folder.path().join("kubeconfig"),
        folder.path().join("ca.crt"),
    );
    std::fs::write(&authority, cluster.authority()).unwrap();
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": cluster.url(), "certificate-authority": "ca.crt"}}],
        "users": [{"name": "u", "user": {"exec": {
            "apiVersion": "client.authentication.k8s.io/v1", "command": "sh", "args": ["-c", script], "interactiveMode": "Never",
        }}}],
    });
    std::fs::write(&file, kubeconfig.to_string()).unwrap();
    let access = ClusterAccess::read(&file, None).unwrap();
    let program = access.summary().program.as_ref().unwrap().to_string();
    assert!(program.starts_with("sh -c touch"), "{program}");
    assert!(!mark.exists());
    let client = access.connect().await.unwrap();
    let set =
        yaml("{apiVersion: v1, kind: ConfigMap, metadata: {name: by-program, namespace: default}}");
    let plan = Applier::new(client)
        .plan(&set, &PlanOptions::default())
        .await
        .unwrap();
    assert_eq!(plan.counts(), (1, 0, 0));
    assert!(mark.exists());
}

/// As the kubelet renews the token of a pod: another one is in the file, and the old one is no longer good.
#[tokio::test]
async fn a_token_is_read_from_its_file_again_when_the_server_refuses_it() {
    let admin = client().await;
    let namespace = namespace(&admin, "by-file").await;
    let token = account_token(&admin, &namespace, "by-file").await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "no longer good").unwrap();
    let kubeconfig = kubeconfig_with(&json!({ "tokenFile": file }));
    let access = ClusterAccess::from_yaml(&kubeconfig, None).unwrap();
    let client = access.connect().await.unwrap();
    let review = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let ask = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let request = http::Request::post(review)
        .header("content-type", "application/json")
        .body(ask.to_string().into_bytes())
        .unwrap();
    let refused = client.request::<Value>(request).await.unwrap_err();
    assert!(refused.to_string().contains("Unauthorized"), "{refused}");

    std::fs::write(&file, token.as_str().unwrap()).unwrap();
    let told = send(&client, "POST", review, &ask).await;
    assert_eq!(
        told["status"]["userInfo"]["username"],
        format!("system:serviceaccount:{namespace}:by-file")
    );
}

#[tokio::test]
async fn a_wrong_authority_and_no_server_and_no_pod_are_told_apart() {
    let other = TestCluster::shared().kubeconfig_of("admin", Some("system:masters"));
    let port = TestCluster::shared().port();
    let set = yaml("{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: default}}");
    let kind = async |text: String| {
        let client = ClusterAccess::from_yaml(&text, None)
            .unwrap()
            .connect()
            .await
            .unwrap();
        let applier = Applier::new(client);
        applier
            .plan(&set, &PlanOptions::default())
            .await
            .unwrap_err()
            .kind()
    };
    // Without the authority its certificate is signed by nobody we know, which no repetition mends.
    let wrong = other.replace("certificate-authority-data", "left-out");
    assert_ne!(wrong, other);
    assert_eq!(kind(wrong).await, ErrorKind::Failed);
    // Nobody listens: it may come back, so it is asked again.
    let closed = other.replace(&format!(":{port}"), ":1");
    let started = Instant::now();
    assert_eq!(kind(closed).await, ErrorKind::Unavailable);
    assert!(
        started.elapsed() > Duration::from_secs(10) && started.elapsed() < Duration::from_secs(40)
    );
    let error = connect_in_cluster().err().unwrap();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(error.hint(), Some("outside a cluster, give a kubeconfig"));
}
