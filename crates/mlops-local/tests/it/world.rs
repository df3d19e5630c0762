//! What the tests share: a platform's folders, and processes to keep.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mlops_core::process::{ProcessSpec, Program, Ready, Stop};
use mlops_local::supervisor::{RenderedProcess, Runs, SocketSupervisor, SupervisorApi, WireSecret};
use mlops_local::{Folders, Roots};

/// A platform in a folder of its own; what runs there is stopped when it is dropped.
pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) folders: Folders,
    pub(crate) supervisor: SocketSupervisor,
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("mlops-").tempdir().unwrap();
        // PostgreSQL runs as another user when we are root.
        set_mode(folder.path(), 0o711);
        let folders = Folders::new(&Roots::below(folder.path()), &"demo".parse().unwrap());
        let supervisor = SocketSupervisor::new(
            folders.clone(),
            vec![env!("CARGO_BIN_EXE_mlops-supervisor").into()],
            BTreeMap::new(),
        );
        Self {
            folder,
            folders,
            supervisor,
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let supervisor = self.supervisor.clone();
        let done = std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async { supervisor.shutdown().await })
        });
        let done = done.join();
        if !std::thread::panicking() {
            done.unwrap().unwrap();
        }
    }
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

pub(crate) fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A shell script that listens nowhere by itself.
pub(crate) fn shell(world: &World, name: &str, port: u16, script: &str) -> RenderedProcess {
    let service: mlops_core::ServiceName = name.parse().unwrap();
    RenderedProcess {
        spec: ProcessSpec {
            program: Program::Command("sh".to_owned()),
            args: vec!["-c".to_owned(), script.to_owned()],
            env: BTreeMap::new(),
            files: BTreeMap::new(),
            listens: vec![service.clone()],
            services: [service.clone()].into(),
            secrets: std::collections::BTreeSet::new(),
            ready: Ready::Tcp {
                service: service.clone(),
                within_seconds: 20,
            },
            stop: Stop {
                within_seconds: 3,
                ..Stop::default()
            },
            vars: mlops_core::Spec::new(),
        },
        runs: Runs::Program {
            path: "/bin/sh".into(),
            account: None,
            postgres_data: None,
        },
        args: vec!["-c".to_owned(), script.to_owned()],
        env: [(
            "PATH".to_owned(),
            WireSecret::new(std::env::var_os("PATH").unwrap().into_string().unwrap()),
        )]
        .into(),
        files: BTreeMap::new(),
        folder: world.folders.run(name),
        addresses: [(service, format!("http://127.0.0.1:{port}").parse().unwrap())].into(),
        hidden: Vec::new(),
    }
}

/// A web server that shows its folder.
pub(crate) fn web(world: &World, name: &str, port: u16) -> RenderedProcess {
    let script = format!("exec python3 -u -m http.server --bind 127.0.0.1 {port}");
    let mut process = shell(world, name, port, &script);
    process.spec.ready = Ready::Http {
        service: name.parse().unwrap(),
        path: "/".to_owned(),
        within_seconds: 20,
    };
    process
}

pub(crate) fn is_alive(pid: u32) -> bool {
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => !stat
            .rsplit(')')
            .next()
            .unwrap()
            .trim_start()
            .starts_with('Z'),
        Err(_) => false,
    }
}

pub(crate) async fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < Duration::from_secs(20), "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

pub(crate) async fn ready(world: &World, name: &str) -> mlops_core::Result<()> {
    world
        .supervisor
        .wait_until_ready(name, Duration::from_secs(20), &|_| {})
        .await
}

pub(crate) async fn pid_of(world: &World, name: &str) -> u32 {
    world.supervisor.status().await.unwrap()[name].pid.unwrap()
}

/// Every file below a folder.
pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let kind = std::fs::symlink_metadata(&path).unwrap();
        if kind.is_dir() {
            found.extend(files_below(&path));
        } else if kind.is_file() {
            found.push(path);
        }
    }
    found
}
