//! The schedule: everything starts the moment that what it needs is done.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::Ordering;
use std::time::Instant;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt as _};
use mlops_core::{Error, Failure, Result};

use super::needs::{is_api, is_gate, needs};
use super::prune::{Doomed, delete_all};
use super::write::Writer;
use super::{Applier, ApplyEvent, ApplyOptions, ApplyReport, Outcome, Parent, Prepared};
use crate::objects::{ObjectId, Wanted};
use crate::observe::{Finding, Live};
use crate::plan::{Action, ObjectChange};
use crate::wait::{self, Target, WaitOptions};

/// One write to make.
struct Task<'a> {
    wanted: &'a Wanted,
    action: &'a Action,
    live: Option<&'a Live>,
    /// What must be ready, and not just written, before this one.
    gates: Vec<Target>,
    dependents: Vec<usize>,
    open_needs: usize,
}

/// Makes a plan so.
pub(super) async fn run(
    applier: &Applier,
    prepared: &Prepared,
    options: &ApplyOptions,
    on_event: &(dyn Fn(ApplyEvent) + Send + Sync),
) -> Result<ApplyReport> {
    let started = Instant::now();
    let writer = Writer::new(applier, options.needs_within, on_event);
    let wanted = applier
        .set
        .as_ref()
        .map(|name| Parent::of(name, prepared.wanted.iter()));
    let known = prepared.observation.parent.clone().unwrap_or_default();
    let both = wanted.as_ref().map(|wanted| wanted.union(&known));

    let mut outcomes = write_all(applier, &writer, prepared, &known, both.as_ref()).await?;
    if outcomes.values().all(|outcome| !is_problem(outcome)) {
        let removed = delete_all(&writer, doomed_of(prepared)).await;
        let is_pruned = removed.iter().all(|(_, outcome)| !is_problem(outcome));
        outcomes.extend(removed);
        if is_pruned && !keeps(prepared) {
            write_parent(applier, &writer, both.as_ref(), wanted.as_ref()).await?;
        }
    }
    let outcomes = prepared.plan.changes.iter().map(|change| {
        let outcome = match &change.action {
            Action::Nothing => Outcome::Unchanged,
            Action::Keep { reason } => Outcome::Kept(reason.clone()),
            _ => outcomes.remove(&change.id).unwrap_or_else(|| {
                Outcome::Left("nothing is removed until all that is wanted is there".to_owned())
            }),
        };
        (change.id.clone(), outcome)
    });
    Ok(ApplyReport {
        outcomes: outcomes.collect(),
        retries: writer.retries.load(Ordering::Relaxed),
        took: started.elapsed(),
    })
}

/// Whether making a plan so sends no write: neither of an object, nor of the parent, which may say too much or too little
/// after a run that was killed.
pub(super) fn is_settled(applier: &Applier, prepared: &Prepared) -> bool {
    if !prepared.plan.is_empty() {
        return false;
    }
    let Some(name) = &applier.set else {
        return true;
    };
    let wanted = Parent::of(name, prepared.wanted.iter());
    let known = prepared.observation.parent.clone().unwrap_or_default();
    let both = wanted.union(&known);
    known == both && (keeps(prepared) || wanted == both)
}

/// Whether something is wanted no more and stays, so that the parent says its kind on.
fn keeps(prepared: &Prepared) -> bool {
    let is_kept = |change: &ObjectChange| matches!(change.action, Action::Keep { .. });
    prepared.plan.changes.iter().any(is_kept)
}

/// Writes what is wanted and nothing else: no parent, and no removal. What failed first, if something did.
pub(super) async fn write_only(
    applier: &Applier,
    prepared: &Prepared,
    options: &ApplyOptions,
    on_event: &(dyn Fn(ApplyEvent) + Send + Sync),
) -> Option<Failure> {
    let writer = Writer::new(applier, options.needs_within, on_event);
    let mut tasks = tasks_of(prepared);
    let mut outcomes: Vec<Option<Outcome>> = vec![None; tasks.len()];
    schedule(&writer, &mut tasks, &mut outcomes, None).await;
    outcomes.into_iter().find_map(|outcome| match outcome {
        Some(Outcome::Failed(failure)) => Some(failure),
        _ => None,
    })
}

