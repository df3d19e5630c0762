//! A folder for the data of one platform, which holds nothing and no process at the end.

use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mlops_testkit::home::TestHome;

/// One platform at a time: each takes a gigabyte of memory.
static TURN: Mutex<()> = Mutex::new(());

/// The folder, and the turn.
pub(crate) struct Home {
    pub(crate) folder: TestHome,
    _turn: MutexGuard<'static, ()>,
}

impl Home {
    /// Waits for its turn.
    pub(crate) fn new() -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        Self {
            folder: TestHome::new("mlops-recipe-"),
            _turn: turn,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A recipe whose platforms are here.
    pub(crate) fn example(&self, name: &str) -> Command {
        let mut command = crate::example(name);
        command
            .envs(self.folder.variables())
            .current_dir(self.path());
        command
    }

    /// Fails when a platform has left a folder or a process.
    pub(crate) fn is_left_empty(&self) {
        let platforms = self.folder.platform("");
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
        while !self.folder.processes().is_empty() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(self.folder.processes(), [], "processes are left");
    }
}
