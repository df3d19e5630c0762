//! The state of one run: what is open, what is done, what waits for what. No I/O.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use mlops_core::event::millis;
use mlops_core::report::{Entry, Outcome};
use mlops_core::{Change, Kind, ResourceId};

/// How far a node is.
struct Open<'a> {
    change: &'a Change,
    missing: usize,
    last_need: Option<ResourceId>,
}

/// The schedule of a run: hands out what can start, takes back how it ended.
pub(super) struct Schedule<'a> {
    open: BTreeMap<&'a ResourceId, Open<'a>>,
    waiting: HashMap<&'a ResourceId, Vec<&'a ResourceId>>,
    /// What can start, by lane: a slow system must not stand in the way of the others.
    free: BTreeMap<usize, BTreeSet<&'a ResourceId>>,
    lanes: HashMap<&'a Kind, usize>,
    entries: Vec<Entry>,
    ended: BTreeMap<ResourceId, bool>,
}

impl<'a> Schedule<'a> {
    /// Everything of a plan is open, what waits for nothing is free. `lane` tells the kinds apart that are started
    /// independently of each other.
    pub(super) fn new(changes: &'a [Change], lane: impl Fn(&Kind) -> usize) -> Self {
        let known: BTreeSet<&ResourceId> = changes.iter().map(|change| &change.id).collect();
        let mut schedule = Self {
            open: BTreeMap::new(),
            waiting: HashMap::new(),
            free: BTreeMap::new(),
            lanes: changes
                .iter()
                .map(|change| (change.id.kind(), lane(change.id.kind())))
                .collect(),
            entries: Vec::with_capacity(changes.len()),
            ended: BTreeMap::new(),
        };
        for change in changes {
            let mut missing = 0;
            for need in change.after.iter().filter(|need| known.contains(need)) {
                missing += 1;
                schedule.waiting.entry(need).or_default().push(&change.id);
            }
            if missing == 0 {
                schedule.set_free(&change.id);
            }
            let open = Open {
                change,
                missing,
                last_need: None,
            };
            schedule.open.insert(&change.id, open);
        }
        schedule
    }

    /// Takes one change that can start now, of a lane that has room, with its lane.
    pub(super) fn next(&mut self, has_room: impl Fn(usize) -> bool) -> Option<(usize, &'a Change)> {
        let (lane, id) = self
            .free
            .iter_mut()
            .filter(|(lane, _)| has_room(**lane))
            .find_map(|(lane, ids)| Some((*lane, ids.pop_first()?)))?;
        self.open.get(id).map(|open| (lane, open.change))
    }

    fn set_free(&mut self, id: &'a ResourceId) {
        let lane = self.lanes.get(id.kind()).copied().unwrap_or_default();
        self.free.entry(lane).or_default().insert(id);
    }

    /// Whether every resource ended well, of those that are known to have ended.
    pub(super) fn all_done(&self, ids: &BTreeSet<ResourceId>) -> bool {
        ids.iter()
            .all(|id| self.ended.get(id).copied().unwrap_or(false))
    }

    /// Whether one of these failed or was left.
    pub(super) fn any_failed(&self, ids: &BTreeSet<ResourceId>) -> bool {
        ids.iter().any(|id| self.ended.get(id) == Some(&false))
    }

    /// Takes back a change that ended; returns what is left because of it when it failed.
    pub(super) fn end(
        &mut self,
        id: &ResourceId,
        outcome: Outcome,
        start: Duration,
        took: Duration,
    ) -> Vec<ResourceId> {
        let well = matches!(
            outcome,
            Outcome::Done { .. } | Outcome::Unchanged | Outcome::Kept
        );
        self.record(id, outcome, start, took);
        if well {
            self.release(id);
            return Vec::new();
        }
        self.skip_users(id, start + took)
    }

    /// What was not done yet, when the run is ended early.
    pub(super) fn interrupt(&mut self, at: Duration) {
        let rest: Vec<ResourceId> = self.open.keys().map(|id| (*id).clone()).collect();
        for id in rest {
            self.record(&id, Outcome::Interrupted, at, Duration::ZERO);
        }
        self.free.clear();
    }

    /// The entries in the order in which they ended.
    pub(super) fn into_entries(self) -> Vec<Entry> {
        self.entries
    }

