//! The way back: users before what they need, data only by name.

use std::collections::{BTreeMap, BTreeSet};

use super::{Action, Change, Direction, Plan, Rules};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::Graph;
use crate::observation::{Observation, Observed, Owner};
use crate::resource::{Resource, ResourceId};

/// The plan that takes everything of ours away, users before what they need.
///
/// What holds data stays unless it is named in `data`, and with it stays what it needs (its role, its password), but
/// not what it lives in (the server process). Naming a data folder covers all that lives in the server over it.
///
/// # Errors
///
/// When `data` names something that holds no data, or something whose server is not running.
pub fn plan_removal(
    graph: &Graph,
    observation: &Observation,
    rules: &Rules,
    data: &BTreeSet<ResourceId>,
) -> Result<Plan> {
    let resources: Vec<&Resource> = graph.ordered().chain(&observation.strays).collect();
    let fates = Fates::new(&resources, observation, data);
    check_named(&resources, observation, &fates, data)?;
    let changes = removals(&resources, |resource| {
        let shared = rules
            .get(resource.id.kind())
            .is_some_and(|rules| rules.shared);
        if shared {
            Action::Nothing
        } else {
            fates.action(resource, graph, observation)
        }
    });
    Ok(Plan {
        format: 1,
        platform: graph.platform.clone(),
        direction: Direction::Remove,
        graph: Digest::of(graph),
        observation: Digest::of(observation),
        changes,
    })
}

fn check_named(
    resources: &[&Resource],
    observation: &Observation,
    fates: &Fates,
    data: &BTreeSet<ResourceId>,
) -> Result<()> {
    for id in data {
        let refuse = || {
            Error::new(
                ErrorKind::InvalidInput,
                format!("remove the data of `{id}`"),
            )
        };
        let Some(resource) = resources
            .iter()
            .find(|resource| resource.id == *id && resource.holds_data)
        else {
            let names: Vec<String> = resources
                .iter()
                .filter(|resource| resource.holds_data)
                .map(|resource| format!("`{}`", resource.id))
                .collect();
            return Err(refuse()
                .with_source("nothing of that name holds data here")
                .with_hint(format!("what holds data: {}", names.join(", "))));
        };
        if let Observed::Hidden { behind } = observation.get(id)
            && !fates.rests_in(resource, data)
        {
            return Err(refuse()
                .with_source(format!("`{behind}` is not running"))
                .with_hint("start the platform with `mlops up` first"));
        }
    }
    Ok(())
}

pub(super) struct Fates {
    /// Goes together with the data folder of what it lives in.
    covered: BTreeSet<ResourceId>,
    /// Stays: unnamed data, and what that needs.
    kept: BTreeSet<ResourceId>,
}

impl Fates {
    pub(super) fn new(
        resources: &[&Resource],
        observation: &Observation,
        data: &BTreeSet<ResourceId>,
    ) -> Self {
        let by_id: BTreeMap<&ResourceId, &Resource> = resources
            .iter()
            .map(|resource| (&resource.id, *resource))
            .collect();
        let is_named_data = |id: &ResourceId| {
            data.contains(id) && by_id.get(id).is_some_and(|resource| resource.holds_data)
        };
        let mut covered = BTreeSet::new();
        for resource in resources {
            let host = resource.within.as_ref().and_then(|host| by_id.get(host));
            let lives_in_it = host
                .is_some_and(|host| covered.contains(&host.id) || !host.needs.is_disjoint(data));
            // Data that rests in other data goes with that: a registered model with its database.
            let rests_on_it = resource.holds_data
                && resource
                    .needs
                    .iter()
                    .any(|need| covered.contains(need) || is_named_data(need));
            if lives_in_it || (rests_on_it && !data.contains(&resource.id)) {
                covered.insert(resource.id.clone());
            }
        }
        let hosts: BTreeSet<&ResourceId> = resources
            .iter()
            .filter_map(|resource| resource.within.as_ref())
            .collect();
        let mut kept = BTreeSet::new();
        let mut open: Vec<&Resource> = resources
            .iter()
            .copied()
            .filter(|resource| {
                resource.holds_data
                    && !data.contains(&resource.id)
                    && !covered.contains(&resource.id)
                    && is_there(resource, observation)
            })
            .collect();
        while let Some(resource) = open.pop() {
            if kept.insert(resource.id.clone()) {
                open.extend(
                    resource
                        .needs
                        .iter()
                        .filter(|need| Some(*need) != resource.within.as_ref())
                        .filter_map(|need| by_id.get(need).copied())
                        // A server goes although data needs it: what stays is what it stands on.
                        .filter(|need| need.within.is_none() || !hosts.contains(&need.id)),
                );
            }
        }
        Self { covered, kept }
    }

    /// Whether it goes together with other data that is named.
    fn rests_in(&self, resource: &Resource, data: &BTreeSet<ResourceId>) -> bool {
        self.covered.contains(&resource.id)
            || resource
                .needs
                .iter()
                .any(|need| self.covered.contains(need) || data.contains(need))
    }

    /// Whether it stays: unnamed data, or something that such data needs.
    pub(super) fn is_kept(&self, resource: &Resource) -> bool {
        self.kept.contains(&resource.id)
    }

    fn action(&self, resource: &Resource, graph: &Graph, observation: &Observation) -> Action {
        if self.covered.contains(&resource.id) {
            return Action::Nothing;
        }
        if self.kept.contains(&resource.id) {
            return Action::Keep;
        }
        match observation.entries.get(&resource.id) {
            None | Some(Observed::Absent) if graph.find(&resource.id).is_some() => Action::Nothing,
            // What it lives in is not running: it rests in the data that is kept or goes with it.
            Some(Observed::Hidden { .. }) => Action::Nothing,
            Some(Observed::Found(found)) if matches!(found.owner, Owner::Other(_)) => {
                Action::Nothing
            }
            _ => Action::Remove,
        }
    }
}

/// A stray was found by looking for it; anything else has an entry.
fn is_there(resource: &Resource, observation: &Observation) -> bool {
    match observation.entries.get(&resource.id) {
        Some(observed) => *observed != Observed::Absent,
        None => observation
            .strays
            .iter()
            .any(|stray| stray.id == resource.id),
    }
}

/// Removals in reverse order: each comes after those that need it.
pub(super) fn removals(
    resources: &[&Resource],
    action: impl Fn(&Resource) -> Action,
) -> Vec<Change> {
    let ids: BTreeSet<&ResourceId> = resources.iter().map(|resource| &resource.id).collect();
    let mut users: BTreeMap<&ResourceId, BTreeSet<ResourceId>> = BTreeMap::new();
    for resource in resources {
        for need in resource.needs.iter().filter(|need| ids.contains(need)) {
            users.entry(need).or_default().insert(resource.id.clone());
        }
    }
    resources
        .iter()
        .rev()
        .map(|resource| Change {
            id: resource.id.clone(),
            component: resource.component.clone(),
            action: action(resource),
            after: users.remove(&resource.id).unwrap_or_default(),
        })
        .collect()
}
