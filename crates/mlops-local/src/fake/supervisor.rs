use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use mlops_core::hook::{Hook, NoHook};
use mlops_core::{Error, ErrorKind, Failure, Result};

use crate::supervisor::{
    OnNews, PROTOCOL, ProcessStatus, RenderedProcess, State, SupervisorApi, SupervisorInfo,
    failure_of,
};

/// A supervisor in memory. Its processes are ready once somebody waited for them.
#[derive(Clone)]
pub struct FakeSupervisor {
    state: Arc<Mutex<World>>,
    hook: Hook,
}

#[derive(Debug, Default)]
struct World {
    running: bool,
    kept: BTreeMap<String, (RenderedProcess, ProcessStatus)>,
}

impl Default for FakeSupervisor {
    fn default() -> Self {
        Self {
            state: Arc::default(),
            hook: Arc::new(NoHook),
        }
    }
}

impl std::fmt::Debug for FakeSupervisor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FakeSupervisor")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl FakeSupervisor {
    /// The same supervisor, asking `hook` around writes.
    #[must_use]
    pub fn with_hook(mut self, hook: Hook) -> Self {
        self.hook = hook;
        self
    }

    /// Ends it as SIGKILL does: its processes go with it.
    pub fn kill(&self) {
        *self.world() = World::default();
    }

    /// Lets a process fail for good.
    pub fn fail(&self, name: &str, failure: Failure) {
        if let Some((_, status)) = self.world().kept.get_mut(name) {
            status.state = State::Failed;
            status.failure = Some(failure);
        }
    }

    /// What a process was started with; `None` when there is none of that name.
    pub fn rendered(&self, name: &str) -> Option<RenderedProcess> {
        let world = self.world();
        world.kept.get(name).map(|(process, _)| process.clone())
    }

    /// Whether a process answers.
    pub fn is_ready(&self, name: &str) -> bool {
        let world = self.world();
        world
            .kept
            .get(name)
            .is_some_and(|(_, status)| status.is_ready())
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn write(&self, what: &str, write: impl FnOnce(&mut World) + Send) -> Result<()> {
        self.hook.before(what).await?;
        write(&mut self.world());
        self.hook.after(what).await
    }
}

fn info() -> SupervisorInfo {
    SupervisorInfo {
        protocol: PROTOCOL,
        build: env!("CARGO_PKG_VERSION").to_owned(),
        pid: 1,
    }
}

fn starting(process: &RenderedProcess) -> ProcessStatus {
    ProcessStatus {
        state: State::Starting,
        since: Timestamp::UNIX_EPOCH,
        pid: Some(2),
        restarts: 0,
        failed_starts: 0,
        last_exit: None,
        failure: None,
        last_line: None,
        spec: process.spec.clone(),
        runs: process.runs.clone(),
        addresses: process.addresses.clone(),
    }
}

#[async_trait]
impl SupervisorApi for FakeSupervisor {
    async fn find(&self) -> Result<Option<SupervisorInfo>> {
        Ok(self.world().running.then(info))
    }

    async fn ensure(&self) -> Result<SupervisorInfo> {
        if !self.world().running {
            self.write("start the supervisor", |world| world.running = true)
                .await?;
        }
        Ok(info())
    }

    async fn status(&self) -> Result<BTreeMap<String, ProcessStatus>> {
        let world = self.world();
        let statuses = world.kept.iter();
        Ok(statuses
            .map(|(name, (_, status))| (name.clone(), status.clone()))
            .collect())
    }

    async fn start(&self, name: &str, process: &RenderedProcess) -> Result<()> {
        {
            let world = self.world();
            if !world.running {
                return Err(Error::new(ErrorKind::Unavailable, "ask the supervisor")
                    .with_source("none runs"));
            }
            if let Some((kept, status)) = world.kept.get(name)
                && kept == process
                && status.state != State::Failed
            {
                return Ok(());
            }
        }
        self.write(&format!("start process {name}"), |world| {
            let status = starting(process);
            world
                .kept
                .insert(name.to_owned(), (process.clone(), status));
        })
        .await
    }

    async fn stop(&self, name: &str) -> Result<()> {
        if !self.world().kept.contains_key(name) {
            return Ok(());
        }
        self.write(&format!("stop process {name}"), |world| {
            world.kept.remove(name);
        })
        .await
    }

    async fn wait_until_ready(
        &self,
        name: &str,
        _within: Duration,
        news: OnNews<'_>,
    ) -> Result<()> {
        let mut world = self.world();
        let Some((_, status)) = world.kept.get_mut(name) else {
            return Err(
                Error::new(ErrorKind::NotFound, format!("wait for `process/{name}`"))
                    .with_source("it was stopped meanwhile"),
            );
        };
        if let Some(error) = failure_of(name, status) {
            return Err(error);
        }
        // The process's own doing, no write of ours.
        status.state = State::Ready;
        news(status);
        Ok(())
    }

    async fn shutdown(&self) -> Result<()> {
        if !self.world().running {
            return Ok(());
        }
        self.write("stop the supervisor", |world| *world = World::default())
            .await
    }
}
