//! The supervisor itself: listens, obeys, and ends in order.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::{Permissions, TryLockError};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::{SinkExt, StreamExt};
use mlops_core::{Error, ErrorKind, Failure, Result};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Mutex, broadcast, watch};
use tokio::task::JoinHandle;
use tokio_util::codec::{Framed, LinesCodec};

use super::hub::Hub;
use super::journal::Journal;
use super::keeper::{House, Keeper};
use super::leftover::end_leftovers;
use super::log::Rotation;
use super::order::waves;
use super::protocol::{LONGEST_LINE, PROTOCOL, RenderedProcess, Reply, Request, SupervisorInfo};
use super::spawn::Spawner;
use crate::files::{self, io_error};
use crate::lock;
use crate::paths::Folders;

/// What a supervisor needs to know.
#[derive(Debug, Clone)]
pub struct Supervise {
    /// The platform's folder.
    pub folder: PathBuf,
    /// The socket it listens at.
    pub socket: PathBuf,
    /// The arguments with which our own program calls [`become_child`](crate::become_child).
    pub child_args: Vec<OsString>,
    /// How logs are turned over.
    pub rotation: Rotation,
}

impl Supervise {
    /// Supervises the processes of the platform in `folder`, listening at `socket`: the two arguments that
    /// [`LocalOptions::supervisor`](crate::LocalOptions::supervisor) is followed by. `child_args` make our own
    /// program call [`become_child`](crate::become_child).
    pub fn new(
        folder: impl Into<PathBuf>,
        socket: impl Into<PathBuf>,
        child_args: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Self {
        Self {
            folder: folder.into(),
            socket: socket.into(),
            child_args: child_args.into_iter().map(Into::into).collect(),
            rotation: Rotation::default(),
        }
    }

    /// Turns logs over in another way than by default.
    #[must_use]
    pub fn with_rotation(mut self, rotation: Rotation) -> Self {
        self.rotation = rotation;
        self
    }
}

/// Is the supervisor of a platform until it is told to end, by a request, SIGTERM or SIGINT: then everything it
/// keeps is stopped, users before what they use.
///
/// Leaves the terminal it was started from. Ends processes that an earlier supervisor left behind before it listens.
///
/// # Errors
///
/// When another supervisor has the platform, or the socket cannot be made.
pub async fn supervise(options: Supervise) -> Result<()> {
    // Fails for the leader of a process group, which has no terminal to leave or was started by hand.
    if let Err(error) = rustix::process::setsid() {
        tracing::debug!(%error, "staying in the session");
    }
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    allow_many_files();
    let folders = Folders::at(&options.folder, &options.folder);
    let _lock = take_lock(&folders)?;
    end_leftovers(&folders.pids()).await?;
    let mut hang_up = listen_for(SignalKind::hangup())?;
    let mut terminate = listen_for(SignalKind::terminate())?;
    let mut interrupt = listen_for(SignalKind::interrupt())?;
    let (shutdown, mut down) = watch::channel(false);
    let desk = Arc::new(Desk {
        house: Arc::new(House {
            hub: Hub::new(Journal::new(folders.events())),
            spawner: Spawner::new(options.child_args)?,
            rotation: options.rotation,
            folders,
        }),
        kept: Mutex::default(),
        shutdown,
        closing: AtomicBool::new(false),
    });
    let listener = listen(&options.socket)?;
    tracing::info!(pid = std::process::id(), "supervising");
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(tokio::spawn(Arc::clone(&desk).serve(stream))),
                Err(error) => {
                    tracing::warn!(%error, "could not accept a connection");
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                }
            },
            _ = hang_up.recv() => {}
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = down.wait_for(|down| *down) => break,
        }
    }
    desk.stop_all().await;
    files::remove_file(&options.socket)?;
    tracing::info!("everything has stopped");
    Ok(())
}

fn listen_for(kind: SignalKind) -> Result<tokio::signal::unix::Signal> {
    signal(kind).map_err(|error| io_error("listen for signals", error))
}

/// The S3 server inside needs a file or two for each connection.
fn allow_many_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let now = getrlimit(Resource::Nofile);
    let wanted = now.maximum.unwrap_or(65_536).min(65_536);
    let raised = Rlimit {
        current: Some(now.current.unwrap_or(0).max(wanted)),
        maximum: now.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%error, "the limit of open files stays");
    }
}

/// One supervisor a platform: whoever holds this file is it.
fn take_lock(folders: &Folders) -> Result<std::fs::File> {
    let path = folders.supervisor_lock();
    let mut file = files::open_lock(&path)?;
    let doing = || format!("supervise `{}`", folders.root().display());
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(Error::new(ErrorKind::Conflict, doing())
                .with_source(format!("{} does so already", lock::holder(&path))));
        }
        Err(TryLockError::Error(error)) => return Err(io_error(doing(), error)),
    }
    let note = format!("process {}", std::process::id());
    file.set_len(0)
        .and_then(|()| std::io::Write::write_all(&mut file, note.as_bytes()))
        .map_err(|error| io_error(doing(), error))?;
    Ok(file)
}

/// Makes the socket anew: as we hold the lock, one that is there was left by a supervisor that is dead.
fn listen(path: &std::path::Path) -> Result<UnixListener> {
    let failed = |error| io_error(format!("listen at `{}`", path.display()), error);
    files::remove_file(path)?;
    // The mode is 0600 from the first moment, by the umask; said again for file systems that ignore it.
    let listener = UnixListener::bind(path).map_err(failed)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(listener)
}

