//! Looking at the world: hosts before what lives in them, everything of one level at once.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::{join_all, try_join_all};
use mlops_core::{Context, Failure, Graph, Observation, Observed, Resource, ResourceId, Result};

use super::Engine;

/// What the state of a host says of what lives in it.
enum Inside {
    /// It can be asked for.
    Ask,
    /// The answer is known without asking.
    Known(Observed),
}

impl Engine {
    /// Looks at everything of the graph, and for what is ours and not in it.
    ///
    /// What could not be asked for is an entry of its own ([`Observed::Unknown`]), not an error of this call.
    ///
    /// # Errors
    ///
    /// When a kind has no provider, or the search for what is ours and not in the graph failed.
    pub async fn observe(&self, graph: &Graph, cx: &Context) -> Result<Observation> {
        self.check_kinds(graph)?;
        let mut entries: BTreeMap<ResourceId, Observed> = BTreeMap::new();
        let mut open: Vec<&Resource> = graph.ordered().collect();
        while !open.is_empty() {
            let (mut ask, mut later) = (Vec::new(), Vec::new());
            for resource in open {
                match &resource.within {
                    Some(host) if !entries.contains_key(host) => later.push(resource),
                    _ => match inside(resource, graph, &entries) {
                        Inside::Ask => ask.push(resource),
                        Inside::Known(observed) => {
                            entries.insert(resource.id.clone(), observed);
                        }
                    },
                }
            }
            entries.extend(self.ask(&ask, cx).await);
            open = later;
        }
        let strays = self.find_strays(graph, &entries, cx).await?;
        Ok(Observation { entries, strays })
    }

    /// Asks the providers of these resources, all at once.
    async fn ask(&self, resources: &[&Resource], cx: &Context) -> Vec<(ResourceId, Observed)> {
        let mut groups: BTreeMap<usize, Vec<&Resource>> = BTreeMap::new();
        for resource in resources {
            if let Some(index) = self.responsible.get(resource.id.kind()) {
                groups.entry(*index).or_default().push(resource);
            }
        }
        let answers = groups.iter().filter_map(|(index, group)| {
            let provider = self.providers.get(*index)?;
            Some(provider.observe(group, cx))
        });
        let mut found: BTreeMap<ResourceId, Observed> =
            join_all(answers).await.into_iter().flatten().collect();
        resources
            .iter()
            .map(|resource| {
                let observed = found.remove(&resource.id).unwrap_or(Observed::Absent);
                (resource.id.clone(), observed)
            })
            .collect()
    }

    /// Looks at some resources without asking whether what they live in is ready.
    pub async fn observe_only(
        &self,
        resources: &[&Resource],
        cx: &Context,
    ) -> Vec<(ResourceId, Observed)> {
        self.ask(resources, cx).await
    }

    /// Looks at one resource whose host is known to be ready.
    pub(super) async fn look_again(&self, resource: &Resource, cx: &Context) -> Observed {
        self.ask(&[resource], cx)
            .await
            .into_iter()
            .next()
            .map_or(Observed::Absent, |(_, observed)| observed)
    }

    async fn find_strays(
        &self,
        graph: &Graph,
        entries: &BTreeMap<ResourceId, Observed>,
        cx: &Context,
    ) -> Result<Vec<Resource>> {
        // A provider whose systems are not all running is asked when they are.
        let closed: BTreeSet<usize> = graph
            .resources()
            .filter(|resource| !matches!(inside(resource, graph, entries), Inside::Ask))
            .filter_map(|resource| self.responsible.get(resource.id.kind()).copied())
            .collect();
        let searches = self
            .providers
            .iter()
            .enumerate()
            .filter(|(index, _)| !closed.contains(index))
            .map(|(_, provider)| provider.find_strays(graph, cx));
        let mut strays: Vec<Resource> = try_join_all(searches)
            .await?
            .into_iter()
            .flatten()
            .filter(|stray| graph.find(&stray.id).is_none())
            .collect();
        order_strays(&mut strays);
        Ok(strays)
    }
}

/// What is missing of a host's own needs, such as the address under which it is reached, must come back first.
fn is_whole(host: &ResourceId, graph: &Graph, entries: &BTreeMap<ResourceId, Observed>) -> bool {
    let needs = graph.find(host).map(|host| &host.needs);
    let mut needs = needs.into_iter().flatten();
    needs.all(|need| !matches!(entries.get(need), Some(Observed::Absent)))
}

fn inside(resource: &Resource, graph: &Graph, entries: &BTreeMap<ResourceId, Observed>) -> Inside {
    let Some(host) = &resource.within else {
        return Inside::Ask;
    };
    match entries.get(host) {
        Some(Observed::Found(found)) if found.ready && is_whole(host, graph, entries) => {
            Inside::Ask
        }
        Some(Observed::Found(_) | Observed::Hidden { .. }) => Inside::Known(Observed::Hidden {
            behind: host.clone(),
        }),
        Some(Observed::Absent) | None => Inside::Known(Observed::Absent),
        Some(Observed::Unknown(failure)) => {
            let failure: &Failure = failure;
            Inside::Known(Observed::Unknown(failure.clone()))
        }
    }
}

/// What is needed comes first, as in a graph; needs outside the strays do not matter.
fn order_strays(strays: &mut Vec<Resource>) {
    strays.sort_by(|left, right| left.id.cmp(&right.id));
    let mut ordered: Vec<Resource> = Vec::with_capacity(strays.len());
    while !strays.is_empty() {
        let open: BTreeSet<ResourceId> = strays.iter().map(|stray| stray.id.clone()).collect();
        let (free, bound): (Vec<Resource>, Vec<Resource>) = std::mem::take(strays)
            .into_iter()
            .partition(|stray| stray.needs.is_disjoint(&open));
        *strays = bound;
        if free.is_empty() {
            // Things found in the world cannot be trusted to have no circle; then any order will do.
            ordered.append(strays);
        }
        ordered.extend(free);
    }
    *strays = ordered;
}
