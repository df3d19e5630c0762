//! The derived rights are enough to apply a set, and not for more.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::Client;
use mlops_core::ErrorKind;
use mlops_k8s::validate::{Rights, RightsOptions, rbac_for};
use serde_json::{Value, json};

use crate::validate_corpus::files;
use crate::validate_server::{administrator, client_of, make_definition, objects, send};

fn rules(rights: &Rights) -> Vec<&PolicyRule> {
    rights
        .cluster
        .iter()
        .chain(rights.namespaces.values().flatten())
        .collect()
}

/// No wildcard, no verb that is not needed, and no name where it has no effect.
#[test]
fn rights_of_every_right_manifest_are_least() {
    let options = RightsOptions::new()
        .with_parent("", "configmaps", Some("ops"), "set")
        .with_lease("ops", "set")
        .with_explanations()
        .with_port_forward();
    let mut count = 0;
    for (name, text) in files("validate_right") {
        // A role with a wildcard is told apart below.
        let rights =
            rbac_for(&objects(&text), &options).unwrap_or_else(|error| panic!("{name}: {error}"));
        for rule in rules(&rights) {
            count += 1;
            let json = serde_json::to_string(rule).unwrap();
            assert!(!json.contains("\"*\""), "{name}: {json}");
            assert!(!rule.verbs.is_empty(), "{name}: {json}");
            let limitless = ["create", "list", "watch", "deletecollection"];
            // A single Lease is watched by its name.
            let is_lease = rule.resources.as_deref() == Some(&["leases".to_owned()]);
            if rule.resource_names.is_some() && !is_lease {
                assert!(
                    !rule
                        .verbs
                        .iter()
                        .any(|verb| limitless.contains(&verb.as_str())),
                    "{name}: {json}"
                );
            }
        }
    }
    assert!(count > 100, "{count}");
}

#[test]
fn what_has_no_rights_is_told() {
    let options = RightsOptions::new();
    let foreign = json!({"apiVersion": "other.example/v1", "kind": "Thing", "metadata": {"name": "a", "namespace": "b"}});
    let error = rbac_for(std::slice::from_ref(&foreign), &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let named = options
        .clone()
        .with_namespaced_resource("other.example", "Thing", "things");
    let rights = rbac_for(&[foreign], &named).unwrap();
    assert_eq!(
        rights.namespaces["b"][0].resources,
        Some(vec!["things".to_owned()])
    );

    let nameless = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}});
    assert!(rbac_for(&[nameless], &options).is_err());
    let wide = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "a"},
        "rules": [{"apiGroups": ["*"], "resources": ["pods"], "verbs": ["get"]}],
    });
    let error = rbac_for(&[wide], &options).unwrap_err();
    assert!(error.causes()[0].contains("wildcard"), "{error}");
}

#[test]
fn pruning_reaches_other_names_and_nothing_else_does() {
    let object =
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}});
    let verbs = |options: &RightsOptions| -> Vec<(bool, BTreeSet<String>)> {
        let rights = rbac_for(std::slice::from_ref(&object), options).unwrap();
        rules(&rights)
            .iter()
            .map(|rule| {
                (
                    rule.resource_names.is_some(),
                    rule.verbs.iter().cloned().collect(),
                )
            })
            .collect()
    };
    let set = |verbs: &[&str]| {
        verbs
            .iter()
            .map(|verb| (*verb).to_owned())
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(
        verbs(&RightsOptions::new()),
        [
            (false, set(&["create", "list", "watch"])),
            (true, set(&["delete", "get", "patch"]))
        ]
    );
    assert_eq!(
        verbs(&RightsOptions::new().with_prune()),
        [
            (false, set(&["create", "delete", "list", "watch"])),
            (true, set(&["get", "patch"]))
        ]
    );
}

async fn apply(client: &Client, url: &str, object: &Value) -> u16 {
    let url = format!("{url}?fieldManager=mlops-rights&force=true");
    let content = "application/apply-patch+yaml";
    send(client, "PATCH", &url, content, object).await.0
}

const ONE: &str = "namespaces/rights-one";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

fn definition() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.rights.example"},
        "spec": {
            "group": "rights.example", "scope": "Namespaced",
            "names": {"kind": "Thing", "plural": "things", "singular": "thing", "listKind": "ThingList"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                "type": "object", "x-kubernetes-preserve-unknown-fields": true,
            }}}],
        },
    })
}

