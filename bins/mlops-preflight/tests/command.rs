//! The command as a person types it, against a real API server.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail by panicking, as tests do"
)]

use std::process::{Command, Output, Stdio};

use mlops_k8s::ClusterAccess;
use mlops_k8s::k8s_openapi::api::core::v1::Node;
use mlops_k8s::kube::api::{Api, Patch, PatchParams, PostParams};
use mlops_testkit::kubernetes::TestCluster;

fn run(kubeconfig: &std::path::Path, args: &[&str]) -> (i32, String, String) {
    let output: Output = Command::new(env!("CARGO_BIN_EXE_mlops-preflight"))
        .args(args)
        .arg("--kubeconfig")
        .arg(kubeconfig)
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn each_check_has_a_reason_and_the_worst_decides() {
    let cluster = TestCluster::shared();
    let args = ["--no-volume", "--output", "json", "-n", "default"];
    let (code, out, err) = run(&cluster.kubeconfig(), &args);
    // Without a node nobody answers for names.
    assert_eq!(code, 4, "{out}{err}");
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    let checks = report["checks"].as_array().unwrap();
    let state = |word: &str| {
        let found = checks
            .iter()
            .find(|check| check["name"].as_str().unwrap().contains(word));
        found.unwrap_or_else(|| panic!("{word}: {out}"))["state"].clone()
    };
    assert_eq!(state("version"), "passed");
    assert_eq!(state("DNS"), "failed");
    for check in checks {
        assert!(!check["reason"].as_str().unwrap().is_empty());
    }
}

#[test]
fn rights_are_those_that_the_objects_take() {
    let cluster = TestCluster::shared();
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    std::fs::write(&kubeconfig, cluster.kubeconfig_of("nobody-special", None)).unwrap();
    let object = folder.path().join("one.yaml");
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: one }\n";
    std::fs::write(&object, text).unwrap();
    let args = [object.to_str().unwrap(), "--no-volume", "-n", "default"];
    let (code, out, err) = run(&kubeconfig, &args);
    assert_eq!(code, 4, "{out}{err}");
    // The same right, told of both: so neither line can be lost unseen.
    let right = |out: &str| -> Vec<String> {
        let lines = out
            .lines()
            .filter(|line| line.contains(": right to patch configmaps"));
        lines
            .map(|line| line.split(':').next().unwrap().to_owned())
            .collect()
    };
    assert_eq!(right(&out), ["failed"], "{out}");
    let (_, out, _) = run(&cluster.kubeconfig(), &args);
    assert_eq!(right(&out), ["passed"], "{out}");
    assert!(!out.contains("failed: right to "), "{out}");
}

/// Makes a node that says of itself that it is ready, with 4 cores and 8 GiB.
fn make_node() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let access = ClusterAccess::read(&TestCluster::shared().kubeconfig(), None).unwrap();
        let nodes: Api<Node> = Api::all(access.connect().await.unwrap());
        let node = serde_json::json!({
            "metadata": { "name": "four-cores" },
            "status": {
                "allocatable": { "cpu": "4", "memory": "8Gi" },
                "conditions": [{ "type": "Ready", "status": "True" }],
            },
        });
        let node = serde_json::from_value(node).unwrap();
        nodes.create(&PostParams::default(), &node).await.unwrap();
        // The server marks each new node as not ready, and there is no controller to take that away.
        let untainted = Patch::Merge(serde_json::json!({ "spec": { "taints": null } }));
        let how = PatchParams::default();
        nodes.patch("four-cores", &how, &untainted).await.unwrap();
    });
}

/// 100 cores and a half, two classes, and a certificate.
const LARGE: &str = "
{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: {replicas: 50, selector: {matchLabels: {app: web}},
  template: {metadata: {labels: {app: web}}, spec: {containers: [
    {name: web, image: 'localhost/web:1', resources: {requests: {cpu: 2, memory: 10Mi}}}]}}}}
---
{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: db}, spec: {serviceName: db, selector: {matchLabels: {app: db}},
  volumeClaimTemplates: [{metadata: {name: data}, spec: {storageClassName: fast, accessModes: [ReadWriteOnce],
    resources: {requests: {storage: 1Gi}}}}],
  template: {metadata: {labels: {app: db}}, spec: {
    initContainers: [{name: first, image: 'localhost/db:1', resources: {requests: {cpu: 500m}}}],
    containers: [{name: db, image: 'localhost/db:1', resources: {requests: {cpu: 100m, memory: 12Mi}}}]}}}}
