//! Talking to a supervisor through its socket, and starting one.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use futures::{SinkExt, StreamExt};
use mlops_core::{Error, ErrorKind, Result};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::codec::{Framed, LinesCodec};

use super::protocol::{
    LONGEST_LINE, PROTOCOL, ProcessStatus, RenderedProcess, Reply, Request, SupervisorInfo,
};
use super::{OnNews, SupervisorApi, end_leftovers, failure_of};
use crate::files::{self, io_error, kind_of};
use crate::inspect;
use crate::paths::Folders;

/// How long a supervisor may take to answer what it knows by heart.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a new supervisor may take to listen; it ends what an old one left behind first.
const START: Duration = Duration::from_secs(40);
/// How long the process of a supervisor that has ended may take to end as well.
const EXIT: Duration = Duration::from_secs(5);

/// The supervisor of a platform behind its socket.
#[derive(Debug, Clone)]
pub struct SocketSupervisor {
    folders: Folders,
    command: Vec<OsString>,
    env: BTreeMap<String, String>,
}

struct Connection {
    line: Framed<UnixStream, LinesCodec>,
    info: SupervisorInfo,
}

impl SocketSupervisor {
    /// The supervisor of the platform in `folders`. `command` (a program and its arguments, which the platform's
    /// folder and the socket are added to) starts one; `env` is its whole environment.
    pub fn new(folders: Folders, command: Vec<OsString>, env: BTreeMap<String, String>) -> Self {
        Self {
            folders,
            command,
            env,
        }
    }

