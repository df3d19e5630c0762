//! Pods: containers and volumes as a whole.

use std::collections::HashMap;

use mlops_core::platform::tree::Node;

use super::super::finds::{Finds, Look as _, quoted};
use super::super::forms::names::NameRule;
use super::super::set::Object;
use super::labels;

/// The lists of containers of a pod.
pub(in crate::validate) const CONTAINERS: [&str; 3] =
    ["containers", "initContainers", "ephemeralContainers"];

pub(super) fn check<'a>(object: &Object<'a>, spec: &'a Node, finds: &mut Finds<'a>) {
    if let Some(containers) = spec.get("containers")
        && containers.items().is_empty()
    {
        finds.error(containers, "a pod needs a container");
    }
    containers(spec, finds);
    let claims = if object.is("apps", "StatefulSet") {
        object.node.at(&["spec", "volumeClaimTemplates"])
    } else {
        None
    };
    let claims = claims.map(Node::items).unwrap_or_default();
    let names: Vec<&str> = super::texts(spec.list("volumes"), "name")
        .chain(
            claims
                .iter()
                .filter_map(|claim| claim.at(&["metadata", "name"])?.text()),
        )
        .collect();
    for container in CONTAINERS.iter().flat_map(|list| spec.list(list)) {
        mounts(container, &names, finds);
    }
    volumes(spec, finds);
    labels::map(spec.map("nodeSelector"), finds);
    restart(object, spec, finds);
    for key in ["hostname", "subdomain"] {
        if let Some(node) = spec.get(key)
            && let Some(text) = node.text()
            && !text.is_empty()
            && !NameRule::Label.allows(text)
        {
            finds
                .error(node, format!("{} cannot be a {key}", quoted(text)))
                .hint(NameRule::Label.text());
        }
    }
    if let Some(node) = spec.get("terminationGracePeriodSeconds")
        && node.integer().is_some_and(|seconds| seconds < 0)
    {
        finds.error(node, "the time cannot be below zero");
    }
}

/// Names are unique over all lists, and so are those of ports in a container.
fn containers<'a>(spec: &'a Node, finds: &mut Finds<'a>) {
    let mut seen: HashMap<&str, &str> = HashMap::new();
    for list in CONTAINERS {
        for container in spec.list(list) {
            let Some(name) = container.get("name") else {
                continue;
            };
            let Some(text) = name.text() else {
                continue;
            };
            if !NameRule::Label.allows(text) {
                let message = format!("{} cannot be the name of a container", quoted(text));
                finds.error(name, message).hint(NameRule::Label.text());
            }
            // Twice in one list is told by the list itself.
            if seen.insert(text, list).is_some_and(|other| other != list) {
                let message = format!("another container is called {} too", quoted(text));
                finds.error(name, message);
            }
        }
    }
}

fn mounts<'a>(container: &'a Node, volumes: &[&str], finds: &mut Finds<'a>) {
    for (list, path) in [
        ("volumeMounts", "mountPath"),
        ("volumeDevices", "devicePath"),
    ] {
        for mount in container.list(list) {
            if let Some(name) = mount.get("name")
                && let Some(text) = name.text()
                && !volumes.contains(&text)
            {
                let message = format!("the pod has no volume {}", quoted(text));
                finds
                    .error(name, message)
                    .nearest(text, volumes.iter().copied());
            }
            if let Some(path) = mount.get(path)
                && let Some(text) = path.text()
                && list == "volumeMounts"
                && text.contains(':')
            {
                finds.error(path, format!("{} has `:` in it", quoted(text)));
            }
            if let Some(part) = mount.get("subPath")
                && let Some(text) = part.text()
                && (text.starts_with('/') || text.split('/').any(|step| step == ".."))
            {
                finds
                    .error(part, format!("{} leads out of the volume", quoted(text)))
                    .hint("write a path inside of the volume, without `..`");
            }
        }
    }
}

fn volumes<'a>(spec: &'a Node, finds: &mut Finds<'a>) {
    for volume in spec.list("volumes") {
        let Some(name) = volume.get("name") else {
            continue;
        };
        if let Some(text) = name.text()
            && !NameRule::Label.allows(text)
        {
            let message = format!("{} cannot be the name of a volume", quoted(text));
            finds.error(name, message).hint(NameRule::Label.text());
        }
        // A volume without a source is an `emptyDir`, and the server writes that into it.
        let sources: Vec<String> = volume
            .entries()
            .iter()
            .filter(|(key, value)| {
                key.text != "name" && !matches!(value.tree, mlops_core::platform::tree::Tree::Null)
            })
            .map(|(key, _)| quoted(&key.text))
            .collect();
        if sources.len() > 1 {
            let message = format!(
                "a volume has one source, and this has {}",
                sources.join(" and ")
            );
            finds.error(name, message);
        }
    }
}

/// `pkg/apis/apps/validation` and `pkg/apis/batch/validation`.
fn restart<'a>(object: &Object<'a>, spec: &'a Node, finds: &mut Finds<'a>) {
    let allowed: &[&str] = match (object.group, object.kind) {
        ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet")
        | ("", "ReplicationController") => &["Always"],
        ("batch", "Job" | "CronJob") => &["Never", "OnFailure"],
        _ => return,
    };
    let given = spec.get("restartPolicy");
    let policy = given
        .and_then(Node::text)
        .filter(|policy| !policy.is_empty());
    let is_known = policy.is_none_or(|one| ["Always", "Never", "OnFailure"].contains(&one));
    if is_known && !allowed.contains(&policy.unwrap_or("Always")) {
        let names: Vec<String> = allowed.iter().map(|one| format!("`{one}`")).collect();
        let message = format!(
            "the pods of a {} need the restart policy {}",
            quoted(object.kind),
            names.join(" or ")
        );
        finds.error(given.unwrap_or(spec), message);
    }
}
