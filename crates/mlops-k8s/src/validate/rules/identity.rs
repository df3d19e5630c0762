//! What an object says that it is: kind, version, name, namespace.

use mlops_core::platform::tree::{Node, Tree};

use super::super::finds::{Finds, Look as _, quoted};
use super::super::forms::names::NameRule;
use super::super::gone;
use super::super::schema::{BuiltIn, Schemas, Version};
use super::super::set::{Meaning, Object, Set};

/// Checks the identity of an object. `false` when nothing more can be checked.
pub(in crate::validate) fn check<'a>(
    set: &Set<'a>,
    number: usize,
    version: Version,
    finds: &mut Finds<'a>,
) -> bool {
    let Some(object) = set.objects.get(number) else {
        return false;
    };
    let node = object.node;
    if !matches!(node.tree, Tree::Map(_)) {
        let message = format!("expected an object, found {}", node.tree.describe());
        finds
            .error(node, message)
            .hint("an object is a map with `apiVersion`, `kind` and `metadata`");
        return false;
    }
    let mut is_known = true;
    for key in ["apiVersion", "kind"] {
        match node.get(key) {
            Some(value) if value.text().is_none_or(str::is_empty) => {
                let message = format!("expected a text, found {}", value.tree.describe());
                finds.error(value, message);
                is_known = false;
            }
            Some(_) => {}
            None => {
                finds.error(node, format!("the field `{key}` is missing"));
                is_known = false;
            }
        }
    }
    if !is_known || !kind(object, version, finds) {
        return false;
    }
    name(object, finds);
    namespace(object, finds);
    twice(set, number, object, finds);
    true
}

/// Whether the kind is one, in the version that is asked for.
fn kind<'a>(object: &Object<'a>, version: Version, finds: &mut Finds<'a>) -> bool {
    let node = object.node;
    let api_version = node.text_of("apiVersion").unwrap_or_default();
    let spot = node.get("apiVersion").unwrap_or(node);
    match object.meaning {
        Meaning::BuiltIn(known) if known.versions.has(version) => true,
        Meaning::BuiltIn(known) => {
            let message = match (known.versions.since(version), known.versions.gone(version)) {
                (Some(since), _) => format!(
                    "{} of {} is there since Kubernetes {since}, and not in {version}",
                    quoted(object.kind),
                    quoted(api_version)
                ),
                (None, gone) => format!(
                    "{} of {} is gone since Kubernetes {}",
                    quoted(object.kind),
                    quoted(api_version),
                    gone.unwrap_or(version)
                ),
            };
            let other = others(object, version).next().map(name_of);
            let find = finds.error(spot, message);
            if let Some(other) = other {
                find.hint(format!("write {}", quoted(&other)));
            }
            false
        }
        Meaning::Custom { version: entry, .. } => {
            if matches!(
                entry.get("served").map(|served| &served.tree),
                Some(Tree::Bool(false))
            ) {
                let message = format!("{} is not served by its definition", quoted(api_version));
                finds.error(spot, message);
            }
            true
        }
        Meaning::OtherVersion { spec } => {
            let known: Vec<String> = super::texts(spec.list("versions"), "name")
                .map(|version| format!("{}/{version}", object.group))
                .collect();
            let message = format!(
                "the definition of {} has no version {}",
                quoted(object.kind),
                quoted(object.version)
            );
            finds
                .error(spot, message)
                .nearest(api_version, known.iter().map(String::as_str));
            false
        }
        Meaning::Foreign => true,
        Meaning::Unknown => {
            unknown(object, api_version, version, finds);
            false
        }
    }
}

fn unknown<'a>(object: &Object<'a>, api_version: &str, version: Version, finds: &mut Finds<'a>) {
    let node = object.node;
    if let Some(gone) = gone::find(api_version, object.kind) {
        let spot = node.get("apiVersion").unwrap_or(node);
        let message = format!(
            "{} of {} is gone since Kubernetes {}",
            quoted(object.kind),
            quoted(api_version),
            gone.2
        );
        finds.error(spot, message).hint(if gone.3.contains('/') {
            format!("use {}, whose fields may differ", quoted(gone.3))
        } else {
            format!("use {}", gone.3)
        });
        return;
    }
    let schemas = Schemas::get();
    let in_version: Vec<&BuiltIn> = schemas
        .kinds
        .iter()
        .filter(|known| known.versions.has(version))
        .collect();
    let mut places: Vec<String> = in_version
        .iter()
        .filter(|known| known.kind == object.kind)
        .map(|known| name_of(known))
        .collect();
    if places.is_empty() {
        let spot = node.get("kind").unwrap_or(node);
        let message = format!(
            "Kubernetes {version} has no kind {} in {}",
            quoted(object.kind),
            quoted(api_version)
        );
        let find = finds.error(spot, message);
        find.nearest(
            object.kind,
            in_version.iter().map(|known| known.kind.as_str()),
        );
        return;
    }
    // The version without a dash of alpha or beta first.
    places.sort_by_key(|place| (place.contains("alpha"), place.contains("beta")));
    let spot = node.get("apiVersion").unwrap_or(node);
    let message = format!("{} is not in {}", quoted(object.kind), quoted(api_version));
    let names: Vec<String> = places.iter().map(|place| quoted(place)).collect();
    finds
        .error(spot, message)
        .hint(format!("it is in {}", names.join(" and ")));
}