---
{apiVersion: v1, kind: Service, metadata: {name: db}, spec: {selector: {app: db}, ports: [{port: 5432}]}}
---
{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: web}, spec: {ingressClassName: public,
  defaultBackend: {service: {name: db, port: {number: 5432}}}}}
---
{apiVersion: cert-manager.io/v1, kind: Certificate, metadata: {name: web}, spec: {secretName: web}}
";

#[test]
fn room_and_classes_are_those_that_the_objects_ask_for() {
    make_node();
    let kubeconfig = TestCluster::shared().kubeconfig();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.yaml");
    std::fs::write(&path, LARGE).unwrap();
    let run = |more: &[&str]| {
        let args = [path.to_str().unwrap(), "-n", "default"];
        run(&kubeconfig, &[&args, more].concat())
    };
    let (code, out, err) = run(&[]);
    assert_eq!(code, 4, "{out}{err}");
    for line in [
        "failed: free cpu and memory: 4000m cpu and 8192 MiB are free; 100500m cpu and 512 MiB are asked for",
        "failed: storage class fast: there is no StorageClass fast",
        "failed: ingress class public: there is none",
        "failed: cert-manager: cert-manager.io/v1 is not served",
    ] {
        assert!(out.lines().any(|found| found == line), "{line}: {out}");
    }
    assert!(!out.contains("default storage class"), "{out}");

    // What is said goes before what the objects say.
    let options = [
        "--cpu=1000",
        "--storage-class=slow",
        "--ingress-class=default",
    ];
    let (code, out, err) = run(&options);
    assert_eq!(code, 4, "{out}{err}");
    for line in [
        "passed: free cpu and memory: 4000m cpu and 8192 MiB are free; 1000m cpu and 512 MiB are asked for",
        "failed: storage class slow: there is no StorageClass slow",
        "failed: default ingress class: there is none",
    ] {
        assert!(out.lines().any(|found| found == line), "{line}: {out}");
    }
    assert!(!out.contains("fast") && !out.contains("public"), "{out}");
}

#[test]
fn objects_that_are_wrong_have_their_code() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pod.yaml");
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: { name: web }\nspec:\n  hostnameOverride: web.example\n  \
        containers: [{ name: web, image: 'registry.example/web:1.0' }]\n";
    std::fs::write(&path, pod).unwrap();
    // Files come before the server.
    let nowhere = std::path::Path::new("/nowhere");
    let wrong = [path.to_str().unwrap(), "--kubernetes", "1.33"];
    let (code, _, err) = run(nowhere, &wrong);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("not in 1.33"), "{err}");
    assert!(err.contains("pod.yaml:5:3"), "{err}");
    let (_, _, err) = run(nowhere, &[&wrong[..], &["--no-check"]].concat());
    assert!(err.contains("/nowhere") && !err.contains("1.33"), "{err}");
}

#[test]
fn a_server_that_does_not_answer_is_named_with_the_cause() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    let text = format!(
        "{{apiVersion: v1, kind: Config, current-context: c, contexts: [{{name: c, context: {{cluster: c, user: u}}}}],
          clusters: [{{name: c, cluster: {{server: 'https://{address}'}}}}], users: [{{name: u, user: {{}}}}]}}"
    );
    std::fs::write(&kubeconfig, text).unwrap();
    let (code, out, err) = run(&kubeconfig, &["--no-volume"]);
    assert_eq!(code, 4, "{out}{err}");
    let said = format!("no answer from `https://{address}`: Connection refused");
    assert!(out.contains(&said), "{out}");
    assert!(
        out.contains("remedy: check that the API server runs"),
        "{out}"
    );
}

#[test]
fn completions_and_manual_page_are_printed() {
    let nowhere = std::path::Path::new("/nowhere");
    assert!(
        run(nowhere, &["--completions", "fish"])
            .1
            .contains("mlops-preflight")
    );
    assert_eq!(run(nowhere, &["--man"]).0, 0);
}
