//! Services, ingresses and network policies: ports, hosts and paths.

use std::collections::HashMap;

use mlops_core::platform::tree::Node;

use super::super::finds::{Finds, Look as _, quoted};
use super::super::forms::names::{NameRule, is_label, is_port_name, is_subdomain};
use super::container::PORT_NAME_HINT;
use super::labels;

/// A port's number, when it is one.
pub(super) fn number<'a>(port: Option<&'a Node>, finds: &mut Finds<'a>) {
    if let Some(port) = port
        && let Some(number) = port.integer()
        && !(1..=65535).contains(&number)
    {
        let message = format!("{number} is no port");
        finds.error(port, message).hint("a port is from 1 to 65535");
    }
}

/// A port's number, or the name of a container's port.
fn number_or_name<'a>(port: Option<&'a Node>, finds: &mut Finds<'a>) {
    number(port, finds);
    if let Some(port) = port
        && let Some(text) = port.text()
        && !is_port_name(text)
    {
        let message = format!("{} cannot be the name of a port", quoted(text));
        let find = finds.error(port, message);
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            find.hint("take the quotes off, so that it is a number");
        } else {
            find.hint(PORT_NAME_HINT);
        }
    }
}

pub(super) fn service<'a>(spec: &'a Node, finds: &mut Finds<'a>) {
    labels::map(spec.map("selector"), finds);
    let ports = spec.list("ports");
    let kind = spec.text_of("type").unwrap_or("ClusterIP");
    let is_headless = spec.text_of("clusterIP") == Some("None");
    if kind == "ExternalName" {
        match spec.get("externalName") {
            Some(name) => {
                if let Some(text) = name.text()
                    && !is_subdomain(text.strip_suffix('.').unwrap_or(text))
                {
                    let message = format!("{} is no host name", quoted(text));
                    finds.error(name, message).hint(NameRule::Subdomain.text());
                }
            }
            None => {
                finds.error(
                    spec,
                    "a service of type `ExternalName` needs `externalName`",
                );
            }
        }
    } else if ports.is_empty() && !is_headless {
        finds
            .error(spec, "the service has no ports")
            .hint("write `ports`, or `clusterIP: None` when only names are wanted");
    }
    let mut names: HashMap<&str, ()> = HashMap::new();
    for port in ports {
        number(port.get("port"), finds);
        number_or_name(port.get("targetPort"), finds);
        let name = port.get("name");
        let text = name.and_then(Node::text).unwrap_or_default();
        if text.is_empty() && ports.len() > 1 {
            finds
                .error(port, "each of several ports needs a name")
                .hint("write `name`");
        }
        if let Some(name) = name.filter(|_| !text.is_empty()) {
            if !is_label(text) {
                let message = format!("{} cannot be the name of a port", quoted(text));
                finds.error(name, message).hint(NameRule::Label.text());
            }
            if names.insert(text, ()).is_some() {
                finds.error(name, format!("a second port is called {}", quoted(text)));
            }
        }
        if let Some(node) = port.get("nodePort") {
            if node.integer() != Some(0) {
                number(Some(node), finds);
            }
            if kind == "ClusterIP" && node.integer().is_some_and(|number| number != 0) {
                finds
                    .error(node, "a service of type `ClusterIP` has no `nodePort`")
                    .hint("write `type: NodePort`, or take it out");
            }
        }
    }
}

pub(super) fn ingress<'a>(spec: &'a Node, finds: &mut Finds<'a>) {
    if spec.get("rules").is_none() && spec.get("defaultBackend").is_none() {
        finds.error(spec, "an ingress needs `rules` or `defaultBackend`");
    }
    let hosts = spec
        .list("rules")
        .iter()
        .filter_map(|rule| rule.get("host"));
    let secured = spec.list("tls").iter().flat_map(|tls| tls.list("hosts"));
    for host in hosts.chain(secured) {
        let Some(text) = host.text().filter(|text| !text.is_empty()) else {
            continue;
        };
        let name = text.strip_prefix("*.").unwrap_or(text);
        let is_address = text.parse::<std::net::IpAddr>().is_ok();
        if is_address || !is_subdomain(name) {
            finds
                .error(host, format!("{} is no host name", quoted(text)))
                .hint("write a DNS name in lower case, which may begin with `*.`");
        }
    }
    for path in spec.list("rules").iter().flat_map(|rule| {
        rule.at(&["http", "paths"])
            .map(Node::items)
            .unwrap_or_default()
    }) {
        self::path(path, finds);
    }
}

fn path<'a>(path: &'a Node, finds: &mut Finds<'a>) {
    if let Some(kind) = path.get("pathType")
        && let Some(text) = kind.text()
    {
        let known = ["Exact", "Prefix", "ImplementationSpecific"];
        if !known.contains(&text) {
            let message = format!("{} is not one of the allowed values", quoted(text));
            finds.error(kind, message).nearest(text, known);
        } else if let Some(node) = path.get("path")
            && let Some(given) = node.text()
            && !given.starts_with('/')
            && text != "ImplementationSpecific"
        {
            let message = format!("the path {} does not begin with `/`", quoted(given));
            finds.error(node, message);
        }
    }
    if let Some(backend) = path.get("backend") {
        let count = ["service", "resource"]
            .iter()
            .filter(|key| backend.get(key).is_some())
            .count();
        if count != 1 {
            finds.error(backend, "a backend is a `service` or a `resource`");
        }
    }
}

/// The port of a service behind an ingress: a name or a number.
pub(super) fn backend_port<'a>(port: &'a Node, finds: &mut Finds<'a>) {
    number(
        port.get("number")
            .filter(|number| number.integer() != Some(0)),
        finds,
    );
    let has = |key: &str| port.get(key).is_some();
    if has("name") == has("number") {
        finds.error(port, "the port of a backend is a `name` or a `number`");
    }
}

pub(super) fn policy_port<'a>(port: &'a Node, finds: &mut Finds<'a>) {
    number_or_name(port.get("port"), finds);
    if let Some(end) = port.get("endPort") {
        number(Some(end), finds);
        let start = port.get("port").and_then(Node::integer);
        if start.is_none() || start > end.integer() {
            finds.error(
                end,
                "`endPort` needs a number in `port` that is not above it",
            );
        }
    }
}
