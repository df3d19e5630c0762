//! The program in a user's home of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::shell::capture;

/// An empty home; whatever runs in it is stopped at the end, and its data go.
#[derive(Debug)]
pub(super) struct Home {
    folder: tempfile::TempDir,
    program: PathBuf,
    cache: Option<PathBuf>,
    kubeconfig: Option<PathBuf>,
}

/// The last line that `mlops up --output json` prints holds this.
#[derive(Debug, Deserialize)]
struct Done {
    report: Report,
}

/// What a run did and how long it took.
#[derive(Debug, Deserialize)]
pub(super) struct Report {
    entries: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    id: String,
    took_ms: u32,
}

impl Report {
    /// How long one resource took, in seconds.
    pub(super) fn seconds(&self, id: &str) -> Result<f64> {
        self.entries
            .iter()
            .find(|entry| entry.id == id)
            .map(|entry| f64::from(entry.took_ms) / 1000.0)
            .with_context(|| format!("the report does not name `{id}`"))
    }

    /// How long the resource took whose id begins so, in seconds.
    pub(super) fn seconds_of(&self, start: &str) -> Result<f64> {
        let found = self
            .entries
            .iter()
            .find(|entry| entry.id.starts_with(start));
        self.seconds(found.map_or(start, |entry| &entry.id))
    }
}

/// One thing that `mlops prefetch` got or found.
#[derive(Debug, Deserialize)]
struct Prefetched {
    what: String,
    path: PathBuf,
}

/// Where the Python environment is, and the PostgreSQL that `mlops up` uses.
#[derive(Debug)]
pub(super) struct Prefetch {
    pub(super) environment: PathBuf,
    pub(super) postgres: PathBuf,
}

impl Prefetch {
    pub(super) fn python(&self) -> PathBuf {
        self.environment.join("bin/python")
    }
}

/// A folder that PostgreSQL's own user may enter, which it has to when we are root.
pub(super) fn open_folder() -> Result<tempfile::TempDir> {
    tempfile::Builder::new()
        .prefix("mlops-bench-")
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir()
        .context("failed to make a folder")
}

impl Home {
    pub(super) fn new(program: &Path) -> Result<Self> {
        let home = Self {
            folder: open_folder()?,
            program: program.to_owned(),
            cache: None,
            kubeconfig: None,
        };
        home.write("name: bench\n")?;
        Ok(home)
    }

    /// A home whose platform is in a cluster.
    pub(super) fn on_cluster(mut self, kubeconfig: &Path) -> Self {
        self.kubeconfig = Some(kubeconfig.to_owned());
        self
    }

    /// Describes the platform.
    pub(super) fn write(&self, platform: &str) -> Result<()> {
        Ok(fs::write(
            self.folder.path().join("platform.yaml"),
            platform,
        )?)
    }

    /// A home whose caches are empty too.
    pub(super) fn cold(program: &Path) -> Result<Self> {
        let mut home = Self::new(program)?;
        home.cache = Some(home.folder.path().join("cache"));
        Ok(home)
    }

    /// The program with nothing of the caller's settings of Python that would slow it down.
    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("XDG_DATA_HOME", self.folder.path().join("data"))
            .env("XDG_RUNTIME_DIR", self.folder.path())
            .env_remove("PYTHONDONTWRITEBYTECODE");
        if let Some(kubeconfig) = &self.kubeconfig {
            command.env("KUBECONFIG", kubeconfig);
        }
        if let Some(cache) = &self.cache {
            command
                .env("XDG_CACHE_HOME", cache)
                .env("UV_CACHE_DIR", cache.join("uv"));
        }
        command
    }

    /// Brings the platform up and hands back the report of it.
    pub(super) fn up(&self) -> Result<Report> {
        let text = capture(&mut self.command(&["--quiet", "up", "--output", "json"]))?;
        let last = text.lines().last().unwrap_or_default();
        let done: Done = serde_json::from_str(last).context("`mlops up` ended without a report")?;
        Ok(done.report)
    }

    /// Gets what `mlops up` needs.
    pub(super) fn prefetch(&self) -> Result<Prefetch> {
        let text = capture(&mut self.command(&["prefetch", "--output", "json"]))?;
        let list: Vec<Prefetched> =
            serde_json::from_str(&text).context("failed to read the answer of `mlops prefetch`")?;
        let place = |what: &str| {
            list.iter()
                .find(|entry| entry.what == what)
                .map(|entry| entry.path.as_path())
                .with_context(|| format!("`mlops prefetch` names no `{what}`"))
        };
        let environment = place("python")?.ancestors().nth(2);
        Ok(Prefetch {
            environment: environment.context("Python is in no environment")?.into(),
            postgres: place("postgres")?.to_owned(),
        })
    }

    /// The number of the process that keeps this home's platform.
    pub(super) fn supervisor(&self) -> Result<u32> {
        let here = self.folder.path().to_string_lossy().into_owned();
        for process in fs::read_dir("/proc")?.flatten() {
            let Some(pid) = process.file_name().to_str().and_then(|it| it.parse().ok()) else {
                continue;
            };
            // It may have ended meanwhile.
            let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line);
            if line.contains("__supervise") && line.contains(&here) {
                return Ok(pid);
            }
        }
        anyhow::bail!("no supervisor runs in `{here}`")
    }

    pub(super) fn down(&self) -> Result<()> {
        capture(&mut self.command(&["--quiet", "down"])).map(drop)
    }

    /// Takes the platform away, with its data.
    pub(super) fn remove(&self) -> Result<()> {
        capture(&mut self.command(&["--quiet", "remove", "--yes", "--all-data"])).map(drop)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // With nothing running this does nothing; what goes wrong has been said on standard error.
        let _ = self.down();
    }
}
