//! The way back: users before what they need, data only by name.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

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
    let mut changes = removals(&resources, |resource| {
        let shared = rules
            .get(resource.id.kind())
            .is_some_and(|rules| rules.shared);
        if shared {
            Action::Nothing
        } else {
            fates.action(resource, graph, observation)
        }
    });
    fates.hold_back(&resources, &mut changes);
    let changes = in_order(changes);
    Ok(Plan {
        format: 1,
        platform: graph.platform.clone(),
        direction: Direction::Remove,
        graph: graph.digest(),
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
    /// Goes together with other data that is named, such as the data folder of what it lives in.
    covered: BTreeMap<ResourceId, BTreeSet<ResourceId>>,
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
        let covered = cover(resources, &by_id, data);
        let hosts: BTreeSet<&ResourceId> = resources
            .iter()
            .filter_map(|resource| resource.within.as_ref())
            .collect();
        let mut kept = BTreeSet::new();
        let mut staying: BTreeSet<&ResourceId> = BTreeSet::new();
        let mut open: Vec<&Resource> = Vec::new();
        for resource in resources.iter().copied() {
            if !resource.holds_data
                || data.contains(&resource.id)
                || covered.contains_key(&resource.id)
            {
                continue;
            }
            let host = resource.within.as_ref().and_then(|host| by_id.get(host));
            // What lives in a server that does not run cannot be seen: it may be there while what it rests on is.
            let rests = host.is_some_and(|host| {
                let mut below = host.needs.iter().chain(&resource.needs);
                !is_there(host, observation) && below.any(|need| staying.contains(need))
            });
            if rests || is_there(resource, observation) {
                staying.insert(&resource.id);
                open.push(resource);
            }
        }
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

    /// What needs nothing itself, such as a secret, outlives the data of those that need it, also where that goes with
    /// other data: a run that is cut off leaves no data without its password.
    fn hold_back(&self, resources: &[&Resource], changes: &mut [Change]) {
        let mut until: BTreeMap<&ResourceId, BTreeSet<&ResourceId>> = BTreeMap::new();
        for resource in resources {
            if let Some(with) = self.covered.get(&resource.id) {
                for need in &resource.needs {
                    until.entry(need).or_default().extend(with);
                }
            }
        }
        let bare: BTreeSet<&ResourceId> = resources
            .iter()
            .filter(|resource| resource.needs.is_empty() && !resource.holds_data)
            .map(|resource| &resource.id)
            .collect();
        for change in changes {
            if bare.contains(&change.id)
                && let Some(with) = until.remove(&change.id)
            {
                change.after.extend(with.into_iter().cloned());
            }
        }
    }

    /// Whether it goes together with other data that is named.
    fn rests_in(&self, resource: &Resource, data: &BTreeSet<ResourceId>) -> bool {
        self.covered.contains_key(&resource.id)
            || resource
                .needs
                .iter()
                .any(|need| self.covered.contains_key(need) || data.contains(need))
    }

    /// Whether it stays: unnamed data, or something that such data needs.
    pub(super) fn is_kept(&self, resource: &Resource) -> bool {
        self.kept.contains(&resource.id)
    }

    fn action(&self, resource: &Resource, graph: &Graph, observation: &Observation) -> Action {
        if self.covered.contains_key(&resource.id) {
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

/// What goes together with named data, and with which: what lives in a server with the server's data folder, and data
/// with the data that it rests on, such as a registered model with its database.
fn cover(
    resources: &[&Resource],
    by_id: &BTreeMap<&ResourceId, &Resource>,
    data: &BTreeSet<ResourceId>,
) -> BTreeMap<ResourceId, BTreeSet<ResourceId>> {
    let is_data = |id: &ResourceId| by_id.get(id).is_some_and(|resource| resource.holds_data);
    let mut covered: BTreeMap<ResourceId, BTreeSet<ResourceId>> = BTreeMap::new();
    for resource in resources {
        let mut with: BTreeSet<ResourceId> = BTreeSet::new();
        if let Some(host) = resource.within.as_ref().and_then(|host| by_id.get(host)) {
            with.extend(host.needs.intersection(data).cloned());
            with.extend(covered.get(&host.id).into_iter().flatten().cloned());
        }
        if resource.holds_data && !data.contains(&resource.id) {
            for need in &resource.needs {
                with.extend(covered.get(need).into_iter().flatten().cloned());
                if data.contains(need) && is_data(need) {
                    with.insert(need.clone());
                }
            }
        }
        if !with.is_empty() {
            covered.insert(resource.id.clone(), with);
        }
    }
    covered
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

/// The changes in an order in which each comes after what it waits for, otherwise as they were.
fn in_order(changes: Vec<Change>) -> Vec<Change> {
    let places: BTreeMap<ResourceId, usize> = changes
        .iter()
        .enumerate()
        .map(|(place, change)| (change.id.clone(), place))
        .collect();
    let mut missing = vec![0_usize; changes.len()];
    let mut waiting: Vec<Vec<usize>> = vec![Vec::new(); changes.len()];
    for (place, (change, missing)) in changes.iter().zip(&mut missing).enumerate() {
        for before in change.after.iter().filter_map(|id| places.get(id)) {
            *missing += 1;
            if let Some(waiting) = waiting.get_mut(*before) {
                waiting.push(place);
            }
        }
    }
    let free = missing.iter().enumerate().filter(|(_, count)| **count == 0);
    let mut free: BinaryHeap<Reverse<usize>> = free.map(|(place, _)| Reverse(place)).collect();
    let mut rest: Vec<Option<Change>> = changes.into_iter().map(Some).collect();
    let mut ordered = Vec::with_capacity(rest.len());
    while let Some(Reverse(place)) = free.pop() {
        ordered.extend(rest.get_mut(place).and_then(Option::take));
        for next in waiting.get(place).into_iter().flatten() {
            if let Some(count) = missing.get_mut(*next) {
                *count -= 1;
                if *count == 0 {
                    free.push(Reverse(*next));
                }
            }
        }
    }
    // Things found in the world cannot be trusted to have no circle; then any order will do.
    ordered.extend(rest.into_iter().flatten());
    ordered
}

/// Removals in reverse order: each comes after those that need it or wait for it.
pub(super) fn removals(
    resources: &[&Resource],
    action: impl Fn(&Resource) -> Action,
) -> Vec<Change> {
    let ids: BTreeSet<&ResourceId> = resources.iter().map(|resource| &resource.id).collect();
    let mut users: BTreeMap<&ResourceId, BTreeSet<ResourceId>> = BTreeMap::new();
    for resource in resources {
        let needs = resource.needs.iter().chain(&resource.awaits);
        for need in needs.filter(|need| ids.contains(need)) {
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
