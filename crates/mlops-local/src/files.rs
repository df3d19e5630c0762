//! Small file work with the modes, checks and error texts that all of the target shares.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use mlops_core::{Error, ErrorKind, Result};

/// The prefix of files that are not complete yet; whoever lists a folder leaves them out.
pub(crate) const UNFINISHED: &str = ".new-";

/// The table: what a caller can do about a failed call of the operating system.
pub(crate) fn kind_of(error: &io::Error) -> ErrorKind {
    match error.kind() {
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            ErrorKind::PermissionDenied
        }
        io::ErrorKind::AlreadyExists => ErrorKind::AlreadyExists,
        io::ErrorKind::StorageFull
        | io::ErrorKind::QuotaExceeded
        | io::ErrorKind::FileTooLarge
        | io::ErrorKind::OutOfMemory => ErrorKind::Exhausted,
        io::ErrorKind::AddrInUse => ErrorKind::Conflict,
        io::ErrorKind::ConnectionRefused
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => ErrorKind::Unavailable,
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => ErrorKind::Timeout,
        io::ErrorKind::InvalidFilename | io::ErrorKind::NotADirectory => ErrorKind::InvalidInput,
        _ => ErrorKind::Failed,
    }
}

/// An error of the operating system as ours, with a hint where there is one.
pub(crate) fn io_error(doing: impl Into<String>, error: io::Error) -> Error {
    let hint = match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem => Some(
            "the folder is on a read-only file system: choose another one by `XDG_DATA_HOME` and `XDG_CACHE_HOME`",
        ),
        io::ErrorKind::PermissionDenied => Some(
            "the folder belongs to another user or is write-protected: choose another one by `XDG_DATA_HOME`, or run as its owner",
        ),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Some("make room on the disk and run the same command again; nothing was damaged")
        }
        _ => None,
    };
    let made = Error::new(kind_of(&error), doing).with_source(error);
    match hint {
        Some(hint) => made.with_hint(hint),
        None => made,
    }
}

/// The user we act as.
pub(crate) fn our_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// The mode of folders that others have to pass through when PostgreSQL runs as another user, as it does for root.
pub(crate) fn passable() -> u32 {
    if our_uid() == 0 { 0o711 } else { 0o700 }
}

/// Makes a folder with `mode` and those above it, which can be passed through, and checks that it is ours.
pub(crate) fn ensure_folder(path: &Path, mode: u32) -> Result<()> {
    let doing = || format!("make folder `{}`", path.display());
    let make = |path: &Path, mode| DirBuilder::new().recursive(true).mode(mode).create(path);
    path.parent()
        .map_or(Ok(()), |above| make(above, mode | passable()))
        .and_then(|()| make(path, mode))
        .map_err(|error| io_error(doing(), error))?;
    let found = fs::metadata(path).map_err(|error| io_error(doing(), error))?;
    check_owner(path, found.uid())
}

/// Refuses what belongs to another user.
pub(crate) fn check_owner(path: &Path, uid: u32) -> Result<()> {
    let ours = our_uid();
    if uid == ours {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::PermissionDenied,
        format!("use `{}`", path.display()),
    )
    .with_source(format!("it belongs to user {uid}, and this is user {ours}"))
    .with_hint(
        "run as the user who made the platform, or choose another folder by `XDG_DATA_HOME`",
    ))
}

/// Sets the permission bits of a path when they differ.
pub(crate) fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    let now = fs::metadata(path)?.permissions().mode() & 0o7777;
    if now == mode {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// Writes a file of mode 0600 so that readers see the old content or the new one, never a part.
pub(crate) fn replace_private(path: &Path, content: &[u8]) -> Result<()> {
    let doing = || format!("write `{}`", path.display());
    let written = unfinished(path, content).map_err(|error| io_error(doing(), error))?;
    written
        .persist(path)
        .map_err(|error| io_error(doing(), error.error))?;
    Ok(())
}

/// Writes a file of mode 0600 unless there is one; says whether it did.
pub(crate) fn create_private(path: &Path, content: &[u8]) -> Result<bool> {
    let doing = || format!("write `{}`", path.display());
    let written = unfinished(path, content).map_err(|error| io_error(doing(), error))?;
    written
        .as_file()
        .sync_all()
        .map_err(|error| io_error(doing(), error))?;
    match written.persist_noclobber(path) {
        Ok(_) => Ok(true),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(io_error(doing(), error.error)),
    }
}

fn unfinished(path: &Path, content: &[u8]) -> io::Result<tempfile::NamedTempFile> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(UNFINISHED)
        .permissions(fs::Permissions::from_mode(0o600))
        .tempfile_in(folder)?;
    file.write_all(content)?;
    file.flush()?;
    Ok(file)
}