    fn record(&mut self, id: &ResourceId, outcome: Outcome, start: Duration, took: Duration) {
        let well = matches!(
            outcome,
            Outcome::Done { .. } | Outcome::Unchanged | Outcome::Kept
        );
        let waited_for = self.open.remove(id).and_then(|open| open.last_need);
        self.ended.insert(id.clone(), well);
        self.entries.push(Entry {
            id: id.clone(),
            outcome,
            start_ms: millis(start),
            took_ms: millis(took),
            waited_for,
        });
    }

    fn release(&mut self, id: &ResourceId) {
        for user in self.waiting.remove(id).unwrap_or_default() {
            if let Some(open) = self.open.get_mut(user) {
                open.missing -= 1;
                open.last_need = Some(id.clone());
                if open.missing == 0 {
                    self.set_free(user);
                }
            }
        }
    }

    fn skip_users(&mut self, id: &ResourceId, at: Duration) -> Vec<ResourceId> {
        let mut skipped = Vec::new();
        let mut causes = vec![id.clone()];
        while let Some(cause) = causes.pop() {
            for user in self.waiting.remove(&cause).unwrap_or_default() {
                if self.open.contains_key(user) {
                    let because = id.clone();
                    self.record(user, Outcome::Skipped { because }, at, Duration::ZERO);
                    skipped.push(user.clone());
                    causes.push(user.clone());
                }
            }
        }
        skipped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mlops_core::Action;

    fn change(name: &str, after: &[&str]) -> Change {
        Change {
            id: ResourceId::new("thing", name),
            component: "test".parse().unwrap(),
            action: Action::Create,
            after: after
                .iter()
                .map(|name| ResourceId::new("thing", *name))
                .collect(),
        }
    }

    fn done() -> Outcome {
        Outcome::Done {
            verb: "create".to_owned(),
        }
    }

    #[test]
    fn a_change_is_free_when_its_last_need_is_done() {
        let changes = [change("a", &[]), change("b", &[]), change("c", &["a", "b"])];
        let mut schedule = Schedule::new(&changes, |_| 0);
        let first: Vec<_> = std::iter::from_fn(|| schedule.next(|_| true))
            .map(|(_, change)| change.id.name().to_owned())
            .collect();
        assert_eq!(first, ["a", "b"]);
        let end = |schedule: &mut Schedule<'_>, change: &Change| {
            schedule.end(&change.id, done(), Duration::ZERO, Duration::ZERO)
        };
        end(&mut schedule, &changes[1]);
        assert!(schedule.next(|_| true).is_none());
        end(&mut schedule, &changes[0]);
        assert_eq!(
            schedule.next(|_| true).map(|(_, change)| change.id.name()),
            Some("c")
        );
        end(&mut schedule, &changes[2]);
        let entries = schedule.into_entries();
        assert_eq!(entries[2].waited_for, Some(changes[0].id.clone()));
    }

    #[test]
    fn a_failure_stops_only_what_needs_it() {
        let changes = [
            change("a", &[]),
            change("b", &["a"]),
            change("c", &["b"]),
            change("d", &[]),
        ];
        let mut schedule = Schedule::new(&changes, |_| 0);
        assert!(schedule.next(|_| false).is_none());
        while schedule.next(|_| true).is_some() {}
        let failure = mlops_core::Failure::from(&mlops_core::Error::new(
            mlops_core::ErrorKind::Failed,
            "try",
        ));
        let skipped = schedule.end(
            &changes[0].id,
            Outcome::Failed { failure },
            Duration::ZERO,
            Duration::ZERO,
        );
        assert_eq!(skipped, [changes[1].id.clone(), changes[2].id.clone()]);
        schedule.end(&changes[3].id, done(), Duration::ZERO, Duration::ZERO);
        let outcomes: Vec<_> = schedule
            .into_entries()
            .into_iter()
            .map(|entry| (entry.id.name().to_owned(), entry.outcome))
            .collect();
        let because = changes[0].id.clone();
        assert_eq!(
            outcomes[1],
            (
                "b".to_owned(),
                Outcome::Skipped {
                    because: because.clone()
                }
            )
        );
        assert_eq!(outcomes[2], ("c".to_owned(), Outcome::Skipped { because }));
        assert_eq!(outcomes[3], ("d".to_owned(), done()));
    }
}
