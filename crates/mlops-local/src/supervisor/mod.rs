//! Processes that are kept running: what to ask for ([`SupervisorApi`]), the program that does it ([`supervise`]),
//! and the way between the two.

mod backoff;
mod child;
mod client;
mod hub;
mod journal;
mod keeper;
mod leftover;
mod log;
mod order;
mod prepare;
mod protocol;
mod ready;
mod running;
mod server;
mod spawn;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use mlops_core::process::StopSignal;
use mlops_core::{Error, ErrorKind, Result};
use rustix::process::Signal;

pub use child::become_child;
pub use client::SocketSupervisor;
pub use journal::Recorded;
pub use log::Rotation;
pub use protocol::{
    Account, PROTOCOL, ProcessStatus, RenderedProcess, Runs, State, SupervisorInfo, WireSecret,
};
pub use server::{Supervise, supervise};

pub(crate) use journal::Journal;
pub(crate) use leftover::end_leftovers;
pub(crate) use log::aged;

/// Told of a process while it is waited for.
pub type OnNews<'a> = &'a (dyn Fn(&ProcessStatus) + Send + Sync);

/// The supervisor of one platform, as its users see it.
#[async_trait]
pub trait SupervisorApi: Send + Sync {
    /// What runs as this platform's supervisor; `None` when nothing does.
    async fn find(&self) -> Result<Option<SupervisorInfo>>;

    /// Sees to it that a supervisor of our own version runs.
    async fn ensure(&self) -> Result<SupervisorInfo>;

    /// How all processes are, by name; none when no supervisor runs.
    async fn status(&self) -> Result<BTreeMap<String, ProcessStatus>>;

    /// Has a process kept running; one of that name that is different is stopped first. Does not wait until it is
    /// ready.
    async fn start(&self, name: &str, process: &RenderedProcess) -> Result<()>;

    /// Stops a process and forgets it; fine when there is none.
    async fn stop(&self, name: &str) -> Result<()>;

    /// Waits until a process is ready, telling `news` of every change on the way. Ends with the reason as soon as the
    /// process has failed.
    async fn wait_until_ready(&self, name: &str, within: Duration, news: OnNews<'_>) -> Result<()>;

    /// Stops every process in order, and then the supervisor; fine when none runs.
    async fn shutdown(&self) -> Result<()>;
}

/// The error of a process that was waited for and has failed, if it has.
pub(crate) fn failure_of(name: &str, status: &ProcessStatus) -> Option<Error> {
    let hopeless = status.state == State::Failed || status.failed_starts >= 3;
    if !hopeless {
        return None;
    }
    Some(match &status.failure {
        Some(failure) => failure.to_error(),
        None => Error::new(ErrorKind::Failed, format!("keep `process/{name}` running")),
    })
}

fn signal(signal: StopSignal) -> Signal {
    match signal {
        StopSignal::Terminate => Signal::TERM,
        StopSignal::Interrupt => Signal::INT,
    }
}
