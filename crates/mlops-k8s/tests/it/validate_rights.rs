//! The derived rights are enough to apply a set, and not for more.

use std::collections::BTreeSet;

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
            if rule.resource_names.is_some() {
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
    let answer = send(
        client,
        "PATCH",
        &url,
        "application/apply-patch+yaml",
        object,
    )
    .await;
    if answer.0 >= 400 {
        println!("{url}: {answer:?}");
    }
    answer.0
}

/// As the service account on the real server: everything of the set can be applied, read and removed, and a
/// neighbouring name, kind or namespace cannot.
#[tokio::test]
async fn the_rights_are_enough_and_not_more() {
    let admin = administrator().await;
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.rights.example"},
        "spec": {
            "group": "rights.example", "scope": "Namespaced",
            "names": {"kind": "Thing", "plural": "things", "singular": "thing", "listKind": "ThingList"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                "type": "object", "x-kubernetes-preserve-unknown-fields": true,
            }}}],
        },
    });
    make_definition(&admin, &definition).await;
    let namespace =
        |name: &str| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    for name in ["rights-one", "rights-two"] {
        assert!(
            apply(
                &admin,
                &format!("/api/v1/namespaces/{name}"),
                &namespace(name)
            )
            .await
                < 300
        );
    }
    let metadata = |name: &str| json!({"name": name, "namespace": "rights-one"});
    let one = "namespaces/rights-one";
    let rbac = format!("/apis/rbac.authorization.k8s.io/v1/{one}");
    let set: Vec<(String, Value)> = vec![
        (
            format!("/api/v1/{one}/configmaps/settings"),
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata("settings"), "data": {"a": "b"}}),
        ),
        (
            format!("/apis/rights.example/v1/{one}/things/a"),
            json!({"apiVersion": "rights.example/v1", "kind": "Thing", "metadata": metadata("a")}),
        ),
        (
            format!("{rbac}/roles/reader"),
            json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata("reader"),
                "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]}),
        ),
        (
            format!("{rbac}/rolebindings/reader"),
            json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": metadata("reader"),
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
                "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "somebody"}]}),
        ),
        (
            format!("{rbac}/rolebindings/viewer"),
            json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": metadata("viewer"),
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
                "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "somebody"}]}),
        ),
        (
            "/apis/scheduling.k8s.io/v1/priorityclasses/rights-class".to_owned(),
            json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "rights-class"}, "value": 5}),
        ),
    ];
    let mut all: Vec<Value> = set.iter().map(|(_, object)| object.clone()).collect();
    all.push(definition);
    let rights = rbac_for(&all, &RightsOptions::new()).unwrap();
    let given = rights.objects("mlops-rights", "rights-two", "tool");
    let (role, binding) = given.cluster.unwrap();
    let root = "/apis/rbac.authorization.k8s.io/v1";
    let mut made = vec![
        (
            format!("{root}/clusterroles/mlops-rights"),
            serde_json::to_value(role).unwrap(),
        ),
        (
            format!("{root}/clusterrolebindings/mlops-rights"),
            serde_json::to_value(binding).unwrap(),
        ),
    ];
    assert_eq!(given.namespaces.len(), 1);
    for (role, binding) in given.namespaces {
        made.push((
            format!("{rbac}/roles/mlops-rights"),
            serde_json::to_value(role).unwrap(),
        ));
        made.push((
            format!("{rbac}/rolebindings/mlops-rights"),
            serde_json::to_value(binding).unwrap(),
        ));
    }
    for (url, object) in &made {
        assert!(apply(&admin, url, object).await < 300, "{object:#}");
    }

    let tool = client_of(
        "system:serviceaccount:rights-two:tool",
        Some("system:serviceaccounts"),
    )
    .await;
    // The API server's view of roles lags a little behind what was written.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while send(
        &tool,
        "GET",
        &format!("/api/v1/{one}/configmaps"),
        "application/json",
        &Value::Null,
    )
    .await
    .0 != 200
    {
        assert!(
            std::time::Instant::now() < deadline,
            "the rights do not come"
        );
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    for (url, object) in &set {
        assert!(apply(&tool, url, object).await < 300, "{url}");
        let list = url.rsplit_once('/').unwrap().0;
        for url in [url, list] {
            assert_eq!(
                send(&tool, "GET", url, "application/json", &Value::Null)
                    .await
                    .0,
                200,
                "{url}"
            );
        }
    }
    let other = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "other"}});
    for (method, url) in [
        ("PATCH", format!("/api/v1/{one}/configmaps/other")),
        ("GET", format!("/api/v1/{one}/configmaps/other")),
        ("GET", format!("/api/v1/{one}/secrets")),
        ("GET", "/api/v1/namespaces/rights-two/configmaps".to_owned()),
        ("GET", "/api/v1/configmaps".to_owned()),
        ("DELETE", format!("/api/v1/{one}/configmaps")),
        ("DELETE", format!("{rbac}/roles/mlops-rights")),
    ] {
        let answer = send(
            &tool,
            method,
            &format!("{url}?fieldManager=x"),
            "application/apply-patch+yaml",
            &other,
        )
        .await;
        assert_eq!(answer.0, 403, "{method} {url}: {}", answer.1);
    }
    for (url, _) in &set {
        assert_eq!(
            send(&tool, "DELETE", url, "application/json", &json!({}))
                .await
                .0,
            200,
            "{url}"
        );
    }
}
