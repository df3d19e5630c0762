#![doc = include_str!("../README.md")]

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// Changed when the shape of the cache changes, so that old and new programs can share a machine.
const LAYOUT: &str = "v1";

/// A folder of things that were made once.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
}

/// What happens with an entry that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Another run makes it, and is waited for.
    Waiting,
    /// It is made now.
    Making,
    /// It is there.
    Made,
}

impl Cache {
    /// The cache of this user: below `XDG_CACHE_HOME`, else below `~/.cache`.
    ///
    /// # Errors
    ///
    /// When neither says where.
    pub fn of_user() -> io::Result<Self> {
        let named = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let base = named
            .filter(|folder| folder.is_absolute())
            .or_else(|| std::env::home_dir().map(|home| home.join(".cache")));
        let base = base.ok_or_else(|| {
            let cause = "neither XDG_CACHE_HOME nor HOME says where to keep test servers";
            io::Error::new(io::ErrorKind::NotFound, cause)
        })?;
        Ok(Self::at(base.join("mlops-testkit").join(LAYOUT)))
    }

    /// A cache in this folder, which is made when it is first needed.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The path of a file beside the entries.
    pub fn file(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The folder of the entry `name`; `make` fills it when it is not there yet, and `tell` hears of it.
    ///
    /// # Errors
    ///
    /// The one of `make`, or when the cache cannot be written to. What was made in part is cleared by the next call.
    pub fn entry<E: From<io::Error>>(
        &self,
        name: &str,
        tell: impl Fn(Step),
        make: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<PathBuf, E> {
        let done = self.root.join(name);
        if done.is_dir() {
            return Ok(done);
        }
        let _lock = self.lock(name, &tell)?;
        if done.is_dir() {
            return Ok(done);
        }
        let partial = self.root.join(format!("{name}.partial"));
        match fs::remove_dir_all(&partial) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(told(&error, "clear", &partial).into());
            }
            _ => {}
        }
        fs::create_dir_all(&partial).map_err(|error| told(&error, "create", &partial))?;
        tell(Step::Making);
        make(&partial)?;
        fs::rename(&partial, &done).map_err(|error| told(&error, "keep", &done))?;
        tell(Step::Made);
        Ok(done)
    }

    /// Held until the file is dropped, by this process or by its death.
    fn lock(&self, name: &str, tell: impl Fn(Step)) -> io::Result<File> {
        let path = self.root.join(format!("{name}.lock"));
        let failed = |error| told(&error, "lock", &path);
        fs::create_dir_all(path.parent().unwrap_or(&self.root)).map_err(failed)?;
        let file = File::create(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                tell(Step::Waiting);
                file.lock().map_err(failed)?;
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        Ok(file)
    }
}

fn told(error: &io::Error, verb: &str, path: &Path) -> io::Error {
    let message = format!("failed to {verb} `{}`: {error}", path.display());
    io::Error::new(error.kind(), message)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn an_entry_is_made_once_by_many() {
        let folder = tempfile::tempdir().unwrap();
        let made = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let cache = Cache::at(folder.path().join("cache"));
                    let write = |partial: &Path| {
                        made.fetch_add(1, Ordering::SeqCst);
                        std::thread::sleep(std::time::Duration::from_millis(20));
                        fs::write(partial.join("tool"), "text")
                    };
                    let entry = cache.entry("tool-1.0", |_| {}, write).unwrap();
                    assert_eq!(fs::read_to_string(entry.join("tool")).unwrap(), "text");
                });
            }
        });
        assert_eq!(made.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn an_entry_that_failed_is_made_again_from_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path());
        let failed = cache.entry(
            "tool-1.0",
            |_| {},
            |partial| {
                fs::write(partial.join("half"), "text")?;
                Err(io::Error::other("the power went"))
            },
        );
        assert_eq!(failed.unwrap_err().to_string(), "the power went");

        let steps = std::cell::RefCell::new(Vec::new());
        let entry = cache.entry(
            "tool-1.0",
            |step| steps.borrow_mut().push(step),
            |partial| fs::write(partial.join("tool"), ""),
        );
        let names: Vec<_> = fs::read_dir(entry.unwrap())
            .unwrap()
            .map(|file| file.unwrap().file_name())
            .collect();
        assert_eq!(names, ["tool"]);
        assert_eq!(steps.into_inner(), [Step::Making, Step::Made]);
    }
}
