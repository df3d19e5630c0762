//! Containers: images, variables, ports, probes, resources.

use std::collections::HashMap;

use mlops_core::platform::tree::{Node, Tree};

use super::super::finds::{Finds, Look as _, quoted};
use super::super::forms::names::{is_port_name, is_qualified, is_variable};
use super::super::forms::{image, quantity::Quantity};
use super::network;

pub(super) const PORT_NAME_HINT: &str = "use at most 15 lower-case letters, digits and single `-`, with at least one letter, and a letter or digit at both ends";

pub(super) fn check<'a>(node: &'a Node, finds: &mut Finds<'a>) {
    match node.get("image") {
        Some(reference) => {
            if let Some(text) = reference.text()
                && let Some(wrong) = image::wrong(text)
            {
                finds
                    .error(reference, format!("the image {} {wrong}", quoted(text)))
                    .hint("write it as `HOST/NAME:TAG` or `HOST/NAME@DIGEST`");
            }
        }
        None => {
            finds.error(node, "the field `image` is missing");
        }
    }
    variables(node, finds);
    ports(node, finds);
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = node.get(probe) {
            self::probe(node, probe, finds);
        }
    }
    for hook in ["postStart", "preStop"] {
        if let Some(action) = node.at(&["lifecycle", hook]) {
            handler(node, action, finds);
        }
    }
}

fn variables<'a>(node: &'a Node, finds: &mut Finds<'a>) {
    for variable in node.list("env") {
        if let Some(name) = variable.get("name")
            && let Some(text) = name.text()
            && !is_variable(text)
        {
            let message = format!("{} cannot be the name of a variable", quoted(text));
            finds
                .error(name, message)
                .hint("use printable ASCII characters without `=`");
        }
        let Some(from) = variable.get("valueFrom") else {
            continue;
        };
        if variable
            .text_of("value")
            .is_some_and(|value| !value.is_empty())
        {
            finds.error(
                from,
                "a variable has `value` or `valueFrom`, and this has both",
            );
        }
        let sources = from
            .entries()
            .iter()
            .filter(|(_, source)| !matches!(source.tree, Tree::Null));
        if matches!(from.tree, Tree::Map(_)) && sources.count() != 1 {
            finds.error(from, "`valueFrom` has exactly one source");
        }
    }
}

fn ports<'a>(node: &'a Node, finds: &mut Finds<'a>) {
    let mut seen: HashMap<&str, ()> = HashMap::new();
    for port in node.list("ports") {
        let Some(name) = port.get("name") else {
            continue;
        };
        let Some(text) = name.text().filter(|text| !text.is_empty()) else {
            continue;
        };
        if !is_port_name(text) {
            let message = format!("{} cannot be the name of a port", quoted(text));
            finds.error(name, message).hint(PORT_NAME_HINT);
        }
        if seen.insert(text, ()).is_some() {
            finds.error(name, format!("a second port is called {}", quoted(text)));
        }
    }
}

fn probe<'a>(container: &'a Node, probe: &'a Node, finds: &mut Finds<'a>) {
    let kinds = ["exec", "grpc", "httpGet", "tcpSocket"];
    let count = kinds
        .iter()
        .filter(|kind| probe.get(kind).is_some())
        .count();
    if count != 1 && matches!(probe.tree, Tree::Map(_)) {
        let message = format!("a probe does one thing, and this does {count}");
        finds
            .error(probe, message)
            .hint("write one of `exec`, `grpc`, `httpGet` and `tcpSocket`");
    }
    for (key, least) in [
        ("initialDelaySeconds", 0),
        ("timeoutSeconds", 0),
        ("periodSeconds", 0),
        ("successThreshold", 0),
        ("failureThreshold", 0),
    ] {
        if let Some(number) = probe.get(key)
            && number.integer().is_some_and(|number| number < least)
        {
            finds.error(number, format!("`{key}` cannot be below {least}"));
        }
    }
    handler(container, probe, finds);
}

/// The ports of an action: numbers in range, names of this container.
fn handler<'a>(container: &'a Node, action: &'a Node, finds: &mut Finds<'a>) {
    network::number(action.at(&["grpc", "port"]), finds);
    for kind in ["httpGet", "tcpSocket"] {
        let Some(port) = action.at(&[kind, "port"]) else {
            continue;
        };
        let Some(name) = port.text() else {
            network::number(Some(port), finds);
            continue;
        };
        let known: Vec<&str> = super::texts(container.list("ports"), "name").collect();
        if !is_port_name(name) {
            let message = format!("{} cannot be the name of a port", quoted(name));
            finds.error(port, message).hint(PORT_NAME_HINT);
        } else if !known.contains(&name) {
            let message = format!("the container has no port called {}", quoted(name));
            finds.error(port, message).nearest(name, known);
        }
    }
}

/// Limits are at least what is requested; nothing is below zero.
pub(super) fn resources<'a>(node: &'a Node, finds: &mut Finds<'a>) {
    let read = |node: &Node| -> Option<Quantity> {
        match &node.tree {
            Tree::Text(text) => text.parse().ok(),
            Tree::Number(number) => number.to_string().parse().ok(),
            _ => None,
        }
    };
    let limits = node.map("limits");
    for (key, amount) in limits.iter().chain(node.map("requests")) {
        if !is_qualified(&key.text) {
            let message = format!("{} cannot be the name of a resource", quoted(&key.text));
            finds.error(key, message);
        } else if !key.text.contains('/') && !is_known(&key.text) {
            let message = format!("{} is no resource of a container", quoted(&key.text));
            let known = ["cpu", "memory", "ephemeral-storage", "storage"];
            finds.error(key, message).nearest(&key.text, known);
        }
        if read(amount).is_some_and(Quantity::is_negative) {
            finds.error(amount, "the amount cannot be below zero");
        }
    }
    for (key, requested) in node.map("requests") {
        let limit = limits.iter().find(|(limit, _)| limit.text == key.text);
        let (Some(amount), Some(limit)) =
            (read(requested), limit.and_then(|(_, limit)| read(limit)))
        else {
            continue;
        };
        if amount > limit {
            let message = format!(
                "more {} is requested than the limit allows",
                quoted(&key.text)
            );
            finds
                .error(requested, message)
                .hint("raise the limit, or request less");
        }
    }
}

/// The resources without a domain: `pkg/apis/core/helper/helpers.go`.
fn is_known(name: &str) -> bool {
    matches!(name, "cpu" | "memory" | "ephemeral-storage" | "storage")
        || name.starts_with("hugepages-")
}
