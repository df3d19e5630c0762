use std::time::{Duration, Instant};

use super::*;

/// The whole life of one, because starting it is what costs.
#[test]
fn an_api_server_answers_is_stopped_and_comes_again() {
    let cluster = TestCluster::start();
    let folder = cluster.kubeconfig();
    let folder = folder.parent().unwrap().to_owned();
    let ask = |path: &str, user: Option<&Credentials>| {
        let mut curl = std::process::Command::new("curl");
        curl.args(["--silent", "--show-error", "--max-time", "10", "--cacert"])
            .arg(folder.join("ca.crt"));
        if let Some(user) = user {
            let [certificate, key] = user.write(&folder, "test-user");
            curl.arg("--cert").arg(certificate).arg("--key").arg(key);
        }
        let output = curl
            .arg(format!("{}{path}", cluster.url()))
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let admin = cluster.client("admin", Some("system:masters"));
    let version = ask("/version", Some(&admin));
    assert!(version.contains(&format!("v{VERSION}")), "{version}");
    let stranger = cluster.client("somebody", None);
    let refused = ask("/api/v1/namespaces", Some(&stranger));
    assert!(refused.contains("Forbidden"), "{refused}");
    assert!(cluster.audit_log().contains("somebody"));

    cluster.stop_api_server();
    assert_eq!(ask("/version", Some(&admin)), "");
    cluster.start_api_server();
    assert!(ask("/version", Some(&admin)).contains(VERSION));

    drop(cluster);
    assert!(!folder.exists(), "{} is left", folder.display());
}

/// Runs a pod to its end and hands back what it printed.
fn run_pod(
    node: &TestNode,
    namespace: &str,
    name: &str,
    image: &str,
    command: &str,
    container: &str,
    pod: &str,
) -> String {
    let path = format!("/api/v1/namespaces/{namespace}/pods/{name}");
    node.apply(
        &path,
        &format!(
            "apiVersion: v1
kind: Pod
metadata: {{ name: {name}, namespace: {namespace} }}
spec:
  restartPolicy: Never
  containers:
  - name: main
    image: {image}
    imagePullPolicy: IfNotPresent
    command: {command}
    {container}
  {pod}
"
        ),
    );
    let deadline = Instant::now() + Duration::from_mins(2);
    let ended =
        |pod: &str| pod.contains(r#""phase":"Succeeded""#) || pod.contains(r#""phase":"Failed""#);
    while !ended(&node.get(&path)) {
        assert!(
            Instant::now() < deadline,
            "{name} does not end: {}",
            node.get(&path)
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    node.get(&format!("{path}/log"))
}

/// The images of a platform's components hold what they say.
#[test]
fn the_images_of_a_platform_run() {
    let environment = crate::python::python();
    let environment = environment.parent().unwrap().parent().unwrap();
    let node = TestNode::shared();
    node.import_platform(environment);
    let namespace = node.own_namespace("images");
    let postgres = r#"["/bin/sh", "-c", "/usr/lib/postgresql/*/bin/postgres --version"]"#;
    for (name, image, command, said) in [
        (
            "postgres",
            platform::POSTGRES,
            postgres,
            "postgres (PostgreSQL)",
        ),
        (
            "s3",
            platform::S3,
            r#"["versitygw", "--version"]"#,
            "Version  :",
        ),
        (
            "python",
            platform::PYTHON,
            r#"["/opt/mlops/bin/python", "-I", "-c", "import mlflow, mlserver; print(mlflow.__file__, mlflow.__version__)"]"#,
            "/opt/mlops/lib",
        ),
    ] {
        let log = run_pod(node, namespace.name(), name, image, command, "", "");
        assert!(log.contains(said), "{name}: {log}");
    }
}

/// A pod that reads a volume, asks for names and reaches the API server; then nothing of the node is left.
#[test]
fn a_node_runs_pods_and_leaves_nothing() {
    let node = TestNode::start();
    let namespaces = "/api/v1/namespaces/default";
    node.apply(
        &format!("{namespaces}/persistentvolumeclaims/data"),
        "apiVersion: v1
kind: PersistentVolumeClaim
metadata: { name: data, namespace: default }
spec: { accessModes: [ReadWriteOnce], resources: { requests: { storage: 10Mi } } }
",
    );
    let script = "echo kept >/data/x; cat /data/x; nslookup kubernetes.default.svc.cluster.local; \
                  nc -w 5 kubernetes.default.svc 443 </dev/null; echo reached";
    let log = run_pod(
        &node,
        "default",
        "asks",
        BUSYBOX,
        &format!(r#"["sh", "-ec", "{script}"]"#),
        "volumeMounts: [{ name: data, mountPath: /data }]",
        "volumes: [{ name: data, persistentVolumeClaim: { claimName: data } }]",
    );
    for part in ["kept", "10.96.0.1", "reached"] {
        assert!(log.contains(part), "{part} is not in:\n{log}");
    }

    let deadline = Instant::now() + Duration::from_mins(1);
    let metrics = "/apis/metrics.k8s.io/v1beta1/nodes/test-node";
    while !node.get(metrics).contains(r#""usage""#) {
        assert!(Instant::now() < deadline, "{}", node.get(metrics));
        std::thread::sleep(Duration::from_millis(500));
    }

    let folder = node.folder().to_owned();
    let name = folder.file_name().unwrap().to_owned();
    drop(node);
    assert!(!folder.exists(), "{} is left", folder.display());
    for tree in std::fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
        let group = tree.path().join(&name);
        assert!(!group.exists(), "{} is left", group.display());
    }
}

#[test]
#[ignore = "the child of a_killed_run_leaves_nothing"]
fn child_starts_a_node() {
    let _node = TestNode::start();
    loop {
        std::thread::park();
    }
}

/// The folder, the cable and the control groups are gone, whenever it was killed.
#[test]
fn a_killed_run_leaves_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--ignored",
            "--exact",
            "kubernetes::tests::child_starts_a_node",
        ])
        .env("TMPDIR", scratch.path())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let folders = || {
        let all = std::fs::read_dir(scratch.path()).unwrap().flatten();
        all.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    // The kubelet is at work by then, with processes and control groups of its own.
    let (mut began, mut node) = (Instant::now(), None);
    while node.is_none() {
        assert!(began.elapsed() < Duration::from_mins(2), "no node came");
        std::thread::sleep(Duration::from_millis(50));
        node = folders().into_iter().find(|folder| {
            let log = std::fs::metadata(folder.join("log/kubelet.log"));
            log.is_ok_and(|log| log.len() > 0)
        });
    }
    let node = node.unwrap();
    let group = node.file_name().unwrap().to_owned();
    let has_groups = || {
        let top = std::path::Path::new("/sys/fs/cgroup");
        let mut below = std::fs::read_dir(top).into_iter().flatten().flatten();
        top.join(&group).exists() || below.any(|entry| entry.path().join(&group).exists())
    };
    assert!(has_groups());
    let address = std::fs::read_to_string(node.join("address")).unwrap();
    let number = address.trim().split('.').nth(2).unwrap().to_owned();
    let cable = std::path::PathBuf::from(format!("/sys/class/net/mlops{number}"));
    assert!(cable.exists());
    child.kill().unwrap();
    child.wait().unwrap();
    began = Instant::now();
    while !folders().is_empty() || cable.exists() || has_groups() {
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "of {:?}, {} and its control groups something is left",
            folders(),
            cable.display()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}
