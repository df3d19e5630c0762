//! The providers over systems in memory, cut off at every single write.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use mlops_core::hook::WriteHook;
use mlops_core::{
    Context, Endpoint, Endpoints, Error, ErrorKind, EventSink, Failure, Provider, Result,
    SecretStore, SecretText, ServiceName,
};
use mlops_local::fake::{FakePrograms, FakePython, FakeStorage, FakeSupervisor};
use mlops_local::providers::{
    DataFolderProvider, ProcessProvider, PythonEnvironmentProvider, SupervisorProvider,
};
use mlops_local::{FileSecretStore, StorageApi};

use crate::target::{EVERYTHING, graph, sorted, up};

/// Fails at one moment: moments are counted before and after every write.
#[derive(Default)]
struct Trouble {
    moments: AtomicUsize,
    at: AtomicUsize,
}

impl Trouble {
    fn moment(&self, what: &str) -> Result<()> {
        let now = self.moments.fetch_add(1, Ordering::SeqCst) + 1;
        if now == self.at.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Interrupted, what));
        }
        Ok(())
    }
}

#[async_trait]
impl WriteHook for Trouble {
    async fn before(&self, what: &str) -> Result<()> {
        self.moment(what)
    }

    async fn after(&self, what: &str) -> Result<()> {
        self.moment(what)
    }
}

struct Ports(FakeStorage);

#[async_trait]
impl Endpoints for Ports {
    async fn get(&self, name: &ServiceName) -> Result<Endpoint> {
        let port = self.0.ports().await?.get(name).copied();
        let port = port.ok_or_else(|| Error::new(ErrorKind::NotFound, "find a port"))?;
        Endpoint::new(format!("http://127.0.0.1:{port}").parse().unwrap())
    }
}

struct Simulation {
    trouble: Arc<Trouble>,
    supervisor: FakeSupervisor,
    providers: Vec<Arc<dyn Provider>>,
    cx: Context,
    _secrets: tempfile::TempDir,
}

impl Simulation {
    async fn new() -> Self {
        let trouble = Arc::new(Trouble::default());
        let storage = FakeStorage::default().with_hook(trouble.clone());
        let supervisor = FakeSupervisor::default().with_hook(trouble.clone());
        let python = Arc::new(FakePython::default().with_hook(trouble.clone()));
        let programs = Arc::new(FakePrograms);
        let disk: Arc<dyn StorageApi> = Arc::new(storage.clone());
        let folder = tempfile::tempdir().unwrap();
        let secrets = FileSecretStore::new(folder.path());
        for name in ["postgres/superuser-password", "s3/admin-secret-key"] {
            let name = name.parse().unwrap();
            secrets
                .create(&name, SecretText::new("a secret"))
                .await
                .unwrap();
        }
        let asked = Arc::new(supervisor.clone());
        Self {
            providers: vec![
                Arc::new(SupervisorProvider::new(asked.clone(), disk.clone())),
                Arc::new(PythonEnvironmentProvider::new(python)),
                Arc::new(DataFolderProvider::new(disk.clone(), programs.clone())),
                Arc::new(ProcessProvider::new(asked, disk, programs)),
            ],
            cx: Context {
                platform: "demo".parse().unwrap(),
                secrets: Arc::new(secrets),
                endpoints: Arc::new(Ports(storage)),
                events: EventSink::none(),
            },
            trouble,
            supervisor,
            _secrets: folder,
        }
    }
}

#[tokio::test]
async fn a_run_cut_off_anywhere_is_finished_by_the_next() {
    let graph = graph(None, 20);
    let whole = Simulation::new().await;
    let done = up(&graph, &whole.providers, &whole.cx).await.unwrap();
    assert_eq!(sorted(&done), sorted(&EVERYTHING));
    let moments = whole.trouble.moments.load(Ordering::SeqCst);
    assert_eq!(
        moments, 12,
        "six writes, each with a moment before and after"
    );
    for at in 1..=moments {
        let cut = Simulation::new().await;
        cut.trouble.at.store(at, Ordering::SeqCst);
        let error = up(&graph, &cut.providers, &cut.cx).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Interrupted, "moment {at}");
        up(&graph, &cut.providers, &cut.cx).await.unwrap();
        assert!(
            up(&graph, &cut.providers, &cut.cx)
                .await
                .unwrap()
                .is_empty(),
            "moment {at}"
        );
    }
}

#[tokio::test]
async fn what_was_killed_or_failed_comes_back() {
    let graph = graph(None, 20);
    let world = Simulation::new().await;
    up(&graph, &world.providers, &world.cx).await.unwrap();
    world.supervisor.kill();
    assert_eq!(
        up(&graph, &world.providers, &world.cx).await.unwrap().len(),
        3
    );
    let failure = Failure::from(&Error::new(ErrorKind::Failed, "keep `process/s3` running"));
    world.supervisor.fail("s3", failure);
    assert_eq!(
        up(&graph, &world.providers, &world.cx).await.unwrap(),
        ["wait for process/s3"]
    );
    assert!(
        up(&graph, &world.providers, &world.cx)
            .await
            .unwrap()
            .is_empty()
    );
}
