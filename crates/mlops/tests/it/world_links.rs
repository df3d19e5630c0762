//! How providers reach the systems of a [`World`]: as the real ones are reached, only while their processes answer.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mlops::secrets::SecretProvider;
use mlops::surroundings::FixedEndpoints;
use mlops::{Engine, Patience};
use mlops_core::hook::{Hook, WriteHook};
use mlops_core::{
    Context, Endpoint, Error, ErrorKind, EventSink, Prober, Provider, Result, SecretName,
    SecretStore, SecretText,
};
use mlops_local::fake::{FakePrograms, FakeStorage, FakeSupervisor};
use mlops_local::providers::{
    DataFolderProvider, ProcessProvider, PythonEnvironmentProvider, SupervisorProvider,
};
use mlops_local::supervisor::{
    OnNews, ProcessStatus, RenderedProcess, SupervisorApi, SupervisorInfo,
};
use mlops_local::{Programs, StorageApi};
use mlops_serving::provider::{
    MlflowProber, MlflowUserProvider, ModelProber, RegisteredModelProvider, ServedModelProvider,
};
use mlops_serving::registry::{ConnectRegistry, Registry};
use mlops_serving::serve::{ConnectModelServer, ModelServer};
use mlops_storage::postgres;
use mlops_storage::s3;
use tokio::time::Instant;

use crate::world_state::{GRAPH, PLACES, SAMPLES, World};

/// The ways of one run to the systems; every write asks the run's hook and shows in the other systems.
#[derive(Clone)]
struct Links {
    world: Arc<World>,
    hook: Hook,
}

#[async_trait]
impl WriteHook for Links {
    async fn before(&self, what: &str) -> Result<()> {
        self.hook.before(what).await
    }

    async fn after(&self, what: &str) -> Result<()> {
        self.world.react(what);
        self.hook.after(what).await
    }
}

/// As [`Links`], for the writes of MLflow: it needs its databases and its bucket for them.
struct MlflowLinks(Links);

#[async_trait]
impl WriteHook for MlflowLinks {
    async fn before(&self, what: &str) -> Result<()> {
        self.0.before(what).await?;
        self.0.world.mlflow_works(what)
    }

    async fn after(&self, what: &str) -> Result<()> {
        self.0.after(what).await
    }
}

impl Links {
    fn hook(&self) -> Hook {
        Arc::new(self.clone())
    }
}

#[async_trait]
impl postgres::Connect for Links {
    async fn admin(
        &self,
        endpoint: &Endpoint,
        login: &postgres::Login,
    ) -> Result<Arc<dyn postgres::PostgresAdmin>> {
        assert_eq!(*endpoint, PLACES["postgres"]);
        self.world
            .postgres()
            .with_hook(self.hook())
            .admin(endpoint, login)
            .await
    }

    async fn session(
        &self,
        endpoint: &Endpoint,
        login: &postgres::Login,
    ) -> Result<Arc<dyn postgres::PostgresSession>> {
        assert_eq!(*endpoint, PLACES["postgres"]);
        self.world
            .postgres()
            .with_hook(self.hook())
            .session(endpoint, login)
            .await
    }
}

#[async_trait]
impl s3::Connect for Links {
    async fn admin(
        &self,
        endpoint: &Endpoint,
        region: &str,
        key: &s3::Credentials,
    ) -> Result<Arc<dyn s3::S3Admin>> {
        assert_eq!(*endpoint, PLACES["s3"]);
        self.world
            .s3()
            .with_hook(self.hook())
            .admin(endpoint, region, key)
            .await
    }

    async fn session(
        &self,
        endpoint: &Endpoint,
        region: &str,
        key: &s3::Credentials,
    ) -> Result<Arc<dyn s3::S3Session>> {
        assert_eq!(*endpoint, PLACES["s3"]);
        self.world
            .s3()
            .with_hook(self.hook())
            .session(endpoint, region, key)
            .await
    }
}

impl ConnectRegistry for Links {
    fn connect(
        &self,
        endpoint: &Endpoint,
        user: &str,
        password: &SecretText,
    ) -> Result<Arc<dyn Registry>> {
        assert_eq!(*endpoint, PLACES["mlflow"]);
        let hook = Arc::new(MlflowLinks(self.clone()));
        self.world
            .mlflow()?
            .hooked(hook)
            .connect(endpoint, user, password)
    }
}

impl ConnectModelServer for Links {
    fn connect(&self, rest: &Endpoint, grpc: Option<&Endpoint>) -> Result<Arc<dyn ModelServer>> {
        assert_eq!(*rest, PLACES["model-server"]);
        assert_eq!(grpc, Some(&PLACES["model-server-grpc"]));
        self.world.models()?.hooked(self.hook()).connect(rest, grpc)
    }
}

#[async_trait]
impl SecretStore for Links {
    async fn find(&self, name: &SecretName) -> Result<Option<SecretText>> {
        self.world.secrets.find(name).await
    }

    async fn create(&self, name: &SecretName, text: SecretText) -> Result<SecretText> {
        let what = format!("keep secret {name}");
        self.before(&what).await?;
        let kept = self.world.secrets.create(name, text).await?;
        self.after(&what).await?;
        Ok(kept)
    }

