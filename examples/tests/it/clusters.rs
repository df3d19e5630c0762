//! Recipes for clusters, on a real API server, and on a real node where pods must run.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use mlops_k8s::kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use mlops_k8s::kube::core::GroupVersionKind;
use mlops_k8s::{Applier, ApplyOptions, ClusterAccess, ObjectSet, kube};
use mlops_testkit::kubernetes::{TestCluster, TestNode};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::{example, run};

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn map(name: &str, value: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: {name} }}\ndata: {{ text: '{value}' }}\n"
    )
}

async fn client(kubeconfig: &Path) -> kube::Client {
    let access = ClusterAccess::read(kubeconfig, None).unwrap();
    access.connect().await.unwrap()
}

/// Objects that a recipe finds there.
fn apply(kubeconfig: &Path, text: &str) {
    let work = async {
        let set = ObjectSet::from_yaml("test.yaml", text).unwrap();
        let applier = Applier::new(client(kubeconfig).await);
        let options = ApplyOptions::default();
        applier.apply(&set, &options, &|_| {}).await.unwrap()
    };
    let report = Runtime::new().unwrap().block_on(work);
    assert!(report.is_complete(), "{report:?}");
}

fn web(namespace: &str, replicas: u8) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{ name: web, namespace: {namespace} }}
spec:
  replicas: {replicas}
  selector: {{ matchLabels: {{ app: web }} }}
  template:
    metadata: {{ labels: {{ app: web }} }}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: main
        image: localhost/busybox:1
        command: [sh, -c, 'exec httpd -f -p 8080 -h /tmp']
        readinessProbe: {{ tcpSocket: {{ port: 8080 }}, periodSeconds: 1 }}
"
    )
}

#[test]
fn plan_without_cluster() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "one.yaml", &map("one", "1"));
    let plan = || example("plan_without_cluster").arg(folder.path()).output();
    let text = run(example("plan_without_cluster").arg(folder.path()));
    assert!(
        text.starts_with("+ create ConfigMap/one in models, read at "),
        "{text}"
    );
    assert!(text.contains("one.yaml:1:1\n1 to create, "), "{text}");
    write(folder.path(), "one.yaml", "kind: [\n");
    let output = plan().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(errors.contains("one.yaml"), "{errors} does not name {file}");
}

#[test]
fn apply_folder() {
    let kubeconfig = TestCluster::shared().kubeconfig();
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "one.yaml", &map("recipe-one", "1"));
    write(folder.path(), "two.yaml", &map("recipe-two", "2"));
    let apply = |more: &[&str]| {
        let mut command = example("apply_folder");
        run(command.arg(&kubeconfig).arg(folder.path()).args(more))
    };
    let text = apply(&[]);
    for line in [
        "+ create ConfigMap/recipe-one in default",
        "2 to create, 0 to change, 0 to remove",
        "ConfigMap/recipe-two in default: Created",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
    assert_eq!(apply(&[]), "nothing to do for 2 objects\n");

    std::fs::remove_file(folder.path().join("two.yaml")).unwrap();
    write(folder.path(), "one.yaml", &map("recipe-one", "other"));
    let text = apply(&[]);
    for line in [
        "    .data.text: \"1\" -> \"other\"",
        "0 to create, 1 to change, 1 to remove",
        "ConfigMap/recipe-two in default: Removed",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
    assert_eq!(
        apply(&["remove"]),
        "ConfigMap/recipe-one in default: Removed\n"
    );
    assert_eq!(apply(&["remove"]), "");
}

#[test]
fn own_readiness_rule() {
    let kubeconfig = TestCluster::shared().kubeconfig();
    let definition = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: { name: backups.example.org }
spec:
  group: example.org
  scope: Namespaced
  names: { kind: Backup, plural: backups }
  versions:
  - name: v1
    served: true
    storage: true
    schema: { openAPIV3Schema: { type: object, x-kubernetes-preserve-unknown-fields: true } }
---
apiVersion: example.org/v1
kind: Backup
metadata: { name: nightly, namespace: recipe-rule }
---
apiVersion: v1
kind: Namespace
metadata: { name: recipe-rule, labels: { mlops.dev/test: recipe-rule } }
";
    apply(&kubeconfig, definition);
    let report = |status: Value| {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("example.org", "v1", "Backup"));
        let work = async {
            let client = client(&kubeconfig).await;
            let backups: Api<DynamicObject> =
                Api::namespaced_with(client, "recipe-rule", &resource);
            let patch = Patch::Merge(json!({ "status": status }));
            let how = PatchParams::default();
            backups.patch("nightly", &how, &patch).await.unwrap();
        };
        Runtime::new().unwrap().block_on(work);
    };
    let wait = || {
        let mut command = example("own_readiness_rule");
        command.arg(&kubeconfig).args(["recipe-rule", "nightly"]);
        command
    };

    let mut child = wait().stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut line = || lines.next().unwrap().unwrap();
    assert_eq!(line(), "in progress: status.phase is not there");
    report(json!({ "phase": "Running" }));
    assert_eq!(
        line(),
        "in progress: status.phase is \"Running\" and not \"Completed\""
    );
    let verified = json!([{ "type": "Verified", "status": "True" }]);
    report(json!({ "phase": "Completed", "conditions": verified }));
    assert_eq!(line(), "ready");
    assert!(child.wait().unwrap().success());

    report(json!({ "phase": "Failed" }));
    let output = wait().output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(errors.contains("status.phase is \"Failed\""), "{errors}");
}

