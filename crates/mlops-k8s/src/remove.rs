//! Removing a whole set.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use mlops_core::{Error, ErrorKind, Result};
use serde_json::json;

use crate::apply::{Applier, ApplyEvent, ApplyReport, Doomed, Outcome, Writer, delete_rank};
use crate::http::Call;
use crate::objects::{ObjectId, ObjectSet};
use crate::observe::observe;
use crate::plan::loses_data;
use crate::wait::{self, Target, WaitOptions};

/// How a removal behaves.
#[derive(Debug, Clone)]
pub struct RemoveOptions {
    /// What holds data and goes as well: just these.
    pub may_remove: BTreeSet<ObjectId>,
    /// How long objects of one step may take to go. Default: 5 minutes.
    pub within: Duration,
}

impl Default for RemoveOptions {
    fn default() -> Self {
        Self {
            may_remove: BTreeSet::new(),
            within: Duration::from_mins(5),
        }
    }
}

impl Applier {
    /// Removes all members of the set, in reverse order, and waits at each step until they are gone. What holds data
    /// stays, and with it the parent of the set, unless it is named. A set that is not there is removed already.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] without a set; [`ErrorKind::Timeout`] when finalizers hold something, with their
    /// names; others when the members could not be listed. What could not be removed is in the report.
    pub async fn remove(
        &self,
        options: &RemoveOptions,
        on_event: &(dyn Fn(ApplyEvent) + Send + Sync),
    ) -> Result<ApplyReport> {
        let started = Instant::now();
        let Some(name) = &self.set else {
            return Err(
                Error::new(ErrorKind::InvalidInput, "remove a set of objects")
                    .with_source("no set was named"),
            );
        };
        let mut report = ApplyReport::default();
        let Some(parent) = name.find(&self.client).await? else {
            self.leave_nothing();
            return Ok(report);
        };
        let kinds = self.kinds_for(&ObjectSet::new()).await?;
        let id = name.id();
        let found = observe(&self.client, &kinds, &[], Some(parent), Some(&id)).await?;
        let mut doomed = Vec::new();
        for (id, member) in found.unwanted() {
            let loss = loses_data(id, &member.json).filter(|_| !options.may_remove.contains(id));
            if let Some(loss) = loss {
                let outcome = Outcome::Kept(loss.to_owned());
                on_event(ApplyEvent::Done {
                    id: id.clone(),
                    outcome: outcome.clone(),
                });
                report.outcomes.push((id.clone(), outcome));
            } else {
                doomed.push(Doomed::new(id.clone(), member.kind.clone(), &member.json));
            }
        }
        let has_kept = !report.outcomes.is_empty();
        let writer = Writer::new(self, options.within, on_event);
        // The namespace of the parent takes the parent along, so it goes last of all.
        let home = ObjectId::new("", "Namespace", None, name.namespace());
        remove_ranks(&writer, doomed, &home, &mut report).await?;
        let home_goes = report.outcome(&home) == Some(&Outcome::Removed);
        if !has_kept && report.is_complete() && !home_goes {
            let parent = ObjectId::new("", "ConfigMap", Some(name.namespace()), name.name());
            let call = Call::delete(name.path(), &json!({}));
            match writer
                .send(&parent, &call, "remove the parent of the set,")
                .await
            {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            // Of a set that is gone nothing stays, its Lease included.
            self.leave_nothing();
        }
        report.took = started.elapsed();
        Ok(report)
    }

    fn leave_nothing(&self) {
        if let Some(lease) = self.guard() {
            lease.leave_nothing();
        }
    }
}

/// Removes step by step, and waits at each until its objects are gone, except for one.
async fn remove_ranks(
    writer: &Writer<'_>,
    mut doomed: Vec<Doomed>,
    home: &ObjectId,
    report: &mut ApplyReport,
) -> Result<()> {
    doomed.sort_by_key(Doomed::rank);
    for rank in doomed.chunk_by(|one, other| one.rank() == other.rank()) {
        let removed = delete_rank(writer, rank).await;
        let is_going = |id: &ObjectId| {
            let mut going = removed
                .iter()
                .filter(|(_, outcome)| *outcome == Outcome::Removed);
            id != home && going.any(|(found, _)| found == id)
        };
        let going = rank.iter().filter(|doomed| is_going(&doomed.id));
        let targets: Vec<Target> = going
            .map(|doomed| Target {
                id: doomed.id.clone(),
                kind: doomed.kind.clone(),
            })
            .collect();
        report.outcomes.extend(removed);
        let options = WaitOptions::new(writer.needs_within);
        wait::until_gone(writer.client, &targets, &options, &|_| {}).await?;
    }
    Ok(())
}
