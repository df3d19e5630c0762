//! The record of what happened to a platform, one JSON object a line.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use mlops_core::{Event, EventSink};
use serde::{Deserialize, Serialize};

use super::log::{RotatingFile, Rotation};

/// An event with its time, as it is recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    /// When it was recorded.
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// Appends events to a file. Several processes may do so at once: each event is one write.
#[derive(Debug, Clone)]
pub(crate) struct Journal(Arc<Mutex<RotatingFile>>);

impl Journal {
    pub(crate) fn new(path: PathBuf) -> Self {
        let rotation = Rotation {
            bytes: 5_000_000,
            keep: 1,
        };
        Self(Arc::new(Mutex::new(RotatingFile::new(path, rotation))))
    }

    /// Records an event. One that cannot be written is lost, because work must not fail for its record.
    pub(crate) fn record(&self, event: Event) {
        let recorded = Recorded {
            at: Timestamp::now(),
            event,
        };
        let Ok(mut line) = serde_json::to_vec(&recorded) else {
            return;
        };
        line.push(b'\n');
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = file.write(&line) {
            tracing::debug!(%error, "an event is not recorded");
        }
    }

    /// Records what goes through, and hands it on.
    pub(crate) fn tee(&self, next: EventSink) -> EventSink {
        let journal = self.clone();
        EventSink::new(move |event| {
            journal.record(event.clone());
            next.emit(event);
        })
    }
}
