//! One run at a time changes a platform.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use mlops_core::Result;

use crate::files::{self, io_error};

/// How often a waiting run looks again; the operating system has no wait for a file lock that can be given up.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The right to change a platform; ends when it is dropped, or when the process dies in any way.
#[derive(Debug)]
pub struct PlatformLock {
    _file: File,
}

impl PlatformLock {
    /// Takes the lock at `path`, waiting while another run holds it. `on_wait` is told once what is known of the
    /// holder. Dropping the future gives up.
    ///
    /// # Errors
    ///
    /// When the file cannot be made or locked.
    pub async fn acquire(path: &Path, on_wait: impl FnOnce(String) + Send) -> Result<Self> {
        if let Some(lock) = Self::try_acquire(path)? {
            return Ok(lock);
        }
        on_wait(holder(path));
        loop {
            tokio::time::sleep(LOOK_AGAIN).await;
            if let Some(lock) = Self::try_acquire(path)? {
                return Ok(lock);
            }
        }
    }

    /// Takes the lock, or says `None` when another holds it.
    ///
    /// # Errors
    ///
    /// When the file cannot be made or locked.
    pub fn try_acquire(path: &Path) -> Result<Option<Self>> {
        let mut file = files::open_lock(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => {
                return Err(io_error(format!("lock `{}`", path.display()), error));
            }
        }
        // Whoever held it before may have removed the platform and this file with it.
        if !is_same_file(&file, path) {
            return Self::try_acquire(path);
        }
        let note = format!("process {}", std::process::id());
        let noted = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(note.as_bytes()));
        if let Err(error) = noted {
            return Err(io_error(format!("write `{}`", path.display()), error));
        }
        Ok(Some(Self { _file: file }))
    }
}

fn is_same_file(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(open), Ok(there)) => open.ino() == there.ino() && open.dev() == there.dev(),
        _ => false,
    }
}

/// What the holder wrote about itself.
pub(crate) fn holder(path: &Path) -> String {
    let mut text = String::new();
    let read = File::open(PathBuf::from(path)).and_then(|mut file| file.read_to_string(&mut text));
    match read {
        Ok(_) if !text.is_empty() => text,
        _ => "another process".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_second_waits_and_learns_who_holds_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let first = PlatformLock::acquire(&path, |_| panic!("nobody holds it"))
            .await
            .unwrap();
        let (tell, told) = tokio::sync::oneshot::channel();
        let second = tokio::spawn({
            let path = path.clone();
            async move { PlatformLock::acquire(&path, |holder| tell.send(holder).unwrap()).await }
        });
        assert_eq!(
            told.await.unwrap(),
            format!("process {}", std::process::id())
        );
        assert!(!second.is_finished());
        drop(first);
        let second = second.await.unwrap().unwrap();
        assert!(PlatformLock::try_acquire(&path).unwrap().is_none());
        drop(second);
        // Giving up is dropping the future.
        let held = PlatformLock::try_acquire(&path).unwrap().unwrap();
        let waiting = PlatformLock::acquire(&path, |_| {});
        assert!(
            tokio::time::timeout(Duration::from_millis(120), waiting)
                .await
                .is_err()
        );
        drop(held);
        assert!(PlatformLock::try_acquire(&path).unwrap().is_some());
    }
}
