//! The resources of a platform and what each needs.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use petgraph::algo::{tarjan_scc, toposort};
use petgraph::graph::DiGraph;
use serde::{Deserialize, Serialize};

use crate::binding::Binding;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::name::{PlatformName, SecretName, ServiceName};
use crate::probe::Probe;
use crate::resource::{Resource, ResourceId};
use crate::service::{SecretSource, Service};

/// A resolved platform: everything that shall exist, and how it is proven.
///
/// ```
/// use mlops_core::{Graph, PlatformName, Resource, ResourceId};
///
/// let platform: PlatformName = "demo".parse()?;
/// let server = ResourceId::new("process", "postgres");
/// let role = ResourceId::new("postgres-role", "mlflow");
/// let graph = Graph::new(
///     platform,
///     [
///         Resource::new(role.clone(), "mlflow".parse()?).with_within(server.clone()),
///         Resource::new(server.clone(), "postgres".parse()?),
///     ],
/// )?;
/// assert_eq!(graph.order(), [server, role]);
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Graph {
    /// The platform's name.
    pub platform: PlatformName,
    resources: BTreeMap<ResourceId, Resource>,
    /// The addresses that something listens at.
    #[serde(default)]
    pub services: BTreeMap<ServiceName, Service>,
    /// Secrets that come from outside, by reference.
    #[serde(default)]
    pub secret_sources: BTreeMap<SecretName, SecretSource>,
    /// Who uses what of whom.
    #[serde(default)]
    pub bindings: Vec<Binding>,
    /// How it is proven.
    #[serde(default)]
    pub probes: Vec<Probe>,
    order: Vec<ResourceId>,
}

impl Graph {
    /// Puts resources together and orders them: what is needed comes first.
    ///
    /// # Errors
    ///
    /// When two resources share an identity, one needs something that is not there, or there is a cycle; the
    /// error names the members.
    pub fn new(
        platform: PlatformName,
        resources: impl IntoIterator<Item = Resource>,
    ) -> Result<Self> {
        let mut by_id = BTreeMap::new();
        for resource in resources {
            let id = resource.id.clone();
            if by_id.insert(id.clone(), resource).is_some() {
                return Err(invalid(format!("resource `{id}` is described twice")));
            }
        }
        let order = order(&by_id)?;
        Ok(Self {
            platform,
            resources: by_id,
            services: BTreeMap::new(),
            secret_sources: BTreeMap::new(),
            bindings: Vec::new(),
            probes: Vec::new(),
            order,
        })
    }

    /// The resource of that identity.
    pub fn find(&self, id: &ResourceId) -> Option<&Resource> {
        self.resources.get(id)
    }

    /// All resources, by identity.
    pub fn resources(&self) -> impl Iterator<Item = &Resource> {
        self.resources.values()
    }

    /// How many resources there are.
    pub fn len(&self) -> usize {
        self.resources.len()
    }

    /// Whether there is no resource.
    pub fn is_empty(&self) -> bool {
        self.resources.is_empty()
    }

    /// The identities in an order in which everything comes after what it needs; the same for the same graph.
    pub fn order(&self) -> &[ResourceId] {
        &self.order
    }

    /// The resources in that order.
    pub fn ordered(&self) -> impl DoubleEndedIterator<Item = &Resource> {
        self.order.iter().filter_map(|id| self.resources.get(id))
    }

    /// A fingerprint of all of it. Resources are hashed each by itself, because of a large platform that can be done
    /// side by side.
    pub fn digest(&self) -> Digest {
        let resources: Vec<&Resource> = self.resources.values().collect();
        let resources = crate::threads::map(&resources, Digest::of);
        let Self {
            platform,
            resources: _,
            services,
            secret_sources,
            bindings,
            probes,
            order,
        } = self;
        let rest = (platform, services, secret_sources, bindings, probes, order);
        Digest::of(&(resources, rest))
    }

    /// What needs each resource, directly.
    pub fn needed_by(&self) -> BTreeMap<&ResourceId, BTreeSet<&ResourceId>> {
        let mut users: BTreeMap<&ResourceId, BTreeSet<&ResourceId>> = BTreeMap::new();
        for resource in self.resources.values() {
            for need in &resource.needs {
                users.entry(need).or_default().insert(&resource.id);
            }
        }
        users
    }
}

