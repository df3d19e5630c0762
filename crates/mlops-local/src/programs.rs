//! The programs that processes run, looked up.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use mlops_core::{Digest, Error, ErrorKind, Result};

use crate::postgres::{PostgresProgram, PostgresSearch};
use crate::python::{PythonEnvironment, PythonOptions};

/// A Python environment that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PythonPlace {
    /// Its interpreter.
    pub python: PathBuf,
    /// The folder with the programs of PostgreSQL, when it brings them.
    pub postgres_bin: Option<PathBuf>,
    /// Folders of it that templates see by name, such as `launch` and `samples`.
    pub folders: BTreeMap<String, PathBuf>,
}

/// Told in short sentences what is done and waited for.
pub type OnText<'a> = &'a (dyn Fn(&str) + Send + Sync);

/// The locked Python environment that platforms share.
#[async_trait]
pub trait PythonApi: Send + Sync {
    /// A short digest of what it is locked to.
    fn lock(&self) -> String;

    /// The environment, when it is there completely.
    async fn find(&self) -> Result<Option<PythonPlace>>;

    /// Makes it unless it is there, telling `news` what it does.
    async fn ensure(&self, news: OnText<'_>) -> Result<PythonPlace>;
}

/// The environment in the cache, of [`python::PythonEnvironment`](crate::python::PythonEnvironment).
#[derive(Debug, Clone)]
pub struct CachedPython(PythonOptions);

impl CachedPython {
    /// The environment of these options.
    pub fn new(options: PythonOptions) -> Self {
        Self(options)
    }
}

fn place(environment: &PythonEnvironment) -> PythonPlace {
    let folder = |file: PathBuf| file.parent().map(Path::to_path_buf);
    let folders = [
        ("launch", folder(environment.mlflow_launcher())),
        ("samples", folder(environment.warm_up_model())),
    ];
    PythonPlace {
        python: environment.python.clone(),
        postgres_bin: environment.postgres_bin_dir(),
        folders: folders
            .into_iter()
            .filter_map(|(name, path)| Some((name.to_owned(), path?)))
            .collect(),
    }
}

#[async_trait]
impl PythonApi for CachedPython {
    fn lock(&self) -> String {
        let lock = include_bytes!("../python/requirements.lock");
        Digest::of_bytes(lock).short().to_owned()
    }

    async fn find(&self) -> Result<Option<PythonPlace>> {
        let found = PythonEnvironment::find(&self.0).await?;
        Ok(found.as_ref().map(place))
    }

    async fn ensure(&self, news: OnText<'_>) -> Result<PythonPlace> {
        let made = PythonEnvironment::ensure(&self.0, news).await?;
        Ok(place(&made))
    }
}

/// Where the programs of processes are.
#[async_trait]
pub trait Programs: Send + Sync {
    /// The interpreter of the Python environment.
    async fn python(&self) -> Result<PathBuf>;

    /// A PostgreSQL server, of version `major` when that is given.
    async fn postgres(&self, major: Option<u32>) -> Result<PostgresProgram>;

    /// A program by absolute path or by name.
    async fn command(&self, name: &str) -> Result<PathBuf>;

    /// Folders that come with the programs and that templates see by name.
    async fn folders(&self) -> Result<BTreeMap<String, PathBuf>> {
        Ok(BTreeMap::new())
    }

    /// What every process finds in its environment.
    fn env(&self) -> BTreeMap<String, String>;
}

/// The programs of this machine.
#[derive(Clone)]
pub struct LocalPrograms {
    env: BTreeMap<String, String>,
    postgres_bin: Option<PathBuf>,
    python: Arc<dyn PythonApi>,
}

impl std::fmt::Debug for LocalPrograms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The environment may hold credentials of a proxy.
        f.debug_struct("LocalPrograms")
            .field("postgres_bin", &self.postgres_bin)
            .finish_non_exhaustive()
    }
}

/// The settings that reach processes; nothing else of the user's environment does.
const PASSED_ON: [&str; 17] = [
    "PATH",
    "LANG",
    "TZ",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "AWS_CA_BUNDLE",
];

