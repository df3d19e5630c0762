//! The local target of one platform: everything above, put together.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use mlops_core::{
    Context, Endpoints, Error, ErrorKind, Event, EventSink, Graph, PlatformName, Provider, Result,
    SecretStore,
};

use crate::files;
use crate::lock::PlatformLock;
use crate::paths::{Folders, Roots};
use crate::ports::{LocalEndpoints, PortBook};
use crate::programs::{CachedPython, LocalPrograms, Programs, PythonApi, passed_on};
use crate::providers::{
    DataFolderProvider, ProcessProvider, PythonEnvironmentProvider, SupervisorProvider,
};
use crate::python::PythonOptions;
use crate::secrets::FileSecretStore;
use crate::storage::{self, DiskStorage, StorageApi};
use crate::supervisor::{Journal, ProcessStatus, Recorded, SocketSupervisor, SupervisorApi, aged};
use crate::tail::Tail;

/// What the local target needs to know.
#[derive(Clone)]
pub struct LocalOptions {
    /// The platform.
    pub platform: PlatformName,
    /// The folders that everything is in; see [`default_roots`](crate::default_roots).
    pub roots: Roots,
    /// A program and its arguments that call [`supervise`](crate::supervise) with the two arguments added to them:
    /// the platform's folder and the socket.
    pub supervisor: Vec<OsString>,
    /// The environment that the program was started with. Processes get the little of it that they need.
    pub env: BTreeMap<String, String>,
    /// The folder with PostgreSQL's programs, when the user named one.
    pub postgres_bin: Option<PathBuf>,
    /// The Python environment.
    pub python: PythonOptions,
}

impl std::fmt::Debug for LocalOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The environment may hold secrets.
        f.debug_struct("LocalOptions")
            .field("platform", &self.platform)
            .field("roots", &self.roots)
            .field("supervisor", &self.supervisor)
            .field("postgres_bin", &self.postgres_bin)
            .finish_non_exhaustive()
    }
}

/// One platform on this machine.
#[derive(Clone)]
pub struct LocalTarget {
    options: LocalOptions,
    folders: Folders,
    supervisor: SocketSupervisor,
    storage: DiskStorage,
    journal: Journal,
}

