//! The command as a person types it, against a real API server.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail by panicking, as tests do"
)]

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use mlops_k8s::{Applier, ApplyOptions, ClusterAccess, ObjectSet};
use mlops_testkit::kubernetes::TestCluster;

fn run(args: &[&str]) -> (i32, String, String) {
    let output: Output = Command::new(env!("CARGO_BIN_EXE_mlops-explain"))
        .args(args)
        .arg("--kubeconfig")
        .arg(TestCluster::shared().kubeconfig())
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

/// Applies objects as an administrator.
fn apply(text: &str) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let access = ClusterAccess::read(&TestCluster::shared().kubeconfig(), None).unwrap();
        let applier = Applier::new(access.connect().await.unwrap());
        let set = ObjectSet::from_yaml("test.yaml", text).unwrap();
        let report = applier.apply(&set, &ApplyOptions::default(), &|_| {}).await;
        let report = report.unwrap();
        assert!(report.is_complete(), "{report:?}");
    });
}

/// A namespace with a map, a claim that nobody can bind, and a pod that nobody looks at.
const OBJECTS: &str = "
{apiVersion: v1, kind: Namespace, metadata: {name: explained, labels: {mlops.dev/test: explain}}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: settings, namespace: explained}, data: {a: b}}
---
{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: data, namespace: explained},
  spec: {accessModes: [ReadWriteOnce], storageClassName: nowhere, resources: {requests: {storage: 1Gi}}}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: default, namespace: explained}}
---
{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: explained},
  spec: {serviceAccountName: default, containers: [{name: web, image: 'localhost/web:1'}]}}
";

#[test]
fn causes_are_told_and_waited_for() {
    apply(OBJECTS);
    let (code, out, err) = run(&["configmap/settings", "-n", "explained"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(
        out.contains("ConfigMap explained/settings is ready"),
        "{out}"
    );
    let (code, out, err) = run(&["persistentvolumeclaim/data", "-n", "explained"]);
    assert_eq!(code, 4, "{out}{err}");
    assert!(out.contains("storage-class-missing"), "{out}");
    assert!(out.contains("nowhere"), "{out}");
    assert!(out.contains("remedy: "), "{out}");

    // Nothing says yet that the pod has failed: that is told at once, or after the time that one waits.
    let (code, out, err) = run(&["pod/web", "-n", "explained"]);
    assert_eq!(code, 4, "{out}{err}");
    assert!(out.contains("nothing says that it has failed"), "{out}");
    let started = Instant::now();
    let (code, out, err) = run(&["pod/web", "-n", "explained", "--within", "1"]);
    assert_eq!((code, err.as_str()), (4, ""), "{out}");
    assert!(started.elapsed() >= Duration::from_secs(1));
    assert!(out.contains("nothing says that it has failed"), "{out}");
    let waiting = std::thread::spawn(|| run(&["pod/web", "-n", "explained", "--within", "60"]));
    std::thread::sleep(Duration::from_secs(1));
    apply(
        "
{apiVersion: v1, kind: Event, metadata: {name: web.1, namespace: explained}, type: Warning, reason: FailedScheduling,
  involvedObject: {apiVersion: v1, kind: Pod, namespace: explained, name: web},
  message: '0/1 nodes are available: 1 Insufficient cpu.'}
",
    );
    let (code, out, err) = waiting.join().unwrap();
    assert_eq!(code, 4, "{out}{err}");
    assert!(out.contains("unschedulable-cpu"), "{out}");
}

#[test]
fn what_is_not_there_is_explained() {
    let (code, out, err) = run(&["deployment/nothing", "-n", "default"]);
    assert_eq!(code, 4, "{out}{err}");
    assert!(out.contains("nothing"), "{out}");
    let (code, out, _) = run(&["deployments.apps/nothing", "--output", "json"]);
    let explanation: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(code, 4);
    assert_eq!(explanation["subject"]["kind"], "Deployment");
    assert_eq!(explanation["ready"], false);
}

#[test]
fn wrong_names_have_their_code_and_a_hint() {
    let (code, _, err) = run(&["deploymnt/web"]);
    assert_eq!(code, 2);
    assert!(err.contains("did you mean `deployment`?"), "{err}");
    let (code, _, err) = run(&["web"]);
    assert_eq!(code, 2);
    assert!(err.contains("KIND/NAME"), "{err}");
}

#[test]
fn completions_and_manual_page_are_printed() {
    assert!(
        run(&["--completions", "zsh"])
            .1
            .contains("#compdef mlops-explain")
    );
    assert_eq!(run(&["--man"]).0, 0);
}