/// Writes all that is wanted. The parent says the new kinds before there are members of them; just its own namespace,
/// should it be among the objects, goes before.
async fn write_all(
    applier: &Applier,
    writer: &Writer<'_>,
    prepared: &Prepared,
    known: &Parent,
    both: Option<&Parent>,
) -> Result<HashMap<ObjectId, Outcome>> {
    let mut tasks = tasks_of(prepared);
    let mut outcomes: Vec<Option<Outcome>> = vec![None; tasks.len()];
    let home = own_namespace(applier, &tasks);
    if let Some(home) = home {
        schedule(writer, &mut tasks, &mut outcomes, Some(home)).await;
    }
    if home.is_none_or(|at| is_done(&outcomes, at)) {
        write_parent(applier, writer, Some(known), both).await?;
        schedule(writer, &mut tasks, &mut outcomes, None).await;
    }
    let left = || Outcome::Left("the namespace of its set could not be made".to_owned());
    let by_id = tasks.iter().zip(outcomes);
    Ok(by_id
        .map(|(task, outcome)| (task.wanted.id.clone(), outcome.unwrap_or_else(left)))
        .collect())
}

fn is_problem(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Failed(_) | Outcome::Left(_))
}

fn is_done(outcomes: &[Option<Outcome>], at: usize) -> bool {
    outcomes
        .get(at)
        .is_some_and(|outcome| outcome.as_ref().is_some_and(|outcome| !is_problem(outcome)))
}

/// The namespace of the parent, when it is one of the objects to write.
fn own_namespace(applier: &Applier, tasks: &[Task<'_>]) -> Option<usize> {
    let set = applier.set.as_ref()?;
    let id = ObjectId::new("", "Namespace", None, set.namespace());
    tasks.iter().position(|task| task.wanted.id == id)
}

/// Writes the parent, unless it says this already.
async fn write_parent(
    applier: &Applier,
    writer: &Writer<'_>,
    known: Option<&Parent>,
    wanted: Option<&Parent>,
) -> Result<()> {
    let (Some(name), Some(wanted)) = (&applier.set, wanted) else {
        return Ok(());
    };
    if known == Some(wanted) {
        return Ok(());
    }
    let id = ObjectId::new("", "ConfigMap", Some(name.namespace()), name.name());
    let call = name.write(wanted);
    writer
        .send(&id, &call, "apply the parent of the set,")
        .await?;
    Ok(())
}

fn tasks_of(prepared: &Prepared) -> Vec<Task<'_>> {
    let actions: HashMap<&ObjectId, &Action> = prepared
        .plan
        .changes
        .iter()
        .map(|change| (&change.id, &change.action))
        .collect();
    let mut tasks: Vec<Task<'_>> = prepared
        .wanted
        .iter()
        .filter_map(|wanted| {
            let action = *actions.get(&wanted.id)?;
            let live = match prepared.observation.find(&wanted.id) {
                Finding::Found(live) => Some(&**live),
                _ => None,
            };
            let task = Task {
                wanted,
                action,
                live,
                gates: Vec::new(),
                dependents: Vec::new(),
                open_needs: 0,
            };
            (!action.is_nothing()).then_some(task)
        })
        .collect();
    let wanted: Vec<&Wanted> = tasks.iter().map(|task| task.wanted).collect();
    let needs = needs(&wanted);
    for (at, needed) in needs.into_iter().enumerate() {
        for need in &needed {
            if let Some(task) = tasks.get_mut(*need) {
                task.dependents.push(at);
            }
        }
        let gates: Vec<Target> = needed
            .iter()
            .filter_map(|need| Some(wanted.get(*need)?.target()))
            .collect();
        if let Some(task) = tasks.get_mut(at) {
            task.open_needs = needed.len();
            task.gates = gates;
            if !is_gate(&task.wanted.id) {
                task.gates.retain(|gate| is_api(&gate.id));
            }
        }
    }
    tasks
}

fn doomed_of(prepared: &Prepared) -> Vec<Doomed> {
    let removed = prepared
        .plan
        .changes
        .iter()
        .filter(|change| change.action == Action::Remove);
    removed
        .filter_map(|change| {
            let member = prepared.observation.member(&change.id)?;
            Some(Doomed::new(
                change.id.clone(),
                member.kind.clone(),
                &member.json,
            ))
        })
        .collect()
}

