//! What is said over the supervisor's socket: one JSON object a line.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use jiff::Timestamp;
use mlops_core::process::ProcessSpec;
use mlops_core::{Failure, SecretText, ServiceName};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::Url;

/// The version of the protocol. Only greeting and shutdown keep their form for ever, so that
/// any program can stop any supervisor.
pub const PROTOCOL: u32 = 1;

/// The longest line that is taken, in bytes.
pub(super) const LONGEST_LINE: usize = 8 << 20;

/// Secret text on its way to the supervisor or to a process that is about to start.
///
/// It serialises as the text itself, and is therefore only part of values that go over the user's own socket or
/// through a pipe.
#[derive(Clone)]
pub struct WireSecret(SecretText);

impl WireSecret {
    /// Takes the text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretText::new(text))
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl From<SecretText> for WireSecret {
    fn from(text: SecretText) -> Self {
        Self(text)
    }
}

impl PartialEq for WireSecret {
    fn eq(&self, other: &Self) -> bool {
        self.0.is_same(&other.0)
    }
}

impl fmt::Debug for WireSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WireSecret(…)")
    }
}

impl Serialize for WireSecret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose())
    }
}

impl<'de> Deserialize<'de> for WireSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// The user that a process runs as, when that is not ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// Its name, for people.
    pub name: String,
    /// Its number.
    pub uid: u32,
    /// The number of its group; it gets no other.
    pub gid: u32,
}

/// What is run, with everything looked up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Runs {
    /// A program as a process of its own.
    Program {
        /// Its file.
        path: PathBuf,
        /// Who it runs as; `None` for the supervisor's user.
        account: Option<Account>,
        /// The data folder, when it is a PostgreSQL server.
        postgres_data: Option<PathBuf>,
    },
    /// The S3 server inside the supervisor.
    EmbeddedS3 {
        /// The folder with its data.
        root: PathBuf,
    },
}

/// A process with all its templates filled in: everything the supervisor needs to keep it running.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenderedProcess {
    /// What it was made from; holds no secret.
    pub spec: ProcessSpec,
    /// What is run.
    pub runs: Runs,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its whole environment.
    pub env: BTreeMap<String, WireSecret>,
    /// Files in its folder, by relative path.
    pub files: BTreeMap<String, WireSecret>,
    /// The folder it runs in.
    pub folder: PathBuf,
    /// The addresses of the services that it listens at or that its texts mention.
    pub addresses: BTreeMap<ServiceName, Url>,
    /// Texts that are replaced by dots in its log.
    pub hidden: Vec<WireSecret>,
}

/// How a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It runs and does not answer yet.
    Starting,
    /// It answers.
    Ready,
    /// It died and is started again after a while.
    Waiting,
    /// It is being stopped.
    Stopping,
    /// It could not be started and is left so.
    Failed,
}

impl State {
    /// One word for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Waiting => "waiting to restart",
            Self::Stopping => "stopping",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What is known of a process that the supervisor keeps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProcessStatus {
    /// How it is.
    pub state: State,
    /// Since when.
    pub since: Timestamp,
    /// Its number; `None` when it does not run or is part of the supervisor.
    pub pid: Option<u32>,
    /// How often it was started again.
    pub restarts: u32,
    /// How often in a row it ended before it was ready.
    pub failed_starts: u32,
    /// How it ended the last time.
    pub last_exit: Option<String>,
    /// Why it is [`State::Failed`], or the last trouble.
    pub failure: Option<Failure>,
    /// The last line it wrote.
    pub last_line: Option<String>,
    /// What it was made from.
    pub spec: ProcessSpec,
    /// What is run.
    pub runs: Runs,
    /// The addresses it was given.
    pub addresses: BTreeMap<ServiceName, Url>,
}

impl ProcessStatus {
    /// Whether it answers.
    pub fn is_ready(&self) -> bool {
        self.state == State::Ready
    }

    /// For how many milliseconds it has been so.
    pub fn since_ms(&self) -> u64 {
        let lasted = Timestamp::now().duration_since(self.since).as_millis();
        u64::try_from(lasted).unwrap_or_default()
    }
}

/// What a supervisor says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SupervisorInfo {
    /// The version of the protocol that it speaks.
    pub protocol: u32,
    /// The version of the program that it is part of.
    pub build: String,
    /// Its process.
    pub pid: u32,
}

/// A request; the first one of a connection is [`Request::Hello`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Request {
    /// Who are you?
    Hello {
        /// The version that the client speaks.
        protocol: u32,
    },
    /// Keep this process running. Answered when it is started; does nothing when it is the same as before.
    Start {
        /// Its name.
        name: String,
        /// What it is.
        process: Box<RenderedProcess>,
    },
    /// Stop a process and forget it. Answered when it is gone.
    Stop {
        /// Its name.
        name: String,
    },
    /// How is everything?
    Status,
    /// Tell how everything is, and then every change, until the connection ends.
    Subscribe,
    /// Stop everything and end. Answered when everything has stopped.
    Shutdown,
}

/// An answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Reply {
    /// To [`Request::Hello`].
    Hello(SupervisorInfo),
    /// It is done.
    Done,
    /// To [`Request::Status`].
    Status(BTreeMap<String, ProcessStatus>),
    /// A process changed; without a status it is gone.
    News {
        /// Its name.
        name: String,
        /// How it is now.
        status: Option<Box<ProcessStatus>>,
    },
    /// It could not be done.
    Failed(Failure),
}
