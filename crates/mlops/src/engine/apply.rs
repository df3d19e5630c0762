//! Carrying out a plan: a resource starts the moment everything it needs is ready.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use futures::stream::{FuturesUnordered, StreamExt};
use mlops_core::event::millis;
use mlops_core::plan::Direction;
use mlops_core::report::{Outcome, ProbeEntry};
use mlops_core::{
    Action, Change, Context, Error, Event, Failure, Finding, Graph, Kind, Probe, Report, Resource,
    ResourceId, Result,
};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::run::Schedule;
use super::window::{Sign, Window};
use super::{Engine, Prepared};

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
    /// When the run began, if it began before the plan was carried out: times are counted from then.
    pub begun: Option<Instant>,
}

/// One piece of work that ended.
enum Ended {
    Change(Step),
    Probe(ProbeEntry),
}

/// How the work on one resource went.
struct Step {
    id: ResourceId,
    result: Result<&'static str>,
    start: Duration,
    took: Duration,
    sign: Sign,
    /// What it waited for by itself and will never come.
    lost: Option<ResourceId>,
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
        let begin = options.begun.unwrap_or_else(Instant::now);
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
            lost: watch::Sender::default(),
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

pub(super) struct Run<'a> {
    pub(super) engine: &'a Engine,
    resources: BTreeMap<&'a ResourceId, &'a Resource>,
    pub(super) changing: BTreeSet<&'a ResourceId>,
    direction: Direction,
    pub(super) cx: &'a Context,
    begin: Instant,
    /// What failed or was left, for those that wait for it by themselves.
    lost: watch::Sender<BTreeSet<ResourceId>>,
}

impl<'a> Run<'a> {
    async fn to_the_end(
        &self,
        graph: &'a Graph,
        prepared: &'a Prepared,
        options: &ApplyOptions,
    ) -> Report {
        let mut report = Report::new(graph.platform.clone());
        let mut schedule = Schedule::new(&prepared.plan.changes, |kind| self.lane(kind));
        let mut windows: BTreeMap<usize, Window> = BTreeMap::new();
        let mut probes = self.choose_probes(graph, options.probes);
        let mut under_way: FuturesUnordered<BoxFuture<'_, Ended>> = FuturesUnordered::new();
        loop {
            while let Some((lane, change)) =
                schedule.next(|lane| windows.get(&lane).is_none_or(Window::has_room))
            {
                if self.start(change, &mut schedule, &mut under_way) {
                    windows.entry(lane).or_default().start();
                }
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
                () = options.cancel.cancelled() => {
                    schedule.interrupt(self.begin.elapsed());
                    // Dropping what is under way is the interruption: every step can bear it.
                    break;
                }
                ended = under_way.next() => ended,
            };
            match ended {
                None => {
                    report
                        .probes
                        .extend(probes.iter().map(|probe| impossible(probe)));
                    break;
                }
                Some(Ended::Probe(entry)) => report.probes.push(entry),
                Some(Ended::Change(step)) => {
                    let window = windows.entry(self.lane(step.id.kind())).or_default();
                    window.end(step.id.kind(), step.took, step.sign);
                    self.end(&mut schedule, step);
                }
            }
        }
        drop(under_way);
        report.entries = schedule.into_entries();
        report
            .probes
            .sort_by(|left, right| left.name.cmp(&right.name));
        report
    }

    fn lane(&self, kind: &Kind) -> usize {
        let known = self.engine.responsible.get(kind);
        known.copied().unwrap_or(usize::MAX)
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

    /// Starts a change, or ends it at once when there is nothing to do; says whether it is under way.
    fn start<'b>(
        &'b self,
        change: &'b Change,
        schedule: &mut Schedule<'_>,
        under_way: &mut FuturesUnordered<BoxFuture<'b, Ended>>,
    ) -> bool {
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
                return true;
            }
        };
        schedule.end(&change.id, outcome, start, Duration::ZERO);
        false
    }

    async fn change(&self, change: &Change, start: Duration) -> Ended {
        let mut sign = Sign::Answered;
        let mut lost = None;
        let result = match self.resources.get(&change.id) {
            Some(resource) => {
                tokio::select! {
                    biased;
                    result = self.carry_out(resource, &change.action, &mut sign) => result,
                    id = self.loss_of(&resource.awaits) => {
                        lost = Some(id);
                        Ok(change.action.verb())
                    }
                }
            }
            None => Err(Error::new(
                mlops_core::ErrorKind::Changed,
                format!("find `{}`", change.id),
            )
            .with_source("the plan mentions it, the platform does not have it")),
        };
        Ended::Change(Step {
            id: change.id.clone(),
            result,
            start,
            took: self.begin.elapsed().saturating_sub(start),
            sign,
            lost,
        })
    }

    /// Waits until one of these fails or is left; for ever when none does.
    async fn loss_of(&self, awaited: &BTreeSet<ResourceId>) -> ResourceId {
        if awaited.is_empty() || self.direction == Direction::Remove {
            return std::future::pending().await;
        }
        let mut lost = self.lost.subscribe();
        loop {
            let found = lost
                .borrow_and_update()
                .intersection(awaited)
                .next()
                .cloned();
            match found {
                Some(id) => return id,
                None if lost.changed().await.is_err() => return std::future::pending().await,
                None => {}
            }
        }
    }

    fn end(&self, schedule: &mut Schedule<'_>, step: Step) {
        let Step {
            id,
            result,
            start,
            took,
            lost,
            ..
        } = step;
        let outcome = match (result, lost) {
            (_, Some(because)) => {
                self.cx.events.emit(Event::Skipped {
                    id: id.clone(),
                    because: because.clone(),
                });
                Outcome::Skipped { because }
            }
            (Ok(verb), None) => {
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
            (Err(error), None) => {
                let failure = Failure::from(&error);
                self.cx.events.emit(Event::Failed {
                    id: id.clone(),
                    failure: failure.clone(),
                });
                Outcome::Failed { failure }
            }
        };
        let ended_well = matches!(outcome, Outcome::Done { .. } | Outcome::Unchanged);
        let skipped = schedule.end(&id, outcome, start, took);
        for left in &skipped {
            self.cx.events.emit(Event::Skipped {
                id: left.clone(),
                because: id.clone(),
            });
        }
        if !ended_well {
            self.lost.send_modify(|lost| {
                lost.extend(skipped);
                lost.insert(id);
            });
        }
    }

    async fn probe(&self, probe: &Probe) -> Ended {
        Ended::Probe(self.engine.probe(probe, self.cx).await)
    }
}

/// The entry of a probe that needs something the platform does not have: it has proven nothing.
fn impossible(probe: &Probe) -> ProbeEntry {
    let error = Error::new(
        mlops_core::ErrorKind::InvalidInput,
        format!("make the probe `{}`", probe.name),
    );
    ProbeEntry {
        name: probe.name.clone(),
        findings: vec![Finding::fails("all that it needs is described", &error)],
        took_ms: 0,
    }
}
