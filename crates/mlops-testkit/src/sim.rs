//! A world that kills: runs work until a chosen write, drops it there, and lets it begin again.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use mlops_core::hook::WriteHook;
use mlops_core::{Error, ErrorKind, Result};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
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

/// How often a point gives way to the rest of the run at most.
const MOST_YIELDS: u8 = 4;

/// A hook that counts the points of a run and lets trouble in at one of them.
#[derive(Debug)]
pub struct TroubleHook {
    trouble: Trouble,
    points: AtomicUsize,
    killed: Notify,
    order: Option<Mutex<StdRng>>,
}

impl TroubleHook {
    /// A hook for one run.
    pub fn new(trouble: Trouble) -> Arc<Self> {
        Self::with_order(trouble, None)
    }

    /// A hook for one run in an order of its own: at every point it lets other work pass a few times. The same seed
    /// gives the same order again.
    pub fn shuffled(trouble: Trouble, seed: u64) -> Arc<Self> {
        Self::with_order(trouble, Some(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    fn with_order(trouble: Trouble, order: Option<Mutex<StdRng>>) -> Arc<Self> {
        Arc::new(Self {
            trouble,
            points: AtomicUsize::new(0),
            killed: Notify::new(),
            order,
        })
    }

    /// How often this point gives way.
    fn yields(&self) -> u8 {
        let Some(order) = &self.order else {
            return 0;
        };
        let mut random = order.lock().unwrap_or_else(PoisonError::into_inner);
        random.random_range(0..=MOST_YIELDS)
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
        for _ in 0..self.yields() {
            tokio::task::yield_now().await;
        }
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
