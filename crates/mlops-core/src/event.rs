//! What happens while the engine works, as typed values.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::Failure;
use crate::plan::Plan;
use crate::probe::Finding;
use crate::report::Report;
use crate::resource::ResourceId;

/// Something that happened. Serialises to one JSON object with the key `event`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
#[non_exhaustive]
pub enum Event {
    /// Another run holds the platform; this one waits for it.
    Locked {
        /// What is known of the other run, such as its process id.
        holder: String,
    },
    /// The world was looked at and a plan made.
    Planned {
        /// The plan.
        plan: Plan,
    },
    /// Work on a resource started.
    Started {
        /// The resource.
        id: ResourceId,
        /// The verb of the action.
        verb: String,
    },
    /// News of the work on a resource: what it does now or waits for.
    Progress {
        /// The resource.
        id: ResourceId,
        /// A short text.
        text: String,
    },
    /// An attempt failed and is repeated.
    Retrying {
        /// The resource.
        id: ResourceId,
        /// Why.
        failure: Failure,
        /// Milliseconds until the next attempt.
        after_ms: u64,
    },
    /// Work on a resource ended well.
    Finished {
        /// The resource.
        id: ResourceId,
        /// The verb of what was done in the end.
        verb: String,
        /// How long it took.
        took_ms: u64,
    },
    /// Work on a resource failed.
    Failed {
        /// The resource.
        id: ResourceId,
        /// Why.
        failure: Failure,
    },
    /// A resource was left because what it needs failed.
    Skipped {
        /// The resource.
        id: ResourceId,
        /// What failed.
        because: ResourceId,
    },
    /// A probe ended.
    Probed {
        /// The probe.
        name: String,
        /// What it found.
        findings: Vec<Finding>,
        /// How long it took.
        took_ms: u64,
    },
    /// A kept process changed its state, as its supervisor says.
    Process {
        /// The process.
        name: String,
        /// What happened: `started`, `exited`, `restarting`, `stopped`.
        what: String,
        /// More of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        detail: Option<String>,
    },
    /// Everything ended.
    Done {
        /// What came of it.
        report: Report,
    },
}

/// Where events go. Cloning is cheap; emitting never blocks.
#[derive(Clone)]
pub struct EventSink(Arc<dyn Fn(Event) + Send + Sync>);

impl EventSink {
    /// Hands every event to `take`, which must be quick.
    pub fn new(take: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Self(Arc::new(take))
    }

    /// Drops every event.
    pub fn none() -> Self {
        Self::new(|_| {})
    }

    /// Hands on one event.
    pub fn emit(&self, event: Event) {
        (self.0)(event);
    }

    /// Emits [`Event::Progress`].
    pub fn progress(&self, id: &ResourceId, text: impl Into<String>) {
        self.emit(Event::Progress {
            id: id.clone(),
            text: text.into(),
        });
    }
}

impl std::fmt::Debug for EventSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EventSink")
    }
}

/// A duration in whole milliseconds, as events and reports have them.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
