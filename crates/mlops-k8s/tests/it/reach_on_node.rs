//! Logs, exec and port-forward need pods that run.

use std::time::Duration;

use futures::TryStreamExt as _;
use mlops_core::ErrorKind;
use mlops_k8s::{
    Applier, ApplyOptions, ClusterAccess, Forward, LogOptions, ObjectSet, WaitOptions, exec, logs,
};
use mlops_testkit::kubernetes::TestNode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const WEB: &str = r"
apiVersion: apps/v1
kind: Deployment
metadata: { name: web }
spec:
  replicas: 2
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec:
      terminationGracePeriodSeconds: 0
      automountServiceAccountToken: false
      containers:
      - name: main
        image: localhost/busybox:1
        command: [sh, -c, 'echo started >&2; mkdir /tmp/www; hostname >/tmp/www/index.html; exec httpd -f -p 8080 -h /tmp/www']
        ports: [{ name: http, containerPort: 8080 }]
        readinessProbe: { tcpSocket: { port: http }, periodSeconds: 1 }
---
apiVersion: v1
kind: Service
metadata: { name: web }
spec:
  selector: { app: web }
  ports: [{ name: http, port: 80, targetPort: http }]
";

async fn get(forward: &Forward) -> String {
    let mut stream = TcpStream::connect(forward.address()).await.unwrap();
    let request = b"GET / HTTP/1.0\r\nhost: web\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn pods_are_read_entered_and_reached() {
    let node = TestNode::shared();
    let namespace = node.own_namespace("reach");
    let namespace = namespace.name();
    let access = ClusterAccess::read(&node.kubeconfig(), None).unwrap();
    let client = access.connect().await.unwrap();
    let set = ObjectSet::from_yaml("web.yaml", WEB).unwrap();
    let applier = Applier::new(client.clone())
        .with_set("web", namespace)
        .with_namespace(namespace);
    let report = applier.apply(&set, &ApplyOptions::default(), &|_| {}).await;
    assert!(report.unwrap().is_complete());
    let patience = WaitOptions::new(Duration::from_mins(1));
    applier.wait(&set, &patience, &|_| {}).await.unwrap();

    let lines = logs(&client, namespace, "app=web", LogOptions::default());
    let lines: Vec<_> = lines.await.unwrap().try_collect().await.unwrap();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        lines
            .iter()
            .all(|line| line.text == "started" && line.container == "main")
    );
    let silent = logs(&client, namespace, "app=other", LogOptions::default()).await;
    assert_eq!(silent.err().unwrap().kind(), ErrorKind::NotFound);

    let pod = &lines[0].pod;
    let script = "cat; echo wrong >&2; exit 3";
    let ended = exec(
        &client,
        namespace,
        pod,
        "main",
        &["sh", "-c", script],
        b"input",
    )
    .await;
    let ended = ended.unwrap();
    assert_eq!(
        (ended.code, ended.output.as_slice(), ended.errors.as_slice()),
        (3, &b"input"[..], &b"wrong\n"[..])
    );
    let name = exec(&client, namespace, pod, "main", &["hostname"], b"")
        .await
        .unwrap();
    assert_eq!(
        (name.code, String::from_utf8(name.output).unwrap().trim()),
        (0, pod.as_str())
    );
    let missing = exec(&client, namespace, pod, "main", &["no-such-program"], b"").await;
    assert!(missing.is_err() || missing.unwrap().code != 0);

    let forward = Forward::open(client.clone(), namespace, "web", "http")
        .await
        .unwrap();
    let answers = futures::future::join_all((0..8).map(|_| get(&forward))).await;
    assert!(
        answers
            .iter()
            .all(|text| text.contains("200 OK") && text.contains("web-"))
    );
    let wrong = Forward::open(client.clone(), namespace, "web", "https")
        .await
        .unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::InvalidInput);
    assert_eq!(wrong.causes(), ["it has no port `https`, but `http`"]);
    let wrong = Forward::open(client.clone(), namespace, "nothing", "")
        .await
        .unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::NotFound);

    let removed = applier
        .remove(&mlops_k8s::RemoveOptions::default(), &|_| {})
        .await;
    assert!(removed.unwrap().is_complete());
}
