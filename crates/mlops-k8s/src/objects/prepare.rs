//! What is sent for an object.

use base64::Engine as _;
use mlops_core::{Digest, Error, ErrorKind, Result};
use serde_json::{Map, Value};

use super::id::ObjectId;
use super::object::{MAX_OBJECT_BYTES, Object};
use crate::discovery::{Kind, Kinds, Lookup, Scope};

/// The annotation with the SHA-256 of what we applied last: the digest of [`digest_of`]. That of a Secret covers its values; who
/// can read the annotation can read the Secret itself.
pub const APPLIED: &str = "mlops.dev/applied";

/// Fields of the metadata that the server writes. An object that was exported has them; sent back, they would be taken
/// as conditions (`resourceVersion`, `uid`) or refused (`managedFields`).
const OF_THE_SERVER: [&str; 6] = [
    "creationTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// An object as it will be sent, except for the marks of its membership.
#[derive(Clone)]
pub(crate) struct Wanted {
    pub(crate) id: ObjectId,
    pub(crate) kind: Kind,
    pub(crate) json: Value,
    pub(crate) digest: Digest,
    pub(crate) object: Object,
}

impl Wanted {
    /// Finds the kind, fills in the namespace, and leaves out what is the server's.
    pub(crate) fn new(object: &Object, kinds: &Kinds, namespace: &str) -> Result<Self> {
        let doing = || format!("prepare {}", object.describe());
        let kind = match kinds.find(&object.id().group, object.version(), &object.id().kind) {
            Lookup::Known(kind) => kind.clone(),
            Lookup::NoSuchKind => {
                let cause = format!(
                    "the server has no kind `{}` in `{}`, and no CustomResourceDefinition or APIService of the set brings it",
                    object.id().kind,
                    object.api_version()
                );
                return Err(Error::new(ErrorKind::Unsupported, doing()).with_source(cause));
            }
            Lookup::Unknown(failure) => {
                return Err(Error::new(ErrorKind::Unavailable, doing())
                    .with_source(failure.to_error())
                    .with_hint(
                        "the API behind this kind does not answer: look at its APIService",
                    ));
            }
        };
        let mut id = object.id().clone();
        match (kind.scope, &id.namespace) {
            (Scope::Namespaced, None) => id.namespace = Some(namespace.to_owned()),
            (Scope::Cluster, Some(_)) => {
                let cause = format!(
                    "`{}` belongs to the whole cluster and has no namespace",
                    kind.kind
                );
                return Err(Error::new(ErrorKind::InvalidInput, doing())
                    .with_source(cause)
                    .with_hint("leave `metadata.namespace` out"));
            }
            _ => {}
        }
        let mut json = object.json().clone();
        clean(&mut json, &id);
        if object.is_secret() {
            fold_string_data(&mut json);
        }
        let bytes = serde_json::to_vec(&json).map_or(0, |text| text.len());
        if bytes > MAX_OBJECT_BYTES {
            let cause =
                format!("it has {bytes} bytes as JSON, and etcd takes about {MAX_OBJECT_BYTES}");
            return Err(Error::new(ErrorKind::InvalidInput, doing())
                .with_source(cause)
                .with_hint("split the object, or keep the bulk elsewhere"));
        }
        let digest = digest_of(&json);
        let object = object.clone();
        Ok(Self {
            id,
            kind,
            json,
            digest,
            object,
        })
    }

    /// The path of the object on the server.
    pub(crate) fn path(&self) -> String {
        self.kind
            .path(self.id.namespace.as_deref(), Some(&self.id.name))
    }

    /// What is sent: with the label of the set, and the digest.
    pub(crate) fn body(&self, part_of: Option<&str>) -> Vec<u8> {
        let mut json = self.json.clone();
        if let Some(metadata) = json.get_mut("metadata").and_then(Value::as_object_mut) {
            insert(metadata, "annotations", APPLIED, self.digest.as_str());
            if let Some(part_of) = part_of {
                insert(metadata, "labels", crate::apply::PART_OF, part_of);
            }
        }
        serde_json::to_vec(&json).unwrap_or_default()
    }
}

/// The digest of an object: of its JSON with ordered keys.
pub fn digest_of(json: &Value) -> Digest {
    Digest::of(&ordered(json))
}

/// The same value with its keys in order, whatever map the JSON library was built with.
fn ordered(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort_unstable();
            let pairs = keys
                .into_iter()
                .filter_map(|key| Some((key.clone(), ordered(map.get(key)?))));
            Value::Object(pairs.collect())
        }
        Value::Array(items) => items.iter().map(ordered).collect(),
        other => other.clone(),
    }
}