    async fn remove(&self, name: &SecretName) -> Result<()> {
        let what = format!("forget secret {name}");
        self.before(&what).await?;
        self.world.secrets.remove(name).await?;
        self.after(&what).await
    }

    async fn list(&self) -> Result<Vec<SecretName>> {
        self.world.secrets.list().await
    }
}

/// A supervisor whose processes answer when what they need answers.
struct Machine {
    world: Arc<World>,
    supervisor: FakeSupervisor,
}

#[async_trait]
impl SupervisorApi for Machine {
    async fn find(&self) -> Result<Option<SupervisorInfo>> {
        self.supervisor.find().await
    }

    async fn ensure(&self) -> Result<SupervisorInfo> {
        self.supervisor.ensure().await
    }

    async fn status(&self) -> Result<std::collections::BTreeMap<String, ProcessStatus>> {
        self.supervisor.status().await
    }

    async fn start(&self, name: &str, process: &RenderedProcess) -> Result<()> {
        self.supervisor.start(name, process).await
    }

    async fn stop(&self, name: &str) -> Result<()> {
        self.supervisor.stop(name).await
    }

    async fn wait_until_ready(&self, name: &str, within: Duration, news: OnNews<'_>) -> Result<()> {
        let begun = Instant::now();
        while !self.world.can_be_ready(name) {
            if begun.elapsed() > within {
                return Err(Error::new(
                    ErrorKind::Timeout,
                    format!("wait for `process/{name}`"),
                ));
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        self.supervisor.wait_until_ready(name, within, news).await?;
        self.world.begin_to_answer(name);
        Ok(())
    }

    async fn shutdown(&self) -> Result<()> {
        self.supervisor.shutdown().await
    }
}

/// Every provider and prober there is, over a world.
pub(crate) fn engine(world: &Arc<World>, hook: Hook) -> Engine {
    let links = Arc::new(Links {
        world: Arc::clone(world),
        hook,
    });
    let hook = links.hook();
    let machine: Arc<dyn SupervisorApi> = Arc::new(Machine {
        world: Arc::clone(world),
        supervisor: world.supervisor.clone().with_hook(Arc::clone(&hook)),
    });
    let storage: Arc<dyn StorageApi> = Arc::new(world.storage.clone().with_hook(Arc::clone(&hook)));
    let programs: Arc<dyn Programs> = Arc::new(FakePrograms);
    let python = Arc::new(world.python.clone().with_hook(hook));
    let providers: [Arc<dyn Provider>; 12] = [
        Arc::new(SecretProvider),
        Arc::new(SupervisorProvider::new(
            Arc::clone(&machine),
            Arc::clone(&storage),
        )),
        Arc::new(PythonEnvironmentProvider::new(python)),
        Arc::new(DataFolderProvider::new(
            Arc::clone(&storage),
            Arc::clone(&programs),
        )),
        Arc::new(ProcessProvider::new(machine, storage, programs)),
        Arc::new(postgres::RoleProvider::new(links.clone())),
        Arc::new(postgres::DatabaseProvider::new(links.clone())),
        Arc::new(s3::KeyProvider::new(links.clone())),
        Arc::new(s3::BucketProvider::new(links.clone())),
        Arc::new(MlflowUserProvider::new(links.clone())),
        Arc::new(RegisteredModelProvider::new(links.clone(), SAMPLES.clone())),
        Arc::new(ServedModelProvider::new(links.clone(), links.clone())),
    ];
    let probers: [Arc<dyn Prober>; 4] = [
        Arc::new(postgres::PostgresProber::new(links.clone())),
        Arc::new(s3::S3Prober::new(links.clone())),
        Arc::new(MlflowProber::new(links.clone())),
        Arc::new(ModelProber::new(links)),
    ];
    let engine = Engine::new().with_patience(Patience {
        retries: 3,
        // Pauses have a random part, and a seed shall give the same run again.
        first_pause: Duration::ZERO,
        longest_pause: Duration::ZERO,
    });
    let engine = providers.into_iter().fold(engine, |engine, provider| {
        engine.with_provider(provider).unwrap()
    });
    probers
        .iter()
        .fold(engine, |engine, prober| engine.with_prober(prober).unwrap())
}

/// The disk of the machine.
pub(crate) fn storage(world: &Arc<World>, hook: Hook) -> FakeStorage {
    let links = Links {
        world: Arc::clone(world),
        hook,
    };
    world.storage.clone().with_hook(links.hook())
}

/// What providers are handed.
pub(crate) fn context(world: &Arc<World>, hook: Hook) -> Context {
    let places = PLACES
        .iter()
        .fold(FixedEndpoints::default(), |places, (name, place)| {
            places.with(name.parse().unwrap(), place.clone())
        });
    Context {
        platform: GRAPH.platform.clone(),
        secrets: Arc::new(Links {
            world: Arc::clone(world),
            hook,
        }),
        endpoints: Arc::new(places),
        events: EventSink::none(),
    }
}
