//! From an object to all that it depends on: owners' children, selected pods, named objects.

use std::collections::{HashSet, VecDeque};

use super::super::facts::{Facts, Object, list, text};
use super::{Scene, is_ready};

/// The subject and what it depends on, each with its distance. What is ready is not searched further.
pub(crate) fn reach(facts: &Facts) -> Vec<(&Object, usize)> {
    let mut reached = Vec::new();
    let mut seen = HashSet::new();
    let mut queue = VecDeque::new();
    if let Some(subject) = facts
        .objects
        .iter()
        .find(|object| object.id == facts.subject)
    {
        seen.insert(&subject.id);
        queue.push_back((subject, 0));
    }
    while let Some((object, depth)) = queue.pop_front() {
        reached.push((object, depth));
        if depth > 0 && is_ready(&Scene { facts, object }) && !leads_on(object) {
            continue;
        }
        for next in below(facts, object) {
            if seen.insert(&next.id) {
                queue.push_back((next, depth + 1));
            }
        }
    }
    reached
}

/// Kinds whose own status says nothing of what they lead to.
fn leads_on(object: &Object) -> bool {
    matches!(
        object.id.kind.as_str(),
        "CronJob" | "Ingress" | "Service" | "HorizontalPodAutoscaler"
    )
}

fn below<'a>(facts: &'a Facts, object: &'a Object) -> Vec<&'a Object> {
    let named: Vec<(&str, String)> = match object.id.kind.as_str() {
        "Namespace" => return roots(facts, object),
        "Pod" => of_pod(object),
        "Service" => return selected(facts, object),
        "Ingress" => backends(object)
            .into_iter()
            .map(|(name, _)| ("Service", name))
            .collect(),
        "HorizontalPodAutoscaler" => vec![(
            object.text("/spec/scaleTargetRef/kind"),
            object.text("/spec/scaleTargetRef/name").to_owned(),
        )],
        _ => Vec::new(),
    };
    let uid = object.text("/metadata/uid");
    let mut next: Vec<&Object> = named
        .iter()
        .filter_map(|(kind, name)| facts.of_kind(kind).find(|found| found.id.name == *name))
        .collect();
    next.extend(facts.objects.iter().filter(|child| child.is_owned_by(uid)));
    next
}

/// All of a namespace that nothing else in it owns.
fn roots<'a>(facts: &'a Facts, namespace: &'a Object) -> Vec<&'a Object> {
    let uids: HashSet<&str> = facts
        .objects
        .iter()
        .map(|object| object.text("/metadata/uid"))
        .collect();
    facts
        .objects
        .iter()
        .filter(|object| object.id.namespace.as_deref() == Some(namespace.id.name.as_str()))
        .filter(|object| {
            let owners = object.list("/metadata/ownerReferences");
            !owners
                .iter()
                .any(|owner| uids.contains(text(owner, "/uid")))
        })
        .collect()
}

fn of_pod(pod: &Object) -> Vec<(&'static str, String)> {
    let mut named: Vec<(&'static str, String)> = claims(pod)
        .into_iter()
        .map(|name| ("PersistentVolumeClaim", name))
        .collect();
    let node = pod.text("/spec/nodeName");
    if !node.is_empty() {
        named.push(("Node", node.to_owned()));
    }
    named
}

/// The names of the claims that a pod uses; an ephemeral volume has one named after pod and volume.
pub(super) fn claims(pod: &Object) -> Vec<String> {
    pod.list("/spec/volumes")
        .iter()
        .filter_map(|volume| {
            let name = text(volume, "/persistentVolumeClaim/claimName");
            if !name.is_empty() {
                Some(name.to_owned())
            } else if volume.get("ephemeral").is_some() {
                Some(format!("{}-{}", pod.id.name, text(volume, "/name")))
            } else {
                None
            }
        })
        .collect()
}

/// The pods that a Service selects.
pub(super) fn selected<'a>(facts: &'a Facts, service: &Object) -> Vec<&'a Object> {
    let selector = service.at("/spec/selector");
    facts
        .of_kind("Pod")
        .filter(|pod| pod.is_selected_by(selector))
        .collect()
}

/// The Services that an Ingress sends to, with the port by name or number.
pub(super) fn backends(ingress: &Object) -> Vec<(String, String)> {
    let paths = ingress
        .list("/spec/rules")
        .iter()
        .flat_map(|rule| list(rule, "/http/paths"));
    let services = paths.map(|path| super::super::facts::at(path, "/backend/service"));
    services
        .chain([ingress.at("/spec/defaultBackend/service")])
        .filter(|service| !service.is_null())
        .map(|service| {
            let number = service
                .pointer("/port/number")
                .and_then(serde_json::Value::as_i64);
            let port =
                number.map_or_else(|| text(service, "/port/name").to_owned(), |n| n.to_string());
            (text(service, "/name").to_owned(), port)
        })
        .collect()
}
