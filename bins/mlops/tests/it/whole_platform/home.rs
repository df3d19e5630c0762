//! A user's home for one test, and the command in it.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use mlops_testkit::kubernetes::TestNode;
use serde_json::Value;

/// One platform at a time on this machine.
static TURN: Mutex<()> = Mutex::new(());

/// And one on the node that all tests share.
static TURN_ON_NODE: Mutex<()> = Mutex::new(());

/// A folder for a user's data with the command's settings; whatever runs in it is stopped at the end.
pub(crate) struct Home {
    pub(crate) folder: tempfile::TempDir,
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
    /// Waits for its turn and makes the folder, which other users may look into: PostgreSQL runs as one of them.
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
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::Builder::new()
            .prefix("mlops-test-")
            .permissions(std::fs::Permissions::from_mode(0o755))
            .tempdir()
            .unwrap();
        Self {
            folder,
            node,
            _turn: turn,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The folder of the platform itself.
    pub(crate) fn platform(&self, name: &str) -> PathBuf {
        self.path("data/mlops/platforms").join(name)
    }

    /// The command in this home, with nothing of the caller's environment that could change what it does.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mlops"));
        command
            .args(args)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .env("XDG_DATA_HOME", self.path("data"))
            .env("XDG_RUNTIME_DIR", self.folder.path())
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

    /// The processes that belong to this home: those that name it in their arguments, environment or working folder.
    pub(crate) fn processes(&self) -> Vec<(u32, String)> {
        processes_of(self.folder.path())
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Some(node) = self.node.filter(|_| std::thread::panicking()) {
            println!("{}", node.state());
        }
        let _stopped = self.command(&["down"]).output();
        // What a failed test left is ended by its number, never by its name.
        for (pid, _) in self.processes() {
            kill(pid);
        }
    }
}

/// SIGKILL.
pub(crate) fn kill(pid: u32) {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        let _gone = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

/// The processes that name a folder in their arguments, environment or working folder.
pub(crate) fn processes_of(folder: &Path) -> Vec<(u32, String)> {
    let needle = folder.to_string_lossy().into_owned();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        if pid == std::process::id() {
            continue;
        }
        let read = |name: &str| {
            let bytes = std::fs::read(entry.path().join(name)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).replace('\0', " ")
        };
        let arguments = read("cmdline");
        let cwd = std::fs::read_link(entry.path().join("cwd")).unwrap_or_default();
        let alive = !read("stat").contains(") Z ");
        if alive
            && (arguments.contains(&needle)
                || read("environ").contains(&needle)
                || cwd.starts_with(folder))
        {
            found.push((pid, arguments));
        }
    }
    found
}
