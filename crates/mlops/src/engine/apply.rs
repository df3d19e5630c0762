//! Carrying out a plan: a resource starts the moment everything it needs is ready.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{FuturesUnordered, StreamExt};
use mlops_core::event::millis;
use mlops_core::plan::{Direction, decide};
use mlops_core::report::{Outcome, ProbeEntry};
use mlops_core::{
    Action, Change, Context, Error, Event, Failure, Graph, Observed, Probe, Report, Resource,
    ResourceId, Result,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::run::Schedule;
use super::{Engine, Prepared};

/// How many steps are under way at once.
const IN_FLIGHT: usize = 64;

/// Which probes a run makes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ProbeChoice {
    /// Those of which something that they need was changed.
    #[default]
    Changed,
    /// All.
    All,
    /// None.
    None,
}

/// What a run may be told beside the plan.
#[derive(Debug, Clone, Default)]
pub struct ApplyOptions {
    /// Ends the run at the next await when it is cancelled.
    pub cancel: CancellationToken,
    /// Which probes are made.
    pub probes: ProbeChoice,
}

/// One piece of work that ended.
enum Ended {
    Change {
        id: ResourceId,
        result: Result<&'static str>,
        start: Duration,
        took: Duration,
    },
    Probe(ProbeEntry),
}

impl Engine {
    /// Carries out a prepared plan and makes probes as soon as what they need is ready.
    ///
    /// Never fails as a whole: the report says what was done, what failed and what was left because of it.
    pub async fn apply(
        &self,
        graph: &Graph,
        prepared: &Prepared,
        cx: &Context,
        options: &ApplyOptions,
    ) -> Report {
        let begin = Instant::now();
        let run = Run {
            engine: self,
            resources: graph
                .resources()
                .chain(&prepared.observation.strays)
                .map(|resource| (&resource.id, resource))
                .collect(),
            changing: prepared
                .plan
                .changes
                .iter()
                .filter(|change| change.action.is_change())
                .map(|change| &change.id)
                .collect(),
            direction: prepared.plan.direction,
            cx,
            begin,
        };
        let mut report = run.to_the_end(graph, prepared, options).await;
        report.took_ms = millis(begin.elapsed());
        report.critical_path = report.find_critical_path();
        cx.events.emit(Event::Done {
            report: report.clone(),
        });
        report
    }
}

struct Run<'a> {
    engine: &'a Engine,
    resources: BTreeMap<&'a ResourceId, &'a Resource>,
    changing: BTreeSet<&'a ResourceId>,
    direction: Direction,
    cx: &'a Context,
    begin: Instant,
}

impl<'a> Run<'a> {
    async fn to_the_end(
        &self,
        graph: &'a Graph,
        prepared: &'a Prepared,
        options: &ApplyOptions,
    ) -> Report {
        let mut report = Report::new(graph.platform.clone());
        let mut schedule = Schedule::new(&prepared.plan.changes);
        let mut probes = self.choose_probes(graph, options.probes);
        let mut under_way: FuturesUnordered<BoxFuture<'_, Ended>> = FuturesUnordered::new();
        loop {
            while under_way.len() < IN_FLIGHT
                && let Some(change) = schedule.next()
            {
                self.start(change, &mut schedule, &mut under_way);
            }
            probes.retain(|probe| {
                if schedule.all_done(&probe.needs) {
                    under_way.push(self.probe(probe).boxed());
                    return false;
                }
                !schedule.any_failed(&probe.needs)
            });
            let ended = tokio::select! {
                biased;
                () = options.cancel.cancelled() => None,
                ended = under_way.next() => match ended {
                    Some(ended) => Some(ended),
                    None => break,
                },
            };
            match ended {
                None => {
                    // Dropping what is under way is the interruption: every step can bear it.
                    drop(under_way);
                    schedule.interrupt(self.begin.elapsed());
                    break;
                }
                Some(Ended::Probe(entry)) => report.probes.push(entry),
                Some(Ended::Change {
                    id,
                    result,
                    start,
                    took,
                }) => self.end(&mut schedule, &id, result, start, took),
            }
        }
        report.entries = schedule.into_entries();
        report
            .probes
            .sort_by(|left, right| left.name.cmp(&right.name));
        report
    }

