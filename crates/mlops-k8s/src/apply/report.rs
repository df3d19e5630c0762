//! What happened: events while it happens, and a report at the end.

use std::time::Duration;

use mlops_core::Failure;
use serde::{Deserialize, Serialize};

use crate::objects::ObjectId;

/// Something that happened to one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ApplyEvent {
    /// All that it needs is there, and its write begins.
    Started {
        /// Which object.
        id: ObjectId,
    },
    /// It is written, or removed.
    Done {
        /// Which object.
        id: ObjectId,
        /// What was done.
        outcome: Outcome,
    },
    /// It waits for something that is not a write of ours.
    Waiting {
        /// Which object.
        id: ObjectId,
        /// What it waits for.
        reason: String,
    },
    /// An attempt failed, and another follows after a pause.
    Retrying {
        /// Which object.
        id: ObjectId,
        /// Why.
        failure: Failure,
        /// The pause.
        pause: Duration,
    },
}

/// What became of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Outcome {
    /// It was as wanted; nothing was sent.
    Unchanged,
    /// It was made.
    Created,
    /// It was changed.
    Updated,
    /// It was taken into the set.
    Adopted,
    /// It was removed and made again.
    Replaced,
    /// Its removal was accepted.
    Removed,
    /// It is wanted no more and stays, because data would go with it; why.
    Kept(String),
    /// It failed.
    Failed(Failure),
    /// It was not tried: something that it needs failed, or removing has to wait until all is written.
    Left(String),
}

/// What became of all objects.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ApplyReport {
    /// Each object, in the order of the plan.
    pub outcomes: Vec<(ObjectId, Outcome)>,
    /// Attempts that failed and were made again.
    pub retries: usize,
    /// From the first write to the last.
    pub took: Duration,
}

impl ApplyReport {
    /// Whether everything is as it was planned.
    pub fn is_complete(&self) -> bool {
        self.problems().next().is_none()
    }

    /// What failed or was left.
    pub fn problems(&self) -> impl Iterator<Item = &(ObjectId, Outcome)> {
        let is_problem =
            |outcome: &Outcome| matches!(outcome, Outcome::Failed(_) | Outcome::Left(_));
        self.outcomes
            .iter()
            .filter(move |(_, outcome)| is_problem(outcome))
    }

    /// What is wanted no more and stays, and why.
    pub fn kept(&self) -> impl Iterator<Item = (&ObjectId, &str)> {
        self.outcomes
            .iter()
            .filter_map(|(id, outcome)| match outcome {
                Outcome::Kept(why) => Some((id, why.as_str())),
                _ => None,
            })
    }

    /// How many objects have an outcome.
    pub fn count(&self, outcome: &Outcome) -> usize {
        self.outcomes
            .iter()
            .filter(|(_, found)| found == outcome)
            .count()
    }

    /// What became of an object.
    pub fn outcome(&self, id: &ObjectId) -> Option<&Outcome> {
        self.outcomes
            .iter()
            .find(|(found, _)| found == id)
            .map(|(_, outcome)| outcome)
    }
}
