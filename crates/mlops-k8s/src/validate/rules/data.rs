//! `ConfigMap`s, `Secret`s, and how large an object may be.

use mlops_core::platform::tree::{Node, Tree};

use super::super::finds::{Finds, Look as _, quoted};
use super::super::forms::names::is_data_key;
use super::super::set::Object;
use super::identity::name_spot;

/// All values of a `ConfigMap` or `Secret`: `MaxSecretSize` in `pkg/apis/core/types.go`.
const MAX_DATA: usize = 1 << 20;

/// What etcd takes in one request unless it is told otherwise: <https://etcd.io/docs/v3.6/dev-guide/limit/>.
const MAX_OBJECT: usize = 3 << 19;

pub(super) fn check<'a>(object: &Object<'a>, finds: &mut Finds<'a>) {
    match (object.group, object.kind) {
        ("", "ConfigMap") => data(object, ["data", "binaryData"], finds),
        ("", "Secret") => {
            data(object, ["data", "stringData"], finds);
            kind(object, finds);
        }
        _ => {}
    }
    let size = size(object.node);
    if size > MAX_OBJECT {
        let message =
            format!("the object has {size} bytes, and the store takes at most {MAX_OBJECT}");
        finds
            .error(name_spot(object), message)
            .hint("split it, or keep what is large in a volume or a bucket");
    }
}

fn data<'a>(object: &Object<'a>, fields: [&str; 2], finds: &mut Finds<'a>) {
    let mut size = 0;
    for field in fields {
        let is_encoded = matches!((object.kind, field), ("Secret", "data") | (_, "binaryData"));
        for (key, value) in object.node.map(field) {
            if !is_data_key(&key.text) {
                finds
                    .error(key, format!("{} cannot be a key of data", quoted(&key.text)))
                    .hint("use at most 253 letters, digits, `-`, `_` and `.`, and not `..` at the beginning");
            }
            let length = value.text().map_or(0, str::len);
            size += if is_encoded { length / 4 * 3 } else { length };
        }
    }
    if object.kind == "ConfigMap" {
        let plain = object.node.map("data");
        for (key, _) in object.node.map("binaryData") {
            if plain.iter().any(|(other, _)| other.text == key.text) {
                let message = format!("{} is in `data` too", quoted(&key.text));
                finds.error(key, message);
            }
        }
    }
    if size > MAX_DATA {
        let message = format!(
            "the values have {size} bytes, and a {} takes at most {MAX_DATA}",
            quoted(object.kind)
        );
        finds.error(name_spot(object), message);
    }
}

/// Keys that a type of `Secret` must have: `ValidateSecret` in `pkg/apis/core/validation`.
fn kind<'a>(object: &Object<'a>, finds: &mut Finds<'a>) {
    let node = object.node;
    let Some(kind) = node.get("type") else {
        return;
    };
    let Some(text) = kind.text() else {
        return;
    };
    let has = |wanted: &str| {
        ["data", "stringData"]
            .iter()
            .any(|field| node.map(field).iter().any(|(key, _)| key.text == wanted))
    };
    let needed: &[&str] = match text {
        "kubernetes.io/tls" => &["tls.crt", "tls.key"],
        "kubernetes.io/dockerconfigjson" => &[".dockerconfigjson"],
        "kubernetes.io/dockercfg" => &[".dockercfg"],
        "kubernetes.io/ssh-auth" => &["ssh-privatekey"],
        "kubernetes.io/basic-auth" if !has("username") => &["password"],
        _ => &[],
    };
    for key in needed {
        if !has(key) {
            let message = format!(
                "a secret of the type {} needs the key `{key}`",
                quoted(text)
            );
            finds.error(kind, message);
        }
    }
    let account = node.at(&[
        "metadata",
        "annotations",
        "kubernetes.io/service-account.name",
    ]);
    if text == "kubernetes.io/service-account-token" && account.is_none() {
        finds
            .error(kind, "a token needs the name of its service account")
            .hint("write the annotation `kubernetes.io/service-account.name`");
    }
}

/// The length of the object as JSON without blanks, nearly: escapes of single characters are counted as one.
fn size(node: &Node) -> usize {
    match &node.tree {
        Tree::Null | Tree::Bool(_) => 4,
        Tree::Number(number) => number.to_string().len(),
        Tree::Text(text) => text.len() + 2,
        Tree::List(items) => 2 + items.iter().map(|item| size(item) + 1).sum::<usize>(),
        Tree::Map(entries) => {
            let entry = |(key, value): &(mlops_core::platform::tree::Key, Node)| {
                key.text.len() + 4 + size(value)
            };
            2 + entries.iter().map(entry).sum::<usize>()
        }
    }
}
