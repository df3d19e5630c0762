//! A user's home for one test, and the command in it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use mlops_testkit::home::TestHome;
use mlops_testkit::kubernetes::TestNode;
use rand::RngExt as _;
use serde_json::Value;

/// One platform at a time on this machine.
static TURN: Mutex<()> = Mutex::new(());

/// And one on the node that all tests share.
static TURN_ON_NODE: Mutex<()> = Mutex::new(());

/// A folder for a user's data with the command's settings; whatever runs in it is stopped at the end.
pub(crate) struct Home {
    pub(crate) folder: TestHome,
    /// Where the platform is, unless it is on this machine.
    node: Option<&'static TestNode>,
    _turn: Option<MutexGuard<'static, ()>>,
}

/// What a command said and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    /// Fails unless the command ended so.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(
            self.code, code,
            "stdout:\n{}\nstderr:\n{}",
            self.out, self.err
        );
        self
    }

    /// The one JSON document on standard output.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        match serde_json::from_str(&self.out) {
            Ok(value) => value,
            Err(error) => panic!("{error} in:\n{}\nstderr:\n{}", self.out, self.err),
        }
    }

    /// The report in the last of the JSON lines on standard output.
    #[track_caller]
    pub(crate) fn report(&self) -> mlops_core::Report {
        let last = self.out.lines().last().unwrap_or_default();
        match serde_json::from_str(last) {
            Ok(mlops_core::Event::Done { report }) => report,
            other => panic!(
                "no report at the end: {other:?}\n{}\n{}",
                self.out, self.err
            ),
        }
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Home {
    /// Waits for its turn on this machine.
    pub(crate) fn new() -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        Self::with(Some(turn), None)
    }

    /// Waits for its turn on the shared node.
    pub(crate) fn on_node() -> Self {
        let turn = TURN_ON_NODE.lock().unwrap_or_else(PoisonError::into_inner);
        Self::with(Some(turn), Some(TestNode::shared()))
    }

    /// One for a small platform that is elsewhere: it waits for nobody.
    pub(crate) fn of_cluster(node: &'static TestNode) -> Self {
        Self::with(None, Some(node))
    }

    fn with(turn: Option<MutexGuard<'static, ()>>, node: Option<&'static TestNode>) -> Self {
        Self {
            folder: TestHome::new("mlops-test-"),
            node,
            _turn: turn,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The folder of the platform itself.
    pub(crate) fn platform(&self, name: &str) -> PathBuf {
        self.folder.platform(name)
    }

    /// Every secret's text of a platform by its name.
    pub(crate) fn secrets(&self, platform: &str) -> BTreeMap<String, String> {
        let folder = self.platform(platform).join("secrets");
        let texts = names(&folder).into_iter().flat_map(|component| {
            let inner = folder.join(&component);
            names(&inner).into_iter().map(move |name| {
                let text = std::fs::read_to_string(inner.join(&name)).unwrap();
                (format!("{component}/{name}"), text.trim().to_owned())
            })
        });
        texts.collect()
    }

    /// The command in this home, with nothing of the caller's environment that could change what it does.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = self.program(env!("CARGO_BIN_EXE_mlops"));
        command.args(args);
        command
    }

    /// Another program with the same settings, such as one that starts the command.
    pub(crate) fn program(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .envs(self.folder.variables())
            .env("NO_COLOR", "1")
            // A trap of many images: it would make every start of Python slow.
            .env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Said {
        self.command(args).output().unwrap().into()
    }

    /// Starts it and does not wait.
    pub(crate) fn start(&self, args: &[&str]) -> Child {
        let log = std::fs::File::create(self.path("started.log")).unwrap();
        self.command(args)
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    /// What the last started command wrote.
    pub(crate) fn started_log(&self) -> String {
        let mut text = String::new();
        std::fs::File::open(self.path("started.log"))
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        text
    }

    /// The processes that work for it.
    pub(crate) fn processes(&self) -> Vec<(u32, String)> {
        self.folder.processes()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Some(node) = self.node.filter(|_| std::thread::panicking()) {
            println!("{}", node.state());
        }
        let _stopped = self.command(&["down"]).output();
    }
}

/// What is in a folder by its name, if there is one, without what a killed run was writing.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().into_string().unwrap());
    names.filter(|name| !name.starts_with('.')).collect()
}

/// What PostgreSQL answers to a statement of its superuser, a line for each row.
#[track_caller]
pub(crate) fn psql(url: &str, password: &str, sql: &str) -> String {
    let authority = url.trim().rsplit('/').next().unwrap();
    let (host, port) = authority.rsplit_once(':').unwrap();
    let output = Command::new("psql")
        .args(["-v", "ON_ERROR_STOP=1", "-qAt", "-U", "postgres"])
        .args(["-h", host, "-p", port, "-c", sql, "postgres"])
        .env("PGPASSWORD", password)
        .output()
        .unwrap();
    let said = Said::from(output).expect(0);
    said.out.trim().to_owned()
}

/// What a terminal sends on Ctrl-C.
pub(crate) fn interrupt(pid: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
}

/// From where a test takes what it chooses at random: `MLOPS_TEST_SEED`, else another one each time.
#[expect(
    clippy::disallowed_methods,
    reason = "a person says which run is made again"
)]
pub(crate) fn seed() -> u64 {
    let seed = match std::env::var("MLOPS_TEST_SEED") {
        Ok(text) => text.parse().unwrap(),
        Err(_) => rand::rng().random(),
    };
    println!("seed {seed}: replay with MLOPS_TEST_SEED={seed}");
    seed
}
