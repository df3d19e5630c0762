//! Notes about running processes, and the end of those that outlived their supervisor.

use std::path::{Path, PathBuf};
use std::time::Duration;

use mlops_core::process::StopSignal;
use mlops_core::{Error, ErrorKind, Result};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde::{Deserialize, Serialize};

use crate::files;
use crate::inspect;

/// How long a process that was left behind is given to end by itself.
const PATIENCE: Duration = Duration::from_secs(15);

/// Which process it was: its number alone may belong to another one by now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PidNote {
    pid: u32,
    start: String,
    stop: StopSignal,
}

impl PidNote {
    pub(super) fn of_this_process(stop: StopSignal) -> Result<Self> {
        let pid = std::process::id();
        let start = inspect::start_mark(pid)
            .ok_or_else(|| Error::new(ErrorKind::Failed, "find when this process started"))?;
        Ok(Self { pid, start, stop })
    }

    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_vec(self)
            .map_err(|error| Error::new(ErrorKind::Failed, "note a process").with_source(error))?;
        files::replace_private(path, &text)
    }

    fn read(path: &Path) -> Result<Option<Self>> {
        // A note that is not understood is of no use to anybody; notes are written whole or not at all.
        Ok(files::read_if_there(path)?.and_then(|text| serde_json::from_str(&text).ok()))
    }

    /// Whether the process of the note lives.
    fn is_alive(&self) -> bool {
        inspect::start_mark(self.pid).is_some_and(|start| start == self.start)
    }

    /// The members of its group that live. A number is not given anew while its group has members, so the group is
    /// the noted one unless its leader is another process.
    fn remaining(&self) -> Vec<u32> {
        match inspect::start_mark(self.pid) {
            Some(start) if start != self.start => Vec::new(),
            _ => inspect::members_of_group(self.pid),
        }
    }
}

/// The file with the note about a process.
pub(super) fn note_path(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.json"))
}

/// Ends every process that `folder` has a note about, and forgets the notes.
///
/// # Errors
///
/// When a process cannot be ended.
pub(crate) async fn end_leftovers(folder: &Path) -> Result<()> {
    let ends = files::names_in(folder)?.into_iter().map(|name| {
        let path = folder.join(name);
        async move { end_leftover(&path).await }
    });
    futures::future::try_join_all(ends).await?;
    Ok(())
}

/// Ends the process that a note is about, with its whole group, and forgets the note.
async fn end_leftover(path: &Path) -> Result<()> {
    let Some(note) = PidNote::read(path)? else {
        return files::remove_file(path);
    };
    if note.is_alive() {
        tracing::info!(pid = note.pid, note = %path.display(), "ending a process that outlived its supervisor");
        signal_process(note.pid, super::signal(note.stop));
    }
    // The group's other members are told by their leader, or have none.
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while note.is_alive() && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for _ in 0..300 {
        let remaining = note.remaining();
        if remaining.is_empty() {
            return files::remove_file(path);
        }
        for pid in remaining {
            signal_process(pid, Signal::KILL);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Err(Error::new(ErrorKind::Timeout, format!("end process {}", note.pid))
        .with_source("it is still there after SIGKILL")
        .with_hint("it may wait for a disk or a debugger; end it by hand and run the same command again"))
}

/// Sends a signal; fine when the process is gone.
pub(super) fn signal_process(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw)
        && let Err(error) = kill_process(pid, signal)
    {
        tracing::debug!(%error, "a signal was not delivered");
    }
}

/// Kills what is left of a process group; fine when nothing is.
pub(super) fn kill_group(leader: u32) {
    if let Some(pid) = i32::try_from(leader).ok().and_then(Pid::from_raw)
        && let Err(error) = kill_process_group(pid, Signal::KILL)
    {
        tracing::trace!(%error, "nothing is left of a process group");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::CommandExt;

    #[tokio::test]
    async fn a_leftover_ends_with_its_group_and_a_stranger_stays() {
        let folder = tempfile::tempdir().unwrap();
        // The leader ignores nothing, its child ignores SIGTERM.
        let mut leader = std::process::Command::new("sh")
            .args(["-c", "(trap '' TERM; sleep 100) & exec sleep 100"])
            .process_group(0)
            .spawn()
            .unwrap();
        let mut stranger = std::process::Command::new("sleep")
            .arg("100")
            .spawn()
            .unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        let note = PidNote {
            pid: leader.id(),
            start: inspect::start_mark(leader.id()).unwrap(),
            stop: StopSignal::Terminate,
        };
        note.write(&note_path(folder.path(), "x")).unwrap();
        // This number is another process by now.
        let stale = PidNote {
            pid: stranger.id(),
            start: "long ago".to_owned(),
            stop: StopSignal::Terminate,
        };
        stale.write(&note_path(folder.path(), "y")).unwrap();
        std::fs::write(folder.path().join("z.json"), "{").unwrap();
        let reaper = std::thread::spawn(move || leader.wait().unwrap());
        end_leftovers(folder.path()).await.unwrap();
        reaper.join().unwrap();
        assert!(note.remaining().is_empty());
        assert!(stranger.try_wait().unwrap().is_none());
        assert_eq!(
            files::names_in(folder.path()).unwrap(),
            Vec::<String>::new()
        );
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    }
}
