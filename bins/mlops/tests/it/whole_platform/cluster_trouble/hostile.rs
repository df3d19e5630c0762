//! What others wrote is read with care.

use std::time::Instant;

use serde_json::json;

use super::{LIGHT, Site, calm, node};

#[test]
fn objects_of_other_namespaces_and_of_the_cluster_are_refused() {
    let _calm = calm();
    let site = Site::of_admin("hostile", LIGHT);
    for (object, word) in [
        (
            "{ apiVersion: v1, kind: ConfigMap, metadata: { name: a, namespace: kube-system }, data: { a: b } }",
            "an object of another namespace",
        ),
        (
            "{ apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: { name: a }, rules: [] }",
            "lives in no namespace",
        ),
    ] {
        site.write("catalog/leaves/objects/more.yaml", object);
        let said = site.run(&["up"]).expect(2);
        assert!(said.err.contains(word), "{}", said.err);
    }
    site.assert_gone();
}

#[test]
fn what_others_wrote_cannot_move_the_cursor() {
    let _calm = calm();
    let site = Site::of_admin("escaped", LIGHT);
    let begun = Instant::now();
    // An image that is not there, under a name that Kubernetes takes as it is, and an event with more of it.
    let server = site.home.path("catalog/leaves/objects/server.yaml");
    let text = std::fs::read_to_string(&server).unwrap();
    let wrong = text.replace("command: [httpd,", "command: [\"/no\\e[2Jthing\",");
    site.write("catalog/leaves/objects/server.yaml", &wrong);
    let mut up = site.start(&["up"]);
    let pods = site.path("pods");
    let deadline = Instant::now() + std::time::Duration::from_mins(1);
    let pod = loop {
        if let Some(pod) = Site::items(&pods).into_iter().next() {
            break pod;
        }
        assert!(Instant::now() < deadline);
        std::thread::sleep(std::time::Duration::from_millis(50));
    };
    let event = json!({
        "metadata": {"name": "wiped", "namespace": "escaped"},
        "involvedObject": {"kind": "Pod", "namespace": "escaped", "name": pod["metadata"]["name"],
            "uid": pod["metadata"]["uid"], "apiVersion": "v1"},
        "type": "Warning", "reason": "Failed", "message": "\u{1b}]0;owned\u{7}\u{1b}[2J all is well",
        "count": 1, "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:00:00Z",
    });
    let (code, text) = node().request("POST", &site.path("events"), Some(&event.to_string()));
    assert_eq!(code, 201, "{text}");
    let ended = up.wait().unwrap();
    let log = site.home.started_log();
    assert_eq!(ended.code(), Some(1), "{log}");
    assert!(log.contains("command-not-found"), "{log}");
    let status = site.run(&["status"]);
    let plan = site.run(&["plan"]);
    for text in [&log, &status.out, &status.err, &plan.out, &plan.err] {
        let is_plain = |text: &str| !text.chars().any(|c| c.is_control() && c != '\n');
        assert!(is_plain(text), "{text:?}");
    }
    site.remove();
    site.seconds(begun);
}