/// The part of an environment that processes get. A proxy is never asked for what is on this machine.
pub(crate) fn passed_on(env: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut passed: BTreeMap<String, String> = PASSED_ON
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), env.get(*name)?.clone())))
        .collect();
    passed
        .entry("PATH".to_owned())
        .or_insert_with(|| "/usr/local/bin:/usr/bin:/bin".to_owned());
    passed
        .entry("LANG".to_owned())
        .or_insert_with(|| "C.UTF-8".to_owned());
    let has_proxy = passed
        .keys()
        .any(|name| name.to_ascii_lowercase().ends_with("_proxy"));
    if has_proxy {
        let given = passed
            .get("no_proxy")
            .or_else(|| passed.get("NO_PROXY"))
            .cloned()
            .unwrap_or_default();
        let here = ["127.0.0.1", "localhost"]
            .into_iter()
            .filter(|host| !given.split(',').any(|known| known.trim() == *host));
        let all: Vec<&str> = Some(given.as_str())
            .filter(|given| !given.is_empty())
            .into_iter()
            .chain(here)
            .collect();
        let all = all.join(",");
        passed.insert("no_proxy".to_owned(), all.clone());
        passed.insert("NO_PROXY".to_owned(), all);
    }
    passed
}

impl LocalPrograms {
    /// Programs by the settings in `env` (the environment the program was started with), PostgreSQL from
    /// `postgres_bin` when that is given, Python from `python`.
    pub fn new(
        env: &BTreeMap<String, String>,
        postgres_bin: Option<PathBuf>,
        python: Arc<dyn PythonApi>,
    ) -> Self {
        Self {
            env: passed_on(env),
            postgres_bin,
            python,
        }
    }
}

#[async_trait]
impl Programs for LocalPrograms {
    async fn python(&self) -> Result<PathBuf> {
        match self.python.find().await? {
            Some(place) => Ok(place.python),
            None => Err(
                Error::new(ErrorKind::NotFound, "find the Python environment")
                    .with_source("it is not there yet")
                    .with_hint("`mlops prefetch` makes it"),
            ),
        }
    }

    async fn postgres(&self, major: Option<u32>) -> Result<PostgresProgram> {
        let python = match &self.postgres_bin {
            Some(_) => None,
            None => self
                .python
                .find()
                .await?
                .and_then(|place| place.postgres_bin),
        };
        PostgresSearch {
            setting: self.postgres_bin.clone(),
            path: self.env.get("PATH").map(Into::into),
            python,
        }
        .find(major)
        .await
    }

    async fn command(&self, name: &str) -> Result<PathBuf> {
        let path = self.env.get("PATH");
        which::which_in(name, path, Path::new("/")).map_err(|error| {
            Error::new(ErrorKind::NotFound, format!("find program `{name}`"))
                .with_source(error)
                .with_hint(format!("install `{name}`, or give its absolute path"))
        })
    }

    async fn folders(&self) -> Result<BTreeMap<String, PathBuf>> {
        let place = self.python.find().await?;
        Ok(place.map(|place| place.folders).unwrap_or_default())
    }

    fn env(&self) -> BTreeMap<String, String> {
        self.env.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_processes_need_is_passed_on() {
        let env = BTreeMap::from([
            ("PATH".to_owned(), "/bin".to_owned()),
            ("PYTHONDONTWRITEBYTECODE".to_owned(), "1".to_owned()),
            ("AWS_SECRET_ACCESS_KEY".to_owned(), "x".to_owned()),
            ("https_proxy".to_owned(), "http://proxy:1".to_owned()),
            ("NO_PROXY".to_owned(), "example.org,localhost".to_owned()),
        ]);
        let passed = passed_on(&env);
        let names: Vec<&str> = passed.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            ["LANG", "NO_PROXY", "PATH", "https_proxy", "no_proxy"]
        );
        assert_eq!(passed["no_proxy"], "example.org,localhost,127.0.0.1");
        assert!(!passed_on(&BTreeMap::new()).contains_key("no_proxy"));
    }
}
