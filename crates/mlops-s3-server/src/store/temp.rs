//! Files that become visible by a rename, or not at all.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use super::Store;
use crate::config::Sync;

const PREFIXES: [&str; 3] = ["put-", "new-", "del-"];

/// Whether a name in `tmp` is one that [`Store::temp_path`] gives.
pub(super) fn is_ours(name: &str) -> bool {
    PREFIXES.iter().any(|p| {
        name.strip_prefix(p).is_some_and(|rest| {
            !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit() || b == b'-')
        })
    })
}

/// A file being written. Removed when dropped before it was put in place.
pub(crate) struct Temp {
    pub(crate) file: File,
    path: PathBuf,
    kept: bool,
}

impl Drop for Temp {
    fn drop(&mut self) {
        if !self.kept {
            // What is left is swept at the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Temp {
    /// Renames the file, making the folders on the way.
    pub(crate) fn persist(mut self, target: &Path, sync: Sync) -> io::Result<()> {
        if sync == Sync::Full {
            self.file.sync_all()?;
        }
        rename_into(&self.path, target, sync)?;
        self.kept = true;
        Ok(())
    }
}

/// Renames a file into folders that may be missing, or be removed as empty by
/// somebody else at the same moment.
pub(crate) fn rename_into(from: &Path, target: &Path, sync: Sync) -> io::Result<()> {
    let parent = target.parent().unwrap_or(target);
    let mut attempt = 0;
    loop {
        let done = match fs::rename(from, target) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(parent).and_then(|()| fs::rename(from, target))
            }
            other => other,
        };
        attempt += 1;
        match done {
            Err(e) if e.kind() == io::ErrorKind::NotFound && attempt < 1000 => {}
            Err(e) => return Err(e),
            Ok(()) => break,
        }
    }
    if sync == Sync::Full {
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}

impl Store {
    /// A name in `tmp` that nobody else uses.
    pub(crate) fn temp_path(&self, prefix: &'static str) -> PathBuf {
        debug_assert!(PREFIXES.contains(&prefix), "swept at start");
        let number = self.counter.fetch_add(1, Ordering::Relaxed);
        let pid = std::process::id();
        self.root
            .join("tmp")
            .join(format!("{prefix}{pid}-{number}"))
    }

    /// A new file to be renamed later. Mode 0600.
    pub(crate) fn temp_file(&self) -> io::Result<Temp> {
        let path = self.temp_path("put-");
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        Ok(Temp {
            file,
            path,
            kept: false,
        })
    }

    /// Replaces a small file as a whole. Always flushed: these files are few,
    /// and hold what nobody can rebuild.
    pub(crate) fn write_small(&self, target: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut temp = self.temp_file()?;
        temp.file.write_all(bytes)?;
        temp.file.sync_all()?;
        temp.persist(target, self.sync)
    }

    /// Takes a folder out of sight at once, then removes it.
    pub(crate) fn remove_folder(&self, folder: &Path) -> io::Result<()> {
        let gone = self.temp_path("del-");
        fs::rename(folder, &gone)?;
        if let Err(error) = fs::remove_dir_all(&gone) {
            tracing::warn!(path = %gone.display(), %error, "left for the next start");
        }
        Ok(())
    }

    /// A new folder in `tmp`, to be renamed later. Mode 0700.
    pub(crate) fn temp_folder(&self) -> io::Result<PathBuf> {
        let path = self.temp_path("new-");
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(path)
    }
}
