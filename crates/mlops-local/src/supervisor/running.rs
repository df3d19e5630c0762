//! Something that runs: a process of its own, or the S3 server inside the supervisor.

use std::process::ExitStatus;
use std::time::Duration;

use mlops_core::process::Stop;
use mlops_core::{Endpoint, Error, ErrorKind, Result};
use mlops_s3_server::{Config, Credentials, Server};
use rustix::process::Signal;
use tokio::process::Child;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::leftover::{kill_group, signal_process};
use super::log::LogPump;
use super::protocol::{RenderedProcess, Runs};
use super::signal;

/// How long the output of a process that has ended is waited for.
const DRAIN: Duration = Duration::from_millis(500);

/// Something that was started and has not been seen to end.
#[derive(Debug)]
pub(super) enum Running {
    /// A process, the leader of its own group.
    Process {
        child: Child,
        pid: u32,
        log: LogPump,
    },
    /// The S3 server.
    S3 {
        task: JoinHandle<String>,
        stop: Option<oneshot::Sender<()>>,
    },
}

impl Running {
    pub(super) fn process(child: Child, log: LogPump) -> Self {
        let pid = child.id().unwrap_or_default();
        Self::Process { child, pid, log }
    }

    /// Starts the S3 server at `place`.
    pub(super) async fn s3(process: &RenderedProcess, place: &Endpoint) -> Result<Self> {
        let config = s3_config(process)?;
        let address = std::net::SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, place.port()));
        let server = Server::bind(config, address).await.map_err(|error| {
            Error::new(
                ErrorKind::Failed,
                format!("start the S3 server at `{address}`"),
            )
            .with_source(error)
        })?;
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let stopped = async move {
                // A dropped sender says the same.
                drop(stopped.await);
            };
            match server.run(stopped).await {
                Ok(()) => "it was stopped".to_owned(),
                Err(error) => error.to_string(),
            }
        });
        Ok(Self::S3 {
            task,
            stop: Some(stop),
        })
    }

    pub(super) fn pid(&self) -> Option<u32> {
        match self {
            Self::Process { pid, .. } => Some(*pid),
            Self::S3 { .. } => None,
        }
    }

    /// Waits until it has ended and says how. What is left of its group is killed. May be dropped and called again.
    pub(super) async fn ended(&mut self) -> String {
        match self {
            Self::Process { child, pid, log } => {
                let status = child.wait().await;
                kill_group(*pid);
                log.drained(DRAIN).await;
                match status {
                    Ok(status) => describe(status),
                    Err(error) => error.to_string(),
                }
            }
            Self::S3 { task, .. } => match task.await {
                Ok(text) => text,
                Err(error) => format!("the S3 server failed: {error}"),
            },
        }
    }

    /// Asks it to end, and makes it end when it takes too long.
    pub(super) async fn end(&mut self, how: &Stop) {
        match self {
            Self::Process { pid, .. } => signal_process(*pid, signal(how.signal)),
            Self::S3 { stop, .. } => drop(stop.take()),
        }
        let patience = Duration::from_secs(how.within_seconds);
        if tokio::time::timeout(patience, self.ended()).await.is_ok() {
            return;
        }
        match self {
            Self::Process { pid, .. } => {
                signal_process(*pid, Signal::KILL);
                kill_group(*pid);
            }
            Self::S3 { task, .. } => task.abort(),
        }
        self.ended().await;
    }
}

fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}

/// The settings of the S3 server, which come by the environment as for any other process.
fn s3_config(process: &RenderedProcess) -> Result<Config> {
    let wrong = |cause: String| {
        Error::new(
            ErrorKind::InvalidInput,
            "understand the settings of the S3 server",
        )
        .with_source(cause)
    };
    let Runs::EmbeddedS3 { root } = &process.runs else {
        return Err(wrong("it is described as a program".to_owned()));
    };
    let value = |name: &str| {
        process
            .env
            .get(name)
            .map(|value| value.expose().to_owned())
            .ok_or_else(|| wrong(format!("`{name}` is missing from its environment")))
    };
    let admin = Credentials::new(value("ACCESS_KEY")?, value("SECRET_KEY")?);
    Ok(Config::new(root.clone(), admin).with_region(value("REGION")?))
}
