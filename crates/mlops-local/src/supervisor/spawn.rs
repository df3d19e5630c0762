//! Starting processes from a thread that lives as long as the supervisor.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc;

use mlops_core::{Error, ErrorKind, Result};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::child::ChildPlan;
use super::log::{LastLines, LogPump, RotatingFile};
use super::protocol::{RenderedProcess, Runs};
use crate::files::io_error;

struct Job {
    command: Command,
    answer: oneshot::Sender<io::Result<Child>>,
}

/// Starts processes. They are told to end when the *thread* that started them ends
/// (<https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html>), so it is one that lives on.
#[derive(Debug, Clone)]
pub(super) struct Spawner {
    jobs: mpsc::Sender<Job>,
    shim: PathBuf,
    shim_args: Vec<OsString>,
}

impl Spawner {
    /// `shim_args` make our own program call [`become_child`](super::child::become_child).
    pub(super) fn new(shim_args: Vec<OsString>) -> Result<Self> {
        let (jobs, received) = mpsc::channel::<Job>();
        let runtime = Handle::current();
        std::thread::Builder::new()
            .name("spawner".to_owned())
            .spawn(move || {
                let _entered = runtime.enter();
                for mut job in received {
                    let spawned = job.command.spawn();
                    // Nobody waits any more when the supervisor is about to end.
                    drop(job.answer.send(spawned));
                }
            })
            .map_err(|error| io_error("start a thread", error))?;
        Ok(Self {
            jobs,
            shim: our_program()?,
            shim_args,
        })
    }

    /// Starts a process, with its output going to `log`.
    pub(super) async fn spawn(
        &self,
        process: &RenderedProcess,
        note: &Path,
        log: RotatingFile,
        lines: LastLines,
    ) -> Result<(Child, LogPump)> {
        let plan = plan(process, note)?;
        let failed = |error| io_error(format!("start `{}`", plan.program.display()), error);
        let (reader, writer) = io::pipe().map_err(failed)?;
        let mut command = Command::new(&self.shim);
        command
            .args(&self.shim_args)
            .env_clear()
            .current_dir(&process.folder)
            .stdin(Stdio::piped())
            .stdout(writer.try_clone().map_err(failed)?)
            .stderr(writer)
            .process_group(0);
        let (answer, spawned) = oneshot::channel();
        let gone = || io::Error::other("the thread that starts processes has ended");
        self.jobs
            .send(Job { command, answer })
            .map_err(|_| failed(gone()))?;
        let mut child = spawned.await.map_err(|_| failed(gone()))?.map_err(failed)?;
        let pump = LogPump::start(reader, log, process.hidden.clone(), lines).map_err(failed)?;
        if let Some(mut stdin) = child.stdin.take() {
            let text = serde_json::to_vec(&plan).map_err(|error| {
                Error::new(ErrorKind::Failed, "describe a process").with_source(error)
            })?;
            // A process that died at once is noticed by whoever waits for it.
            if let Err(error) = stdin.write_all(&text).await {
                tracing::debug!(%error, "a process did not read what it shall be");
            }
        }
        Ok((child, pump))
    }
}

/// This very program. On Linux by a link of the kernel, which stays true when the file is replaced by a newer one.
fn our_program() -> Result<PathBuf> {
    if cfg!(target_os = "linux") {
        return Ok(PathBuf::from("/proc/self/exe"));
    }
    std::env::current_exe().map_err(|error| io_error("find our own program", error))
}

fn plan(process: &RenderedProcess, note: &Path) -> Result<ChildPlan> {
    let Runs::Program { path, account, .. } = &process.runs else {
        return Err(Error::new(ErrorKind::InvalidInput, "start a process")
            .with_source("what it runs is part of the supervisor and no program"));
    };
    Ok(ChildPlan {
        parent: std::process::id(),
        program: path.clone(),
        args: process.args.clone(),
        env: process.env.clone(),
        account: account.clone(),
        on_parent_death: process.spec.stop.signal,
        note: note.to_path_buf(),
    })
}
