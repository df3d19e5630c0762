//! Files that the command reads and writes: the platform, saved plans, reports.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use mlops_catalog::{Catalog, load};
use mlops_core::platform::MAX_BYTES;
use mlops_core::{Error, ErrorKind, Platform, PlatformName, Result, SecretSource, SecretText};

/// The file that is looked for in the current folder.
pub const PLATFORM_FILE: &str = "platform.yaml";

/// The profile that is used when there is no file, and the name of its platform.
pub const DEFAULT_PROFILE: &str = "local";

/// The largest secret that is read from a file, in bytes.
const MAX_SECRET: u64 = 64 << 10;

/// Where a platform was described.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// In this file.
    File(PathBuf),
    /// Nowhere: it is the profile `local`.
    Profile,
}

/// A platform and where it was described.
#[derive(Debug, Clone)]
pub struct Described {
    /// The platform.
    pub platform: Platform,
    /// Where it was described.
    pub origin: Origin,
}

/// Reads the platform: from `file`, else from `platform.yaml` in `folder`, else it is the profile `local`. `name`
/// takes the place of the one in the file. When the file is wrong, `catalog` tells what else is wrong with it.
///
/// # Errors
///
/// When the file cannot be read or something is wrong with it; every problem is in the error.
pub fn read_platform(
    file: Option<&Path>,
    folder: &Path,
    name: Option<&PlatformName>,
    catalog: &Catalog,
) -> Result<Described> {
    let path = match file {
        Some(file) => folder.join(file),
        None => folder.join(PLATFORM_FILE),
    };
    let text = match read_text(&path, MAX_BYTES as u64) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound && file.is_none() => None,
        Err(error) => return Err(unreadable(&path, error)),
    };
    let mut described = if let Some(text) = text {
        Described {
            platform: parse(&path.display().to_string(), &text, catalog)?,
            origin: Origin::File(path),
        }
    } else {
        refuse_similar(folder)?;
        Described {
            platform: Platform::new(DEFAULT_PROFILE.parse()?),
            origin: Origin::Profile,
        }
    };
    if let Some(name) = name {
        described.platform.name = name.clone();
    }
    Ok(described)
}

/// Reads the text. Only a wrong one is resolved here already, so that everything that is wrong is said at once.
fn parse(path: &str, text: &str, catalog: &Catalog) -> Result<Platform> {
    Platform::parse(path, text).map_err(|wrong| match load(path, text, catalog) {
        Err(all) => all.into(),
        Ok(_) => wrong.into(),
    })
}

/// A file that looks like the platform file but is called otherwise must not be passed over in silence.
fn refuse_similar(folder: &Path) -> Result<()> {
    for similar in ["platform.yml", "Platform.yaml", "platform.json"] {
        if folder.join(similar).is_file() {
            return Err(
                Error::new(ErrorKind::InvalidInput, format!("find `{PLATFORM_FILE}`"))
                    .with_source(format!("there is `{similar}` in its place"))
                    .with_hint(format!("rename it, or name it: `-f {similar}`")),
            );
        }
    }
    Ok(())
}

fn unreadable(path: &Path, error: io::Error) -> Error {
    let kind = match error.kind() {
        // A file that was named and is not there, is no file or no text, is wrong input.
        io::ErrorKind::NotFound | io::ErrorKind::IsADirectory => ErrorKind::InvalidInput,
        _ => kind_of(&error),
    };
    let is_missing = error.kind() == io::ErrorKind::NotFound;
    let made = Error::new(kind, format!("read `{}`", path.display())).with_source(error);
    if is_missing {
        made.with_hint("`mlops init -f FILE` writes a platform file to start from")
    } else {
        made
    }
}

/// What a caller can do about a failed call of the operating system.
pub(crate) fn kind_of(error: &io::Error) -> ErrorKind {
    match error.kind() {
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            ErrorKind::PermissionDenied
        }
        io::ErrorKind::AlreadyExists => ErrorKind::AlreadyExists,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::Exhausted,
        io::ErrorKind::InvalidData
        | io::ErrorKind::FileTooLarge
        | io::ErrorKind::InvalidFilename
        | io::ErrorKind::NotADirectory => ErrorKind::InvalidInput,
        _ => ErrorKind::Failed,
    }
}

/// Reads UTF-8 text of at most `limit` bytes.
pub(crate) fn read_bounded(stream: &mut dyn Read, limit: u64) -> io::Result<String> {
    read_sized(stream, 0, limit)
}

/// The same, of a stream that probably has `length` bytes.
fn read_sized(stream: &mut dyn Read, length: usize, limit: u64) -> io::Result<String> {
    let mut bytes = Vec::with_capacity(length);
    stream.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        let message = format!("it has more than {limit} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let message = format!("it is not UTF-8 text: the byte at offset {at} is wrong");
        io::Error::new(io::ErrorKind::InvalidData, message)
    })
}

fn read_text(path: &Path, limit: u64) -> io::Result<String> {
    let mut file = File::open(path)?;
    // A hint only: the file may grow, and a pipe has no length.
    let length = file.metadata().map_or(0, |data| data.len()).min(limit);
    read_sized(&mut file, usize::try_from(length).unwrap_or(0), limit)
}

/// Reads a file that the user named, at most `limit` bytes of UTF-8 text.
///
/// # Errors
///
/// When it cannot be read, is longer, or is not UTF-8.
pub fn read_input(path: &Path, limit: u64) -> Result<String> {
    read_text(path, limit).map_err(|error| {
        let kind = match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::IsADirectory => ErrorKind::InvalidInput,
            _ => kind_of(&error),
        };
        Error::new(kind, format!("read `{}`", path.display())).with_source(error)
    })
}

