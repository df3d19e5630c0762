//! The tool as somebody who may do just what it says that it needs.

use std::time::Instant;

use serde_json::{Value, json};

use super::quiet::assert_second_up_sends_no_write;
use super::{Site, WHOLE, calm, node};

#[test]
fn the_derived_rights_are_enough_and_a_second_up_sends_no_write() {
    let _calm = calm();
    let site = Site::of_admin("least", WHOLE);
    let begun = Instant::now();
    // The rights are derived without asking anybody.
    site.write("kubeconfig", "{apiVersion: v1, kind: Config, current-context: none, contexts: [{name: none, context: {cluster: none, user: none}}], clusters: [{name: none, cluster: {server: 'https://127.0.0.1:1'}}], users: []}");
    let said = site
        .run(&["rights", "--account", "default/least", "--output", "json"])
        .expect(0);
    assert!(!said.out.contains("\"*\""), "{}", said.out);
    let list = said.json();
    let roles = list["items"].as_array().unwrap();
    let admin = |method: &str, path: &str, body: &Value| -> Value {
        let (code, text) = node().request(method, path, Some(&body.to_string()));
        assert!(code == 201, "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    };
    // A role in a namespace needs the namespace: an administrator makes it, with the platform's labels.
    for role in roles {
        let kind = role["kind"].as_str().unwrap().to_lowercase();
        let place = match role["metadata"]["namespace"].as_str() {
            Some(namespace) => format!("namespaces/{namespace}/{kind}s"),
            None => format!("{kind}s"),
        };
        let path = match role["apiVersion"].as_str().unwrap() {
            "v1" => format!("/api/v1/{place}"),
            version => format!("/apis/{version}/{place}"),
        };
        admin("POST", &path, role);
    }
    let account = json!({"metadata": {"name": "least"}});
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    admin("POST", accounts, &account);
    let wish = json!({"spec": {"audiences": ["https://kubernetes.default.svc"]}});
    let token = admin("POST", &format!("{accounts}/least/token"), &wish);
    let text = std::fs::read_to_string(node().kubeconfig()).unwrap();
    let mut config: Value = serde_json::from_str(&text).unwrap();
    config["users"][0]["user"] = json!({"token": token["status"]["token"]});
    site.write("kubeconfig", &config.to_string());

    site.run(&["up"]).expect(0);
    assert_second_up_sends_no_write(&site, "system:serviceaccount:default:least");
    site.assert_whole();
    site.run(&["status"]).expect(0);
    site.run(&["logs", "s3", "--lines", "5"]).expect(0);
    site.run(&["down"]).expect(0);
    site.run(&["up"]).expect(0);
    site.remove();
    site.seconds(begun);
}
