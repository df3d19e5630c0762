//! A folder for the data of one platform, which holds nothing and no process at the end.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// One platform at a time: each takes a gigabyte of memory.
static TURN: Mutex<()> = Mutex::new(());

/// The folder, and the turn.
pub(crate) struct Home {
    folder: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Home {
    /// Waits for its turn. Other users may pass through the folder: as root, PostgreSQL runs as one of them.
    pub(crate) fn new() -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = tempfile::Builder::new()
            .prefix("mlops-recipe-")
            .permissions(std::fs::Permissions::from_mode(0o755))
            .tempdir()
            .unwrap();
        Self {
            folder,
            _turn: turn,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// What sends data and sockets here. The caches are the machine's own, so that nothing is fetched twice.
    pub(crate) fn env(&self) -> [(&'static str, String); 2] {
        let path = self.path().to_string_lossy().into_owned();
        [("XDG_DATA_HOME", path.clone()), ("XDG_RUNTIME_DIR", path)]
    }

    /// A recipe whose platforms are here.
    pub(crate) fn example(&self, name: &str) -> Command {
        let mut command = crate::example(name);
        command.envs(self.env()).current_dir(self.path());
        command
    }

    /// Fails when a platform has left a folder or a process.
    pub(crate) fn is_left_empty(&self) {
        let platforms = self.path().join("mlops/platforms");
        if let Ok(left) = std::fs::read_dir(&platforms) {
            assert_eq!(
                left.count(),
                0,
                "folders are left in {}",
                platforms.display()
            );
        }
        // The supervisor answers before it ends.
        let deadline = Instant::now() + Duration::from_secs(10);
        while !self.processes().is_empty() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(self.processes(), [], "processes are left");
    }

    /// The processes that name this folder in their arguments or environment, or work in it.
    fn processes(&self) -> Vec<(i32, String)> {
        let needle = self.path().to_string_lossy().into_owned();
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let pid = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok());
            let Some(pid) = pid.filter(|pid| u32::try_from(*pid) != Ok(std::process::id())) else {
                continue;
            };
            let read = |name: &str| {
                let bytes = std::fs::read(entry.path().join(name)).unwrap_or_default();
                String::from_utf8_lossy(&bytes).replace('\0', " ")
            };
            let arguments = read("cmdline");
            let works_here = std::fs::read_link(entry.path().join("cwd"))
                .is_ok_and(|folder| folder.starts_with(self.path()));
            let names_it = arguments.contains(&needle) || read("environ").contains(&needle);
            if (works_here || names_it) && !read("stat").contains(") Z ") {
                found.push((pid, arguments));
            }
        }
        found
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // Only a failed test leaves any; they are ended by their numbers.
        for (pid, _) in self.processes() {
            if let Some(pid) = rustix::process::Pid::from_raw(pid) {
                let _gone = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
    }
}