/// Removes unfinished files that a kill left behind. Young ones may be another run's work and stay.
pub(crate) fn sweep_unfinished(folder: &Path) {
    sweep_older(folder, Duration::from_mins(1));
}

/// The same for those of any age, when no other run can be at work there.
pub(crate) fn sweep_all_unfinished(folder: &Path) {
    sweep_older(folder, Duration::ZERO);
}

fn sweep_older(folder: &Path, than: Duration) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with(UNFINISHED);
        let old = entry
            .metadata()
            .and_then(|found| found.modified())
            .is_ok_and(|when| when.elapsed().is_ok_and(|age| age > than));
        if ours && old {
            let path = entry.path();
            let removed = if path.is_dir() {
                fs::remove_dir_all(&path)
            } else {
                fs::remove_file(&path)
            };
            if let Err(error) = removed {
                tracing::debug!(path = %path.display(), %error, "an unfinished file stays");
            }
        }
    }
}

/// Reads a file that may not be a link, must be ours, and must be closed to everybody else.
pub(crate) fn read_private(path: &Path) -> Result<Option<Vec<u8>>> {
    let doing = || format!("read `{}`", path.display());
    let nofollow = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or(0);
    let mut file = match OpenOptions::new()
        .read(true)
        .custom_flags(nofollow)
        .open(path)
    {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error(doing(), error)),
    };
    let found = file.metadata().map_err(|error| io_error(doing(), error))?;
    check_owner(path, found.uid())?;
    let open_to_others = found.mode() & 0o077;
    if open_to_others != 0 {
        return Err(Error::new(ErrorKind::PermissionDenied, doing())
            .with_source(format!(
                "its mode is {:04o}: others can read it, so what it holds is no secret",
                found.mode() & 0o7777
            ))
            .with_hint(format!(
                "if nobody read it: `chmod 600 {}`; otherwise remove the platform's data and start anew",
                path.display()
            )));
    }
    let mut content = Vec::new();
    file.read_to_end(&mut content)
        .map_err(|error| io_error(doing(), error))?;
    Ok(Some(content))
}

/// Reads a small file; `None` when there is none.
pub(crate) fn read_if_there(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_error(format!("read `{}`", path.display()), error)),
    }
}

/// Removes a file; fine when it is gone.
pub(crate) fn remove_file(path: &Path) -> Result<()> {
    gone(fs::remove_file(path), path)
}

/// Removes a folder with all it holds; fine when it is gone.
pub(crate) fn remove_tree(path: &Path) -> Result<()> {
    gone(fs::remove_dir_all(path), path)
}

/// Removes a folder when it is empty; says whether it is gone.
pub(crate) fn remove_if_empty(path: &Path) -> Result<bool> {
    match fs::remove_dir(path) {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(false)
        }
        done => gone(done, path).map(|()| true),
    }
}

fn gone(done: io::Result<()>, path: &Path) -> Result<()> {
    match done {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(io_error(format!("remove `{}`", path.display()), error))
        }
        _ => Ok(()),
    }
}

/// Opens a file of mode 0600 that locks are taken on.
pub(crate) fn open_lock(path: &Path) -> Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|error| io_error(format!("open `{}`", path.display()), error))
}

/// The names in a folder, sorted, without hidden ones; none when the folder is not there.
pub(crate) fn names_in(folder: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io_error(format!("list `{}`", folder.display()), error)),
    };
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    Ok(names)
}

/// The folders from `path` up to the root.
pub(crate) fn ancestors(path: &Path) -> impl Iterator<Item = PathBuf> + '_ {
    path.ancestors()
        .filter(|folder| !folder.as_os_str().is_empty())
        .map(Path::to_path_buf)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn creating_twice_keeps_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        assert!(create_private(&path, b"one").unwrap());
        assert!(!create_private(&path, b"two").unwrap());
        assert_eq!(read_private(&path).unwrap().unwrap(), b"one");
        replace_private(&path, b"three").unwrap();
        assert_eq!(read_private(&path).unwrap().unwrap(), b"three");
        assert_eq!(names_in(folder.path()).unwrap(), ["x"]);
    }

    #[test]
    fn a_link_and_an_open_mode_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        create_private(&path, b"one").unwrap();
        std::os::unix::fs::symlink(&path, folder.path().join("link")).unwrap();
        assert!(read_private(&folder.path().join("link")).is_err());
        set_mode(&path, 0o640).unwrap();
        let error = read_private(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert!(error.hint().unwrap().contains("chmod 600"));
    }
}
