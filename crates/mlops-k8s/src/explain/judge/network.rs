//! Services and Ingresses: what they point at.

use serde_json::Value;

use super::super::codes::CauseCode;
use super::super::facts::{Object, Seen, list, text};
use super::search::{backends, selected};
use super::{Evidence, Finding, Rule, Scene};

pub(super) const RULES: &[Rule] = &[
    Rule::fault(CauseCode::SelectsNothing, &["Service"], selects_nothing),
    Rule::consequence(CauseCode::ServicePodsNotReady, &["Service"], pods_not_ready),
    Rule::fault(CauseCode::ServicePortWrong, &["Service"], wrong_port),
    Rule::fault(CauseCode::BackendMissing, &["Ingress"], backend_missing),
    Rule::fault(CauseCode::IngressClassMissing, &["Ingress"], class_missing),
];

/// Whether the endpoints of a Service are made from its selector.
fn has_selector(service: &Object) -> bool {
    service.text("/spec/type") != "ExternalName"
        && service
            .at("/spec/selector")
            .as_object()
            .is_some_and(|pairs| !pairs.is_empty())
}

fn selector(service: &Object) -> String {
    let pairs = service.at("/spec/selector").as_object();
    let pairs = pairs.into_iter().flatten();
    pairs
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect::<Vec<_>>()
        .join(",")
}

fn selects_nothing(scene: &Scene<'_>) -> Option<Finding> {
    let service = scene.object;
    let asked = has_selector(service) && scene.facts.known.contains("Pod");
    if !asked || !selected(scene.facts, service).is_empty() {
        return None;
    }
    let wanted = selector(service);
    Some(
        Finding::new(format!("no pod has the labels {wanted}"))
            .with([service.field("spec.selector", &wanted)]),
    )
}

fn pods_not_ready(scene: &Scene<'_>) -> Option<Finding> {
    let service = scene.object;
    let publishes = service.at("/spec/publishNotReadyAddresses") == &Value::Bool(true);
    if !has_selector(service) || publishes {
        return None;
    }
    let pods = selected(scene.facts, service);
    if pods.is_empty() || pods.iter().any(|pod| pod.is_condition("Ready", "True")) {
        return None;
    }
    let evidence = pods
        .iter()
        .take(3)
        .map(|pod| pod.field("status.phase", pod.text("/status/phase")));
    Some(Finding::new(format!("none of its {} pods is ready", pods.len())).with(evidence))
}

/// A target port by name that no container of the selected pods has.
fn wrong_port(scene: &Scene<'_>) -> Option<Finding> {
    let service = scene.object;
    let pods = selected(scene.facts, service);
    if pods.is_empty() || !has_selector(service) {
        return None;
    }
    let names: Vec<&str> = pods.iter().flat_map(|pod| port_names(pod)).collect();
    let wrong = service
        .list("/spec/ports")
        .iter()
        .filter_map(|port| port.get("targetPort")?.as_str())
        .find(|name| !names.contains(name))?;
    let there = if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    };
    Some(
        Finding::new(format!("no container of its pods has a port named {wrong}"))
            .with([service.field("spec.ports.targetPort", wrong)])
            .with(
                pods.first()
                    .map(|pod| pod.field("spec.containers.ports.name", &there)),
            ),
    )
}

fn port_names(pod: &Object) -> impl Iterator<Item = &str> {
    let containers = pod
        .list("/spec/containers")
        .iter()
        .chain(pod.list("/spec/initContainers"));
    containers
        .flat_map(|container| list(container, "/ports"))
        .map(|port| text(port, "/name"))
        .filter(|n| !n.is_empty())
}

fn backend_missing(scene: &Scene<'_>) -> Option<Finding> {
    for (name, port) in backends(scene.object) {
        match scene.facts.see("Service", &name) {
            Seen::Absent => {
                let missing = scene.object.neighbour("Service", &name);
                return Some(
                    Finding::new(format!("sends to Service {name}, which is not there"))
                        .with([Evidence::Missing { object: missing }]),
                );
            }
            Seen::There(service) if !offers(service, &port) => {
                return Some(
                    Finding::new(format!(
                        "sends to port {port} of Service {name}, which has no such port"
                    ))
                    .with([scene
                        .object
                        .field("spec.rules.http.paths.backend.service.port", &port)]),
                );
            }
            _ => {}
        }
    }
    None
}

fn offers(service: &Object, port: &str) -> bool {
    service.text("/spec/type") == "ExternalName"
        || service.list("/spec/ports").iter().any(|offered| {
            text(offered, "/name") == port
                || offered
                    .get("port")
                    .and_then(Value::as_i64)
                    .is_some_and(|number| number.to_string() == port)
        })
}

fn class_missing(scene: &Scene<'_>) -> Option<Finding> {
    let ingress = scene.object;
    let named = ingress.text("/spec/ingressClassName");
    if !named.is_empty() {
        return scene.facts.is_absent("IngressClass", named).then(|| {
            let object = super::ObjectRef::new("networking.k8s.io/v1", "IngressClass", None, named);
            Finding::new(format!("there is no IngressClass {named}"))
                .with([Evidence::Missing { object }])
        });
    }
    let old = ingress
        .at("/metadata/annotations")
        .get("kubernetes.io/ingress.class")
        .is_some();
    // A controller that takes Ingresses without a class shows by the address it gave.
    let served = !ingress.list("/status/loadBalancer/ingress").is_empty();
    let asked = scene.facts.known.contains("IngressClass");
    (asked && !old && !served)
        .then(|| Finding::new("names no class, and no controller has taken it"))
        .map(|finding| finding.with([ingress.field("spec.ingressClassName", "not set")]))
}
