//! The calls that change the world: up, down, remove, prefetch; and check, which does not.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use mlops_core::{Error, ErrorKind, Event, EventSink, Plan, Report, ResourceId, Result};
use mlops_local::OnText;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Network, Session};
use crate::engine::{ApplyOptions, Prepared, ProbeChoice};

/// What [`Session::up`] may be told.
#[derive(Debug, Clone)]
pub struct UpOptions {
    /// A plan that was saved earlier: it is carried out only if it is still the one that would be made now.
    pub saved: Option<Plan>,
    /// Which probes are made afterwards; by default those of what was changed.
    pub probes: ProbeChoice,
    /// Where news go.
    pub events: EventSink,
    /// Ends the run at the next await when it is cancelled.
    pub cancel: CancellationToken,
}

impl Default for UpOptions {
    fn default() -> Self {
        Self {
            saved: None,
            probes: ProbeChoice::default(),
            events: EventSink::none(),
            cancel: CancellationToken::new(),
        }
    }
}

fn interrupted(doing: &str) -> Error {
    Error::new(ErrorKind::Interrupted, doing).with_source("it was interrupted before it began")
}

impl Session {
    /// The plan for an empty machine. Asks nobody, so it works without the platform and without a network.
    ///
    /// # Errors
    ///
    /// When the graph holds a kind without a provider, or an object that no cluster would take.
    pub fn plan_from_nothing(&self) -> Result<Plan> {
        self.check_objects()?;
        self.engine.plan_from_nothing(&self.graph)
    }

    /// What [`Session::up`] would do. Writes nothing.
    ///
    /// # Errors
    ///
    /// See [`crate::Engine::plan`].
    pub async fn plan(&self) -> Result<Prepared> {
        self.check_objects()?;
        let cx = self.context(EventSink::none());
        self.engine.plan(&self.graph, &cx).await
    }