impl std::fmt::Debug for LocalTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalTarget")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl LocalTarget {
    /// The platform's side of this machine. Reads and writes nothing.
    ///
    /// # Errors
    ///
    /// When no program for the supervisor is given, or a root folder is no absolute path.
    pub fn new(options: LocalOptions) -> Result<Self> {
        let wrong = |cause: String| {
            Error::new(ErrorKind::InvalidInput, "use this machine").with_source(cause)
        };
        if options.supervisor.is_empty() {
            return Err(wrong("no program for the supervisor is given".to_owned()));
        }
        for folder in [
            &options.roots.data,
            &options.roots.cache,
            &options.roots.runtime,
        ] {
            if !folder.is_absolute() || folder.to_str().is_none() {
                return Err(wrong(format!(
                    "folder `{}` is no absolute path in UTF-8",
                    folder.display()
                )));
            }
        }
        let folders = Folders::new(&options.roots, &options.platform);
        let supervisor = SocketSupervisor::new(
            folders.clone(),
            options.supervisor.clone(),
            passed_on(&options.env),
        );
        let storage = DiskStorage::new(folders.clone());
        let journal = Journal::new(folders.events());
        Ok(Self {
            options,
            folders,
            supervisor,
            storage,
            journal,
        })
    }

    /// The platform's folders.
    pub fn folders(&self) -> &Folders {
        &self.folders
    }

    /// What the target was made with.
    pub fn options(&self) -> &LocalOptions {
        &self.options
    }

    /// The platform's secrets.
    pub fn secrets(&self) -> Arc<dyn SecretStore> {
        Arc::new(FileSecretStore::new(self.folders.secrets()))
    }

    /// Where the services of a graph are.
    pub fn endpoints(&self, graph: &Graph) -> Arc<dyn Endpoints> {
        let book = PortBook::new(self.folders.ports());
        Arc::new(LocalEndpoints::new(book, graph.services.clone()))
    }

    /// The surroundings that providers are handed; `events` goes to the platform's record as well.
    pub fn context(&self, graph: &Graph, events: EventSink) -> Context {
        Context {
            platform: graph.platform.clone(),
            secrets: self.secrets(),
            endpoints: self.endpoints(graph),
            events: self.record(events),
        }
    }

    /// The supervisor of the platform.
    pub fn supervisor(&self) -> Arc<dyn SupervisorApi> {
        Arc::new(self.supervisor.clone())
    }

    /// The Python environment that platforms share.
    pub fn python(&self) -> Arc<dyn PythonApi> {
        Arc::new(CachedPython::new(self.options.python.clone()))
    }

    /// The programs that processes run.
    pub fn programs(&self) -> Arc<dyn Programs> {
        Arc::new(LocalPrograms::new(
            &self.options.env,
            self.options.postgres_bin.clone(),
            self.python(),
        ))
    }

    /// The providers of supervisor, Python environment, data folders and processes.
    pub fn providers(&self) -> Vec<Arc<dyn Provider>> {
        let storage: Arc<dyn StorageApi> = Arc::new(self.storage.clone());
        let (supervisor, programs) = (self.supervisor(), self.programs());
        vec![
            Arc::new(SupervisorProvider::new(
                Arc::clone(&supervisor),
                Arc::clone(&storage),
            )),
            Arc::new(PythonEnvironmentProvider::new(self.python())),
            Arc::new(DataFolderProvider::new(
                Arc::clone(&storage),
                Arc::clone(&programs),
            )),
            Arc::new(ProcessProvider::new(supervisor, storage, programs)),
        ]
    }

    /// Takes the right to change the platform, waiting for another run; `events` is told of the wait. Dropping the
    /// future gives up.
    ///
    /// # Errors
    ///
    /// When the platform's folder cannot be made or belongs to another user.
    pub async fn lock(&self, events: &EventSink) -> Result<PlatformLock> {
        self.folders.ensure()?;
        PlatformLock::acquire(&self.folders.lock(), |holder| {
            events.emit(Event::Locked { holder });
        })
        .await
    }

    /// The name under which the runs of this folder hold something elsewhere: made at the first call, and kept until the
    /// platform is removed or the machine starts anew. The lock shows that no other run is at work with it.
    ///
    /// # Errors
    ///
    /// When no name can be made or kept.
    pub fn holder(
        &self,
        _lock: &PlatformLock,
        make: impl FnOnce() -> Result<String>,
    ) -> Result<String> {
        // A folder that machines share has one for each.
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        if boot.trim().is_empty() {
            return make();
        }
        let path = self.folders.holder(boot.trim());
        let kept = || {
            let bytes = files::read_private(&path)?;
            let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
            Ok::<_, Error>(text.filter(|text| !text.is_empty()))
        };
        if let Some(name) = kept()? {
            return Ok(name);
        }
        files::replace_private(&path, make()?.as_bytes())?;
        kept()?.ok_or_else(|| Error::new(ErrorKind::Failed, "keep the name of a holder"))
    }

    /// Records what goes through in the platform's `events.jsonl`, and hands it on.
    pub fn record(&self, events: EventSink) -> EventSink {
        self.journal.tee(events)
    }

    /// Stops every process in order and the supervisor; data stays. Returns the names of what was stopped.
    ///
    /// # Errors
    ///
    /// When the supervisor cannot be asked, or something does not end.
    pub async fn stop(&self) -> Result<Vec<String>> {
        let names = match self.supervisor.status().await {
            Ok(statuses) => statuses.into_keys().collect(),
            // One of another version can still be told to end.
            Err(error) if error.kind() == ErrorKind::Unsupported => Vec::new(),
            Err(error) => return Err(error),
        };
        self.supervisor.shutdown().await?;
        Ok(names)
    }

    /// How every process is; `None` when no supervisor runs.
    ///
    /// # Errors
    ///
    /// When the supervisor cannot be asked.
    pub async fn status(&self) -> Result<Option<BTreeMap<String, ProcessStatus>>> {
        if self.supervisor.find().await?.is_none() {
            return Ok(None);
        }
        self.supervisor.status().await.map(Some)
    }

    /// Removes what a removed platform has left: ports, logs, the record, and the folder when nothing is in it.
    /// Secrets and data that were kept stay.
    ///
    /// # Errors
    ///
    /// When something cannot be removed.
    pub fn sweep(&self, lock: PlatformLock) -> Result<()> {
        if !self.supervisor.is_held()? {
            storage::clean_up(&self.folders)?;
        }
        drop(lock);
        Ok(())
    }

    /// The last `lines` lines of a component's log, and with `follow` every one that is written from then on.
    ///
    /// # Errors
    ///
    /// When there is no log of that component, or it cannot be read.
    pub fn logs(&self, component: &str, follow: Follow, lines: usize) -> Result<Tail> {
        let path = self.folders.log(component);
        if !path.exists() && follow == Follow::No {
            let known: Vec<String> = files::names_in(&self.folders.logs())?
                .into_iter()
                .filter_map(|name| name.strip_suffix(".log").map(|name| format!("`{name}`")))
                .collect();
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("read the log of `{component}`"),
            )
            .with_source("there is none")
            .with_hint(if known.is_empty() {
                "nothing has run yet: `mlops up`".to_owned()
            } else {
                format!("there are logs of {}", known.join(", "))
            }));
        }
        Tail::open(path, follow, lines)
    }

    /// The components that have a log.
    ///
    /// # Errors
    ///
    /// When the folder of logs cannot be read.
    pub fn logged(&self) -> Result<Vec<String>> {
        Ok(files::names_in(&self.folders.logs())?
            .into_iter()
            .filter_map(|name| name.strip_suffix(".log").map(str::to_owned))
            .collect())
    }

    /// What was recorded, oldest first.
    ///
    /// # Errors
    ///
    /// When the record cannot be read.
    pub fn recorded(&self) -> Result<Vec<Recorded>> {
        let mut all = Vec::new();
        for age in [1, 0] {
            let path = aged(&self.folders.events(), age);
            let text = files::read_if_there(&path)?.unwrap_or_default();
            // A line that a kill cut off, or one of a newer version, is left out.
            all.extend(
                text.lines()
                    .filter_map(|line| serde_json::from_str(line).ok()),
            );
        }
        Ok(all)
    }

    /// The last `lines` recorded events as lines of JSON, and with `follow` every one from then on.
    ///
    /// # Errors
    ///
    /// When the record cannot be read.
    pub fn events(&self, follow: Follow, lines: usize) -> Result<Tail> {
        Tail::open(self.folders.events(), follow, lines)
    }
}

/// Whether something is read on when its end is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follow {
    /// It ends where it ends now.
    No,
    /// It goes on with what is written from then on.
    Yes,
}