struct Kept {
    process: Arc<RenderedProcess>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

type Slot = Arc<Mutex<Option<Kept>>>;

/// Takes requests.
struct Desk {
    house: Arc<House>,
    /// One slot a process, so that work on one does not wait for another.
    kept: Mutex<BTreeMap<String, Slot>>,
    shutdown: watch::Sender<bool>,
    /// Set when everything is being stopped: nothing starts any more.
    closing: AtomicBool,
}

type Line = Framed<UnixStream, LinesCodec>;

impl Desk {
    /// Serves one connection until it ends.
    async fn serve(self: Arc<Self>, stream: UnixStream) {
        let ours = files::our_uid();
        // Root may look at everything anyway; the file's mode keeps all others out, this is the second door.
        match stream.peer_cred() {
            Ok(peer) if peer.uid() == ours || peer.uid() == 0 => {}
            Ok(peer) => return tracing::warn!(uid = peer.uid(), "refused another user"),
            Err(error) => return tracing::warn!(%error, "refused an unknown user"),
        }
        let codec = LinesCodec::new_with_max_length(LONGEST_LINE);
        if let Err(error) = self.converse(Framed::new(stream, codec)).await {
            tracing::debug!(%error, "a connection ended");
        }
    }

    async fn converse(
        &self,
        mut line: Line,
    ) -> std::result::Result<(), Box<dyn std::error::Error + Send + Sync>> {
        while let Some(text) = line.next().await {
            let Ok(request) = serde_json::from_str::<Request>(&text?) else {
                // The cause could quote secrets.
                let error = Error::new(ErrorKind::InvalidInput, "understand a request").with_hint(
                    "the supervisor is of another version: `mlops down` and `mlops up` replace it",
                );
                say(&mut line, &Reply::Failed(Failure::from(&error))).await?;
                continue;
            };
            match request {
                Request::Subscribe => return self.tell_changes(line).await,
                Request::Shutdown => {
                    self.stop_all().await;
                    say(&mut line, &Reply::Done).await?;
                    self.shutdown.send_replace(true);
                    return Ok(());
                }
                request => {
                    let reply = self.answer(request).await;
                    say(&mut line, &reply).await?;
                }
            }
        }
        Ok(())
    }

    async fn answer(&self, request: Request) -> Reply {
        match request {
            Request::Hello { .. } => Reply::Hello(SupervisorInfo {
                protocol: PROTOCOL,
                build: env!("CARGO_PKG_VERSION").to_owned(),
                pid: std::process::id(),
            }),
            Request::Start { name, process } => {
                self.start(name, *process).await;
                Reply::Done
            }
            Request::Stop { name } => {
                self.stop(&name).await;
                Reply::Done
            }
            Request::Status => Reply::Status(self.house.hub.snapshot()),
            Request::Subscribe | Request::Shutdown => Reply::Done,
        }
    }

    async fn tell_changes(
        &self,
        mut line: Line,
    ) -> std::result::Result<(), Box<dyn std::error::Error + Send + Sync>> {
        loop {
            let (now, mut news) = self.house.hub.subscribe();
            say(&mut line, &Reply::Status(now)).await?;
            loop {
                let next = tokio::select! {
                    next = news.recv() => next,
                    // A client only ever hangs up here.
                    _ = line.next() => return Ok(()),
                };
                match next {
                    Ok((name, status)) => say(&mut line, &Reply::News { name, status }).await?,
                    // The client was too slow; tell everything anew.
                    Err(broadcast::error::RecvError::Lagged(_)) => break,
                    Err(broadcast::error::RecvError::Closed) => return Ok(()),
                }
            }
        }
    }

    async fn slot(&self, name: &str) -> Slot {
        let mut kept = self.kept.lock().await;
        Arc::clone(kept.entry(name.to_owned()).or_default())
    }

    async fn start(&self, name: String, process: RenderedProcess) {
        let slot = self.slot(&name).await;
        let mut slot = slot.lock().await;
        if let Some(kept) = slot.as_ref() {
            let status = self.house.hub.snapshot().remove(&name);
            let well = status.is_some_and(|status| status.state != super::State::Failed);
            if well && *kept.process == process && !kept.task.is_finished() {
                return;
            }
        }
        if let Some(kept) = slot.take() {
            kept.end().await;
        }
        if self.closing.load(Ordering::SeqCst) {
            return;
        }
        let process = Arc::new(process);
        let (stop, stopped) = watch::channel(false);
        let keeper = Keeper::new(Arc::clone(&self.house), name, Arc::clone(&process), stopped);
        *slot = Some(Kept {
            process,
            stop,
            task: tokio::spawn(keeper.keep()),
        });
    }

    async fn stop(&self, name: &str) {
        let slot = self.slot(name).await;
        let kept = slot.lock().await.take();
        if let Some(kept) = kept {
            kept.end().await;
        }
        // Also when its keeper ended in another way.
        self.house.hub.forget(name);
    }

    /// Stops everything, users before what they use.
    async fn stop_all(&self) {
        self.closing.store(true, Ordering::SeqCst);
        let slots = self.kept.lock().await.clone();
        let mut processes = BTreeMap::new();
        for (name, slot) in &slots {
            if let Some(kept) = slot.lock().await.as_ref() {
                processes.insert(name.clone(), Arc::clone(&kept.process));
            }
        }
        let specs = processes
            .iter()
            .map(|(name, process)| (name.as_str(), &process.spec))
            .collect();
        for wave in waves(&specs) {
            let names: BTreeSet<&str> = wave.into_iter().collect();
            futures::future::join_all(names.into_iter().map(|name| self.stop(name))).await;
        }
    }
}

impl Kept {
    async fn end(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the work on a process failed");
        }
    }
}

async fn say(
    line: &mut Line,
    reply: &Reply,
) -> std::result::Result<(), Box<dyn std::error::Error + Send + Sync>> {
    line.send(serde_json::to_string(reply)?).await?;
    Ok(())
}
