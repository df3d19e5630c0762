//! What must be so before a process starts.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, chown};
use std::path::{Component, Path};
use std::time::Duration;

use mlops_core::{Error, ErrorKind, Result};
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use tokio::time::Instant;

use super::protocol::{Account, RenderedProcess, Runs};
use crate::files::{self, io_error};
use crate::inspect;
use crate::ports;

/// How long the children of a PostgreSQL server that was killed may take to end.
const ORPHANS: Duration = Duration::from_secs(5);

/// Makes the process's folder with its files, and refuses to start where something is in the way.
pub(super) async fn prepare(name: &str, process: &RenderedProcess) -> Result<()> {
    for service in &process.spec.listens {
        if let Some(port) = process.addresses.get(service).and_then(url::Url::port) {
            ports::check_free(service, port)?;
        }
    }
    let account = match &process.runs {
        Runs::Program {
            account,
            postgres_data,
            ..
        } => {
            if let Some(data) = postgres_data {
                forget_dead_postmaster(data).await?;
            }
            account.as_ref()
        }
        Runs::EmbeddedS3 { .. } => None,
    };
    let folder = &process.folder;
    files::remove_tree(folder)?;
    make_folder(folder, account)?;
    make_folder(&folder.join("tmp"), account)?;
    for (path, content) in &process.files {
        write_file(name, folder, path, content.expose(), account)?;
    }
    Ok(())
}

fn make_folder(path: &Path, account: Option<&Account>) -> Result<()> {
    let failed = |error| io_error(format!("make folder `{}`", path.display()), error);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(failed)?;
    match account {
        Some(account) => chown(path, Some(account.uid), Some(account.gid)).map_err(failed),
        None => Ok(()),
    }
}

fn write_file(
    name: &str,
    folder: &Path,
    relative: &str,
    content: &str,
    account: Option<&Account>,
) -> Result<()> {
    let inside = Path::new(relative);
    let plain = inside
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    if !plain || relative.is_empty() {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            format!("write file `{relative}` of `process/{name}`"),
        )
        .with_source("the path leads out of the process's folder"));
    }
    let path = folder.join(inside);
    let failed = |error| io_error(format!("write `{}`", path.display()), error);
    let mut above = folder.to_path_buf();
    for part in inside.parent().into_iter().flat_map(Path::components) {
        above.push(part);
        make_folder(&above, account)?;
    }
    // The folder was made anew and nobody else can enter it, so nothing can be in the way.
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .map_err(failed)?;
    std::io::Write::write_all(&mut file, content.as_bytes()).map_err(failed)?;
    match account {
        Some(account) => chown(&path, Some(account.uid), Some(account.gid)).map_err(failed),
        None => Ok(()),
    }
}

/// PostgreSQL refuses to start when the process named in `postmaster.pid` is there: also when it is dead and nobody
/// has asked yet how it ended, or when its number belongs to something else by now. The file goes when certainly
/// no server works in the folder; until then it is what protects the data from a second one.
async fn forget_dead_postmaster(data: &Path) -> Result<()> {
    let path = data.join("postmaster.pid");
    let Some(text) = files::read_if_there(&path)? else {
        return Ok(());
    };
    let pid: Option<i32> = text
        .lines()
        .next()
        .and_then(|line| line.trim().parse().ok());
    let Some(pid) = pid.and_then(Pid::from_raw) else {
        return Ok(());
    };
    if test_kill_process(pid) == Err(Errno::SRCH) {
        // Nobody has the number: the server sees that itself and goes on.
        return Ok(());
    }
    let real = fs::canonicalize(data)
        .map_err(|error| io_error(format!("find `{}`", data.display()), error))?;
    // The children of a server that was killed notice that and end.
    let deadline = Instant::now() + ORPHANS;
    loop {
        let servers: Vec<u32> = inspect::working_in(&real)
            .into_iter()
            .filter(|pid| {
                inspect::command_line_name(*pid).is_none_or(|name| name.contains("postgres"))
            })
            .collect();
        let Some(server) = servers.first() else {
            tracing::info!(
                ?pid,
                "removing the note of a PostgreSQL server that is gone"
            );
            return files::remove_file(&path);
        };
        if Instant::now() >= deadline {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!("start PostgreSQL in `{}`", data.display()),
            )
            .with_source(format!(
                "process {server} is a PostgreSQL server that uses this folder"
            ))
            .with_hint(format!("stop it: `kill -INT {server}`")));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_stay_in_their_folder() {
        let folder = tempfile::tempdir().unwrap();
        for wrong in ["../x", "/etc/x", "a/../../x", "", "."] {
            let error = write_file("p", folder.path(), wrong, "", None).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{wrong}");
        }
        write_file("p", folder.path(), "a/b/c.ini", "text", None).unwrap();
        let path = folder.path().join("a/b/c.ini");
        assert_eq!(files::read_private(&path).unwrap().unwrap(), b"text");
    }

    #[tokio::test]
    async fn a_reused_number_does_not_stop_postgres() {
        let folder = tempfile::tempdir().unwrap();
        let note = folder.path().join("postmaster.pid");
        // This very process has the number now, and is no PostgreSQL server.
        fs::write(&note, format!("{}\n/data\n", std::process::id())).unwrap();
        forget_dead_postmaster(folder.path()).await.unwrap();
        assert!(!note.exists());
        fs::write(&note, "nonsense").unwrap();
        forget_dead_postmaster(folder.path()).await.unwrap();
        assert!(note.exists());
    }

    #[tokio::test]
    async fn a_dead_number_that_nobody_asked_for_does_not_stop_postgres() {
        let folder = tempfile::tempdir().unwrap();
        let note = folder.path().join("postmaster.pid");
        let mut dead = std::process::Command::new("true").spawn().unwrap();
        while inspect::start_mark(dead.id()).is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        fs::write(&note, format!("{}\n/data\n", dead.id())).unwrap();
        forget_dead_postmaster(folder.path()).await.unwrap();
        assert!(!note.exists());
        dead.wait().unwrap();
    }

    #[tokio::test]
    async fn a_living_server_of_the_folder_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let note = folder.path().join("postmaster.pid");
        // A program of that name that works in the folder.
        let program = folder.path().join("postgres");
        fs::copy("/bin/sleep", &program).unwrap();
        let mut server = std::process::Command::new(&program)
            .arg("60")
            .current_dir(folder.path())
            .spawn()
            .unwrap();
        fs::write(&note, format!("{}\n/data\n", server.id())).unwrap();
        let error = forget_dead_postmaster(folder.path()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.hint().unwrap().contains(&server.id().to_string()));
        assert!(note.exists());
        server.kill().unwrap();
        server.wait().unwrap();
    }
}
