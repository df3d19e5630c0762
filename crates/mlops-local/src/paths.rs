//! Where everything is: one folder a platform, caches shared by all.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mlops_core::{ComponentName, Digest, Error, ErrorKind, PlatformName, Result};

use crate::files;

/// The longest path that a Unix socket can have on every system we know, without its final zero byte: 104 bytes on
/// macOS, 108 on Linux (<https://man7.org/linux/man-pages/man7/unix.7.html>).
const SOCKET_PATH_LIMIT: usize = 103;

/// The folders that everything else is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roots {
    /// Holds the platforms: `<data>/platforms/<name>`.
    pub data: PathBuf,
    /// Holds what can be made again: Python environments, sample models.
    pub cache: PathBuf,
    /// A short folder of this user for sockets whose own folder has too long a path.
    pub runtime: PathBuf,
}

/// The folders of a user by the XDG rules (<https://specifications.freedesktop.org/basedir-spec/latest/>); for root
/// without explicit XDG variables `/var/lib/mlops` and `/var/cache/mlops`, because PostgreSQL never runs as root and
/// another user may not enter root's home.
///
/// `env` is the environment the program was started with, `uid` the user it runs as.
///
/// ```
/// let env = [("HOME".to_owned(), "/home/ada".to_owned())].into();
/// let roots = mlops_local::default_roots(&env, 1000)?;
/// assert_eq!(roots.data, std::path::Path::new("/home/ada/.local/share/mlops"));
/// # Ok::<(), mlops_core::Error>(())
/// ```
///
/// # Errors
///
/// When neither the XDG variables nor `HOME` say where a user's folders are.
pub fn default_roots(env: &BTreeMap<String, String>, uid: u32) -> Result<Roots> {
    // The rules say that a relative path counts as not set.
    let absolute = |name: &str| {
        env.get(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let root_or_home = |variable: &str, root: &str, below_home: &str| {
        if let Some(folder) = absolute(variable) {
            return Ok(folder.join("mlops"));
        }
        if uid == 0 {
            return Ok(PathBuf::from(root));
        }
        absolute("HOME")
            .map(|home| home.join(below_home).join("mlops"))
            .ok_or_else(|| {
                Error::new(ErrorKind::InvalidInput, "find this user's folders")
                    .with_source(format!(
                        "neither `{variable}` nor `HOME` is an absolute path"
                    ))
                    .with_hint(format!("set `{variable}`"))
            })
    };
    Ok(Roots {
        data: root_or_home("XDG_DATA_HOME", "/var/lib/mlops", ".local/share")?,
        cache: root_or_home("XDG_CACHE_HOME", "/var/cache/mlops", ".cache")?,
        runtime: absolute("XDG_RUNTIME_DIR").map_or_else(
            || PathBuf::from(format!("/tmp/mlops-{uid}")),
            |folder| folder.join("mlops"),
        ),
    })
}

impl Roots {
    /// All three below one folder, for tests and embedders.
    pub fn below(folder: impl AsRef<Path>) -> Self {
        let folder = folder.as_ref();
        Self {
            data: folder.join("data"),
            cache: folder.join("cache"),
            runtime: folder.join("runtime"),
        }
    }

    /// The folder that holds one folder a platform.
    pub fn platforms(&self) -> PathBuf {
        self.data.join("platforms")
    }
}

/// The folders and files of one platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folders {
    root: PathBuf,
    runtime: PathBuf,
}

impl Folders {
    /// Those of `platform` below `roots`. Nothing is made.
    pub fn new(roots: &Roots, platform: &PlatformName) -> Self {
        Self {
            root: roots.platforms().join(platform.as_str()),
            runtime: roots.runtime.clone(),
        }
    }

    /// Those of the platform whose folder is `root`; `runtime` is the folder for sockets with too long a path.
    pub fn at(root: impl Into<PathBuf>, runtime: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            runtime: runtime.into(),
        }
    }

    /// The platform's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Secrets, one file each: `secrets/COMPONENT/NAME`.
    pub fn secrets(&self) -> PathBuf {
        self.root.join("secrets")
    }

    /// The folder with the data folders of all components.
    pub fn all_data(&self) -> PathBuf {
        self.root.join("data")
    }

    /// The data folder of a component.
    pub fn data(&self, component: &str) -> PathBuf {
        self.all_data().join(component)
    }

    /// The folder a component's process runs in, with its files; made anew at any start.
    pub fn run(&self, component: &str) -> PathBuf {
        self.root.join("run").join(component)
    }

    /// The folder for temporary files of a component's process.
    pub fn tmp(&self, component: &str) -> PathBuf {
        self.run(component).join("tmp")
    }

    /// What the model server is told about the models it serves.
    pub fn models(&self) -> PathBuf {
        self.root.join("models")
    }

    /// The folder of the logs.
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// The log of a component; older ones end in `.1`, `.2` …
    pub fn log(&self, component: &str) -> PathBuf {
        self.logs().join(format!("{component}.log"))
    }

    /// The folder of notes about running processes, by which a new supervisor finds what an old one left.
    pub fn pids(&self) -> PathBuf {
        self.root.join("pids")
    }

    /// What happened, one JSON object a line.
    pub fn events(&self) -> PathBuf {
        self.root.join("events.jsonl")
    }

    /// The ports that were chosen.
    pub fn ports(&self) -> PathBuf {
        self.root.join("ports.json")
    }

    /// Held by the run that changes the platform.
    pub fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// Who the runs of this folder are elsewhere, since the machine was started.
    pub(crate) fn holder(&self, boot: &str) -> PathBuf {
        self.root.join("run").join(format!("holder-{boot}"))
    }

    /// Held by the supervisor as long as it lives.
    pub fn supervisor_lock(&self) -> PathBuf {
        self.root.join("supervisor.lock")
    }

    /// What the supervisor itself says.
    pub fn supervisor_log(&self) -> PathBuf {
        self.root.join("supervisor.log")
    }

    /// The supervisor's socket: in the platform's folder when the path is short enough, otherwise in the runtime
    /// folder under a name made from it.
    pub fn socket(&self) -> PathBuf {
        let here = self.root.join("supervisor.sock");
        if here.as_os_str().len() <= SOCKET_PATH_LIMIT {
            return here;
        }
        let name = Digest::of_bytes(self.root.as_os_str().as_encoded_bytes());
        self.runtime.join(format!("{}.sock", name.short()))
    }

    /// Makes the folders that every platform has. Others may pass through (not list) the platform's folder when we
    /// are root, because PostgreSQL then runs as another user; everything in it that matters is closed.
    ///
    /// # Errors
    ///
    /// When a folder cannot be made, belongs to another user, or no socket can be put anywhere.
    pub fn ensure(&self) -> Result<()> {
        let passable = files::passable();
        for (folder, mode) in [
            (self.root.clone(), passable),
            (self.all_data(), passable),
            (self.root.join("run"), passable),
            (self.secrets(), 0o700),
            (self.logs(), 0o700),
            (self.pids(), 0o700),
            (self.models(), 0o700),
        ] {
            files::ensure_folder(&folder, mode)?;
            files::set_mode(&folder, mode).map_err(|error| {
                files::io_error(format!("close `{}` to others", folder.display()), error)
            })?;
        }
        let socket = self.socket();
        if socket.as_os_str().len() > SOCKET_PATH_LIMIT {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("put a socket at `{}`", socket.display()),
            )
            .with_source(format!(
                "the path of a socket can have at most {SOCKET_PATH_LIMIT} bytes"
            ))
            .with_hint("set `XDG_RUNTIME_DIR` to a folder with a shorter path"));
        }
        if let Some(folder) = socket.parent().filter(|folder| *folder != self.root) {
            files::ensure_folder(folder, 0o700)?;
        }
        Ok(())
    }

    /// Whether the platform has left anything on disk.
    pub fn exists(&self) -> bool {
        self.root.exists()
    }

    /// The folders of a platform that templates see by name: `data`, `run`, `tmp`, `models`.
    pub fn for_templates(&self, component: &ComponentName) -> BTreeMap<String, String> {
        let name = component.as_str();
        [
            ("data", self.data(name)),
            ("run", self.run(name)),
            ("tmp", self.tmp(name)),
            ("models", self.models()),
        ]
        .into_iter()
        .map(|(key, path)| (key.to_owned(), path.to_string_lossy().into_owned()))
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn roots_follow_xdg_and_root_is_special() {
        let roots = default_roots(&env(&[("HOME", "/root")]), 0).unwrap();
        assert_eq!(roots.data, Path::new("/var/lib/mlops"));
        assert_eq!(roots.runtime, Path::new("/tmp/mlops-0"));
        let roots = default_roots(&env(&[("XDG_DATA_HOME", "/d"), ("HOME", "/h")]), 0).unwrap();
        assert_eq!(roots.data, Path::new("/d/mlops"));
        assert_eq!(roots.cache, Path::new("/var/cache/mlops"));
        let roots = default_roots(
            &env(&[
                ("XDG_CACHE_HOME", "relative"),
                ("HOME", "/h"),
                ("XDG_RUNTIME_DIR", "/run/user/7"),
            ]),
            7,
        )
        .unwrap();
        assert_eq!(roots.cache, Path::new("/h/.cache/mlops"));
        assert_eq!(roots.runtime, Path::new("/run/user/7/mlops"));
        assert!(default_roots(&env(&[]), 7).is_err());
    }

    #[test]
    fn a_long_path_moves_the_socket() {
        let short = Folders::at("/a/b", "/run/user/7/mlops");
        assert_eq!(short.socket(), Path::new("/a/b/supervisor.sock"));
        let long = Folders::at(format!("/{}", "x".repeat(100)), "/run/user/7/mlops");
        assert!(long.socket().starts_with("/run/user/7/mlops"));
        assert!(long.socket().as_os_str().len() < SOCKET_PATH_LIMIT);
        let other = Folders::at(format!("/{}", "y".repeat(100)), "/run/user/7/mlops");
        assert_ne!(long.socket(), other.socket());
    }
}