    /// Makes the platform as described. Another run on the same platform is waited for first.
    ///
    /// The report says what was done and what failed; only what kept the run from starting is an error.
    ///
    /// # Errors
    ///
    /// When no plan can be made, the saved plan is no longer true ([`ErrorKind::Changed`]), or the run was
    /// cancelled while it waited for another.
    pub async fn up(&self, options: UpOptions) -> Result<Report> {
        let begun = Some(Instant::now());
        self.check_objects()?;
        self.check_cache(&options.events).await?;
        let events = self.target.record(options.events);
        let cx = self.context(events.clone());
        let cancel = options.cancel;
        let prepare = async {
            // The lock of a cluster is an object in it, and who finds nothing to do writes nothing there.
            if let Some(cluster) = &self.cluster
                && let Ok(prepared) = self.engine.plan_once(&self.graph, &cx).await
                && prepared.plan.is_empty()
                && matches!(cluster.has_checks().await, Ok(false))
            {
                return Ok((None, prepared));
            }
            let lock = self.lock(&events).await?;
            self.forget_checks().await?;
            let prepared = self.engine.plan(&self.graph, &cx).await?;
            Ok::<_, Error>((Some(lock), prepared))
        };
        let (lock, prepared) = tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(interrupted("bring the platform up")),
            prepared = prepare => prepared?,
        };
        if let Some(saved) = &options.saved {
            saved.check_still_true(&prepared.plan)?;
        }
        events.emit(Event::Planned {
            plan: prepared.plan.clone(),
        });
        let options = ApplyOptions {
            cancel,
            probes: options.probes,
            begun,
        };
        let report = self
            .engine
            .apply(&self.graph, &prepared, &cx, &options)
            .await;
        if let Some(lock) = lock {
            lock.give_back().await;
        }
        Ok(report)
    }

    /// Makes every probe with the consumers' own credentials, side by side.
    ///
    /// # Errors
    ///
    /// When the platform is not running.
    pub async fn check(&self, events: EventSink) -> Result<Report> {
        if !self.is_inside() {
            self.require_running("check the platform").await?;
        }
        let cx = self.context(events);
        Ok(self.engine.check(&self.graph, &cx).await)
    }

    /// Stops every process in order and keeps everything else. Returns the names of what was stopped.
    ///
    /// # Errors
    ///
    /// When the supervisor cannot be reached or a process cannot be stopped.
    pub async fn down(&self, events: EventSink, cancel: CancellationToken) -> Result<Vec<String>> {
        let events = self.target.record(events);
        let stop = async {
            let lock = self.lock_what_is_there(&events).await?;
            let stopped = match &self.cluster {
                Some(cluster) => cluster.stop(&self.graph).await,
                None => self.target.stop().await,
            };
            lock.give_back().await;
            stopped
        };
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(interrupted("stop the platform")),
            stopped = stop => stopped,
        }
    }

    /// What [`Session::remove`] would do, and what data each resource holds.
    ///
    /// # Errors
    ///
    /// When `data` names something that holds no data, or something could not be asked for.
    pub async fn plan_removal(
        &self,
        data: &BTreeSet<ResourceId>,
    ) -> Result<(Prepared, BTreeMap<ResourceId, String>)> {
        let cx = self.context(EventSink::none());
        let prepared = self.engine.plan_removal(&self.graph, data, &cx).await?;
        let holdings = self
            .engine
            .holdings(&self.graph, &prepared.observation, &cx)
            .await?;
        Ok((prepared, holdings))
    }

    /// Takes everything of the platform away, data only of the resources named in `data`.
    ///
    /// # Errors
    ///
    /// See [`Session::plan_removal`].
    pub async fn remove(
        &self,
        data: &BTreeSet<ResourceId>,
        events: EventSink,
        cancel: CancellationToken,
    ) -> Result<Report> {
        // Not recorded: the record goes as well.
        let cx = self.context(events.clone());
        let prepare = async {
            let lock = self.lock_what_is_there(&events).await?;
            self.forget_checks().await?;
            let prepared = self.engine.plan_removal(&self.graph, data, &cx).await?;
            Ok::<_, Error>((lock, prepared))
        };
        let (lock, prepared) = tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(interrupted("remove the platform")),
            prepared = prepare => prepared?,
        };
        events.emit(Event::Planned {
            plan: prepared.plan.clone(),
        });
        let options = ApplyOptions {
            cancel,
            probes: ProbeChoice::None,
            begun: None,
        };
        let report = self
            .engine
            .apply(&self.graph, &prepared, &cx, &options)
            .await;
        let here = lock.give_back().await;
        if report.succeeded() {
            self.target.sweep(here)?;
        }
        Ok(report)
    }

    /// Fills the caches so that later runs need no network. Returns what is there now, and where.
    ///
    /// # Errors
    ///
    /// When the Python environment cannot be made.
    pub async fn prefetch(&self, news: OnText<'_>) -> Result<Vec<(String, PathBuf)>> {
        let place = self.target.python().ensure(news).await?;
        let mut there = vec![("python".to_owned(), place.python)];
        if let Some(folder) = place.postgres_bin {
            there.push(("postgres".to_owned(), folder));
        }
        Ok(there)
    }

    /// Refuses objects that no cluster would take, before anything is asked or written.
    fn check_objects(&self) -> Result<()> {
        match &self.cluster {
            Some(cluster) => super::objects::check(&self.graph, cluster.namespace()),
            None => Ok(()),
        }
    }

    /// Refuses to begin what would need the network when that may not be used. An environment with files missing is made
    /// whole then, if the caches hold enough for it.
    async fn check_cache(&self, events: &EventSink) -> Result<()> {
        let kind = "python-environment";
        let needed = self
            .graph
            .resources()
            .find(|resource| resource.id.kind().as_str() == kind);
        let (Network::Avoid, Some(needed)) = (self.network, needed) else {
            return Ok(());
        };
        let python = self.target.python();
        if python.find().await?.is_some() {
            let news = |text: &str| events.progress(&needed.id, text);
            return python.ensure(&news).await.map(drop);
        }
        Err(
            Error::new(ErrorKind::Unavailable, "find the Python environment")
                .with_source("it is not in the cache, and the network may not be used")
                .with_hint("run `mlops prefetch` while there is a network"),
        )
    }

    pub(super) async fn require_running(&self, doing: &str) -> Result<()> {
        if self.status().await?.running {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Unavailable, doing)
            .with_source("the platform is not running")
            .with_hint("start it with `mlops up`"))
    }
}
