//! An API server with its store, and nothing that runs pods: ready in seconds.
#![expect(
    clippy::panic,
    reason = "a test without its server must fail, and say why"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::certificates::{Authority, Credentials};
use super::commands::{self, Addresses, Start};
use super::programs::programs;
use crate::server::{Guarded, free_port, make_folder};

/// kube-apiserver and etcd on 127.0.0.1, with certificates, RBAC and an audit log.
///
/// There is no controller and no kubelet: objects are kept and checked, and nothing happens to them. All of it ends,
/// and its folder goes, when the value is dropped, and also when the test's process ends in any other way.
pub struct TestCluster {
    folder: PathBuf,
    addresses: Addresses,
    authority: Authority,
    api_server: Mutex<Option<Guarded>>,
    etcd: Guarded,
}

impl std::fmt::Debug for TestCluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TestCluster")
            .field("folder", &self.folder)
            .field("port", &self.addresses.port)
            .finish_non_exhaustive()
    }
}

impl TestCluster {
    /// Starts one.
    ///
    /// # Panics
    ///
    /// When the programs are missing and cannot be built, or the servers do not start.
    pub fn start() -> Self {
        let programs = programs();
        programs.need(&["etcd", "kube-apiserver"]);
        let folder = make_folder("mlops-cluster-", None);
        let addresses = Addresses {
            host: "127.0.0.1".to_owned(),
            port: free_port(),
            etcd: free_port(),
            etcd_peers: free_port(),
        };
        let authority = Authority::new();
        if let Err(error) = commands::write_keys(&folder, &authority, &[]) {
            panic!("cannot write to {}: {error}", folder.display());
        }
        let etcd = commands::etcd(programs, &folder, &addresses);
        // Its guard takes the folder away, with all that the API server has in it.
        let etcd = Guarded::spawn(command(&etcd), None, &folder, "KILL");
        let cluster = Self {
            folder,
            addresses,
            authority,
            api_server: Mutex::new(None),
            etcd,
        };
        let kubeconfig = cluster.kubeconfig_of("admin", Some("system:masters"));
        if let Err(error) = fs::write(cluster.kubeconfig(), kubeconfig) {
            panic!("cannot write the kubeconfig: {error}");
        }
        cluster.start_api_server();
        cluster
    }

    /// One for all tests of the process, started by the first that asks.
    ///
    /// # Panics
    ///
    /// As [`TestCluster::start`].
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<TestCluster> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// The kubeconfig of an administrator.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    /// The text of a kubeconfig for a user, in a group.
    pub fn kubeconfig_of(&self, user: &str, group: Option<&str>) -> String {
        self.client(user, group)
            .kubeconfig(&self.url(), &self.authority.certificate())
    }

    /// A certificate with which a user signs in.
    pub fn client(&self, user: &str, group: Option<&str>) -> Credentials {
        self.authority.client(user, group)
    }

    /// The certificate of the authority, as PEM.
    pub fn authority(&self) -> String {
        self.authority.certificate()
    }

    /// The address, `https://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.addresses.port)
    }

    /// The port of the API server on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.addresses.port
    }

    /// The port of etcd on 127.0.0.1.
    pub fn etcd_port(&self) -> u16 {
        self.addresses.etcd
    }

    /// The process id of etcd, for tests that slow it down.
    pub fn etcd_pid(&self) -> u32 {
        self.etcd.pid()
    }

    /// What the API server has logged of requests: one JSON object a line.
    pub fn audit_log(&self) -> String {
        // Lines are written in batches, at most a tenth of a second late.
        std::thread::sleep(Duration::from_millis(400));
        fs::read_to_string(self.folder.join("audit.log")).unwrap_or_default()
    }

    /// Ends the API server at once, as a crash would; its store stays.
    pub fn stop_api_server(&self) {
        drop(self.slot().take());
    }

    /// Starts the API server, again at the same port, and waits until it is ready.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn start_api_server(&self) {
        let start = commands::apiserver(programs(), &self.folder, &self.addresses);
        let folder = make_folder("mlops-apiserver-", None);
        let mut server = Guarded::spawn(command(&start), None, &folder, "KILL");
        let deadline = Instant::now() + Duration::from_mins(1);
        while !self.is_ready() {
            if !server.is_running() || Instant::now() > deadline {
                let log = fs::read_to_string(folder.join("server.log")).unwrap_or_default();
                panic!("the API server did not start:\n{}", end(&log));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        *self.slot() = Some(server);
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Guarded>> {
        self.api_server
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn is_ready(&self) -> bool {
        is_ready(&self.folder, &self.url())
    }
}

/// Whether an API server is ready, and its own first objects are there.
pub(super) fn is_ready(folder: &Path, url: &str) -> bool {
    let answered = Command::new("curl")
        .args(["--silent", "--max-time", "5", "--output", "/dev/null"])
        .args(["--write-out", "%{http_code}", "--cacert"])
        .arg(folder.join("ca.crt"))
        .arg(format!("{url}/readyz"))
        .output();
    match answered {
        Ok(output) => output.stdout == b"200",
        Err(error) => panic!("cannot start curl, which asks whether the server is ready: {error}"),
    }
}

pub(super) fn end(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    let last = lines.get(lines.len().saturating_sub(30)..);
    last.unwrap_or_default().join("\n")
}

fn command(start: &Start) -> Command {
    let mut command = Command::new(&start.program);
    command.args(&start.args);
    command
}