fn invalid(cause: String) -> Error {
    Error::new(
        ErrorKind::InvalidInput,
        "put the platform's resources in order",
    )
    .with_source(cause)
}

fn order(resources: &BTreeMap<ResourceId, Resource>) -> Result<Vec<ResourceId>> {
    let mut graph = DiGraph::<&ResourceId, ()>::with_capacity(resources.len(), resources.len() * 2);
    // Inserted in reverse: toposort walks from the last node, so equals come out in their own order.
    let nodes: HashMap<&ResourceId, _> = resources
        .keys()
        .rev()
        .map(|id| (id, graph.add_node(id)))
        .collect();
    for (id, resource) in resources {
        // Most name what they live in among their needs; a second edge would do no harm.
        for need in resource.needs.iter().chain(&resource.within) {
            let (Some(from), Some(to)) = (nodes.get(need), nodes.get(id)) else {
                return Err(invalid(format!(
                    "`{id}` needs `{need}`, which is not part of the platform"
                )));
            };
            graph.add_edge(*from, *to, ());
        }
    }
    match toposort(&graph, None) {
        Ok(sorted) => Ok(sorted
            .into_iter()
            .filter_map(|node| graph.node_weight(node).copied().cloned())
            .collect()),
        Err(_) => Err(invalid(describe_cycle(&graph))),
    }
}

fn describe_cycle(graph: &DiGraph<&ResourceId, ()>) -> String {
    let mut members: Vec<String> = tarjan_scc(graph)
        .into_iter()
        .find(|component| {
            component.len() > 1
                || component
                    .first()
                    .is_some_and(|node| graph.contains_edge(*node, *node))
        })
        .unwrap_or_default()
        .into_iter()
        .filter_map(|node| graph.node_weight(node).map(|id| format!("`{id}`")))
        .collect();
    members.sort();
    format!("{} need each other in a circle", members.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn resource(name: &str, needs: &[&str]) -> Resource {
        needs.iter().fold(
            Resource::new(ResourceId::new("thing", name), "test".parse().unwrap()),
            |resource, need| resource.with_need(ResourceId::new("thing", *need)),
        )
    }

    fn graph(resources: Vec<Resource>) -> Result<Graph> {
        Graph::new("test".parse().unwrap(), resources)
    }

    #[test]
    fn a_cycle_is_named() {
        let error = graph(vec![
            resource("a", &["b"]),
            resource("b", &["a"]),
            resource("c", &[]),
        ])
        .unwrap_err();
        assert_eq!(
            error.causes(),
            ["`thing/a`, `thing/b` need each other in a circle"]
        );
        let error = graph(vec![resource("a", &["a"])]).unwrap_err();
        assert_eq!(error.causes(), ["`thing/a` need each other in a circle"]);
    }

    #[test]
    fn a_missing_need_and_a_double_are_named() {
        let error = graph(vec![resource("a", &["b"])]).unwrap_err();
        assert_eq!(
            error.causes(),
            ["`thing/a` needs `thing/b`, which is not part of the platform"]
        );
        let error = graph(vec![resource("a", &[]), resource("a", &[])]).unwrap_err();
        assert_eq!(error.causes(), ["resource `thing/a` is described twice"]);
    }

    proptest! {
        #[test]
        fn needs_come_first(edges in proptest::collection::vec((0_usize..30, 0_usize..30), 0..120)) {
            let resources: Vec<Resource> = (0..30).map(|index| {
                let needs: Vec<String> = edges.iter()
                    .filter(|(from, to)| *from == index && to < from)
                    .map(|(_, to)| to.to_string()).collect();
                resource(&index.to_string(), &needs.iter().map(String::as_str).collect::<Vec<_>>())
            }).collect();
            let mut turned = resources.clone();
            turned.reverse();
            let graph = graph(resources).unwrap();
            let again = Graph::new(graph.platform.clone(), turned).unwrap();
            prop_assert_eq!(graph.order(), again.order());
            let place: BTreeMap<_, _> = graph.order().iter().enumerate().map(|(i, id)| (id, i)).collect();
            for resource in graph.resources() {
                for need in &resource.needs {
                    prop_assert!(place[need] < place[&resource.id]);
                }
            }
        }
    }
}
