//! What came of a run.

use serde::{Deserialize, Serialize};

use crate::error::Failure;
use crate::name::PlatformName;
use crate::probe::Finding;
use crate::resource::ResourceId;

/// How the work on one resource ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "outcome")]
pub enum Outcome {
    /// Done.
    Done {
        /// The verb of what was done.
        verb: String,
    },
    /// There was nothing to do.
    Unchanged,
    /// It holds data and stays.
    Kept,
    /// It failed.
    Failed {
        /// Why.
        failure: Failure,
    },
    /// It was left because of something that failed.
    Skipped {
        /// What failed.
        because: ResourceId,
    },
    /// The run was ended before it was done.
    Interrupted,
}

/// One resource of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The resource.
    pub id: ResourceId,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Milliseconds from the begin of the run to the start of the work on it.
    pub start_ms: u64,
    /// Milliseconds of work on it.
    pub took_ms: u64,
    /// The need that was ready last, and so decided when it could start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waited_for: Option<ResourceId>,
}

/// One probe of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeEntry {
    /// The probe.
    pub name: String,
    /// What it found.
    pub findings: Vec<Finding>,
    /// Milliseconds it took.
    pub took_ms: u64,
}

impl ProbeEntry {
    /// Whether every claim holds.
    pub fn passed(&self) -> bool {
        !self.findings.is_empty()
            && self
                .findings
                .iter()
                .all(|finding| finding.failure.is_none())
    }
}

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The platform.
    pub platform: PlatformName,
    /// The resources, in the order in which they ended.
    #[serde(default)]
    pub entries: Vec<Entry>,
    /// The probes, by name.
    #[serde(default)]
    pub probes: Vec<ProbeEntry>,
    /// Milliseconds in all.
    pub took_ms: u64,
    /// The chain of resources that decided how long it took, first to last.
    #[serde(default)]
    pub critical_path: Vec<ResourceId>,
}

impl Report {
    /// An empty report.
    pub fn new(platform: PlatformName) -> Self {
        Self {
            platform,
            entries: Vec::new(),
            probes: Vec::new(),
            took_ms: 0,
            critical_path: Vec::new(),
        }
    }

    /// Whether every resource and every probe ended well.
    pub fn succeeded(&self) -> bool {
        self.first_failure().is_none()
            && self.probes.iter().all(ProbeEntry::passed)
            && !self.entries.iter().any(|entry| {
                matches!(
                    entry.outcome,
                    Outcome::Interrupted | Outcome::Skipped { .. }
                )
            })
    }

    /// The failure of the resource that failed first.
    pub fn first_failure(&self) -> Option<&Failure> {
        self.entries.iter().find_map(|entry| match &entry.outcome {
            Outcome::Failed { failure } => Some(failure),
            _ => None,
        })
    }

    /// How many resources were changed.
    pub fn changed(&self) -> usize {
        self.entries
            .iter()
            .filter(|entry| matches!(entry.outcome, Outcome::Done { .. }))
            .count()
    }

    /// Follows the needs that were ready last back from the entry that ended last.
    pub fn find_critical_path(&self) -> Vec<ResourceId> {
        let end = |entry: &&Entry| entry.start_ms + entry.took_ms;
        let mut path = Vec::new();
        let mut current = self
            .entries
            .iter()
            .filter(|entry| matches!(entry.outcome, Outcome::Done { .. }))
            .max_by_key(end);
        while let Some(entry) = current {
            path.push(entry.id.clone());
            current = entry
                .waited_for
                .as_ref()
                .filter(|need| !path.contains(need))
                .and_then(|need| self.entries.iter().find(|entry| entry.id == *need));
        }
        path.reverse();
        path
    }
}
