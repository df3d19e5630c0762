//! What is known of all processes, and who wants to know.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use mlops_core::Event;
use tokio::sync::broadcast;

use super::journal::Journal;
use super::protocol::ProcessStatus;

/// A change: how a process is now, or that it is gone.
pub(super) type News = (String, Option<Box<ProcessStatus>>);

/// The statuses of all processes.
#[derive(Debug)]
pub(super) struct Hub {
    statuses: Mutex<BTreeMap<String, ProcessStatus>>,
    news: broadcast::Sender<News>,
    journal: Journal,
}

impl Hub {
    pub(super) fn new(journal: Journal) -> Self {
        Self {
            statuses: Mutex::default(),
            news: broadcast::Sender::new(256),
            journal,
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, ProcessStatus>> {
        self.statuses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How everything is.
    pub(super) fn snapshot(&self) -> BTreeMap<String, ProcessStatus> {
        self.lock().clone()
    }

    /// How everything is, and every change from then on.
    pub(super) fn subscribe(&self) -> (BTreeMap<String, ProcessStatus>, broadcast::Receiver<News>) {
        // Changes are told under the same lock, so none falls between the two.
        let statuses = self.lock();
        (statuses.clone(), self.news.subscribe())
    }

    /// Sets how a process is, and tells it.
    pub(super) fn set(&self, name: &str, status: &ProcessStatus) {
        let mut statuses = self.lock();
        statuses.insert(name.to_owned(), status.clone());
        // Nobody may be listening.
        drop(
            self.news
                .send((name.to_owned(), Some(Box::new(status.clone())))),
        );
    }

    /// Forgets a process, and tells it.
    pub(super) fn forget(&self, name: &str) {
        let mut statuses = self.lock();
        if statuses.remove(name).is_some() {
            drop(self.news.send((name.to_owned(), None)));
        }
    }

    /// Records what happened to a process.
    pub(super) fn record(&self, name: &str, what: &str, detail: Option<String>) {
        self.journal.record(Event::Process {
            name: name.to_owned(),
            what: what.to_owned(),
            detail,
        });
    }
}
