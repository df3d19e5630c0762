//! Secrets, config maps, accounts, claims and classes that pods need.

use mlops_core::platform::tree::Node;

use super::super::check::Visit;
use super::super::finds::{Finds, Look as _};
use super::super::set::Object;
use super::{Reference, Resolver};

pub(super) fn check<'a>(
    resolver: &mut Resolver<'_, 'a>,
    object: &Object<'a>,
    visit: &Visit<'a>,
    finds: &mut Finds<'a>,
) {
    let node = visit.node;
    let Some(namespace) = object.namespace else {
        return;
    };
    let kind = match visit.name {
        "SecretKeySelector" | "SecretEnvSource" | "SecretProjection" | "SecretVolumeSource" => {
            "Secret"
        }
        "ConfigMapKeySelector"
        | "ConfigMapEnvSource"
        | "ConfigMapProjection"
        | "ConfigMapVolumeSource" => "ConfigMap",
        "PodSpec" => return pod(resolver, namespace, node, finds),
        "PersistentVolumeClaimVolumeSource" => {
            let kind = ("", "PersistentVolumeClaim");
            return one(
                resolver,
                kind,
                Some(namespace),
                node.get("claimName"),
                finds,
            );
        }
        "PersistentVolumeClaimSpec" => {
            let class = node.get("storageClassName");
            // A volume of the set with the same class is taken also when there is no such class.
            let is_by_hand = class.and_then(Node::text).is_some_and(|class| {
                resolver.set.objects.iter().any(|volume| {
                    let of_volume = volume.node.at(&["spec", "storageClassName"]);
                    volume.is("", "PersistentVolume")
                        && of_volume.and_then(Node::text) == Some(class)
                })
            });
            if !is_by_hand {
                one(
                    resolver,
                    ("storage.k8s.io", "StorageClass"),
                    None,
                    class,
                    finds,
                );
            }
            return;
        }
        "IngressTLS" => {
            return one(
                resolver,
                ("", "Secret"),
                Some(namespace),
                node.get("secretName"),
                finds,
            );
        }
        _ => return,
    };
    if node.is_true("optional") {
        return;
    }
    let name = node.get("name").or_else(|| node.get("secretName"));
    one(resolver, ("", kind), Some(namespace), name, finds);
    let Some(name) = name.and_then(Node::text) else {
        return;
    };
    let items = node.list("items").iter().filter_map(|item| item.get("key"));
    for key in node.get("key").into_iter().chain(items) {
        self::key(resolver, kind, namespace, name, key, finds);
    }
}

/// One object by its name, unless that is empty.
pub(super) fn one<'a>(
    resolver: &mut Resolver<'_, 'a>,
    (group, kind): (&str, &str),
    namespace: Option<&str>,
    name: Option<&'a Node>,
    finds: &mut Finds<'a>,
) {
    if let Some(spot) = name
        && let Some(name) = spot.text().filter(|name| !name.is_empty())
    {
        let reference = resolver.reference(group, kind, namespace, name);
        resolver.need_object(reference, spot, finds);
    }
}

fn pod<'a>(
    resolver: &mut Resolver<'_, 'a>,
    namespace: &str,
    spec: &'a Node,
    finds: &mut Finds<'a>,
) {
    let account = spec
        .get("serviceAccountName")
        .or_else(|| spec.get("serviceAccount"));
    one(
        resolver,
        ("", "ServiceAccount"),
        Some(namespace),
        account,
        finds,
    );
    let class = spec.get("priorityClassName");
    one(
        resolver,
        ("scheduling.k8s.io", "PriorityClass"),
        None,
        class,
        finds,
    );
    let class = spec.get("runtimeClassName");
    one(
        resolver,
        ("node.k8s.io", "RuntimeClass"),
        None,
        class,
        finds,
    );
    for secret in spec.list("imagePullSecrets") {
        one(
            resolver,
            ("", "Secret"),
            Some(namespace),
            secret.get("name"),
            finds,
        );
    }
}

/// A key. One that the set's own object lacks is an error, unless a controller fills that object: what is sent is all
/// there will be.
fn key<'a>(
    resolver: &mut Resolver<'_, 'a>,
    kind: &str,
    namespace: &str,
    name: &str,
    spot: &'a Node,
    finds: &mut Finds<'a>,
) {
    let Some(wanted) = spot.text().filter(|key| !key.is_empty()) else {
        return;
    };
    let Some(found) = resolver.set.find("", kind, Some(namespace), name) else {
        // That the object is missing has been told; only one that is elsewhere is asked for its key.
        let object = resolver.reference("", kind, Some(namespace), name);
        if resolver.is_elsewhere(&object) {
            let reference = Reference::Key {
                kind: kind.to_owned(),
                namespace: namespace.to_owned(),
                name: name.to_owned(),
                key: wanted.to_owned(),
            };
            resolver.need(reference, spot, &[], finds);
        }
        return;
    };
    if found.node.text_of("type") == Some("kubernetes.io/service-account-token") {
        return;
    }
    let keys: Vec<&str> = ["data", "stringData", "binaryData"]
        .iter()
        .flat_map(|field| found.node.map(field))
        .map(|(key, _)| key.text.as_str())
        .collect();
    if !keys.contains(&wanted) {
        let reference = Reference::Key {
            kind: kind.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            key: wanted.to_owned(),
        };
        let find = finds.error(spot, format!("there is no {reference}"));
        find.nearest(wanted, keys);
    }
}
