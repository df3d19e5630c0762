//! A world that kills: runs work until a chosen write, drops it there, and lets it begin again.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use mlops_core::hook::WriteHook;
use mlops_core::{Error, ErrorKind, Result};
use tokio::sync::Notify;

/// What happens at one point of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing.
    None,
    /// The process is killed at this point: before or after the n-th write, counting both from 0.
    KillAt(usize),
    /// The system answers with an error that may be repeated: before or after the n-th write.
    FaultAt(usize),
}

/// A hook that counts the points of a run and lets trouble in at one of them.
#[derive(Debug)]
pub struct TroubleHook {
    trouble: Trouble,
    points: AtomicUsize,
    killed: Notify,
}

impl TroubleHook {
    /// A hook for one run.
    pub fn new(trouble: Trouble) -> Arc<Self> {
        Arc::new(Self {
            trouble,
            points: AtomicUsize::new(0),
            killed: Notify::new(),
        })
    }

    /// How many points the run has passed: two for each write.
    pub fn points(&self) -> usize {
        self.points.load(Ordering::SeqCst)
    }

    /// Drives `run` until it ends, or until the kill, which drops it on the spot: then `None`.
    pub async fn drive<T>(&self, run: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.killed.notified() => None,
            result = run => Some(result),
        }
    }

    async fn point(&self, what: &str) -> Result<()> {
        let point = self.points.fetch_add(1, Ordering::SeqCst);
        match self.trouble {
            Trouble::KillAt(at) if at == point => {
                self.killed.notify_one();
                std::future::pending().await
            }
            Trouble::FaultAt(at) if at == point => Err(Error::new(
                ErrorKind::Unavailable,
                format!("write `{what}`"),
            )
            .with_source("injected by the test")),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl WriteHook for TroubleHook {
    async fn before(&self, what: &str) -> Result<()> {
        self.point(what).await
    }

    async fn after(&self, what: &str) -> Result<()> {
        self.point(what).await
    }
}
