//! What of a plan has not begun, and what it waits for.

use std::collections::{BTreeMap, BTreeSet};

use mlops_core::{Plan, ResourceId};

/// More names than this do not fit into a line.
const NAMED: usize = 2;

/// The changes that have not begun, each with what must be done before.
#[derive(Debug, Default)]
pub(super) struct Waiting(BTreeMap<ResourceId, BTreeSet<ResourceId>>);

impl Waiting {
    /// All changes of a plan.
    pub(super) fn new(plan: &Plan) -> Self {
        let changes = plan
            .changes
            .iter()
            .filter(|change| change.action.is_change());
        let waits: BTreeMap<ResourceId, BTreeSet<ResourceId>> = changes
            .map(|change| (change.id.clone(), change.after.clone()))
            .collect();
        // What is as described is not waited for.
        let of_those = |after: &BTreeSet<ResourceId>| -> BTreeSet<ResourceId> {
            after
                .iter()
                .filter(|id| waits.contains_key(*id))
                .cloned()
                .collect()
        };
        Self(
            waits
                .iter()
                .map(|(id, after)| (id.clone(), of_those(after)))
                .collect(),
        )
    }

    /// Work on it has begun.
    pub(super) fn begin(&mut self, id: &ResourceId) {
        self.0.remove(id);
    }

    /// Nobody waits for it any more.
    pub(super) fn end(&mut self, id: &ResourceId) {
        self.0.remove(id);
        for after in self.0.values_mut() {
            after.remove(id);
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// How many wait, and for what the one that is nearest to its turn; `None` when nothing waits.
    pub(super) fn told(&self) -> Option<String> {
        let (next, after) = self.0.iter().min_by_key(|(_, after)| after.len())?;
        let text = format!("{} waiting", self.0.len());
        if after.is_empty() {
            return Some(text);
        }
        let mut names: Vec<String> = after.iter().take(NAMED).map(ToString::to_string).collect();
        if let more @ 1.. = after.len().saturating_sub(NAMED) {
            names.push(format!("{more} more"));
        }
        Some(format!("{text}, {next} for {}", names.join(", ")))
    }
}
