//! What the operating system tells about processes: by `/proc` on Linux, by `ps` and `lsof` elsewhere.

pub(crate) use system::{command_line_name, listener, members_of_group, start_mark, working_in};

#[cfg(target_os = "linux")]
mod system {
    use std::path::Path;

    use procfs::process::{FDTarget, Process, all_processes};

    fn process(pid: u32) -> Option<Process> {
        Process::new(i32::try_from(pid).ok()?).ok()
    }

    /// A text that tells this process from any other that has or had its number; `None` when it is dead, also when
    /// only its parent has not yet asked how it ended.
    pub(crate) fn start_mark(pid: u32) -> Option<String> {
        let stat = process(pid)?.stat().ok()?;
        if matches!(stat.state, 'Z' | 'X') {
            return None;
        }
        // Ticks count from the start of the machine, so they mean nothing without saying which start.
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Some(format!("{}@{}", stat.starttime, boot.trim()))
    }

    /// The living members of a process group.
    pub(crate) fn members_of_group(group: u32) -> Vec<u32> {
        let Ok(all) = all_processes() else {
            return Vec::new();
        };
        all.flatten()
            .filter_map(|process| process.stat().ok())
            .filter(|stat| u32::try_from(stat.pgrp).is_ok_and(|pgrp| pgrp == group))
            .filter(|stat| !matches!(stat.state, 'Z' | 'X'))
            .filter_map(|stat| u32::try_from(stat.pid).ok())
            .collect()
    }

    /// The short name of a process, such as `postgres`.
    pub(crate) fn command_line_name(pid: u32) -> Option<String> {
        Some(process(pid)?.stat().ok()?.comm)
    }

    /// The living processes that work in a folder, as far as we may know.
    pub(crate) fn working_in(folder: &Path) -> Vec<u32> {
        let Ok(all) = all_processes() else {
            return Vec::new();
        };
        all.flatten()
            .filter(|process| process.cwd().is_ok_and(|found| found == folder))
            .filter_map(|process| u32::try_from(process.pid()).ok())
            .filter(|pid| start_mark(*pid).is_some())
            .collect()
    }

    /// Who listens at a TCP port of this machine, as far as we may know.
    pub(crate) fn listener(port: u16) -> Option<String> {
        let entries = procfs::net::tcp()
            .into_iter()
            .chain(procfs::net::tcp6())
            .flatten();
        let inode = entries
            .into_iter()
            .find(|entry| {
                entry.state == procfs::net::TcpState::Listen && entry.local_address.port() == port
            })?
            .inode;
        let owner = all_processes().ok()?.flatten().find(|process| {
            process.fd().is_ok_and(|mut fds| {
                fds.any(|fd| {
                    fd.is_ok_and(
                        |fd| matches!(fd.target, FDTarget::Socket(found) if found == inode),
                    )
                })
            })
        })?;
        let name = owner.stat().ok()?.comm;
        Some(format!("`{name}` (process {})", owner.pid()))
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::path::Path;
    use std::process::{Command, Stdio};

    fn output(program: &str, args: &[&str]) -> Option<String> {
        let output = Command::new(program)
            .args(args)
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .ok()?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        (!text.is_empty()).then_some(text)
    }

    /// A text that tells this process from any other that has or had its number; `None` when it is dead.
    pub(crate) fn start_mark(pid: u32) -> Option<String> {
        let state = output("ps", &["-o", "state=", "-p", &pid.to_string()])?;
        if state.starts_with('Z') {
            return None;
        }
        output("ps", &["-o", "lstart=", "-p", &pid.to_string()])
    }

    /// The living members of a process group.
    pub(crate) fn members_of_group(group: u32) -> Vec<u32> {
        let text = output("ps", &["-axo", "pid=,pgid=,state="]).unwrap_or_default();
        text.lines()
            .filter_map(|line| {
                let mut words = line.split_whitespace();
                let pid: u32 = words.next()?.parse().ok()?;
                let found: u32 = words.next()?.parse().ok()?;
                let dead = words.next()?.starts_with('Z');
                (found == group && !dead).then_some(pid)
            })
            .collect()
    }

    /// The short name of a process, such as `postgres`.
    pub(crate) fn command_line_name(pid: u32) -> Option<String> {
        let path = output("ps", &["-o", "comm=", "-p", &pid.to_string()])?;
        path.rsplit('/').next().map(str::to_owned)
    }

    /// The living processes that work in a folder, as far as we may know.
    pub(crate) fn working_in(folder: &Path) -> Vec<u32> {
        let text = output("lsof", &["-a", "-d", "cwd", "-Fpn"]).unwrap_or_default();
        let mut pid = None;
        let mut found = Vec::new();
        for line in text.lines() {
            if let Some(number) = line.strip_prefix('p') {
                pid = number.parse().ok();
            } else if let (Some(path), Some(pid)) = (line.strip_prefix('n'), pid)
                && Path::new(path) == folder
            {
                found.push(pid);
            }
        }
        found
    }

    /// Who listens at a TCP port of this machine, as far as we may know.
    pub(crate) fn listener(port: u16) -> Option<String> {
        let text = output(
            "lsof",
            &["-nP", &format!("-iTCP:{port}"), "-sTCP:LISTEN", "-Fpc"],
        )?;
        let part = |mark: char| text.lines().find_map(|line| line.strip_prefix(mark));
        Some(format!("`{}` (process {})", part('c')?, part('p')?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_knows_itself_and_who_listens() {
        let ours = std::process::id();
        assert_eq!(start_mark(ours), start_mark(ours));
        assert!(start_mark(ours).is_some());
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        assert_eq!(start_mark(child.id()), None);
        let listening = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listening.local_addr().unwrap().port();
        let who = listener(port).unwrap();
        assert!(who.ends_with(&format!("(process {ours})")), "{who}");
        let here = std::env::current_dir().unwrap();
        assert!(working_in(&here).contains(&ours));
    }
}
