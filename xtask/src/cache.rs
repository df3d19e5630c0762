//! What tests and checks need and the workspace does not hold, kept outside the tree between runs.
//!
//! Every entry is a folder whose name holds its version. It is made beside its final place and renamed, so it is
//! complete or absent whatever kills the run, and a lock lets one run make it while others wait.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::shell::say;

/// Changed when the shape of the cache changes, so that old and new programs can share a machine.
const LAYOUT: &str = "v1";

/// A folder of installed things.
#[derive(Debug)]
pub(crate) struct Cache {
    root: PathBuf,
}

impl Cache {
    /// The cache of this user: below `XDG_CACHE_HOME`, else below `~/.cache`.
    pub(crate) fn of_user() -> Result<Self> {
        let base = match std::env::var_os("XDG_CACHE_HOME") {
            Some(folder) if Path::new(&folder).is_absolute() => PathBuf::from(folder),
            _ => std::env::home_dir()
                .context("neither XDG_CACHE_HOME nor HOME says where to keep test servers")?
                .join(".cache"),
        };
        Ok(Self::at(base.join("mlops-testkit").join(LAYOUT)))
    }

    /// A cache in this folder, which is made when it is first needed.
    pub(crate) fn at(root: PathBuf) -> Self {
        Self { root }
    }

    /// The path of a file beside the entries.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The folder of the entry `name`; `make` fills it when it is not there yet.
    pub(crate) fn entry(
        &self,
        name: &str,
        make: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<PathBuf> {
        let done = self.root.join(name);
        if done.is_dir() {
            return Ok(done);
        }
        let _lock = self.lock(name)?;
        if done.is_dir() {
            return Ok(done);
        }
        let partial = self.root.join(format!("{name}.partial"));
        if partial.exists() {
            fs::remove_dir_all(&partial)
                .with_context(|| format!("failed to clear `{}`", partial.display()))?;
        }
        fs::create_dir_all(&partial)
            .with_context(|| format!("failed to create `{}`", partial.display()))?;
        say(format_args!("installing {name} into {}", done.display()));
        make(&partial)?;
        fs::rename(&partial, &done)
            .with_context(|| format!("failed to keep `{}`", done.display()))?;
        say(format_args!("{name} is installed"));
        Ok(done)
    }

    /// Held until the file is dropped, by this process or by its death.
    fn lock(&self, name: &str) -> Result<File> {
        let path = self.root.join(format!("{name}.lock"));
        let doing = || format!("failed to lock `{}`", path.display());
        fs::create_dir_all(path.parent().unwrap_or(&self.root)).with_context(doing)?;
        let file = File::create(&path).with_context(doing)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                say(format_args!("waiting for another run that installs {name}"));
                file.lock().with_context(doing)?;
            }
            Err(TryLockError::Error(error)) => return Err(error).with_context(doing),
        }
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use anyhow::bail;

    use super::*;

    #[test]
    fn an_entry_is_made_once_by_many() {
        let folder = tempfile::tempdir().unwrap();
        let made = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let cache = Cache::at(folder.path().join("cache"));
                    let entry = cache.entry("tool-1.0", |partial| {
                        made.fetch_add(1, Ordering::SeqCst);
                        std::thread::sleep(std::time::Duration::from_millis(20));
                        Ok(fs::write(partial.join("tool"), "text")?)
                    });
                    assert_eq!(
                        fs::read_to_string(entry.unwrap().join("tool")).unwrap(),
                        "text"
                    );
                });
            }
        });
        assert_eq!(made.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn an_entry_that_failed_is_made_again_from_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().to_owned());
        let failed = cache.entry("tool-1.0", |partial| {
            fs::write(partial.join("half"), "text")?;
            bail!("the power went")
        });
        assert_eq!(failed.unwrap_err().to_string(), "the power went");

        let entry = cache.entry("tool-1.0", |partial| {
            Ok(fs::write(partial.join("tool"), "")?)
        });
        let names: Vec<_> = fs::read_dir(entry.unwrap())
            .unwrap()
            .map(|file| file.unwrap().file_name())
            .collect();
        assert_eq!(names, ["tool"]);
    }
}