/// The kind in other versions of its group that the version of Kubernetes has.
fn others<'o>(object: &'o Object<'_>, version: Version) -> impl Iterator<Item = &'o BuiltIn> {
    Schemas::get()
        .versions_of(object.group, object.kind)
        .filter(move |known| known.versions.has(version))
}

fn name_of(known: &BuiltIn) -> String {
    if known.group.is_empty() {
        known.version.clone()
    } else {
        format!("{}/{}", known.group, known.version)
    }
}

fn name<'a>(object: &Object<'a>, finds: &mut Finds<'a>) {
    let node = object.node;
    let Some(metadata) = node.get("metadata") else {
        if !object.kind.ends_with("Review") {
            finds.error(node, "the field `metadata` is missing");
        }
        return;
    };
    let Some(name) = metadata.get("name") else {
        if object.kind.ends_with("Review") {
            return;
        }
        let find = finds.error(metadata, "the object has no name");
        if metadata.get("generateName").is_some() {
            find.hint("with `generateName` every apply would make another object: write `name`");
        }
        return;
    };
    // What is no text has been told by the schema.
    let Some(text) = name.text() else {
        return;
    };
    let rule = rule(object.group, object.kind);
    if !rule.allows(text) {
        let message = format!(
            "{} cannot be the name of a {}",
            quoted(text),
            quoted(object.kind)
        );
        finds.error(name, message).hint(rule.text());
        return;
    }
    let (longest, why) = match (object.group, object.kind) {
        // `pkg/apis/batch/validation/validation.go`: eleven characters are added for the jobs.
        ("batch", "CronJob") => (52, "the names of its jobs are longer by 11"),
        ("batch", "Job") => (63, "it becomes a label of its pods"),
        _ => return,
    };
    if text.len() > longest {
        let message = format!(
            "the name of a {} has at most {longest} characters, and this has {}",
            quoted(object.kind),
            text.len()
        );
        finds.error(name, message).hint(why);
    }
}

/// The rules are those of `pkg/apis/*/validation` in `k8s.io/kubernetes`.
fn rule(group: &str, kind: &str) -> NameRule {
    match (group, kind) {
        ("", "Service") => NameRule::OldLabel,
        ("", "Namespace") | ("apps", "StatefulSet") => NameRule::Label,
        ("rbac.authorization.k8s.io", _)
        | ("certificates.k8s.io", _)
        | ("", "Event" | "Binding")
        | ("events.k8s.io" | "internal.apiserver.k8s.io", _)
        | ("networking.k8s.io", "IPAddress") => NameRule::Step,
        _ => NameRule::Subdomain,
    }
}

fn namespace<'a>(object: &Object<'a>, finds: &mut Finds<'a>) {
    let Some(namespace) = object.node.at(&["metadata", "namespace"]) else {
        return;
    };
    let Some(text) = namespace.text() else {
        return;
    };
    let is_of_cluster = object.namespace.is_none();
    if is_of_cluster {
        let message = format!(
            "a {} is in no namespace, and the server drops it",
            quoted(object.kind)
        );
        finds
            .warning(namespace, message)
            .hint("take `namespace` out");
    } else if !NameRule::Label.allows(text) {
        let message = format!("{} cannot be the name of a namespace", quoted(text));
        finds.error(namespace, message).hint(NameRule::Label.text());
    }
}

fn twice<'a>(set: &Set<'a>, number: usize, object: &Object<'a>, finds: &mut Finds<'a>) {
    if object.name.is_empty() {
        return;
    }
    let first = set
        .named(object.group, object.kind, object.name)
        .find(|(_, other)| other.namespace == object.namespace);
    if let Some((first, _)) = first
        && first < number
    {
        let name = object.node.at(&["metadata", "name"]).unwrap_or(object.node);
        let message = format!("{} is in this set twice", quoted(&object.title()));
        finds
            .error(name, message)
            .hint("take one of them out: the last would win");
    }
}

/// The place of the name, or the object when it has none.
pub(in crate::validate) fn name_spot<'a>(object: &Object<'a>) -> &'a Node {
    object.node.at(&["metadata", "name"]).unwrap_or(object.node)
}
