use serde_json::json;

use super::*;
use crate::discovery::Kinds;
use crate::objects::Object;

fn wanted(json: Value) -> Wanted {
    let object = Object::new(json).unwrap();
    Wanted::new(&object, &Kinds::built_in(), "n").unwrap()
}

fn live(wanted: &Wanted, spec: &Value, fields: &Value, others: &[Value]) -> Value {
    let mut managed = vec![json!({"manager": "mlops", "operation": "Apply", "fieldsV1": fields})];
    managed.extend_from_slice(others);
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {
            "name": "a", "namespace": "n", "annotations": {APPLIED: wanted.digest.as_str()},
            "labels": {PART_OF: "set"}, "managedFields": managed,
        },
        "spec": spec,
    })
}

fn deployment() -> Wanted {
    wanted(json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"},
        "spec": {"replicas": 2, "template": {"spec": {"containers": [
            {"name": "c", "image": "x", "resources": {"limits": {"cpu": "1000m"}}},
        ]}}},
    }))
}

fn container_fields() -> Value {
    json!({"k:{\"name\":\"c\"}": {
        ".": {}, "f:name": {}, "f:image": {}, "f:resources": {"f:limits": {"f:cpu": {}}},
    }})
}

#[test]
fn what_the_server_writes_in_another_way_is_no_difference() {
    let wanted = deployment();
    let live = live(
        &wanted,
        &json!({"replicas": 2, "paused": false, "template": {"spec": {"containers": [
            {"name": "c", "image": "x", "imagePullPolicy": "Always", "resources": {"limits": {"cpu": "1"}}},
        ]}}}),
        &json!({"f:spec": {"f:replicas": {}, "f:template": {"f:spec": {"f:containers": container_fields()}}}}),
        &[],
    );
    let compared = compare(&wanted, &live, Some("set"));
    assert!(compared.is_same_digest);
    assert_eq!(compared.fields, []);
}

#[test]
fn a_field_that_was_taken_from_us_shows_with_both_values_and_its_owner() {
    let wanted = deployment();
    let live = live(
        &wanted,
        &json!({"replicas": 5, "template": {"spec": {"containers": [{"name": "c", "image": "y"}]}}}),
        &json!({"f:spec": {"f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"c\"}":
            {".": {}, "f:name": {}, "f:resources": {"f:limits": {"f:cpu": {}}}}}}}}}),
        &[
            json!({"manager": "hpa", "operation": "Update", "subresource": "scale", "fieldsV1": {"f:spec": {"f:replicas": {}}}}),
            json!({"manager": "kubectl-edit", "operation": "Update", "fieldsV1": {"f:spec": {"f:template": {"f:spec":
                {"f:containers": {"k:{\"name\":\"c\"}": {"f:image": {}}}}}}}}),
        ],
    );
    let compared = compare(&wanted, &live, Some("set"));
    let seen: Vec<String> = compared.fields.iter().map(ToString::to_string).collect();
    assert_eq!(
        seen,
        [
            ".spec.replicas: 5 -> 2 (owned by hpa)",
            ".spec.template.spec.containers[name=\"c\"].image: \"y\" -> \"x\" (owned by kubectl-edit)"
        ]
    );
}

#[test]
fn a_field_that_is_wanted_no_more_shows_as_removed() {
    let before = deployment();
    let found = live(
        &before,
        &json!({"replicas": 2, "template": {"spec": {"containers": [
            {"name": "c", "image": "x", "resources": {"limits": {"cpu": "1"}}}, {"name": "d", "image": "z"},
        ]}}}),
        &json!({"f:spec": {"f:replicas": {}, "f:template": {"f:spec": {"f:containers": {
            "k:{\"name\":\"c\"}": {".": {}, "f:name": {}, "f:image": {}, "f:resources": {"f:limits": {"f:cpu": {}}}},
            "k:{\"name\":\"d\"}": {".": {}, "f:name": {}, "f:image": {}},
        }}}}}),
        &[],
    );
    let after = wanted(json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"},
        "spec": {"template": {"spec": {"containers": [
            {"name": "c", "image": "x", "resources": {"limits": {"cpu": "1000m"}}},
        ]}}},
    }));
    let compared = compare(&after, &found, Some("set"));
    assert!(!compared.is_same_digest && compared.is_applied);
    let seen: Vec<String> = compared
        .fields
        .iter()
        .map(|field| field.path.clone())
        .collect();
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert_eq!(seen[0], ".spec.replicas");
    assert!(
        seen[1].starts_with(".spec.template.spec.containers["),
        "{seen:?}"
    );
}

#[test]
fn a_secret_shows_only_that_it_changed() {
    let wanted = wanted(json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "stringData": {"p": "hunter2"},
    }));
    let live = json!({"metadata": {}, "data": {"p": "b2xk"}});
    let compared = compare(&wanted, &live, None);
    let text = serde_json::to_string(&compared.fields).unwrap();
    assert!(
        !text.contains("b2xk") && !text.contains("aHVudGVyMg"),
        "{text}"
    );
    assert_eq!(
        compared.fields[0].to_string(),
        ".data.p: (hidden) -> (hidden)"
    );
}

#[test]
fn what_a_webhook_changed_on_the_way_in_is_left() {
    let wanted = deployment();
    let live = live(
        &wanted,
        &json!({"replicas": 2, "template": {"spec": {"containers": [{"name": "c", "image": "mirror/x"}]}}}),
        &json!({"f:spec": {"f:replicas": {}, "f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"c\"}":
            {".": {}, "f:name": {}, "f:resources": {"f:limits": {"f:cpu": {}}}}}}}}}),
        &[
            json!({"manager": "mlops", "operation": "Update", "fieldsV1": {"f:spec": {"f:template": {"f:spec":
            {"f:containers": {"k:{\"name\":\"c\"}": {"f:image": {}}}}}}}}),
        ],
    );
    assert_eq!(compare(&wanted, &live, Some("set")).fields, []);
}
