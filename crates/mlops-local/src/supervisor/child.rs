//! The last steps of a process before it becomes the program: taken in a process of our own, because they may not be
//! taken between `fork` and `exec` without unsafe code.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use mlops_core::process::StopSignal;
use mlops_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use super::leftover::PidNote;
use super::protocol::{Account, WireSecret};
use crate::files::io_error;

/// What the process shall become; comes through its standard input, because arguments can be seen by everybody.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChildPlan {
    /// Who started it; when that one is gone already, it ends at once.
    pub(super) parent: u32,
    /// The program.
    pub(super) program: PathBuf,
    /// Its arguments.
    pub(super) args: Vec<String>,
    /// Its whole environment.
    pub(super) env: BTreeMap<String, WireSecret>,
    /// Who it runs as, when that is somebody else.
    pub(super) account: Option<Account>,
    /// What it is sent when its parent dies.
    pub(super) on_parent_death: StopSignal,
    /// Where it leaves its number.
    pub(super) note: PathBuf,
}

/// Turns this process into a program that a supervisor described on its standard input; returns only when that fails.
///
/// A program that embeds the local target calls this, before it starts any thread, when it is started with the
/// arguments it gave to [`Supervise::new`](crate::Supervise::new).
///
/// # Errors
///
/// When the description is not understood, the user or folder cannot be changed, or the program cannot be started.
pub fn become_child() -> Result<Infallible> {
    let mut text = Vec::new();
    std::io::stdin()
        .lock()
        .take(64 << 20)
        .read_to_end(&mut text)
        .map_err(|error| io_error("read what to run", error))?;
    let plan: ChildPlan = serde_json::from_slice(&text).map_err(|_| {
        // The cause could quote the text, which holds secrets.
        Error::new(ErrorKind::InvalidInput, "understand what to run")
    })?;
    drop(text);
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    // A dump of the memory would be a file with secrets.
    let no_dumps = rustix::process::Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    rustix::process::setrlimit(rustix::process::Resource::Core, no_dumps)
        .map_err(|error| io_error("forbid memory dumps", error.into()))?;
    PidNote::of_this_process(plan.on_parent_death)?.write(&plan.note)?;
    let mut command = Command::new(&plan.program);
    command
        .args(&plan.args)
        .env_clear()
        .envs(plan.env.iter().map(|(name, value)| (name, value.expose())))
        .stdin(Stdio::null());
    change_user(&plan, &mut command)?;
    die_with_parent(&plan)?;
    let error = command.exec();
    Err(io_error(
        format!("start `{}`", plan.program.display()),
        error,
    ))
}

/// Drops root's rights. Has to come before [`die_with_parent`]: the kernel forgets that wish when the user changes
/// (<https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html>).
#[cfg(target_os = "linux")]
fn change_user(plan: &ChildPlan, _command: &mut Command) -> Result<()> {
    use rustix::process::{Gid, Uid};
    use rustix::thread::{set_thread_gid, set_thread_groups, set_thread_uid};
    let Some(account) = &plan.account else {
        return Ok(());
    };
    // There is one thread only, so what is said of the thread holds for the process.
    let gid = Gid::from_raw(account.gid);
    set_thread_groups(&[gid])
        .and_then(|()| set_thread_gid(gid))
        .and_then(|()| set_thread_uid(Uid::from_raw(account.uid)))
        .map_err(|error| io_error(format!("become user `{}`", account.name), error.into()))
}

#[cfg(not(target_os = "linux"))]
fn change_user(plan: &ChildPlan, command: &mut Command) -> Result<()> {
    if let Some(account) = &plan.account {
        command.uid(account.uid).gid(account.gid);
    }
    Ok(())
}

#[cfg(target_os = "linux")]
fn die_with_parent(plan: &ChildPlan) -> Result<()> {
    use rustix::process::{getppid, set_parent_process_death_signal};
    set_parent_process_death_signal(Some(super::signal(plan.on_parent_death)))
        .map_err(|error| io_error("ask to end with the supervisor", error.into()))?;
    // It may have died before the wish was heard.
    let parent = getppid().and_then(|pid| u32::try_from(pid.as_raw_pid()).ok());
    if parent == Some(plan.parent) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Interrupted, "start a process")
        .with_source("its supervisor has ended meanwhile"))
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent(_plan: &ChildPlan) -> Result<()> {
    Ok(())
}
