//! What tests do to a node of their own: its API server ends and comes back, its store is slow, its log is read.
#![expect(
    clippy::panic,
    reason = "a test without its server must fail, and say why"
)]

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use super::node::TestNode;
use super::proxy::FaultProxy;

impl TestNode {
    /// What the API server has logged of requests: one JSON object a line.
    pub fn audit_log(&self) -> String {
        // Lines are written in batches, at most a tenth of a second late.
        std::thread::sleep(Duration::from_millis(400));
        fs::read_to_string(self.folder().join("audit.log")).unwrap_or_default()
    }

    /// The process id of etcd, for tests that slow it down.
    ///
    /// # Panics
    ///
    /// When it does not run.
    pub fn etcd_pid(&self) -> u32 {
        let data = self.folder().join("etcd");
        self.process(&format!("--data-dir={}", data.display()))
    }

    /// Asks the API server as an administrator: the status and the text of its answer. A body is JSON.
    ///
    /// # Panics
    ///
    /// When curl cannot be started.
    pub fn request(&self, method: &str, path: &str, body: Option<&str>) -> (u16, String) {
        let mut curl = self.curl();
        curl.args(["--request", method, "--write-out", "\n%{http_code}"]);
        if let Some(body) = body {
            curl.args(["--header", "content-type: application/json"])
                .args(["--data-binary", body]);
        }
        let output = match curl.arg(format!("{}{path}", self.url())).output() {
            Ok(output) => output,
            Err(error) => panic!("cannot start curl: {error}"),
        };
        let text = String::from_utf8_lossy(&output.stdout);
        let (answer, code) = text.rsplit_once('\n').unwrap_or_default();
        (code.parse().unwrap_or_default(), answer.to_owned())
    }

    /// Ends the API server at once, as a crash would; its store stays.
    ///
    /// # Panics
    ///
    /// When it does not run.
    pub fn stop_api_server(&self) {
        let hold = self.folder().join("hold-kube-apiserver");
        if let Err(error) = fs::write(&hold, "") {
            panic!("cannot write {}: {error}", hold.display());
        }
        let log = self.folder().join("audit.log");
        let pid = self.process(&format!("--audit-log-path={}", log.display()));
        run(Command::new("kill").args(["-KILL", &pid.to_string()]));
    }

    /// Starts the API server again, and waits until it is ready.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn start_api_server(&self) {
        // It may not have been held back.
        let _ = fs::remove_file(self.folder().join("hold-kube-apiserver"));
        let deadline = Instant::now() + Duration::from_mins(1);
        while !super::cluster::is_ready(self.folder(), &self.url()) {
            assert!(
                Instant::now() < deadline,
                "the API server did not start:\n{}",
                super::cluster::end(&self.log("kube-apiserver"))
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// A proxy before the API server, through which so many of a hundred requests meet trouble. Whoever uses it is an
    /// administrator. The same seed makes the same choices.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    pub fn fault_proxy(&self, percent: u64, seed: u64) -> FaultProxy {
        let read = |name: &str| match fs::read_to_string(self.folder().join(name)) {
            Ok(text) => text,
            Err(error) => panic!("cannot read {name} of the node: {error}"),
        };
        let credentials = super::Credentials {
            certificate: read("admin.crt"),
            key: read("admin.key"),
        };
        FaultProxy::start(&self.url(), &credentials, &read("ca.crt"), percent, seed)
    }

    /// The process with that argument.
    fn process(&self, argument: &str) -> u32 {
        let processes = match fs::read_dir("/proc") {
            Ok(processes) => processes,
            Err(error) => panic!("cannot read /proc: {error}"),
        };
        let found = processes.flatten().find_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            let line = fs::read(entry.path().join("cmdline")).ok()?;
            let mut words = line.split(|byte| *byte == 0);
            // The shell that starts them has them in its script, not as arguments.
            words.any(|word| word == argument.as_bytes()).then_some(pid)
        });
        match found {
            Some(pid) => pid,
            None => panic!(
                "no process of the node in {} has `{argument}`",
                self.folder().display()
            ),
        }
    }
}

fn run(command: &mut Command) {
    match command.output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => panic!("{}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => panic!("cannot start a program: {error}"),
    }
}
