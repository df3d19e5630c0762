//! A folder for the data of platforms on this machine, and the processes that work for it.
#![expect(
    clippy::panic,
    reason = "a test without a folder or a look at the processes must fail, and say why"
)]

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A folder of its own for what a user has; what works for it when it is dropped is ended, each by its number.
///
/// ```
/// use mlops_testkit::home::TestHome;
///
/// let home = TestHome::new("doc-");
/// assert!(home.path().is_dir());
/// assert!(home.processes().is_empty());
/// ```
#[derive(Debug)]
pub struct TestHome {
    folder: TempDir,
}

impl TestHome {
    /// Makes the folder; its name begins so. Other users may pass through it: as root, PostgreSQL runs as one of them.
    ///
    /// # Panics
    ///
    /// When it cannot be made.
    pub fn new(prefix: &str) -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let made = tempfile::Builder::new()
            .prefix(prefix)
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir();
        match made {
            Ok(folder) => Self { folder },
            Err(error) => panic!("cannot make a folder: {error}"),
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// What sends data and sockets of platforms here. The caches are the machine's own, so that nothing is fetched twice.
    pub fn variables(&self) -> [(&'static str, PathBuf); 2] {
        [
            ("XDG_DATA_HOME", self.path().join("data")),
            ("XDG_RUNTIME_DIR", self.path().to_owned()),
        ]
    }

    /// The folder of a platform.
    pub fn platform(&self, name: &str) -> PathBuf {
        self.path().join("data/mlops/platforms").join(name)
    }

    /// The processes that work for it.
    ///
    /// # Panics
    ///
    /// As [`processes_of`].
    pub fn processes(&self) -> Vec<(u32, String)> {
        processes_of(self.path())
    }
}

impl Drop for TestHome {
    fn drop(&mut self) {
        // Only a failed test leaves any.
        for (pid, _) in self.processes() {
            kill(pid);
        }
    }
}

/// The processes that name a folder in their arguments or environment, or work in it: their numbers and arguments. The
/// caller is left out, and so is what has ended and was not waited for.
///
/// # Panics
///
/// When the machine does not tell its processes.
pub fn processes_of(folder: &Path) -> Vec<(u32, String)> {
    let needle = folder.to_string_lossy();
    let processes = match fs::read_dir("/proc") {
        Ok(processes) => processes.flatten(),
        Err(error) => panic!("cannot read /proc: {error}"),
    };
    let found = processes.filter_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let read = |name: &str| {
            let bytes = fs::read(entry.path().join(name)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).replace('\0', " ")
        };
        let arguments = read("cmdline");
        let works_here =
            fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(folder));
        let is_of_it =
            works_here || arguments.contains(&*needle) || read("environ").contains(&*needle);
        let is_alive = pid != std::process::id() && !read("stat").contains(") Z ");
        (is_of_it && is_alive).then_some((pid, arguments))
    });
    found.collect()
}

/// SIGKILL; nothing when there is no such process.
pub fn kill(pid: u32) {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        let _gone = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}
