//! From ingresses and webhooks to services, and from these to containers.

use mlops_core::platform::tree::{Key, Node};

use super::super::check::Visit;
use super::super::finds::{Finds, Look as _, quoted};
use super::super::rules::{selects, selects_by_map};
use super::super::set::Object;
use super::resolver::Pods;
use super::{Reference, Resolver};

pub(super) fn visit<'a>(
    resolver: &mut Resolver<'_, 'a>,
    object: &Object<'a>,
    visit: &Visit<'a>,
    finds: &mut Finds<'a>,
) {
    let node = visit.node;
    match visit.name {
        "IngressServiceBackend" => {
            let port = node
                .at(&["port", "name"])
                .or_else(|| node.at(&["port", "number"]));
            service(resolver, object.namespace, node, port, finds);
        }
        // Of webhooks, of conversions, and of APIs that a service answers.
        "ServiceReference" => {
            service(
                resolver,
                node.text_of("namespace"),
                node,
                node.get("port"),
                finds,
            );
        }
        _ => {}
    }
}

/// A service by the field `name` of a reference, and one of its ports.
fn service<'a>(
    resolver: &mut Resolver<'_, 'a>,
    namespace: Option<&str>,
    reference: &'a Node,
    port: Option<&'a Node>,
    finds: &mut Finds<'a>,
) {
    let (Some(namespace), Some(spot)) = (namespace, reference.get("name")) else {
        return;
    };
    let Some(name) = spot.text().filter(|name| !name.is_empty()) else {
        return;
    };
    // Webhooks and API services reach port 443 unless they say another.
    let wanted = match port {
        Some(port) => match (port.text(), port.integer()) {
            (Some(name), _) => name.to_owned(),
            (None, Some(number)) => number.to_string(),
            (None, None) => return,
        },
        None if reference.get("namespace").is_some() => "443".to_owned(),
        None => String::new(),
    };
    let Some(found) = resolver.set.find("", "Service", Some(namespace), name) else {
        let object = resolver.reference("", "Service", Some(namespace), name);
        if !wanted.is_empty() && resolver.is_elsewhere(&object) {
            let reference = Reference::Port {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
                port: wanted,
            };
            resolver.need(reference, port.unwrap_or(spot), &[], finds);
        } else {
            resolver.need_object(object, spot, finds);
        }
        return;
    };
    if wanted.is_empty()
        || found.node.at(&["spec", "type"]).and_then(Node::text) == Some("ExternalName")
    {
        return;
    }
    let ports = found
        .node
        .at(&["spec", "ports"])
        .map(Node::items)
        .unwrap_or_default();
    let is_named = port.is_some_and(|port| port.text().is_some());
    let known: Vec<String> = ports
        .iter()
        .filter_map(|port| {
            if is_named {
                port.text_of("name").map(str::to_owned)
            } else {
                port.get("port")?.integer().map(|number| number.to_string())
            }
        })
        .collect();
    if !known.contains(&wanted) {
        let message = format!(
            "Service {} has no port {}",
            quoted(&format!("{namespace}/{name}")),
            quoted(&wanted)
        );
        finds
            .error(port.unwrap_or(spot), message)
            .nearest(&wanted, known.iter().map(String::as_str));
    }
}

pub(super) fn check<'a>(
    resolver: &mut Resolver<'_, 'a>,
    object: &Object<'a>,
    finds: &mut Finds<'a>,
) {
    let (Some(spec), Some(namespace)) = (object.node.get("spec"), object.namespace) else {
        return;
    };
    let Some(selector) = spec.get("selector") else {
        return;
    };
    if object.is("policy", "PodDisruptionBudget") {
        let is_any = resolver
            .pods
            .iter()
            .any(|pods| pods.namespace == namespace && selects(selector, pods.labels));
        if !is_any {
            let labels = selector.map("matchLabels");
            nothing(resolver, namespace, selector, labels, finds);
        }
        return;
    }
    let is_external = spec.text_of("type") == Some("ExternalName");
    if !object.is("", "Service") || is_external || selector.entries().is_empty() {
        return;
    }
    let selected: Vec<Pods<'a>> = resolver
        .pods
        .iter()
        .filter(|pods| pods.namespace == namespace)
        .filter(|pods| selects_by_map(selector.entries(), pods.labels))
        .copied()
        .collect();
    if selected.is_empty() {
        nothing(resolver, namespace, selector, selector.entries(), finds);
        return;
    }
    for port in spec.list("ports") {
        target(port, &selected, finds);
    }
}

/// Nothing in the set is selected. The hint names the label that no pod of the namespace has so.
fn nothing<'a>(
    resolver: &mut Resolver<'_, 'a>,
    namespace: &str,
    spot: &'a Node,
    labels: &'a [(Key, Node)],
    finds: &mut Finds<'a>,
) {
    let text: Vec<String> = labels
        .iter()
        .map(|(key, value)| format!("{}={}", key.text, value.text().unwrap_or_default()))
        .collect();
    let reference = Reference::Pods {
        namespace: namespace.to_owned(),
        selector: text.join(","),
    };
    let before = finds.len();
    resolver.need(reference, spot, &[], finds);
    if finds.len() == before {
        return;
    }
    for (key, value) in labels {
        let known: Vec<&str> = resolver
            .pods
            .iter()
            .filter(|pods| pods.namespace == namespace)
            .filter_map(|pods| {
                let label = pods.labels.iter().find(|(label, _)| label.text == key.text);
                label.and_then(|(_, value)| value.text())
            })
            .collect();
        let given = value.text().unwrap_or_default();
        if !known.contains(&given)
            && let Some(near) = mlops_core::nearest(given, known.iter().copied())
            && let Some(find) = finds.last()
        {
            find.hint(format!(
                "did you mean {}?",
                quoted(&format!("{}: {near}", key.text))
            ));
            return;
        }
    }
}

/// The container's port behind a port of a service. A name must be that of a port; a number is only doubtful when the
/// containers declare others, since declaring is optional.
fn target<'a>(port: &'a Node, selected: &[Pods<'a>], finds: &mut Finds<'a>) {
    let protocol = port.text_of("protocol").unwrap_or("TCP");
    let declared: Vec<&Node> = selected
        .iter()
        .flat_map(|pods| {
            let lists = ["containers", "initContainers"];
            lists.into_iter().flat_map(|list| pods.spec.list(list))
        })
        .flat_map(|container| container.list("ports"))
        .filter(|port| port.text_of("protocol").unwrap_or("TCP") == protocol)
        .collect();
    let Some(spot) = port.get("targetPort").or_else(|| port.get("port")) else {
        return;
    };
    if let Some(name) = spot.text() {
        let names: Vec<&str> = declared
            .iter()
            .filter_map(|port| port.text_of("name"))
            .collect();
        if !names.contains(&name) {
            let message = format!(
                "no container behind this service has a port called {}",
                quoted(name)
            );
            finds.error(spot, message).nearest(name, names);
        }
        return;
    }
    let Some(number) = spot.integer() else {
        return;
    };
    let numbers: Vec<String> = declared
        .iter()
        .filter_map(|port| port.get("containerPort")?.integer())
        .map(|number| number.to_string())
        .collect();
    if !numbers.is_empty() && !numbers.contains(&number.to_string()) {
        let message =
            format!("no container behind this service has the port {number} ({protocol})");
        finds
            .warning(spot, message)
            .nearest(&number.to_string(), numbers.iter().map(String::as_str));
    }
}