/// Runs all tasks that have no outcome yet, or just one.
async fn schedule(
    writer: &Writer<'_>,
    tasks: &mut [Task<'_>],
    outcomes: &mut [Option<Outcome>],
    only: Option<usize>,
) {
    let is_open = |outcomes: &[Option<Outcome>], at: usize| {
        only.is_none_or(|only| only == at) && outcomes.get(at).is_some_and(Option::is_none)
    };
    let mut ready: VecDeque<usize> = tasks
        .iter()
        .enumerate()
        .filter(|(at, task)| task.open_needs == 0 && is_open(outcomes, *at))
        .map(|(at, _)| at)
        .collect();
    let mut running: FuturesUnordered<BoxFuture<'_, (usize, Result<Outcome>)>> =
        FuturesUnordered::new();
    while !(ready.is_empty() && running.is_empty()) {
        if let (Some(pause), true) = (writer.window.pause(), running.is_empty()) {
            tokio::time::sleep(pause).await;
        }
        while writer.window.pause().is_none() && writer.window.has_room(running.len()) {
            let Some(at) = ready.pop_front() else { break };
            let Some(task) = tasks.get(at) else { continue };
            running.push(one(writer, at, task).boxed());
        }
        let Some((at, answer)) = running.next().await else {
            continue;
        };
        for freed in settle(writer, tasks, outcomes, at, answer) {
            if is_open(outcomes, freed) {
                ready.push_back(freed);
            }
        }
    }
}

/// Notes what became of a task; tells which others need nothing more.
fn settle(
    writer: &Writer<'_>,
    tasks: &mut [Task<'_>],
    outcomes: &mut [Option<Outcome>],
    at: usize,
    answer: Result<Outcome>,
) -> Vec<usize> {
    let Some(task) = tasks.get(at) else {
        return Vec::new();
    };
    let outcome = answer.unwrap_or_else(|error| Outcome::Failed(Failure::from(&error)));
    let is_failed = is_problem(&outcome);
    let (id, dependents) = (task.wanted.id.clone(), task.dependents.clone());
    if let Some(slot) = outcomes.get_mut(at) {
        *slot = Some(outcome.clone());
    }
    (writer.on_event)(ApplyEvent::Done { id, outcome });
    if is_failed {
        leave_dependents(writer, tasks, outcomes, at);
        return Vec::new();
    }
    let mut freed = Vec::new();
    for dependent in dependents {
        if let Some(task) = tasks.get_mut(dependent) {
            task.open_needs = task.open_needs.saturating_sub(1);
            if task.open_needs == 0 {
                freed.push(dependent);
            }
        }
    }
    freed
}

fn leave_dependents(
    writer: &Writer<'_>,
    tasks: &[Task<'_>],
    outcomes: &mut [Option<Outcome>],
    failed: usize,
) {
    let mut open = vec![failed];
    while let Some(at) = open.pop() {
        let Some(task) = tasks.get(at) else { continue };
        for dependent in &task.dependents {
            if let Some(slot) = outcomes.get_mut(*dependent)
                && slot.is_none()
            {
                let outcome = Outcome::Left(format!("it needs {}", task.wanted.id));
                if let Some(left) = tasks.get(*dependent) {
                    let id = left.wanted.id.clone();
                    (writer.on_event)(ApplyEvent::Done {
                        id,
                        outcome: outcome.clone(),
                    });
                }
                *slot = Some(outcome);
                open.push(*dependent);
            }
        }
    }
}

/// Waits for what must be ready, and writes. What it holds is its own: the tasks change while it runs.
fn one<'a>(
    writer: &'a Writer<'a>,
    at: usize,
    task: &Task<'a>,
) -> impl Future<Output = (usize, Result<Outcome>)> + Send + use<'a> {
    let (wanted, action, live) = (task.wanted, task.action, task.live);
    let gates = task.gates.clone();
    async move {
        if !gates.is_empty() {
            writer.wait(&wanted.id, "what answers for it is ready");
            let options = WaitOptions::new(writer.needs_within);
            let ready = wait::until_ready(writer.client, &gates, &options, &|_| {}).await;
            if let Err(error) = ready {
                let doing = format!("apply {}", wanted.id);
                return (at, Err(Error::new(error.kind(), doing).with_source(error)));
            }
        }
        (writer.on_event)(ApplyEvent::Started {
            id: wanted.id.clone(),
        });
        (at, writer.write(wanted, action, live).await)
    }
}
