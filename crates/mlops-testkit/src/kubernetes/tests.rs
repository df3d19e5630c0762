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
    node.apply(
        &format!("{namespaces}/pods/asks"),
        "apiVersion: v1
kind: Pod
metadata: { name: asks, namespace: default }
spec:
  restartPolicy: Never
  containers:
  - name: main
    image: localhost/busybox:1
    command: [sh, -ec, 'echo kept >/data/x; cat /data/x; nslookup kubernetes.default.svc.cluster.local; nc -w 5 kubernetes.default.svc 443 </dev/null; echo reached']
    volumeMounts: [{ name: data, mountPath: /data }]
  volumes: [{ name: data, persistentVolumeClaim: { claimName: data } }]
",
    );
    let deadline = std::time::Instant::now() + std::time::Duration::from_mins(1);
    let ended =
        |pod: &str| pod.contains(r#""phase":"Succeeded""#) || pod.contains(r#""phase":"Failed""#);
    while !ended(&node.get(&format!("{namespaces}/pods/asks"))) {
        assert!(std::time::Instant::now() < deadline, "the pod does not end");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    let log = node.get(&format!("{namespaces}/pods/asks/log"));
    for part in ["kept", "10.96.0.1", "reached"] {
        assert!(log.contains(part), "{part} is not in:\n{log}");
    }

    let metrics = "/apis/metrics.k8s.io/v1beta1/nodes/test-node";
    while !node.get(metrics).contains(r#""usage""#) {
        assert!(
            std::time::Instant::now() < deadline,
            "{}",
            node.get(metrics)
        );
        std::thread::sleep(std::time::Duration::from_millis(500));
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
