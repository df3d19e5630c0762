//! Resources of a graph as objects, and what was found of them.

use std::collections::BTreeMap;

use mlops_core::kubernetes::{OBJECT, ObjectSpec, PLATFORM_LABEL, SecretSpec};
use mlops_core::{Context, ErrorKind, PlatformName, Resource, Result, Spec};
use serde_json::{Value, json};

use crate::objects::Object;
use crate::plan::{FieldChange, Shown};

/// The object that a resource describes; `None` for a Secret whose text is not there yet.
pub(super) async fn object_of(resource: &Resource, cx: &Context) -> Result<Option<Object>> {
    if resource.id.kind().as_str() == OBJECT {
        let spec: ObjectSpec = resource.typed()?;
        return Object::new(spec.object).map(Some);
    }
    let spec: SecretSpec = resource.typed()?;
    let mut secrets = BTreeMap::new();
    for name in &spec.secrets {
        match cx.secret(name).await {
            Ok(text) => secrets.insert(name.clone(), text),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
    }
    let texts = spec.render(secrets)?;
    let data: serde_json::Map<String, Value> = texts
        .iter()
        .map(|(key, text)| (key.clone(), json!(text.expose())))
        .collect();
    Object::new(json!({
        "apiVersion": "v1", "kind": "Secret", "type": spec.r#type,
        "metadata": { "name": spec.name, "namespace": spec.namespace, "labels": spec.labels },
        "stringData": data,
    }))
    .map(Some)
}

/// Whose an object is: ours when it bears the platform's label.
pub(super) fn stranger(json: &Value, platform: &PlatformName) -> Option<String> {
    let label = json
        .pointer("/metadata/labels")
        .and_then(|labels| labels.get(PLATFORM_LABEL))
        .and_then(Value::as_str);
    match label {
        Some(name) if name == platform.as_str() => None,
        Some(name) => Some(format!("it is of the platform `{}`", name.escape_debug())),
        None => Some(format!("it has no label `{PLATFORM_LABEL}`")),
    }
}

/// The spec as it was found: what differs is put in its place.
pub(super) fn found_spec(resource: &Resource, changes: &[FieldChange], live: &Value) -> Spec {
    let mut fields = resource.spec.clone();
    if resource.id.kind().as_str() != OBJECT {
        // Values of Secrets are not compared in sight: what differs is that they do.
        fields.remove("data");
        return fields;
    }
    let Some(object) = fields.get_mut("object") else {
        return fields;
    };
    for change in changes {
        put_back(object, change, live);
    }
    if changes.is_empty() {
        // The same in other words, such as a digest that is missing: it is written once more.
        fields.remove("object");
    }
    fields
}

/// Replaces what is wanted by what is there: the field itself, or the list or map in which the path cannot be followed.
fn put_back(object: &mut Value, change: &FieldChange, live: &Value) {
    let mut at = object;
    let mut there = live;
    let mut steps = change.path.split('.').skip(1).peekable();
    while let Some(step) = steps.next() {
        let is_last = steps.peek().is_none();
        let can_follow = at.get(step).is_some_and(Value::is_object)
            && there.get(step).is_some_and(Value::is_object);
        if !is_last && can_follow {
            let (Some(inner), Some(live)) = (at.get_mut(step), there.get(step)) else {
                return;
            };
            (at, there) = (inner, live);
            continue;
        }
        let Some(fields) = at.as_object_mut() else {
            return;
        };
        let name = step.split('[').next().unwrap_or(step);
        let found = match (&change.from, is_last && fields.contains_key(name)) {
            (Shown::Value(value), true) if !step.contains('[') => Some(value.clone()),
            _ => there.get(name).cloned(),
        };
        match found {
            Some(found) if fields.get(name) != Some(&found) => {
                fields.insert(name.to_owned(), found);
            }
            _ => {
                fields.remove(name);
            }
        }
        return;
    }
}

#[cfg(test)]
mod tests {
    use mlops_core::ResourceId;

    use super::*;

    fn change(path: &str, from: Shown) -> FieldChange {
        FieldChange {
            path: path.to_owned(),
            from,
            to: Shown::Absent,
            owner: None,
        }
    }

    #[test]
    fn what_differs_is_seen_and_nothing_else() {
        let wanted =
            json!({ "spec": { "replicas": 2, "list": [{ "name": "a" }], "map": { "x.y": 1 } } });
        let live =
            json!({ "spec": { "replicas": 5, "list": [{ "name": "b" }], "map": {}, "more": 1 } });
        let id = ResourceId::new(OBJECT, "deployment.web");
        let mut resource = Resource::new(id, "web".parse().unwrap());
        resource.spec.insert("object".to_owned(), wanted);
        let found = found_spec(
            &resource,
            &[
                change(".spec.replicas", Shown::Value(json!(5))),
                change(".spec.list[name=\"a\"].image", Shown::Absent),
                change(".spec.map.x.y", Shown::Absent),
            ],
            &live,
        );
        let differences = mlops_core::plan::compare(&resource.spec, &found);
        let fields: Vec<&str> = differences.iter().map(|one| one.field.as_str()).collect();
        assert!(fields.contains(&"object.spec.replicas"), "{fields:?}");
        assert!(fields.contains(&"object.spec.list"), "{fields:?}");
        assert_eq!(found["object"]["spec"]["replicas"], 5);
        assert!(found["object"]["spec"].get("more").is_none());
    }
}
