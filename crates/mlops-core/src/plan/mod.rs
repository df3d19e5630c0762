//! The ordered changes between what is wanted and what was found, as a value.

mod compare;
mod decide;
mod display;
mod removal;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use compare::compare;
pub use decide::{decide, plan};
pub use removal::plan_removal;

use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::name::{ComponentName, PlatformName};
use crate::resource::{Kind, ResourceId};

/// What a provider says of a kind, so that plans can be made without asking it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KindRules {
    /// Fields of the spec that cannot be changed on an existing thing: a difference there means to make it anew.
    pub immutable: BTreeSet<String>,
    /// Whether things of this kind serve other platforms as well, so that removing one platform leaves them.
    pub shared: bool,
}

/// The rules of every kind of a graph.
pub type Rules = BTreeMap<Kind, KindRules>;

/// A field that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldDifference {
    /// The field, with dots between the levels.
    pub field: String,
    /// What was found; `None` when it is not set.
    pub found: Option<serde_json::Value>,
    /// What is wanted; `None` when it shall not be set.
    pub wanted: Option<serde_json::Value>,
}

/// What one resource needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "do")]
pub enum Action {
    /// It is not there: make it.
    Create,
    /// It is there and differs: correct it.
    Update {
        /// What differs.
        differences: Vec<FieldDifference>,
    },
    /// It is there and differs where it cannot be changed: remove and make it.
    Replace {
        /// What differs.
        differences: Vec<FieldDifference>,
    },
    /// It is there and somebody else's, and the platform says to take it over.
    Adopt {
        /// Whose it was.
        from: String,
        /// What differs.
        differences: Vec<FieldDifference>,
    },
    /// It is there and shall not be.
    Remove,
    /// It is as it shall be, and not ready yet: wait for it.
    Wait,
    /// What it lives in is not running: look again when that is ready, then decide.
    Later {
        /// The resource that is waited for.
        behind: ResourceId,
    },
    /// It stays although it is not wanted, because it holds data and was not named.
    Keep,
    /// It is as it shall be.
    Nothing,
}

impl Action {
    /// Whether applying it may write something.
    pub fn is_change(&self) -> bool {
        !matches!(self, Self::Nothing | Self::Keep)
    }

    /// One word for people: `create`, `update` …
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update { .. } => "update",
            Self::Replace { .. } => "replace",
            Self::Adopt { .. } => "adopt",
            Self::Remove => "remove",
            Self::Wait => "wait for",
            Self::Later { .. } => "look at later",
            Self::Keep => "keep",
            Self::Nothing => "nothing",
        }
    }

    /// The fields that differ, if the action says so.
    pub fn differences(&self) -> &[FieldDifference] {
        match self {
            Self::Update { differences }
            | Self::Replace { differences }
            | Self::Adopt { differences, .. } => differences,
            _ => &[],
        }
    }
}

/// What one resource needs, and what must be done before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The resource.
    pub id: ResourceId,
    /// The component it belongs to.
    pub component: ComponentName,
    /// What to do.
    #[serde(flatten)]
    pub action: Action,
    /// Changes of the same plan that must be done before this one.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub after: BTreeSet<ResourceId>,
}

/// Whether a plan puts things there or takes them away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Towards the graph.
    Apply,
    /// Everything of the graph goes.
    Remove,
}

/// The ordered changes, with digests of what they were made from. Holds no secret text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The version of this format: 1.
    pub format: u32,
    /// The platform.
    pub platform: PlatformName,
    /// Whether things come or go.
    pub direction: Direction,
    /// Digest of the graph it was made from.
    pub graph: Digest,
    /// Digest of the observation it was made from.
    pub observation: Digest,
    /// One entry for each resource, in an order in which everything comes after what it waits for.
    pub changes: Vec<Change>,
}

impl Plan {
    /// Whether nothing is to be written.
    pub fn is_empty(&self) -> bool {
        !self.changes.iter().any(|change| change.action.is_change())
    }

    /// How often each verb occurs, without `nothing`.
    pub fn counts(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for change in &self.changes {
            if change.action != Action::Nothing {
                *counts.entry(change.action.verb()).or_insert(0) += 1;
            }
        }
        counts
    }

    /// Reads a saved plan.
    ///
    /// # Errors
    ///
    /// When the text is not a plan, or one of another format.
    pub fn from_json(text: &str) -> Result<Self> {
        let wrong = || Error::new(ErrorKind::InvalidInput, "read the plan");
        let plan: Self = serde_json::from_str(text).map_err(|error| {
            wrong()
                .with_source(error)
                .with_hint("make a new one with `mlops plan --save FILE`")
        })?;
        if plan.format != 1 {
            return Err(wrong().with_source(format!(
                "it has format {}, this program knows format 1",
                plan.format
            )));
        }
        Ok(plan)
    }

    /// Refuses a plan when graph or world are not those it was made from.
    ///
    /// # Errors
    ///
    /// Kind [`ErrorKind::Changed`], saying which of the two it was.
    pub fn check_still_true(&self, now: &Self) -> Result<()> {
        let what = if self.platform != now.platform {
            "it is of another platform"
        } else if self.graph != now.graph {
            "the platform file or the catalogue has changed since"
        } else if self.observation != now.observation {
            "the world has changed since"
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::Changed, "apply the saved plan")
            .with_source(what)
            .with_hint("make a new plan, look at it, and apply that"))
    }
}
