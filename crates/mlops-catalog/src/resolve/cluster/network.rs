//! Who may speak with whom: nobody, but for names, and for each binding its consumer with its provider
//! (<https://kubernetes.io/docs/concepts/services-networking/network-policies/>).

use std::collections::{BTreeMap, BTreeSet};

use mlops_core::kubernetes::egress;
use mlops_core::{Binding, ComponentName, Resource, Service, ServiceName};
use serde_json::{Value, json};

use super::complete::Frame;
use super::object_id;
use crate::resolve::work::{Member, Work};

const VERSION: &str = "networking.k8s.io/v1";
const KIND: &str = "NetworkPolicy";

impl Work<'_> {
    /// The policies of all components.
    pub(in crate::resolve) fn add_network_policies(&mut self, members: &[Member<'_>]) {
        for member in members {
            if self.in_cluster.contains(member.name()) {
                let spec = json!({
                    "podSelector": { "matchLabels": self.frame(member.name()).selector(None) },
                    "policyTypes": ["Ingress", "Egress"],
                    "egress": [egress::names()],
                });
                self.add_policy(member.name(), member.name().as_str(), &spec);
            }
        }
        let used: BTreeSet<(ComponentName, ServiceName)> = self
            .bindings
            .iter()
            .filter(|binding| self.in_cluster.contains(&binding.consumer))
            .flat_map(|binding| {
                let services = services_of(binding, &self.services);
                services.map(|service| (binding.consumer.clone(), service))
            })
            .collect();
        for (consumer, service) in used {
            self.allow(&consumer, &service);
        }
    }

    fn frame<'f>(&'f self, component: &'f ComponentName) -> Frame<'f> {
        Frame {
            namespace: self.platform.namespace(),
            platform: self.platform.name.as_str(),
            component: component.as_str(),
            pull_secrets: &self.platform.cluster.image_pull_secrets,
        }
    }

    fn add_policy(&mut self, component: &ComponentName, name: &str, spec: &Value) {
        let object = self
            .frame(component)
            .object(VERSION, KIND, name, spec.clone());
        let namespace = object_id("Namespace", self.platform.namespace());
        let resource = Resource::new(object_id(KIND, name), component.clone()).with_need(namespace);
        self.add(resource, json!({ "object": object }));
    }

    /// Lets the pods of a component reach a service, and the service's pods be reached by them.
    fn allow(&mut self, consumer: &ComponentName, service: &ServiceName) {
        let Some(found) = self.services.get(service).cloned() else {
            return;
        };
        let pods = |component: &ComponentName| json!({ "matchLabels": self.frame(component).selector(None) });
        let from = pods(consumer);
        let Some(provider) = &found.component else {
            let spec = json!({
                "podSelector": from, "policyTypes": ["Egress"], "egress": [egress::outside(&found)],
            });
            return self.add_policy(consumer, &format!("{consumer}-to-{service}"), &spec);
        };
        let to = pods(provider);
        let ports = json!([{ "port": found.port, "protocol": "TCP" }]);
        let egress = json!({
            "podSelector": from, "policyTypes": ["Egress"],
            "egress": [{ "to": [{ "podSelector": to }], "ports": ports }],
        });
        let ingress = json!({
            "podSelector": to, "policyTypes": ["Ingress"],
            "ingress": [{ "from": [{ "podSelector": from }], "ports": ports }],
        });
        self.add_policy(consumer, &format!("{consumer}-to-{service}"), &egress);
        self.add_policy(provider, &format!("{service}-from-{consumer}"), &ingress);
    }
}

/// The services that a binding uses: its own, and those that the provider's facts name.
fn services_of(
    binding: &Binding,
    services: &BTreeMap<ServiceName, Service>,
) -> impl Iterator<Item = ServiceName> {
    let facts = binding.facts.values().filter_map(Value::as_str);
    let facts = facts.filter_map(|text| text.parse::<ServiceName>().ok());
    let provider = services
        .get(&binding.service)
        .map(|service| &service.component);
    // A database may be called like a service, and is none.
    let is_the_providers = move |name: &ServiceName| {
        services.get(name).map(|service| &service.component) == provider
            && provider.is_some_and(Option::is_some)
    };
    std::iter::once(binding.service.clone()).chain(facts.filter(is_the_providers))
}
