//! Keeps one process running.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use mlops_core::{Endpoint, Error, ErrorKind, Failure, Result};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::backoff::Backoff;
use super::hub::Hub;
use super::leftover::note_path;
use super::log::{LastLines, RotatingFile, Rotation};
use super::prepare::prepare;
use super::protocol::{ProcessStatus, RenderedProcess, Runs, State};
use super::ready::wait_until_answers;
use super::running::Running;
use super::spawn::Spawner;
use crate::files;
use crate::paths::Folders;

/// How often a process may end before it has ever been ready.
const ATTEMPTS: u32 = 3;
/// How often the last line of a process that starts is passed on.
const NEWS_EVERY: Duration = Duration::from_secs(1);

/// Everything that keepers share.
#[derive(Debug)]
pub(super) struct House {
    pub(super) folders: Folders,
    pub(super) hub: Hub,
    pub(super) spawner: Spawner,
    pub(super) rotation: Rotation,
}

/// How one run of a process ended.
enum End {
    /// It was asked to.
    Stopped,
    /// It cannot run as things are; trying again would not help.
    Refused(Error),
    /// It died, or never answered.
    Died { was_ready: bool, how: String },
}

/// The work on one process, from start to stop.
pub(super) struct Keeper {
    house: Arc<House>,
    name: String,
    process: Arc<RenderedProcess>,
    stop: watch::Receiver<bool>,
    status: ProcessStatus,
    lines: LastLines,
    /// Whether it has ever been ready.
    proven: bool,
}

impl Keeper {
    pub(super) fn new(
        house: Arc<House>,
        name: String,
        process: Arc<RenderedProcess>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let status = ProcessStatus {
            state: State::Starting,
            since: Timestamp::now(),
            pid: None,
            restarts: 0,
            failed_starts: 0,
            last_exit: None,
            failure: None,
            last_line: None,
            spec: process.spec.clone(),
            runs: process.runs.clone(),
            addresses: process.addresses.clone(),
        };
        let keeper = Self {
            house,
            name,
            process,
            stop,
            status,
            lines: LastLines::default(),
            proven: false,
        };
        // Told before the work begins, so that whoever asked for the process finds it at once.
        keeper.house.hub.set(&keeper.name, &keeper.status);
        keeper
    }

    /// Keeps the process until it is asked to stop.
    pub(super) async fn keep(mut self) {
        let mut backoff = Backoff::default();
        loop {
            let began = Instant::now();
            match self.run_once().await {
                End::Stopped => break,
                End::Refused(error) if !self.proven => {
                    self.give_up(Failure::from(&error)).await;
                    break;
                }
                // What has worked before may work again: a port is held for a moment, a disk is full.
                End::Refused(error) => self.died(false, Failure::from(&error)),
                End::Died { was_ready, how } => {
                    let failure = self.explain(&how);
                    self.died(was_ready, failure.clone());
                    if !self.proven && self.status.failed_starts >= ATTEMPTS {
                        self.give_up(failure).await;
                        break;
                    }
                }
            }
            let pause = backoff.after(began.elapsed());
            self.tell(State::Waiting);
            self.record("restarting", Some(format!("in {} ms", pause.as_millis())));
            tokio::select! {
                () = sleep(pause) => {}
                () = asked_to_stop(&mut self.stop) => break,
            }
            self.status.restarts += 1;
        }
        self.record("stopped", None);
        self.house.hub.forget(&self.name);
    }

    /// Says that it has failed, and waits to be told to stop.
    async fn give_up(&mut self, failure: Failure) {
        let text = std::iter::once(failure.message.clone())
            .chain(failure.causes.iter().cloned())
            .collect::<Vec<_>>()
            .join(": ");
        self.record("failed", Some(text));
        self.status.failure = Some(failure);
        self.tell(State::Failed);
        asked_to_stop(&mut self.stop).await;
    }

    fn died(&mut self, was_ready: bool, failure: Failure) {
        self.status.failed_starts = if was_ready {
            0
        } else {
            self.status.failed_starts.saturating_add(1)
        };
        let how = self.status.last_exit.clone();
        self.status.failure = Some(failure);
        self.record("exited", how);
    }

    /// Why it does not run, with what it said last.
    fn explain(&self, how: &str) -> Failure {
        let lines = self.lines.all();
        let mut causes = vec![format!("it ended with {how}")];
        if !lines.is_empty() {
            causes.push(format!("its last lines:\n{}", lines.join("\n")));
        }
        Failure {
            kind: ErrorKind::Failed,
            message: format!("failed to keep `process/{}` running", self.name),
            causes,
            hint: Some(format!("`mlops logs {}` shows more", self.name)),
        }
    }