/// Objects with their addresses.
fn set() -> Vec<(String, Value)> {
    let metadata = |name: &str| json!({"name": name, "namespace": "rights-one"});
    let binding = |name: &str, kind: &str, role: &str| {
        let role_ref = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role});
        let subject =
            json!({"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "somebody"});
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": metadata(name),
            "roleRef": role_ref, "subjects": [subject]})
    };
    vec![
        (
            format!("/api/v1/{ONE}/configmaps/settings"),
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata("settings"), "data": {"a": "b"}}),
        ),
        (
            format!("/apis/rights.example/v1/{ONE}/things/a"),
            json!({"apiVersion": "rights.example/v1", "kind": "Thing", "metadata": metadata("a")}),
        ),
        (
            format!("{RBAC}/{ONE}/roles/reader"),
            json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata("reader"),
                "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]}),
        ),
        (
            format!("{RBAC}/{ONE}/rolebindings/reader"),
            binding("reader", "Role", "reader"),
        ),
        (
            format!("{RBAC}/{ONE}/rolebindings/viewer"),
            binding("viewer", "ClusterRole", "view"),
        ),
        (
            "/apis/scheduling.k8s.io/v1/priorityclasses/rights-class".to_owned(),
            json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass",
                "metadata": {"name": "rights-class"}, "value": 5}),
        ),
    ]
}

/// Gives the rights to the account `tool` of the namespace `rights-two`.
async fn give(admin: &Client, rights: &Rights) {
    let given = rights.objects("mlops-rights", "rights-two", "tool");
    let (role, binding) = given.cluster.unwrap();
    let (role, binding) = (
        serde_json::to_value(role).unwrap(),
        serde_json::to_value(binding).unwrap(),
    );
    let mut made = vec![
        (format!("{RBAC}/clusterroles/mlops-rights"), role),
        (format!("{RBAC}/clusterrolebindings/mlops-rights"), binding),
    ];
    assert_eq!(given.namespaces.len(), 1);
    for (role, binding) in given.namespaces {
        let (role, binding) = (
            serde_json::to_value(role).unwrap(),
            serde_json::to_value(binding).unwrap(),
        );
        made.push((format!("{RBAC}/{ONE}/roles/mlops-rights"), role));
        made.push((format!("{RBAC}/{ONE}/rolebindings/mlops-rights"), binding));
    }
    for (url, object) in &made {
        assert!(apply(admin, url, object).await < 300, "{object:#}");
    }
}

async fn get(client: &Client, url: &str) -> u16 {
    send(client, "GET", url, "application/json", &Value::Null)
        .await
        .0
}

/// As the service account on the real server: everything of the set can be applied, read and removed, and a
/// neighbouring name, kind or namespace cannot.
#[tokio::test]
async fn the_rights_are_enough_and_not_more() {
    let admin = administrator().await;
    make_definition(&admin, &definition()).await;
    for name in ["rights-one", "rights-two"] {
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        assert!(apply(&admin, &format!("/api/v1/namespaces/{name}"), &namespace).await < 300);
    }
    let set = set();
    let mut all: Vec<Value> = set.iter().map(|(_, object)| object.clone()).collect();
    all.push(definition());
    give(&admin, &rbac_for(&all, &RightsOptions::new()).unwrap()).await;

    let account = "system:serviceaccount:rights-two:tool";
    let tool = client_of(account, Some("system:serviceaccounts")).await;
    // The API server's view of roles lags a little behind what was written.
    let deadline = Instant::now() + Duration::from_secs(20);
    while get(&tool, &format!("/api/v1/{ONE}/configmaps")).await != 200
        || get(&tool, "/apis/scheduling.k8s.io/v1/priorityclasses").await != 200
    {
        assert!(Instant::now() < deadline, "the rights do not come");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for (url, object) in &set {
        assert!(apply(&tool, url, object).await < 300, "{url}");
        assert_eq!(get(&tool, url).await, 200, "{url}");
        let list = url.rsplit_once('/').unwrap().0;
        assert_eq!(get(&tool, list).await, 200, "{list}");
    }
    let other = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "other"}});
    for (method, url) in [
        ("PATCH", format!("/api/v1/{ONE}/configmaps/other")),
        ("GET", format!("/api/v1/{ONE}/configmaps/other")),
        ("GET", format!("/api/v1/{ONE}/secrets")),
        ("GET", "/api/v1/namespaces/rights-two/configmaps".to_owned()),
        ("GET", "/api/v1/configmaps".to_owned()),
        ("DELETE", format!("/api/v1/{ONE}/configmaps")),
        ("DELETE", format!("{RBAC}/{ONE}/roles/mlops-rights")),
    ] {
        let query = format!("{url}?fieldManager=x");
        let answer = send(
            &tool,
            method,
            &query,
            "application/apply-patch+yaml",
            &other,
        )
        .await;
        assert_eq!(answer.0, 403, "{method} {url}: {}", answer.1);
    }
    for (url, _) in &set {
        let answer = send(&tool, "DELETE", url, "application/json", &json!({})).await;
        assert_eq!(answer.0, 200, "{url}: {}", answer.1);
    }
}