/// Whether a file that is there may be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It may.
    Replace,
    /// It may not: that is an error.
    Refuse,
}

/// Writes a file so that it is there completely or not at all.
///
/// # Errors
///
/// When it cannot be written, or is there and may not be replaced.
pub fn write(path: &Path, text: &str, existing: Existing) -> Result<()> {
    let failed = |error: io::Error| {
        Error::new(kind_of(&error), format!("write `{}`", path.display())).with_source(error)
    };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".mlops-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // The user's umask takes its part of it.
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(folder).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    match existing {
        Existing::Replace => file.persist(path),
        Existing::Refuse => file.persist_noclobber(path),
    }
    .map(|_| ())
    .map_err(|error| failed(error.error))
}

/// Reads secrets that come from outside: from the environment that the program was started with, or from files,
/// whose relative paths start at `folder`.
///
/// # Errors
///
/// When the variable or file is not there or empty.
pub fn read_secret(
    source: &SecretSource,
    env: &std::collections::BTreeMap<String, String>,
    folder: &Path,
) -> Result<SecretText> {
    let (doing, text) = match source {
        SecretSource::Env(name) => {
            let doing = format!("take a secret from the environment variable `{name}`");
            let Some(text) = env.get(name) else {
                return Err(Error::new(ErrorKind::InvalidInput, doing)
                    .with_source("it is not set")
                    .with_hint(format!("set `{name}` and run the same command again")));
            };
            (doing, text.clone())
        }
        SecretSource::File(path) => {
            let path = folder.join(path);
            let doing = format!("take a secret from the file `{}`", path.display());
            let text = read_text(&path, MAX_SECRET).map_err(|error| {
                let kind = match error.kind() {
                    io::ErrorKind::NotFound => ErrorKind::InvalidInput,
                    _ => kind_of(&error),
                };
                Error::new(kind, doing.clone()).with_source(error)
            })?;
            let text = text.strip_suffix('\n').unwrap_or(&text);
            (doing, text.strip_suffix('\r').unwrap_or(text).to_owned())
        }
    };
    if text.is_empty() {
        return Err(Error::new(ErrorKind::InvalidInput, doing).with_source("it is empty"));
    }
    Ok(SecretText::new(text))
}

/// The folder that relative paths in a platform file start at.
pub fn folder_of(origin: &Origin) -> PathBuf {
    match origin {
        Origin::File(path) => path.parent().map(Path::to_owned).unwrap_or_default(),
        Origin::Profile => PathBuf::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(folder: &Path, file: Option<&str>) -> Result<Described> {
        read_platform(file.map(Path::new), folder, None, &Catalog::embedded())
    }

    #[test]
    fn without_a_file_it_is_the_profile() {
        let folder = tempfile::tempdir().unwrap();
        let described = read(folder.path(), None).unwrap();
        assert_eq!(described.origin, Origin::Profile);
        assert_eq!(described.platform.name.as_str(), "local");
    }

    #[test]
    fn a_name_wins_over_the_file() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(PLATFORM_FILE), "name: demo").unwrap();
        let described = read(folder.path(), None).unwrap();
        assert_eq!(described.platform.name.as_str(), "demo");
        let name = "other".parse().unwrap();
        let described =
            read_platform(None, folder.path(), Some(&name), &Catalog::embedded()).unwrap();
        assert_eq!(described.platform.name.as_str(), "other");
        assert_eq!(folder_of(&described.origin), folder.path());
    }

    #[test]
    fn a_file_of_a_similar_name_is_not_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("platform.yml"), "name: demo").unwrap();
        let error = read(folder.path(), None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(read(folder.path(), Some("platform.yml")).is_ok());
    }

    #[test]
    fn missing_large_and_binary_files_are_wrong_input() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.yaml");
        let kind = |file| read(folder.path(), Some(file)).unwrap_err().kind();
        assert_eq!(kind("p.yaml"), ErrorKind::InvalidInput);
        fs::write(&path, vec![b' '; MAX_BYTES + 1]).unwrap();
        assert_eq!(kind("p.yaml"), ErrorKind::InvalidInput);
        fs::write(&path, b"name: \xff").unwrap();
        assert_eq!(kind("p.yaml"), ErrorKind::InvalidInput);
        assert_eq!(kind("."), ErrorKind::InvalidInput);
    }

    #[test]
    fn a_file_is_not_overwritten_unless_that_is_wanted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        write(&path, "one", Existing::Refuse).unwrap();
        let error = write(&path, "two", Existing::Refuse).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "one");
        write(&path, "two", Existing::Replace).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let nowhere = folder.path().join("no/x");
        assert_eq!(
            write(&nowhere, "", Existing::Replace).unwrap_err().kind(),
            ErrorKind::NotFound
        );
    }

    #[test]
    fn secrets_come_from_the_environment_and_from_files() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("key"), "from file\n").unwrap();
        fs::write(folder.path().join("empty"), "\n").unwrap();
        let env = [("KEY".to_owned(), "from env".to_owned())].into();
        let read = |source: SecretSource| read_secret(&source, &env, folder.path());
        let text = |source| read(source).unwrap().expose().to_owned();
        assert_eq!(text(SecretSource::Env("KEY".into())), "from env");
        assert_eq!(text(SecretSource::File("key".into())), "from file");
        for missing in [
            SecretSource::Env("NO".into()),
            SecretSource::File("no".into()),
            SecretSource::File("empty".into()),
        ] {
            assert_eq!(read(missing).unwrap_err().kind(), ErrorKind::InvalidInput);
        }
    }
}
