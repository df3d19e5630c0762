//! Who owns which field: what `metadata.managedFields` says
//! (<https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management>).

use serde_json::{Map, Value};

/// One part of the way to a field.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step<'a> {
    Field(&'a str),
    /// An item of a list whose items have keys: the keys that it was found by.
    Item(&'a Value, usize),
    /// An item of a set.
    Element(&'a Value, usize),
}

/// Writes a path as the API server does in its messages, such as `.spec.containers[name="c"].image`.
pub(crate) fn path_text(steps: &[Step<'_>]) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for step in steps {
        let written = match step {
            Step::Field(name) if name.contains(['.', '/']) => write!(text, "[{name:?}]"),
            Step::Field(name) => write!(text, ".{name}"),
            Step::Item(Value::Object(keys), _) => {
                let keys: Vec<String> = keys
                    .iter()
                    .map(|(key, value)| format!("{key}={value}"))
                    .collect();
                write!(text, "[{}]", keys.join(","))
            }
            Step::Item(_, index) => write!(text, "[{index}]"),
            Step::Element(value, _) => write!(text, "[={value}]"),
        };
        // Writing to a text cannot fail.
        let _ = written;
    }
    text
}

/// An entry of `managedFields`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manager<'a> {
    pub(crate) name: &'a str,
    pub(crate) is_apply: bool,
    pub(crate) subresource: &'a str,
    fields: &'a Value,
}

/// The entries of an object.
pub(crate) fn managers(object: &Value) -> impl Iterator<Item = Manager<'_>> {
    let entries = object
        .pointer("/metadata/managedFields")
        .and_then(Value::as_array);
    entries.into_iter().flatten().filter_map(|entry| {
        let text = |key: &str| entry.get(key).and_then(Value::as_str);
        Some(Manager {
            name: text("manager")?,
            is_apply: text("operation")? == "Apply",
            subresource: text("subresource").unwrap_or_default(),
            fields: entry.get("fieldsV1")?,
        })
    })
}

impl Manager<'_> {
    /// Whether the entry has a field, or owns a whole of which the field is a part.
    pub(crate) fn owns(&self, path: &[Step<'_>]) -> bool {
        let mut node = self.fields;
        for step in path {
            let Some(map) = node.as_object().filter(|map| !map.is_empty()) else {
                // A leaf above the field: a map or list that is owned as a whole.
                return !std::ptr::eq(node, self.fields);
            };
            let Some(next) = child(map, step) else {
                return false;
            };
            node = next;
        }
        true
    }
}

fn child<'a>(map: &'a Map<String, Value>, step: &Step<'_>) -> Option<&'a Value> {
    match step {
        Step::Field(name) => map.get(&format!("f:{name}")),
        Step::Item(keys, index) => {
            let found = map.iter().find(|(key, _)| {
                key.strip_prefix("k:")
                    .and_then(|text| serde_json::from_str::<Value>(text).ok())
                    .is_some_and(|owned| owned == **keys)
            });
            found
                .map(|(_, value)| value)
                .or_else(|| map.get(&format!("i:{index}")))
        }
        Step::Element(value, index) => {
            let found = map.iter().find(|(key, _)| {
                key.strip_prefix("v:")
                    .and_then(|text| serde_json::from_str::<Value>(text).ok())
                    .is_some_and(|owned| owned == **value)
            });
            found
                .map(|(_, value)| value)
                .or_else(|| map.get(&format!("i:{index}")))
        }
    }
}

/// What the entry of one manager says of the children of a node: how a list's items are told apart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owned<'a>(Option<&'a Value>);

impl<'a> Owned<'a> {
    pub(crate) fn root(manager: Option<Manager<'a>>) -> Self {
        Self(manager.map(|manager| manager.fields))
    }

    /// Whether there is no entry, so that nothing below can be owned.
    pub(crate) fn is_missing(self) -> bool {
        self.0.is_none()
    }

    /// Whether the whole below is owned as one.
    pub(crate) fn is_whole(self) -> bool {
        self.0
            .is_some_and(|node| node.as_object().is_none_or(Map::is_empty))
    }

    pub(crate) fn field(self, name: &str) -> Self {
        if self.is_whole() {
            return self;
        }
        Self(self.0.and_then(|node| node.get(format!("f:{name}"))))
    }

    /// The keys and the entry of the item of a keyed list that is meant by a value. The server fills in keys that have
    /// defaults, such as a port's protocol, so a key that the value does not have agrees with any.
    pub(crate) fn item(self, value: &Value) -> Option<(Value, Self)> {
        let map = self.0?.as_object()?;
        map.iter().find_map(|(key, node)| {
            let keys: Value = serde_json::from_str(key.strip_prefix("k:")?).ok()?;
            let agrees = keys
                .as_object()?
                .iter()
                .all(|(name, wanted)| value.get(name).is_none_or(|given| given == wanted));
            // One that has none of the keys would agree with all.
            let has_one = keys
                .as_object()?
                .keys()
                .any(|name| value.get(name).is_some());
            (agrees && has_one).then_some((keys, Self(Some(node))))
        })
    }

    /// The entry of an element of a set.
    pub(crate) fn element(self, value: &Value) -> Self {
        let map = self.0.and_then(Value::as_object);
        Self(map.and_then(|map| {
            map.iter().find_map(|(key, node)| {
                let owned: Value = serde_json::from_str(key.strip_prefix("v:")?).ok()?;
                (owned == *value).then_some(node)
            })
        }))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ownership_is_found_by_field_key_and_whole() {
        let object = json!({"metadata": {"managedFields": [{
            "manager": "mlops", "operation": "Apply", "fieldsV1": {"f:spec": {
                "f:selector": {},
                "f:containers": {"k:{\"name\":\"c\"}": {".": {}, "f:image": {}}},
            }},
        }]}});
        let manager = managers(&object).next().unwrap();
        let key = json!({"name": "c"});
        let image = [
            Step::Field("spec"),
            Step::Field("containers"),
            Step::Item(&key, 0),
            Step::Field("image"),
        ];
        assert!(manager.owns(&image));
        assert_eq!(path_text(&image), ".spec.containers[name=\"c\"].image");
        assert!(manager.owns(&[
            Step::Field("spec"),
            Step::Field("selector"),
            Step::Field("app")
        ]));
        assert!(!manager.owns(&[Step::Field("spec"), Step::Field("replicas")]));
        assert!(!manager.owns(&[Step::Field("status")]));
    }

    #[test]
    fn an_item_is_found_without_keys_that_have_defaults() {
        let object = json!({"metadata": {"managedFields": [{
            "manager": "m", "operation": "Apply",
            "fieldsV1": {"f:ports": {"k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}}}},
        }]}});
        let ports = Owned::root(managers(&object).next()).field("ports");
        let (keys, item) = ports.item(&json!({"port": 80})).unwrap();
        assert_eq!(keys, json!({"port": 80, "protocol": "TCP"}));
        assert!(item.field("port").is_whole());
        assert!(
            ports
                .item(&json!({"port": 80, "protocol": "UDP"}))
                .is_none()
        );
        assert!(ports.item(&json!({"name": "x"})).is_none());
    }
}
