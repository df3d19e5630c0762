//! A real S3 server with an admin interface for tests: the Versity S3 gateway.
#![expect(
    clippy::panic,
    reason = "a test without its server must fail, and say why"
)]

use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::kubernetes::programs::{make_once, run_go};
use crate::server::{Guarded, free_port, make_folder};

/// The version that is built when none is found.
const VERSION: &str = "1.8.0";
const PROGRAM: &str = "versitygw";

/// A running gateway on 127.0.0.1 over a folder of its own.
///
/// It ends and its folder goes when the value is dropped, and also when the test's process ends in any other way.
#[derive(Debug)]
pub struct TestVersity {
    port: u16,
    folder: PathBuf,
    _guard: Guarded,
}

/// The gateway's program: at `MLOPS_TEST_VERSITYGW`, on `PATH`, in the cache, else built into the cache by Go.
///
/// # Panics
///
/// When there is none and it cannot be built.
pub fn find_program() -> PathBuf {
    if let Some(path) = std::env::var_os("MLOPS_TEST_VERSITYGW") {
        let path = PathBuf::from(path);
        assert!(
            path.is_file(),
            "MLOPS_TEST_VERSITYGW names {}, where there is no file",
            path.display()
        );
        return path;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    if let Some(found) = std::env::split_paths(&path)
        .map(|folder| folder.join(PROGRAM))
        .find(|path| path.is_file())
    {
        return found;
    }
    let module = format!("github.com/versity/versitygw/cmd/versitygw@v{VERSION}");
    let instead = "name a built program in MLOPS_TEST_VERSITYGW";
    // The place where `cargo xtask test` keeps it as well.
    let folder = make_once(&format!("{PROGRAM}-{VERSION}"), |staging| {
        let mut go = Command::new("go");
        go.args(["install", &module])
            .env("GOBIN", staging.join("bin"));
        run_go(&mut go, &module, instead);
    });
    folder.join("bin").join(PROGRAM)
}

impl TestVersity {
    /// The administrator's access key.
    pub const ACCESS_KEY: &'static str = "admin";
    /// The administrator's secret.
    pub const SECRET_KEY: &'static str = "admin-secret-of-the-test-gateway";

    /// Starts a gateway.
    ///
    /// # Panics
    ///
    /// When there is no program and none can be built, or it does not start.
    pub fn start() -> Self {
        // Somebody else may take the port between looking for it and starting.
        for _ in 0..2 {
            if let Ok(gateway) = Self::try_start() {
                return gateway;
            }
        }
        match Self::try_start() {
            Ok(gateway) => gateway,
            Err(log) => panic!("the Versity gateway did not start:\n{log}"),
        }
    }

    /// One attempt, in a folder of its own; else what the gateway has printed.
    fn try_start() -> Result<Self, String> {
        let program = find_program();
        let folder = make_folder("mlops-versity-", None);
        for name in ["data", "meta", "keys"] {
            if let Err(error) = fs::create_dir(folder.join(name)) {
                panic!("cannot make a folder in {}: {error}", folder.display());
            }
        }
        let port = free_port();
        let mut command = Command::new(&program);
        command
            .args(["--port", &format!("127.0.0.1:{port}"), "--quiet"])
            .arg("--iam-dir")
            .arg(folder.join("keys"))
            // Extended attributes are not on every file system; files beside are.
            .args(["posix", "--sidecar"])
            .arg(folder.join("meta"))
            .arg(folder.join("data"))
            .env("ROOT_ACCESS_KEY", Self::ACCESS_KEY)
            .env("ROOT_SECRET_KEY", Self::SECRET_KEY)
            .current_dir(&folder);
        let mut guard = Guarded::spawn(command, None, &folder, "TERM");
        if !wait_until_ready(&mut guard, port) {
            return Err(fs::read_to_string(folder.join("server.log")).unwrap_or_default());
        }
        Ok(Self {
            port,
            folder,
            _guard: guard,
        })
    }

    /// One gateway for all tests of the process, started by the first that asks.
    ///
    /// # Panics
    ///
    /// As [`TestVersity::start`].
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<TestVersity> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address, `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What it has printed.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("server.log")).unwrap_or_default()
    }
}

fn wait_until_ready(guard: &mut Guarded, port: u16) -> bool {
    let deadline = Instant::now() + Duration::from_secs(30);
    while Instant::now() < deadline && guard.is_running() {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}