    fn choose_probes(&self, graph: &'a Graph, choice: ProbeChoice) -> Vec<&'a Probe> {
        let wanted = |probe: &&Probe| match choice {
            ProbeChoice::None => false,
            ProbeChoice::All => true,
            ProbeChoice::Changed => probe.needs.iter().any(|need| self.changing.contains(need)),
        };
        if self.direction == Direction::Remove {
            return Vec::new();
        }
        graph.probes.iter().filter(wanted).collect()
    }

    /// Starts a change, or ends it at once when there is nothing to do.
    fn start<'b>(
        &'b self,
        change: &'b Change,
        schedule: &mut Schedule<'_>,
        under_way: &mut FuturesUnordered<BoxFuture<'b, Ended>>,
    ) {
        let start = self.begin.elapsed();
        let outcome = match &change.action {
            Action::Nothing => Outcome::Unchanged,
            Action::Keep => Outcome::Kept,
            action => {
                self.cx.events.emit(Event::Started {
                    id: change.id.clone(),
                    verb: action.verb().to_owned(),
                });
                under_way.push(self.change(change, start).boxed());
                return;
            }
        };
        schedule.end(&change.id, outcome, start, Duration::ZERO);
    }

    async fn change(&self, change: &Change, start: Duration) -> Ended {
        let result = match self.resources.get(&change.id) {
            Some(resource) => self.carry_out(resource, &change.action).await,
            None => Err(Error::new(
                mlops_core::ErrorKind::Changed,
                format!("find `{}`", change.id),
            )
            .with_source("the plan mentions it, the platform does not have it")),
        };
        Ended::Change {
            id: change.id.clone(),
            result,
            start,
            took: self.begin.elapsed().saturating_sub(start),
        }
    }

    /// Tries until it is done, it fails for good, or patience ends. Returns the verb of what was done.
    async fn carry_out(&self, resource: &Resource, planned: &Action) -> Result<&'static str> {
        let provider = self.engine.provider(resource.id.kind())?;
        let patience = self.engine.patience;
        let mut pauses = ExponentialBuilder::default()
            .with_min_delay(patience.first_pause)
            .with_max_delay(patience.longest_pause)
            .with_max_times(patience.retries)
            .with_jitter()
            .build();
        let mut action = planned.clone();
        // What lives in something that was not running could not be looked at when the plan was made.
        let mut look = matches!(action, Action::Later { .. })
            || self.direction == Direction::Apply
                && action != Action::Remove
                && resource
                    .within
                    .as_ref()
                    .is_some_and(|host| self.changing.contains(host));
        loop {
            let attempt = async {
                if look {
                    let observed = self.engine.look_again(resource, self.cx).await;
                    action = self.decide_again(resource, &observed, planned)?;
                }
                if action.is_change() {
                    provider.apply(resource, &action, self.cx).await?;
                }
                Ok(action.verb())
            };
            let error: Error = match attempt.await {
                Ok(verb) => return Ok(verb),
                Err(error) => error,
            };
            let pause = if error.is_retryable() {
                pauses.next()
            } else {
                None
            };
            let Some(pause) = pause else {
                return Err(error);
            };
            self.cx.events.emit(Event::Retrying {
                id: resource.id.clone(),
                failure: Failure::from(&error),
                after_ms: millis(pause),
            });
            tokio::time::sleep(pause).await;
            // The attempt may have been done although its answer was lost: look before writing again.
            look = true;
        }
    }

    fn decide_again(
        &self,
        resource: &Resource,
        observed: &Observed,
        planned: &Action,
    ) -> Result<Action> {
        if *planned == Action::Remove {
            return Ok(match observed {
                Observed::Absent => Action::Nothing,
                _ => Action::Remove,
            });
        }
        let rules = self
            .engine
            .rules
            .get(resource.id.kind())
            .cloned()
            .unwrap_or_default();
        decide(resource, observed, &rules)
    }

    fn end(
        &self,
        schedule: &mut Schedule<'_>,
        id: &ResourceId,
        result: Result<&'static str>,
        start: Duration,
        took: Duration,
    ) {
        let outcome = match result {
            Ok(verb) => {
                self.cx.events.emit(Event::Finished {
                    id: id.clone(),
                    verb: verb.to_owned(),
                    took_ms: millis(took),
                });
                if verb == Action::Nothing.verb() {
                    Outcome::Unchanged
                } else {
                    Outcome::Done {
                        verb: verb.to_owned(),
                    }
                }
            }
            Err(error) => {
                let failure = Failure::from(&error);
                self.cx.events.emit(Event::Failed {
                    id: id.clone(),
                    failure: failure.clone(),
                });
                Outcome::Failed { failure }
            }
        };
        for skipped in schedule.end(id, outcome, start, took) {
            self.cx.events.emit(Event::Skipped {
                id: skipped,
                because: id.clone(),
            });
        }
    }

    async fn probe(&self, probe: &Probe) -> Ended {
        Ended::Probe(self.engine.probe(probe, self.cx).await)
    }
}