#[test]
fn wait_for_deployment() {
    let kubeconfig = TestNode::shared().kubeconfig();
    let namespace = TestNode::shared().own_namespace("recipe-wait");
    apply(&kubeconfig, &web(namespace.name(), 2));
    let text = run(example("wait_for_deployment")
        .arg(&kubeconfig)
        .args([namespace.name(), "web"]));
    assert!(text.ends_with("\nready\n") || text == "ready\n", "{text}");

    // A container that never gets ready, and a deadline that is soon over.
    let broken = web(namespace.name(), 1)
        .replace("name: web,", "name: broken,")
        .replace("app: web", "app: broken")
        .replace(
            "  replicas: 1",
            "  replicas: 1\n  progressDeadlineSeconds: 2",
        )
        .replace("port: 8080 }", "port: 8081 }");
    apply(&kubeconfig, &broken);
    let output = example("wait_for_deployment")
        .arg(&kubeconfig)
        .args([namespace.name(), "broken"])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(
        errors.contains("it has failed: ProgressDeadlineExceeded"),
        "{errors}"
    );
}

#[test]
fn watch_apply() {
    let kubeconfig = TestNode::shared().kubeconfig();
    let namespace = TestNode::shared().own_namespace("recipe-watch");
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "web.yaml", &web(namespace.name(), 1));
    let text = run(example("watch_apply").arg(&kubeconfig).arg(file));
    let object = format!("Deployment.apps/web in {}", namespace.name());
    let mut lines = text
        .lines()
        .map(|line| line.split_once(" ms  ").unwrap().1.to_owned());
    // In this order, with whatever else happens between them.
    for expected in [
        format!("writing {object}"),
        format!("{object}: Created"),
        format!("{object} is in progress: "),
        format!("{object} is ready"),
        "all is ready".to_owned(),
    ] {
        assert!(
            lines.any(|line| line.starts_with(&expected)),
            "{expected} in {text}"
        );
    }
}

#[test]
fn explain_pod() {
    let kubeconfig = TestNode::shared().kubeconfig();
    let namespace = TestNode::shared().own_namespace("recipe-explain");
    let pod = |name: &str, more: &str| {
        let namespace = namespace.name();
        let text = format!(
            "apiVersion: v1
kind: Pod
metadata: {{ name: {name}, namespace: {namespace} }}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: localhost/busybox:1
    command: [sleep, '3600']
    {more}
"
        );
        apply(&kubeconfig, &text);
        run(example("explain_pod")
            .arg(&kubeconfig)
            .args([namespace, name]))
    };
    assert_eq!(pod("fine", ""), "ready\n");
    let text = pod(
        "poor",
        "envFrom: [{ secretRef: { name: passwords-of-nobody } }]",
    );
    assert!(text.starts_with("secret-missing of "), "{text}");
    assert!(text.contains("passwords-of-nobody"), "{text}");
    assert!(text.contains("\nshown by "), "{text}");
    assert!(text.contains("\nremedy: "), "{text}");
}