    async fn run_once(&mut self) -> End {
        self.lines.clear();
        self.status.pid = None;
        self.tell(State::Starting);
        let started = match self.start().await {
            Ok(started) => started,
            Err(error) => return End::Refused(error),
        };
        let (mut running, place) = started;
        self.status.pid = running.pid();
        self.tell(State::Starting);
        self.record("started", running.pid().map(|pid| format!("process {pid}")));
        let end = self.watch(&mut running, &place).await;
        if let End::Died { how, .. } = &end {
            self.status.last_exit = Some(how.clone());
        }
        self.status.pid = None;
        if let Err(error) = files::remove_file(&self.note()) {
            tracing::debug!(%error, "the note about a process stays");
        }
        end
    }

    fn note(&self) -> std::path::PathBuf {
        note_path(&self.house.folders.pids(), &self.name)
    }

    async fn start(&mut self) -> Result<(Running, Endpoint)> {
        let process = Arc::clone(&self.process);
        let ready = &process.spec.ready;
        let url = process.addresses.get(ready.service()).ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidInput,
                format!("start `process/{}`", self.name),
            )
            .with_source(format!(
                "the address of service `{}` is not given",
                ready.service()
            ))
        })?;
        let place = Endpoint::new(url.clone())?;
        prepare(&self.name, &process).await?;
        let running = match &process.runs {
            Runs::EmbeddedS3 { .. } => Running::s3(&process, &place).await?,
            Runs::Program { .. } => {
                let log = self.house.folders.log(&self.name);
                let log = RotatingFile::new(log, self.house.rotation);
                let spawned = self
                    .house
                    .spawner
                    .spawn(&process, &self.note(), log, self.lines.clone())
                    .await?;
                Running::process(spawned.0, spawned.1)
            }
        };
        Ok((running, place))
    }

    /// Watches over something that runs, until it has ended.
    async fn watch(&mut self, running: &mut Running, place: &Endpoint) -> End {
        let process = Arc::clone(&self.process);
        let within = Duration::from_secs(process.spec.ready.within_seconds());
        let mut stop = self.stop.clone();
        {
            let answers = wait_until_answers(&process.spec.ready, place);
            let mut answers = std::pin::pin!(answers);
            let too_late = Instant::now() + within;
            loop {
                tokio::select! {
                    biased;
                    () = asked_to_stop(&mut stop) => return self.end(running).await,
                    how = running.ended() => return End::Died { was_ready: false, how },
                    () = &mut answers => break,
                    () = tokio::time::sleep_until(too_late) => {
                        running.end(&process.spec.stop).await;
                        let error = Error::new(ErrorKind::Failed, format!("get an answer of `process/{}`", self.name))
                            .with_source(format!("it did not answer within {} s; its last lines:\n{}",
                                within.as_secs(), self.lines.all().join("\n")))
                            .with_hint(format!("`mlops logs {}` shows more", self.name));
                        return End::Refused(error);
                    }
                    () = sleep(NEWS_EVERY) => self.pass_on_line(),
                }
            }
        }
        self.proven = true;
        self.status.failed_starts = 0;
        self.status.failure = None;
        self.tell(State::Ready);
        self.record("ready", None);
        tokio::select! {
            biased;
            () = asked_to_stop(&mut stop) => self.end(running).await,
            how = running.ended() => End::Died { was_ready: true, how },
        }
    }

    async fn end(&mut self, running: &mut Running) -> End {
        self.tell(State::Stopping);
        running.end(&self.process.spec.stop).await;
        End::Stopped
    }

    fn pass_on_line(&mut self) {
        let newest = self.lines.newest();
        if newest != self.status.last_line {
            self.status.last_line = newest;
            self.house.hub.set(&self.name, &self.status);
        }
    }

    fn tell(&mut self, state: State) {
        if self.status.state != state {
            self.status.since = Timestamp::now();
        }
        self.status.state = state;
        self.status.last_line = self.lines.newest();
        self.house.hub.set(&self.name, &self.status);
    }

    fn record(&self, what: &str, detail: Option<String>) {
        self.house.hub.record(&self.name, what, detail);
    }
}

/// Ends when it is asked to stop, or when nobody can ask any more.
async fn asked_to_stop(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}