    /// Connects and says hello; `None` when nobody listens.
    async fn connect(&self) -> Result<Option<Connection>> {
        let path = self.folders.socket();
        let doing = || format!("ask the supervisor at `{}`", path.display());
        let stream = match UnixStream::connect(&path).await {
            Ok(stream) => stream,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
                ) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(io_error(doing(), error)),
        };
        let peer = stream
            .peer_cred()
            .map_err(|error| io_error(doing(), error))?;
        // Secrets are about to go through: whoever listens must be us. Root may ask the supervisor of a user.
        let ours = files::our_uid();
        if ours != 0 || peer.uid() == 0 {
            files::check_owner(&path, peer.uid())?;
        }
        let codec = LinesCodec::new_with_max_length(LONGEST_LINE);
        let mut line = Framed::new(stream, codec);
        let hello = Request::Hello { protocol: PROTOCOL };
        let answer = timeout(PATIENCE, exchange(&mut line, &hello)).await;
        match answer {
            Err(_) => Err(Error::new(ErrorKind::Timeout, doing())
                .with_source(format!("it did not answer within {} s", PATIENCE.as_secs()))
                .with_hint(format!(
                    "if it hangs, end the process named in `{}` and run the same command again",
                    self.folders.supervisor_lock().display()
                ))),
            Ok(Ok(Reply::Hello(info))) => Ok(Some(Connection { line, info })),
            Ok(Ok(_)) => Err(unexpected()),
            // It ended between our connecting and our asking.
            Ok(Err(error)) if error.kind() == ErrorKind::Unavailable => Ok(None),
            Ok(Err(error)) => Err(error),
        }
    }

    async fn get(&self) -> Result<Connection> {
        let connection = self.connect().await?.ok_or_else(|| {
            Error::new(ErrorKind::Unavailable, "ask the supervisor")
                .with_source("none runs")
                .with_hint("`mlops up` starts one")
        })?;
        if connection.info.protocol != PROTOCOL {
            return Err(Error::new(ErrorKind::Unsupported, "ask the supervisor")
                .with_source(format!(
                    "it is of version {}, this program of version {}",
                    connection.info.build,
                    env!("CARGO_PKG_VERSION")
                ))
                .with_hint("`mlops down` and `mlops up` replace it"));
        }
        Ok(connection)
    }

    async fn launch(&self) -> Result<SupervisorInfo> {
        self.folders.ensure()?;
        let mut child = self.spawn()?;
        let deadline = Instant::now() + START;
        loop {
            if let Some(connection) = self.connect().await? {
                return Ok(connection.info);
            }
            let ended = child
                .try_wait()
                .map_err(|error| io_error("start a supervisor", error))?;
            if let Some(status) = ended {
                // Another one may have been faster.
                if let Some(connection) = self.connect().await? {
                    return Ok(connection.info);
                }
                if Instant::now() >= deadline || !self.is_held()? {
                    return Err(
                        self.launch_failed(ErrorKind::Failed, &format!("it ended with {status}"))
                    );
                }
            }
            if Instant::now() >= deadline {
                let cause = format!("it does not listen after {} s", START.as_secs());
                return Err(self.launch_failed(ErrorKind::Timeout, &cause));
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    fn spawn(&self) -> Result<Child> {
        let Some((program, args)) = self.command.split_first() else {
            return Err(Error::new(ErrorKind::InvalidInput, "start a supervisor")
                .with_source("no program is given for it"));
        };
        let path = self.folders.supervisor_log();
        let log = || -> io::Result<File> {
            // What earlier supervisors said is of no use once there is much of it.
            let long = std::fs::metadata(&path).is_ok_and(|found| found.len() > 1_000_000);
            OpenOptions::new()
                .create(true)
                .append(!long)
                .write(true)
                .truncate(long)
                .mode(0o600)
                .open(&path)
        };
        let log = log().map_err(|error| io_error(format!("open `{}`", path.display()), error))?;
        let errors = log
            .try_clone()
            .map_err(|error| io_error("start a supervisor", error))?;
        Command::new(program)
            .args(args)
            .arg(self.folders.root())
            .arg(self.folders.socket())
            .env_clear()
            .envs(&self.env)
            // Not the caller's folder, which may be removed or unmounted.
            .current_dir(self.folders.root())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .map_err(|error| {
                io_error(
                    format!("start supervisor `{}`", program.to_string_lossy()),
                    error,
                )
            })
    }

    fn launch_failed(&self, kind: ErrorKind, cause: &str) -> Error {
        let path = self.folders.supervisor_log();
        let said = std::fs::read_to_string(&path).unwrap_or_default();
        let lines: Vec<&str> = said.lines().rev().take(10).collect();
        let said: Vec<&str> = lines.into_iter().rev().collect();
        Error::new(kind, "start a supervisor")
            .with_source(format!("{cause}; it said:\n{}", said.join("\n")))
            .with_hint(format!("`{}` may say more", path.display()))
    }

    /// Whether a process holds the file that makes it the supervisor.
    pub(crate) fn is_held(&self) -> Result<bool> {
        let path = self.folders.supervisor_lock();
        if !path.exists() {
            return Ok(false);
        }
        Ok(files::open_lock(&path)?.try_lock().is_err())
    }

    async fn do_it(&self, request: &Request) -> Result<()> {
        let mut connection = self.get().await?;
        match exchange(&mut connection.line, request).await? {
            Reply::Done => Ok(()),
            Reply::Failed(failure) => Err(failure.to_error()),
            _ => Err(unexpected()),
        }
    }

    /// Waits until no process is the supervisor any more.
    async fn wait_until_gone(&self) -> Result<()> {
        let deadline = Instant::now() + START;
        while self.is_held()? {
            if Instant::now() >= deadline {
                return Err(
                    Error::new(ErrorKind::Timeout, "stop the supervisor").with_source(format!(
                        "{} is still there",
                        crate::lock::holder(&self.folders.supervisor_lock())
                    )),
                );
            }
            sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }
}

#[async_trait]
impl SupervisorApi for SocketSupervisor {
    async fn find(&self) -> Result<Option<SupervisorInfo>> {
        Ok(self.connect().await?.map(|connection| connection.info))
    }

    async fn ensure(&self) -> Result<SupervisorInfo> {
        if let Some(info) = self.find().await? {
            if info.protocol == PROTOCOL {
                return Ok(info);
            }
            self.shutdown().await?;
        }
        self.launch().await
    }

    async fn status(&self) -> Result<BTreeMap<String, ProcessStatus>> {
        if self.connect().await?.is_none() {
            return Ok(BTreeMap::new());
        }
        let mut connection = self.get().await?;
        let asked = exchange(&mut connection.line, &Request::Status);
        match timeout(PATIENCE, asked).await {
            Ok(reply) => match reply? {
                Reply::Status(statuses) => Ok(statuses),
                Reply::Failed(failure) => Err(failure.to_error()),
                _ => Err(unexpected()),
            },
            Err(error) => {
                Err(Error::new(ErrorKind::Timeout, "ask the supervisor").with_source(error))
            }
        }
    }

    async fn start(&self, name: &str, process: &RenderedProcess) -> Result<()> {
        self.do_it(&Request::Start {
            name: name.to_owned(),
            process: Box::new(process.clone()),
        })
        .await
    }

    async fn stop(&self, name: &str) -> Result<()> {
        if self.connect().await?.is_none() {
            return Ok(());
        }
        self.do_it(&Request::Stop {
            name: name.to_owned(),
        })
        .await
    }

    async fn wait_until_ready(&self, name: &str, within: Duration, news: OnNews<'_>) -> Result<()> {
        let mut connection = self.get().await?;
        let mut last = None;
        let watched = watch(&mut connection.line, name, news, &mut last);
        let Ok(done) = timeout(within, watched).await else {
            let seen = match &last {
                Some((state, Some(line))) => format!("it is {state}; its last line: {line}"),
                Some((state, None)) => format!("it is {state} and says nothing"),
                None => "nothing is known of it".to_owned(),
            };
            return Err(
                Error::new(ErrorKind::Failed, format!("wait for `process/{name}`"))
                    .with_source(format!("not ready after {} s: {seen}", within.as_secs()))
                    .with_hint(format!("`mlops logs {name}` shows more")),
            );
        };
        done
    }

    async fn shutdown(&self) -> Result<()> {
        let mut process = None;
        if let Some(mut connection) = self.connect().await? {
            let pid = connection.info.pid;
            process = inspect::start_mark(pid).map(|start| (pid, start));
            match exchange(&mut connection.line, &Request::Shutdown).await {
                Ok(Reply::Done) => {}
                Ok(Reply::Failed(failure)) => return Err(failure.to_error()),
                Ok(_) => return Err(unexpected()),
                // It may end before its answer is out.
                Err(error) if error.kind() == ErrorKind::Unavailable => {}
                Err(error) => return Err(error),
            }
        }
        self.wait_until_gone().await?;
        // It has let go of everything by now; its process still has to end. One that does not is somebody's program
        // that supervised for a while.
        let deadline = Instant::now() + EXIT;
        while let Some((pid, start)) = &process
            && inspect::start_mark(*pid).as_ref() == Some(start)
            && Instant::now() < deadline
        {
            sleep(Duration::from_millis(2)).await;
        }
        // What a supervisor that was killed may have left.
        end_leftovers(&self.folders.pids()).await?;
        files::remove_file(&self.folders.socket())
    }
}

type Last = Option<(super::State, Option<String>)>;

/// Follows what the supervisor tells until the process is ready, has failed or is gone.
async fn watch(
    line: &mut Framed<UnixStream, LinesCodec>,
    name: &str,
    news: OnNews<'_>,
    last: &mut Last,
) -> Result<()> {
    let mut reply = exchange(line, &Request::Subscribe).await?;
    loop {
        let status = match reply {
            Reply::Status(mut statuses) => Some(statuses.remove(name)),
            Reply::News {
                name: whose,
                status,
            } if whose == name => Some(status.map(|status| *status)),
            Reply::News { .. } => None,
            Reply::Failed(failure) => return Err(failure.to_error()),
            _ => return Err(unexpected()),
        };
        match status {
            Some(Some(status)) => {
                *last = Some((status.state, status.last_line.clone()));
                news(&status);
                if status.is_ready() {
                    return Ok(());
                }
                if let Some(error) = failure_of(name, &status) {
                    return Err(error);
                }
            }
            Some(None) => {
                return Err(
                    Error::new(ErrorKind::NotFound, format!("wait for `process/{name}`"))
                        .with_source("it was stopped meanwhile"),
                );
            }
            None => {}
        }
        reply = receive(line).await?;
    }
}

async fn exchange(line: &mut Framed<UnixStream, LinesCodec>, request: &Request) -> Result<Reply> {
    let text = serde_json::to_string(request)
        .map_err(|_| Error::new(ErrorKind::Failed, "put a request into words"))?;
    line.send(text).await.map_err(cut)?;
    receive(line).await
}

async fn receive(line: &mut Framed<UnixStream, LinesCodec>) -> Result<Reply> {
    let text = match line.next().await {
        Some(text) => text.map_err(cut)?,
        None => {
            return Err(
                Error::new(ErrorKind::Unavailable, "hear the supervisor's answer")
                    .with_source("it ended meanwhile")
                    .with_hint("run `mlops up` again"),
            );
        }
    };
    serde_json::from_str(&text).map_err(|error| {
        Error::new(ErrorKind::Protocol, "understand the supervisor").with_source(error)
    })
}

fn cut(error: tokio_util::codec::LinesCodecError) -> Error {
    use tokio_util::codec::LinesCodecError;
    let kind = match &error {
        LinesCodecError::MaxLineLengthExceeded => ErrorKind::Protocol,
        LinesCodecError::Io(error) => kind_of(error),
    };
    Error::new(kind, "talk with the supervisor").with_source(error)
}

fn unexpected() -> Error {
    Error::new(ErrorKind::Protocol, "understand the supervisor")
        .with_source("it answered something else than was asked")
}
