//! Finding a PostgreSQL server's programs, who they run as, and making a data folder.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use mlops_core::{Error, ErrorKind, Result, SecretText};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::files::{self, io_error};
use crate::supervisor::Account;

/// The oldest version that works: older ones are no longer supported by their makers
/// (<https://www.postgresql.org/support/versioning/>).
pub const OLDEST: u32 = 14;

/// One statement a line, as the server takes them when it runs for one user
/// (<https://www.postgresql.org/docs/current/app-postgres.html>).
const CLOSE: &str = "REVOKE CONNECT ON DATABASE postgres FROM PUBLIC;\n\
                     REVOKE CONNECT ON DATABASE template1 FROM PUBLIC;\n";

/// A PostgreSQL server's programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresProgram {
    /// The folder with `postgres` and `initdb`.
    pub bin: PathBuf,
    /// The major version, such as 15.
    pub major: u32,
    /// Who it runs as when we are root, because it refuses to run as root.
    pub account: Option<Account>,
}

impl PostgresProgram {
    /// The server itself.
    pub fn server(&self) -> PathBuf {
        self.bin.join("postgres")
    }
}

/// Where PostgreSQL is looked for, in this order.
#[derive(Debug, Clone, Default)]
pub struct PostgresSearch {
    /// The folder that the user named: then no other is taken.
    pub setting: Option<PathBuf>,
    /// The value of `PATH`, where `pg_config` is looked for.
    pub path: Option<OsString>,
    /// The folder with the programs of the Python environment.
    pub python: Option<PathBuf>,
}

impl PostgresSearch {
    /// The first server that will do: of version `major` when data of that version is there already, otherwise of any
    /// supported one.
    ///
    /// # Errors
    ///
    /// When there is none; the error lists what was looked at, the hint says how to get one.
    pub async fn find(&self, major: Option<u32>) -> Result<PostgresProgram> {
        let mut seen = Vec::new();
        for (whence, bin) in self.candidates().await {
            match version(&bin).await {
                Ok(found) if found < OLDEST => {
                    seen.push(format!("{whence}: version {found} is too old"));
                }
                Ok(found) if major.is_some_and(|major| major != found) => {
                    seen.push(format!("{whence}: version {found}"));
                }
                Ok(found) => {
                    let account = account().await?;
                    if let Some(account) = &account {
                        check_reachable(&bin.join("postgres"), account)?;
                    }
                    return Ok(PostgresProgram {
                        bin,
                        major: found,
                        account,
                    });
                }
                Err(why) => seen.push(format!("{whence}: {why}")),
            }
        }
        if seen.is_empty() {
            seen.push(
                "`pg_config` is not on `PATH` and the Python environment is not there".to_owned(),
            );
        }
        let (doing, hint) = match major {
            Some(major) => (
                format!("find a PostgreSQL server of version {major}, which made the data folder"),
                format!("install PostgreSQL {major}, or name the folder of its programs by `local: {{ postgres: FOLDER }}` in the platform file"),
            ),
            None => (
                "find a PostgreSQL server".to_owned(),
                "install one (Debian: `apt install postgresql`, Fedora: `dnf install postgresql-server`, macOS: `brew install postgresql@17`), or let `mlops prefetch` get one".to_owned(),
            ),
        };
        Err(Error::new(ErrorKind::NotFound, doing)
            .with_source(seen.join("; "))
            .with_hint(hint))
    }

    async fn candidates(&self) -> Vec<(String, PathBuf)> {
        if let Some(bin) = &self.setting {
            return vec![(format!("the folder `{}`", bin.display()), bin.clone())];
        }
        let mut found = Vec::new();
        if let Some(path) = &self.path
            && let Ok(config) = which::which_in("pg_config", Some(path), "/")
            && let Some(bin) = output(&config, "--bindir").await
        {
            found.push((format!("`pg_config` says `{bin}`"), PathBuf::from(bin)));
        }
        if let Some(bin) = &self.python {
            found.push(("the Python environment".to_owned(), bin.clone()));
        }
        found
    }
}