fn insert(metadata: &mut Map<String, Value>, map: &str, key: &str, value: &str) {
    let entries = metadata
        .entry(map)
        .or_insert_with(|| Value::Object(Map::new()));
    if !entries.is_object() {
        *entries = Value::Object(Map::new());
    }
    if let Some(entries) = entries.as_object_mut() {
        entries.insert(key.to_owned(), Value::from(value));
    }
}

fn clean(json: &mut Value, id: &ObjectId) {
    let Some(map) = json.as_object_mut() else {
        return;
    };
    map.remove("status");
    let metadata = map
        .entry("metadata")
        .or_insert_with(|| Value::Object(Map::new()));
    if let Some(metadata) = metadata.as_object_mut() {
        for field in OF_THE_SERVER {
            metadata.remove(field);
        }
        if let Some(namespace) = &id.namespace {
            metadata.insert("namespace".to_owned(), Value::from(namespace.clone()));
        }
        if let Some(annotations) = metadata
            .get_mut("annotations")
            .and_then(Value::as_object_mut)
        {
            annotations.remove(APPLIED);
        }
    }
    without_nulls(json);
}

/// Leaves out keys with no value, which mean "not set" to every kind of Kubernetes, but would be owned by us.
fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(without_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(without_nulls),
        _ => {}
    }
}

/// Moves `stringData` into `data`, as the server would. Sent as it is, a key that is left out later would stay in the
/// Secret: the server copies the values, and we would own only the copies' sources
/// (<https://github.com/kubernetes/kubernetes/issues/118519>).
fn fold_string_data(json: &mut Value) {
    let Some(map) = json.as_object_mut() else {
        return;
    };
    let Some(Value::Object(texts)) = map.remove("stringData") else {
        return;
    };
    let data = map
        .entry("data")
        .or_insert_with(|| Value::Object(Map::new()));
    if let Some(data) = data.as_object_mut() {
        for (key, value) in texts {
            let encoded = match value.as_str() {
                Some(text) => Value::from(base64::engine::general_purpose::STANDARD.encode(text)),
                // The server will say what is wrong with it.
                None => value,
            };
            data.insert(key, encoded);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wanted(json: Value) -> Result<Wanted> {
        let object = Object::new(json)?;
        Wanted::new(&object, &Kinds::built_in(), "here")
    }

    #[test]
    fn what_is_the_servers_is_left_out_and_the_namespace_filled_in() {
        let wanted = wanted(json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "a", "uid": "1", "resourceVersion": "2", "managedFields": [], "labels": null},
            "stringData": {"p": "x"}, "status": {},
        }))
        .unwrap();
        assert_eq!(
            wanted.json,
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a", "namespace": "here"}, "data": {"p": "eA=="}})
        );
        assert_eq!(wanted.path(), "/api/v1/namespaces/here/secrets/a");
    }

    #[test]
    fn the_digest_does_not_depend_on_the_order_of_keys() {
        let one: Value = serde_json::from_str(r#"{"a":{"b":1,"c":2},"d":3}"#).unwrap();
        let other: Value = serde_json::from_str(r#"{"d":3,"a":{"c":2,"b":1}}"#).unwrap();
        assert_eq!(digest_of(&one), digest_of(&other));
        assert_ne!(
            digest_of(&one),
            digest_of(&json!({"a": {"b": 1, "c": 2}, "d": 4}))
        );
    }

    #[test]
    fn unknown_kinds_namespaces_and_sizes_are_refused() {
        let error =
            wanted(json!({"apiVersion": "x.io/v1", "kind": "X", "metadata": {"name": "a"}}))
                .err()
                .unwrap();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let error = wanted(
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a", "namespace": "b"}}),
        );
        assert_eq!(error.err().unwrap().kind(), ErrorKind::InvalidInput);
        let big = "x".repeat(MAX_OBJECT_BYTES);
        let error = wanted(
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": big}}),
        );
        let error = error.err().unwrap();
        assert!(error.causes()[0].contains("bytes as JSON"), "{error:?}");
    }
}
