//! The schedule: everything starts the moment that what it needs is done.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::Ordering;
use std::time::Instant;

use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt as _};
use mlops_core::{Error, Failure, Result};

use super::needs::{is_gate, needs};
use super::prune::{Doomed, delete_all};
use super::write::Writer;
use super::{Applier, ApplyEvent, ApplyOptions, ApplyReport, Outcome, Parent, Prepared};
use crate::objects::{ObjectId, Wanted};
use crate::observe::{Finding, Live};
use crate::plan::Action;
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
    let mut tasks = tasks_of(prepared);
    let mut outcomes: Vec<Option<Outcome>> = vec![None; tasks.len()];

    // The parent must say the new kinds before there are members of them; its own namespace may have to be made first.
    let first = own_namespace(applier, &tasks);
    if let Some(first) = first {
        let only = BTreeSet::from([first]);
        schedule(&writer, &mut tasks, &mut outcomes, Some(&only)).await;
    }
    let is_possible = first.is_none_or(|at| is_done(&outcomes, at));
    let wanted = applier
        .set
        .as_ref()
        .map(|name| Parent::of(name, prepared.wanted.iter()));
    if is_possible {
        let known = prepared.observation.parent.clone().unwrap_or_default();
        write_parent(
            applier,
            &writer,
            &known,
            wanted.as_ref().map(|wanted| wanted.union(&known)),
        )
        .await?;
        schedule(&writer, &mut tasks, &mut outcomes, None).await;
    }
    let done = |at: usize| outcomes.get(at).cloned().flatten();
    let mut by_task = tasks.iter().enumerate().map(|(at, task)| {
        let left = || Outcome::Left("the namespace of its set could not be made".to_owned());
        (&task.wanted.id, done(at).unwrap_or_else(left))
    });
    let mut by_id: std::collections::HashMap<&ObjectId, Outcome> = by_task.by_ref().collect();
    let is_complete = by_id.values().all(|outcome| !is_problem(outcome));
    let doomed = doomed_of(prepared);
    let is_pruned = if is_complete {
        let removed = delete_all(&writer, doomed).await;
        let all = removed.iter().all(|(_, outcome)| !is_problem(outcome));
        let known = |id: &ObjectId| prepared.plan.changes.iter().find(|change| change.id == *id);
        by_id.extend(
            removed
                .into_iter()
                .filter_map(|(id, outcome)| Some((&known(&id)?.id, outcome))),
        );
        all
    } else {
        false
    };
    let kept = prepared
        .plan
        .changes
        .iter()
        .any(|change| matches!(change.action, Action::Keep { .. }));
    if is_pruned
        && !kept
        && let Some(wanted) = &wanted
    {
        let known = prepared.observation.parent.clone().unwrap_or_default();
        let known = wanted.union(&known);
        write_parent(applier, &writer, &known, Some(wanted.clone())).await?;
    }
    let outcomes = prepared.plan.changes.iter().map(|change| {
        let outcome = match &change.action {
            Action::Nothing => Outcome::Unchanged,
            Action::Keep { .. } => Outcome::Kept,
            _ => by_id.remove(&change.id).unwrap_or_else(|| {
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

async fn write_parent(
    applier: &Applier,
    writer: &Writer<'_>,
    known: &Parent,
    wanted: Option<Parent>,
) -> Result<()> {
    let (Some(name), Some(wanted)) = (&applier.set, wanted) else {
        return Ok(());
    };
    if wanted == *known {
        return Ok(());
    }
    let id = ObjectId::new("", "ConfigMap", Some(name.namespace()), name.name());
    writer
        .send(&id, &name.write(&wanted), "apply the parent of the set,")
        .await?;
    Ok(())
}

fn tasks_of(prepared: &Prepared) -> Vec<Task<'_>> {
    let actions: std::collections::HashMap<&ObjectId, &Action> = prepared
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
            if is_gate(&task.wanted.id) {
                task.gates = gates;
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

/// Runs all tasks, or just these, that have no outcome yet.
async fn schedule(
    writer: &Writer<'_>,
    tasks: &mut [Task<'_>],
    outcomes: &mut [Option<Outcome>],
    only: Option<&BTreeSet<usize>>,
) {
    let is_meant = |at: usize| only.is_none_or(|only| only.contains(&at));
    let has_outcome =
        |outcomes: &[Option<Outcome>], at: usize| outcomes.get(at).is_some_and(Option::is_some);
    let mut ready: VecDeque<usize> = tasks
        .iter()
        .enumerate()
        .filter(|(at, task)| task.open_needs == 0 && is_meant(*at) && !has_outcome(outcomes, *at))
        .map(|(at, _)| at)
        .collect();
    let mut running: FuturesUnordered<BoxFuture<'_, (usize, Result<Outcome>)>> =
        FuturesUnordered::new();
    loop {
        if let (Some(pause), true) = (writer.window.pause(), running.is_empty()) {
            tokio::time::sleep(pause).await;
        }
        while writer.window.pause().is_none() && writer.window.has_room(running.len()) {
            let Some(at) = ready.pop_front() else { break };
            let Some(task) = tasks.get(at) else { continue };
            let (wanted, action, live, gates) =
                (task.wanted, task.action, task.live, task.gates.clone());
            running.push(Box::pin(async move {
                (at, one(writer, wanted, action, live, gates).await)
            }));
        }
        let Some((at, answer)) = running.next().await else {
            if ready.is_empty() {
                return;
            }
            continue;
        };
        let (outcome, is_failed) = match answer {
            Ok(outcome) => (outcome, false),
            Err(error) => (Outcome::Failed(Failure::from(&error)), true),
        };
        if let Some(task) = tasks.get(at) {
            let id = task.wanted.id.clone();
            (writer.on_event)(ApplyEvent::Done {
                id,
                outcome: outcome.clone(),
            });
        }
        if let Some(slot) = outcomes.get_mut(at) {
            *slot = Some(outcome);
        }
        if is_failed {
            leave_dependents(tasks, outcomes, at);
        } else {
            let dependents = tasks
                .get(at)
                .map(|task| task.dependents.clone())
                .unwrap_or_default();
            for dependent in dependents {
                if let Some(task) = tasks.get_mut(dependent) {
                    task.open_needs = task.open_needs.saturating_sub(1);
                    if task.open_needs == 0
                        && is_meant(dependent)
                        && !has_outcome(outcomes, dependent)
                    {
                        ready.push_back(dependent);
                    }
                }
            }
        }
    }
}

fn leave_dependents(tasks: &[Task<'_>], outcomes: &mut [Option<Outcome>], failed: usize) {
    let mut open = vec![failed];
    while let Some(at) = open.pop() {
        let Some(task) = tasks.get(at) else { continue };
        for dependent in &task.dependents {
            if let Some(slot) = outcomes.get_mut(*dependent)
                && slot.is_none()
            {
                *slot = Some(Outcome::Left(format!("it needs {}", task.wanted.id)));
                open.push(*dependent);
            }
        }
    }
}

async fn one(
    writer: &Writer<'_>,
    wanted: &Wanted,
    action: &Action,
    live: Option<&Live>,
    gates: Vec<Target>,
) -> Result<Outcome> {
    if !gates.is_empty() {
        writer.wait(&wanted.id, "what answers for it is ready");
        let options = WaitOptions::new(writer.needs_within);
        wait::until_ready(writer.client, &gates, &options, &|_| {})
            .await
            .map_err(|error| {
                Error::new(error.kind(), format!("apply {}", wanted.id)).with_source(error)
            })?;
    }
    (writer.on_event)(ApplyEvent::Started {
        id: wanted.id.clone(),
    });
    writer.write(wanted, action, live).await
}