/// What a program says when it is started with one argument.
async fn output(program: &Path, arg: &str) -> Option<String> {
    let output = Command::new(program)
        .arg(arg)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

/// The major version of the server in a folder. Libraries for clients bring `pg_config` too, so it may not be there.
async fn version(bin: &Path) -> std::result::Result<u32, String> {
    for name in ["postgres", "initdb"] {
        if !bin.join(name).is_file() {
            return Err(format!("`{name}` is not in `{}`", bin.display()));
        }
    }
    let said = output(&bin.join("postgres"), "--version")
        .await
        .ok_or_else(|| format!("`{}` does not run", bin.join("postgres").display()))?;
    major_of(&said).ok_or_else(|| format!("it calls itself `{said}`"))
}

/// The major version in `postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)` or `… 18beta2`.
fn major_of(said: &str) -> Option<u32> {
    let rest = said.split_once("(PostgreSQL)")?.1.trim_start();
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// Who PostgreSQL runs as: ourselves, or when we are root the user `postgres` or `nobody`.
///
/// # Errors
///
/// When we are root and neither is there.
pub(crate) async fn account() -> Result<Option<Account>> {
    if files::our_uid() != 0 {
        return Ok(None);
    }
    for name in ["postgres", "nobody"] {
        let uid = id("-u", name).await.filter(|uid| *uid != 0);
        if let (Some(uid), Some(gid)) = (uid, id("-g", name).await) {
            return Ok(Some(Account {
                name: name.to_owned(),
                uid,
                gid,
            }));
        }
    }
    Err(
        Error::new(ErrorKind::NotFound, "choose a user for PostgreSQL")
            .with_source(
                "it refuses to run as root, and there is neither a user `postgres` nor `nobody`",
            )
            .with_hint("make one: `useradd --system postgres`"),
    )
}

/// Asks the system's own program, which knows users of a directory service as well.
async fn id(what: &str, name: &str) -> Option<u32> {
    let output = Command::new("id")
        .args([what, name])
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .ok()?;
    // Some systems print `nobody` as a negative number.
    let number: i64 = String::from_utf8(output.stdout).ok()?.trim().parse().ok()?;
    u32::try_from(number & 0xffff_ffff).ok()
}

/// Refuses a path that `account` cannot get at because a folder above it is closed.
///
/// # Errors
///
/// [`ErrorKind::PermissionDenied`], naming the folder.
pub(crate) fn check_reachable(path: &Path, account: &Account) -> Result<()> {
    let real = fs::canonicalize(path)
        .map_err(|error| io_error(format!("find `{}`", path.display()), error))?;
    for folder in files::ancestors(&real).skip(1) {
        let found = fs::metadata(&folder)
            .map_err(|error| io_error(format!("look at `{}`", folder.display()), error))?;
        let bit = if found.uid() == account.uid {
            0o100
        } else if found.gid() == account.gid {
            0o010
        } else {
            0o001
        };
        if found.mode() & bit == 0 {
            return Err(Error::new(
                ErrorKind::PermissionDenied,
                format!("run PostgreSQL in `{}` as user `{}`", real.display(), account.name),
            )
            .with_source(format!("folder `{}` is closed to that user", folder.display()))
            .with_hint(format!(
                "choose other folders by `XDG_DATA_HOME` and `XDG_CACHE_HOME`, or let everybody pass: `chmod o+x {}`",
                folder.display()
            )));
        }
    }
    Ok(())
}

/// The version of the server that made a data folder; `None` when it is not one.
pub(crate) fn version_of_data(folder: &Path) -> Result<Option<u32>> {
    let text = files::read_if_there(&folder.join("PG_VERSION"))?;
    Ok(text.and_then(|text| text.trim().parse().ok()))
}

/// Makes a data folder: beside its place, renamed when it is complete, so that a kill leaves none or a whole one.
pub(crate) async fn init(
    program: &PostgresProgram,
    folder: &Path,
    superuser: &str,
    password: &SecretText,
) -> Result<()> {
    let doing = || format!("make a PostgreSQL data folder at `{}`", folder.display());
    let failed = |error| io_error(doing(), error);
    let above = folder.parent().unwrap_or(Path::new("/"));
    files::sweep_unfinished(above);
    let workshop = tempfile::Builder::new()
        .prefix(files::UNFINISHED)
        .tempdir_in(above)
        .map_err(failed)?;
    let account = program.account.as_ref();
    let give = |path: &Path| match account {
        Some(account) => chown(path, Some(account.uid), Some(account.gid)).map_err(failed),
        None => Ok(()),
    };
    give(workshop.path())?;
    if let Some(account) = account {
        check_reachable(&workshop.path().join("."), account)?;
    }
    let password_file = workshop.path().join("password");
    files::create_private(&password_file, password.expose().as_bytes())?;
    // Goes before the folder around it does, which may stay when this is given up: what `initdb` started still writes.
    let password_file = tempfile::TempPath::try_from_path(&password_file).map_err(failed)?;
    give(&password_file)?;
    let data = workshop.path().join("data");
    let made = initdb(program, workshop.path(), superuser).output().await;
    password_file.close().map_err(failed)?;
    check(&doing, "initdb", &made.map_err(failed)?)?;
    let closed = close(program, workshop.path()).await.map_err(failed)?;
    check(&doing, "postgres --single", &closed)?;
    fs::rename(&data, folder).map_err(failed)
}

/// An error when a program did not end well.
fn check(doing: &impl Fn() -> String, program: &str, output: &Output) -> Result<()> {
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let kind = if said.contains("No space left on device") {
        ErrorKind::Exhausted
    } else {
        ErrorKind::Failed
    };
    Err(Error::new(kind, doing()).with_source(format!(
        "`{program}` ended with {}: {}",
        output.status,
        said.trim()
    )))
}

/// The command that makes `data` in a folder with the file `password`.
fn initdb(program: &PostgresProgram, workshop: &Path, superuser: &str) -> Command {
    let mut command = Command::new(program.bin.join("initdb"));
    confine(&mut command, program, workshop);
    command
        .arg("-D")
        .arg(workshop.join("data"))
        .args([
            "-U",
            superuser,
            "--auth=scram-sha-256",
            "-E",
            "UTF8",
            "--no-locale",
        ])
        .arg("--pwfile")
        .arg(workshop.join("password"));
    command
}

/// Lets nobody but superusers connect to the databases that every server has: a role has its own, and no others. The
/// server runs on `data` for that alone, without a network.
async fn close(program: &PostgresProgram, workshop: &Path) -> std::io::Result<Output> {
    let mut command = Command::new(program.server());
    confine(&mut command, program, workshop);
    let mut server = command
        .arg("--single")
        .arg("-D")
        .arg(workshop.join("data"))
        .args(["-c", "exit_on_error=on", "postgres"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut input) = server.stdin.take() {
        // A server that ends early tells why by its status.
        let _ = input.write_all(CLOSE.as_bytes()).await;
    }
    server.wait_with_output().await
}

/// Runs a program as the right user in a folder, with an empty environment.
fn confine(command: &mut Command, program: &PostgresProgram, workshop: &Path) {
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("LC_ALL", "C")
        .current_dir(workshop)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    if let Some(account) = &program.account {
        // The standard library drops the other groups of root with it.
        command.uid(account.uid).gid(account.gid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_understood() {
        assert_eq!(
            major_of("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)"),
            Some(15)
        );
        assert_eq!(major_of("postgres (PostgreSQL) 18beta2"), Some(18));
        assert_eq!(major_of("mysqld 8"), None);
    }

    #[tokio::test]
    async fn what_was_looked_at_is_told() {
        let empty = tempfile::tempdir().unwrap();
        let search = PostgresSearch {
            setting: Some(empty.path().to_path_buf()),
            ..PostgresSearch::default()
        };
        let error = search.find(None).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(
            error.causes()[0].contains("`postgres` is not in"),
            "{error:?}"
        );
        assert!(error.hint().unwrap().contains("apt install"));
        let error = PostgresSearch::default().find(Some(9)).await.unwrap_err();
        assert!(error.to_string().contains("version 9"), "{error}");
    }

    #[test]
    fn a_closed_folder_above_is_named() {
        let folder = tempfile::tempdir().unwrap();
        files::set_mode(folder.path(), 0o700).unwrap();
        let inside = folder.path().join("x");
        fs::create_dir(&inside).unwrap();
        let stranger = Account {
            name: "stranger".to_owned(),
            uid: 54_321,
            gid: 54_321,
        };
        let error = check_reachable(&inside, &stranger).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        let folder = fs::canonicalize(folder.path()).unwrap();
        assert!(
            error.causes()[0].contains(folder.to_str().unwrap()),
            "{error:?}"
        );
    }
}
