//! What the starters of real servers share.
#![expect(
    clippy::panic,
    reason = "a test without its server must fail, and say why"
)]

use std::fs::{self, File};
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Ends the server and removes its folder once its input ends, which happens when the test's process does, however.
const WATCH: &str = r#"
trap '' INT TERM HUP
cat >/dev/null
kill -"$1" "$2" 2>/dev/null
tries=0
while kill -0 "$2" 2>/dev/null && [ "$tries" -lt 100 ]; do sleep 0.05; tries=$((tries + 1)); done
kill -KILL "$2" 2>/dev/null
eval "$4"
rm -rf "$3"
"#;

/// A user of the machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Account {
    uid: u32,
    gid: u32,
}

/// `nobody`, when this process is root; otherwise none is needed.
pub(crate) fn unprivileged() -> Option<Account> {
    let probe = std::env::temp_dir().join(format!("mlops-whoami-{}", std::process::id()));
    let root = File::create(&probe)
        .and_then(|file| file.metadata())
        .is_ok_and(|metadata| metadata.uid() == 0);
    let _ = fs::remove_file(&probe);
    if !root {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let fields: Vec<&str> = users
        .lines()
        .find(|line| line.starts_with("nobody:"))
        .map(|line| line.split(':').collect())
        .unwrap_or_default();
    let number = |index: usize| fields.get(index).and_then(|field| field.parse().ok());
    Some(Account {
        uid: number(2).unwrap_or(65534),
        gid: number(3).unwrap_or(65534),
    })
}

pub(crate) fn run_as(command: &mut Command, account: Option<&Account>) {
    if let Some(account) = account {
        command.uid(account.uid).gid(account.gid);
    }
}

pub(crate) fn give(path: &Path, account: Option<&Account>) -> io::Result<()> {
    match account {
        Some(account) => std::os::unix::fs::chown(path, Some(account.uid), Some(account.gid)),
        None => Ok(()),
    }
}

/// A new folder in the machine's place for temporary ones, for that account only.
pub(crate) fn make_folder(prefix: &str, account: Option<&Account>) -> PathBuf {
    let made = tempfile::Builder::new()
        .prefix(prefix)
        .tempdir()
        .and_then(|folder| {
            let path = folder.keep();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700))?;
            give(&path, account)?;
            Ok(path)
        });
    match made {
        Ok(path) => path,
        Err(error) => panic!("cannot make a temporary folder: {error}"),
    }
}

/// A port that nobody listens at right now.
pub(crate) fn free_port() -> u16 {
    match TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()) {
        Ok(address) => address.port(),
        Err(error) => panic!("cannot find a free port: {error}"),
    }
}

/// A server with the shell that ends it.
#[derive(Debug)]
pub(crate) struct Guarded {
    server: Child,
    watch: Child,
}

impl Guarded {
    /// Starts the server with its output in `FOLDER/server.log`; `signal` ends it later, and then the folder goes.
    pub(crate) fn spawn(
        command: Command,
        account: Option<&Account>,
        folder: &Path,
        signal: &str,
    ) -> Self {
        Self::spawn_then(command, account, folder, signal, "")
    }

    /// As [`Self::spawn`]; after the server a piece of shell tidies up.
    pub(crate) fn spawn_then(
        mut command: Command,
        account: Option<&Account>,
        folder: &Path,
        signal: &str,
        finally: &str,
    ) -> Self {
        run_as(&mut command, account);
        // Not in our group: Ctrl-C is for us, and we end the server.
        command.stdin(Stdio::null()).process_group(0);
        let log = folder.join("server.log");
        let started = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .and_then(|log| Ok((log.try_clone()?, log)))
            .and_then(|(out, err)| command.stdout(out).stderr(err).spawn());
        let server = match started {
            Ok(server) => server,
            Err(error) => panic!("cannot start {}: {error}", command.get_program().display()),
        };
        let watch = Command::new("/bin/sh")
            .args(["-c", WATCH, "watch", signal, &server.id().to_string()])
            .arg(folder)
            .arg(finally)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn();
        match watch {
            Ok(watch) => Self { server, watch },
            Err(error) => panic!("cannot start /bin/sh: {error}"),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.server.id()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.server.try_wait(), Ok(None))
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        drop(self.watch.stdin.take());
        // The server is our child: it is gone for the shell only after we have asked how it ended.
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.is_running() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.watch.wait();
    }
}
