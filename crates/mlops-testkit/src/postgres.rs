//! A real PostgreSQL server for tests.
#![expect(
    clippy::panic,
    reason = "a test without its server must fail, and say why"
)]

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::server::{Account, Guarded, free_port, unprivileged};

/// Certificate and key as PEM, for a server that speaks TLS.
#[derive(Debug, Clone)]
pub struct ServerTls {
    /// The certificate chain.
    pub certificate: String,
    /// Its private key.
    pub key: String,
}

/// A running PostgreSQL server on 127.0.0.1 with SCRAM passwords and all statements logged, in a folder of its own.
///
/// It ends and its folder goes when the value is dropped, and also when the test's process ends in any other way. As
/// root it runs as `nobody`, because PostgreSQL refuses to be root.
#[derive(Debug)]
pub struct TestPostgres {
    port: u16,
    bin: PathBuf,
    folder: PathBuf,
    _guard: Guarded,
}

/// The folder with `postgres` and `initdb`.
///
/// # Panics
///
/// When there is none, with how to get one.
pub fn find_binaries() -> PathBuf {
    let mut tried = Vec::new();
    let mut candidates: Vec<PathBuf> = Vec::new();
    if let Some(folder) = std::env::var_os("MLOPS_TEST_POSTGRES_BIN") {
        candidates.push(folder.into());
    }
    if let Ok(output) = Command::new("pg_config").arg("--bindir").output() {
        candidates.push(String::from_utf8_lossy(&output.stdout).trim().into());
    }
    let mut installed: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .collect();
    installed.sort();
    candidates.extend(installed.into_iter().rev());
    for folder in candidates {
        if folder.join("initdb").is_file() && folder.join("postgres").is_file() {
            return folder;
        }
        tried.push(folder.display().to_string());
    }
    panic!(
        "no PostgreSQL server found (looked in: {}); install one (Debian: apt-get install postgresql; Fedora: dnf \
         install postgresql-server; macOS: brew install postgresql) or name the folder of its programs in \
         MLOPS_TEST_POSTGRES_BIN",
        tried.join(", ")
    );
}

impl TestPostgres {
    /// The superuser's password.
    pub const PASSWORD: &'static str = "superuser-password-of-the-test-server";

    /// Starts a server without TLS.
    ///
    /// # Panics
    ///
    /// When there is no PostgreSQL on the machine, or it does not start.
    pub fn start() -> Self {
        Self::start_with(None)
    }

    /// One server for all tests of the process, started by the first that asks.
    ///
    /// # Panics
    ///
    /// As [`TestPostgres::start`].
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<TestPostgres> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Starts a server, with TLS if a certificate is given.
    ///
    /// # Panics
    ///
    /// As [`TestPostgres::start`].
    pub fn start_with(tls: Option<&ServerTls>) -> Self {
        // Somebody else may take the port between looking for it and starting.
        for _ in 0..2 {
            if let Ok(server) = Self::try_start(tls) {
                return server;
            }
        }
        match Self::try_start(tls) {
            Ok(server) => server,
            Err(log) => panic!("PostgreSQL did not start:\n{log}"),
        }
    }

    /// One attempt, in a folder of its own; else what the server has logged.
    fn try_start(tls: Option<&ServerTls>) -> Result<Self, String> {
        let bin = find_binaries();
        let account = unprivileged();
        let folder = crate::server::make_folder("mlops-postgres-", account.as_ref());
        if let Err(error) = initialise(&bin, &folder, account.as_ref()) {
            panic!("initdb did not work in {}: {error}", folder.display());
        }
        if let Some(tls) = tls {
            put(
                &folder.join("server.crt"),
                &tls.certificate,
                account.as_ref(),
            );
            put(&folder.join("server.key"), &tls.key, account.as_ref());
        }
        let port = free_port();
        let mut guard = Guarded::spawn(
            command(&bin, &folder, port, tls.is_some()),
            account.as_ref(),
            &folder,
            "QUIT",
        );
        if !wait_until_ready(&mut guard, &folder) {
            return Err(fs::read_to_string(folder.join("server.log")).unwrap_or_default());
        }
        Ok(Self {
            port,
            bin,
            folder,
            _guard: guard,
        })
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address, `postgresql://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("postgresql://127.0.0.1:{}", self.port)
    }

    /// The folder of its programs.
    pub fn binaries(&self) -> &Path {
        &self.bin
    }

    /// Everything the server has logged, every statement among it.
    pub fn log(&self) -> String {
        fs::read(self.folder.join("server.log"))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }
}

fn put(path: &Path, text: &str, account: Option<&Account>) {
    let written = fs::write(path, text)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o600)))
        .and_then(|()| crate::server::give(path, account));
    if let Err(error) = written {
        panic!("cannot write {}: {error}", path.display());
    }
}

fn initialise(bin: &Path, folder: &Path, account: Option<&Account>) -> io::Result<()> {
    let password = folder.join("password");
    put(&password, TestPostgres::PASSWORD, account);
    let mut command = Command::new(bin.join("initdb"));
    command
        .args([
            "--username=postgres",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
        ])
        .args(["--locale=C", "--no-sync", "--no-instructions"])
        .arg(format!("--pwfile={}", password.display()))
        .arg("-D")
        .arg(folder.join("data"))
        .current_dir(folder);
    crate::server::run_as(&mut command, account);
    let output = command.output()?;
    fs::remove_file(&password)?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(
        String::from_utf8_lossy(&output.stderr).into_owned(),
    ))
}

fn command(bin: &Path, folder: &Path, port: u16, tls: bool) -> Command {
    let mut command = Command::new(bin.join("postgres"));
    command
        .arg("-D")
        .arg(folder.join("data"))
        .args(["-p", &port.to_string()])
        .args(["-c", "listen_addresses=127.0.0.1"])
        .args(["-c", "unix_socket_directories="])
        .args([
            "-c",
            "fsync=off",
            "-c",
            "log_statement=all",
            "-c",
            "max_connections=200",
        ])
        .current_dir(folder);
    if tls {
        command
            .args(["-c", "ssl=on"])
            .arg("-c")
            .arg(format!(
                "ssl_cert_file={}",
                folder.join("server.crt").display()
            ))
            .arg("-c")
            .arg(format!(
                "ssl_key_file={}",
                folder.join("server.key").display()
            ));
    }
    command
}

/// The last line of the server's own process file says when connections are taken.
fn wait_until_ready(guard: &mut Guarded, folder: &Path) -> bool {
    let file = folder.join("data/postmaster.pid");
    let deadline = Instant::now() + Duration::from_mins(1);
    while Instant::now() < deadline && guard.is_running() {
        let text = fs::read_to_string(&file).unwrap_or_default();
        if text
            .lines()
            .nth(7)
            .is_some_and(|line| line.trim() == "ready")
        {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_starts_answers_and_leaves_nothing() {
        let server = TestPostgres::start();
        std::net::TcpStream::connect(("127.0.0.1", server.port())).unwrap();
        assert!(server.log().contains("ready to accept connections"));
        let folder = server.folder.clone();
        let port = server.port();
        drop(server);
        assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
        assert!(!folder.exists());
    }
}
