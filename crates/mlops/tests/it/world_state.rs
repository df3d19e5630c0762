//! A whole machine in memory: the fakes of every system, and what one does to another when something starts or goes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, LazyLock, Mutex};

use bytes::Bytes;
use futures::FutureExt as _;
use mlops::surroundings::MemorySecrets;
use mlops_catalog::{Catalog, resolve};
use mlops_core::{
    Endpoint, Error, ErrorKind, Graph, Platform, Result, SecretName, SecretStore, SecretText,
};
use mlops_local::fake::{FakePython, FakeStorage, FakeSupervisor};
use mlops_local::supervisor::{RenderedProcess, SupervisorApi as _};
use mlops_local::{PythonApi as _, StorageApi as _, python};
use mlops_serving::fake::{FakeMlflow, FakeModelServer};
use mlops_serving::mlflow::{LoggedModel, Run};
use mlops_serving::registry::{
    ConnectRegistry as _, PLATFORM_TAG, REGISTERING_TAG, Registry, Sample,
};
use mlops_serving::serve::ModelServer as _;
use mlops_storage::fake::{FakePostgres, FakeS3};
use mlops_storage::postgres::{Connect as _, Login};
use mlops_storage::s3::{Connect as _, Credentials, Owners};
use url::Url;

/// The graph of the platform that nobody has changed anything of.
pub(crate) static GRAPH: LazyLock<Graph> = LazyLock::new(|| {
    resolve(&Platform::new("sim".parse().unwrap()), &Catalog::embedded()).unwrap()
});

/// The sample as the program brings it, with the classes that the model server in memory is to answer.
pub(crate) static SAMPLES: LazyLock<BTreeMap<String, Sample>> = LazyLock::new(|| {
    let sample = python::sample("iris").unwrap();
    let files = sample
        .files
        .iter()
        .map(|(path, content)| ((*path).to_owned(), Bytes::from_static(content)))
        .chain([("class.txt".to_owned(), Bytes::from_static(b"0 1 2"))])
        .collect();
    let probe = Some(serde_json::from_str(sample.probe).unwrap());
    BTreeMap::from([("iris".to_owned(), Sample { files, probe })])
});

/// The addresses that the disk in memory gives to the services.
pub(crate) static PLACES: LazyLock<BTreeMap<String, Endpoint>> = LazyLock::new(|| {
    let services = GRAPH.services.values().zip(20_000..);
    services
        .map(|(service, port)| {
            let url = format!("{}://127.0.0.1:{port}", service.scheme);
            (
                service.name.to_string(),
                Endpoint::new(url.parse().unwrap()).unwrap(),
            )
        })
        .collect()
});

/// What fakes answer, which they do without waiting.
pub(crate) fn now<T>(answer: impl Future<Output = T>) -> T {
    answer.now_or_never().unwrap()
}

pub(crate) struct World {
    pub(crate) secrets: MemorySecrets,
    pub(crate) storage: FakeStorage,
    pub(crate) supervisor: FakeSupervisor,
    pub(crate) python: FakePython,
    postgres: Mutex<FakePostgres>,
    s3: Mutex<FakeS3>,
    /// What is in MLflow's databases, with the password that its administrator was made with.
    mlflow: Mutex<Option<(FakeMlflow, SecretText)>>,
    models: Mutex<FakeModelServer>,
    settings: Mutex<Option<Arc<MlflowSettings>>>,
}

/// What MLflow's process was told.
struct MlflowSettings {
    store: Login,
    accounts: Login,
    admin: SecretText,
    key: Credentials,
    bucket: String,
}

fn login(uri: &str) -> Login {
    let url: Url = uri.parse().unwrap();
    assert_eq!(url.port(), Some(PLACES["postgres"].port()));
    let password = SecretText::new(url.password().unwrap());
    Login::new(url.username(), password, url.path().trim_start_matches('/'))
}

impl MlflowSettings {
    fn of(process: &RenderedProcess) -> Self {
        let env = |name: &str| process.env[name].expose();
        let ini = process.files["auth.ini"].expose();
        let line = |name: &str| {
            let found = ini.lines().filter_map(|line| line.split_once(" = "));
            found.into_iter().find(|(key, _)| *key == name).unwrap().1
        };
        Self {
            store: login(env("_MLFLOW_SERVER_FILE_STORE")),
            accounts: login(line("database_uri")),
            admin: SecretText::new(line("admin_password")),
            key: Credentials::new(
                env("AWS_ACCESS_KEY_ID"),
                SecretText::new(env("AWS_SECRET_ACCESS_KEY")),
            ),
            bucket: env("_MLFLOW_SERVER_ARTIFACT_DESTINATION")
                .trim_start_matches("s3://")
                .to_owned(),
        }
    }
}

fn refused(doing: &str) -> Error {
    Error::new(ErrorKind::Unavailable, doing).with_source("connection refused")
}

fn no_postgres() -> FakePostgres {
    let server = FakePostgres::new("postgres", SecretText::new("no data folder"));
    server.set_reachable(false);
    server
}

fn no_s3() -> FakeS3 {
    let server = FakeS3::new("admin", SecretText::new("no data folder"));
    server.set_reachable(false);
    server
}

impl World {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            secrets: MemorySecrets::default(),
            storage: FakeStorage::default(),
            supervisor: FakeSupervisor::default(),
            python: FakePython::default(),
            postgres: Mutex::new(no_postgres()),
            s3: Mutex::new(no_s3()),
            mlflow: Mutex::default(),
            models: Mutex::default(),
            settings: Mutex::default(),
        })
    }

    pub(crate) fn postgres(&self) -> FakePostgres {
        self.postgres.lock().unwrap().clone()
    }

    pub(crate) fn s3(&self) -> FakeS3 {
        self.s3.lock().unwrap().clone()
    }

    /// MLflow, when its process answers.
    pub(crate) fn mlflow(&self) -> Result<FakeMlflow> {
        let mlflow = self.mlflow.lock().unwrap();
        match &*mlflow {
            Some((mlflow, _)) if self.supervisor.is_ready("mlflow") => Ok(mlflow.clone()),
            _ => Err(refused("call MLflow")),
        }
    }

    /// The model server, when its process answers.
    pub(crate) fn models(&self) -> Result<FakeModelServer> {
        if self.supervisor.is_ready("model-server") {
            return Ok(self.models.lock().unwrap().clone());
        }
        Err(refused("call the model server"))
    }

    /// What a write does to other systems than its own.
    pub(crate) fn react(&self, what: &str) {
        if what.ends_with("process mlflow") || what == "stop the supervisor" {
            *self.settings.lock().unwrap() = None;
        }
        match what {
            "make data folder postgres" => {
                let (user, password) = self.storage.superuser("postgres").unwrap();
                let server = FakePostgres::new(&user, password);
                server.close("postgres").unwrap();
                *self.postgres.lock().unwrap() = server;
                *self.mlflow.lock().unwrap() = None;
            }
            "remove data folder postgres" => {
                *self.postgres.lock().unwrap() = no_postgres();
                *self.mlflow.lock().unwrap() = None;
            }
            "make data folder s3" | "remove data folder s3" => *self.s3.lock().unwrap() = no_s3(),
            "start process model-server" | "stop process model-server" | "stop the supervisor" => {
                self.models.lock().unwrap().restart();
            }
            // The disk's folder of fetched models goes with everything that can be made again.
            "forget ports" => *self.models.lock().unwrap() = FakeModelServer::default(),
            "drop database `mlflow`" => *self.mlflow.lock().unwrap() = None,
            "put artifact" => {
                let settings = self.mlflow_settings().unwrap();
                self.s3()
                    .put_object(&settings.bucket, "artifacts", b"some")
                    .unwrap();
            }
            _ => {}
        }
        self.sync();
    }

    /// A server answers when its process is ready.
    fn sync(&self) {
        self.postgres()
            .set_reachable(self.supervisor.is_ready("postgres"));
        self.s3().set_reachable(self.supervisor.is_ready("s3"));
    }

    /// Ends the supervisor, and with it every process, as SIGKILL does.
    pub(crate) fn kill_supervisor(&self) {
        self.supervisor.kill();
        self.react("stop the supervisor");
    }

    /// Lets a process fail until somebody starts it again.
    pub(crate) fn fail(&self, name: &str) {
        let error = Error::new(ErrorKind::Failed, format!("keep `process/{name}` running"));
        self.supervisor.fail(name, (&error).into());
        self.react(&format!("stop process {name}"));
    }

    /// Lets a process end and be started again by the supervisor: only what it held in memory is lost.
    pub(crate) fn crash(&self, name: &str) {
        self.react(&format!("stop process {name}"));
    }

    fn mlflow_settings(&self) -> Option<Arc<MlflowSettings>> {
        let mut settings = self.settings.lock().unwrap();
        if settings.is_none() {
            let process = self.supervisor.rendered("mlflow");
            *settings = process.map(|process| Arc::new(MlflowSettings::of(&process)));
        }
        settings.clone()
    }

    /// Whether everything that MLflow needs for a call answers with what its process was told.
    pub(crate) fn mlflow_works(&self, what: &str) -> Result<()> {
        let settings = self.mlflow_settings().ok_or_else(|| refused(what))?;
        for login in [&settings.store, &settings.accounts] {
            now(self.postgres().session(&PLACES["postgres"], login))?;
        }
        if what == "put artifact" {
            let session = now(self.s3().session(&PLACES["s3"], "us-east-1", &settings.key))?;
            now(session.list(&settings.bucket, ""))
                .map_err(|error| refused(what).with_source(error))?;
        }
        Ok(())
    }

    /// Whether a process that was started answers by now.
    pub(crate) fn can_be_ready(&self, name: &str) -> bool {
        name != "mlflow" || self.mlflow_works("start").is_ok()
    }

    /// What a process does just before it answers for the first time.
    pub(crate) fn begin_to_answer(&self, name: &str) {
        if name == "s3"
            && let Some(process) = self.supervisor.rendered(name)
        {
            let secret = SecretText::new(process.env["SECRET_KEY"].expose());
            let admin = Credentials::new(process.env["ACCESS_KEY"].expose(), secret);
            self.s3().put_key(&admin, 0);
        }
        if name == "mlflow"
            && let Some(settings) = self.mlflow_settings()
        {
            self.fill_databases(&settings);
        }
        self.sync();
    }

    /// MLflow makes its tables and its administrator when there are none.
    fn fill_databases(&self, settings: &MlflowSettings) {
        let postgres = self.postgres();
        let admin = now(postgres.admin(&PLACES["postgres"], &settings.store)).unwrap();
        let databases = [&settings.store.database, &settings.accounts.database];
        let empty = databases.map(|name| now(admin.inside(name)).unwrap().tables == 0);
        if empty.contains(&true) {
            let mlflow = FakeMlflow::new("admin", settings.admin.clone());
            *self.mlflow.lock().unwrap() = Some((mlflow, settings.admin.clone()));
            for name in databases {
                postgres.put_own_table(name, "experiments").unwrap();
            }
        }
    }

    /// The content of MLflow, whether or not its process runs.
    pub(crate) fn registry(&self) -> Option<Arc<dyn Registry>> {
        let mlflow = self.mlflow.lock().unwrap();
        let (mlflow, password) = mlflow.as_ref()?;
        Some(
            mlflow
                .connect(&PLACES["mlflow"], "admin", password)
                .unwrap(),
        )
    }

    /// Takes away the buckets that killed probes have left, as a probe does that comes ten minutes later.
    pub(crate) fn pass_time(&self) {
        let Some(key) = now(self.secrets.find(&"s3/admin-secret-key".parse().unwrap())).unwrap()
        else {
            return;
        };
        let key = Credentials::new("admin", key);
        let admin = now(self.s3().admin(&PLACES["s3"], "us-east-1", &key)).unwrap();
        for bucket in now(admin.list_buckets(Owners::Skip)).unwrap_or_default() {
            let tags = now(admin.tags(&bucket.name)).unwrap();
            if bucket.name.starts_with("mlops-probe-")
                && tags["mlops-probe"] == GRAPH.platform.as_str()
            {
                let name = bucket.name.parse().unwrap();
                now(admin.empty_bucket(&name)).unwrap();
                now(admin.delete_bucket(&name)).unwrap();
            }
        }
    }

    /// Every secret with its text.
    pub(crate) fn secret_texts(&self) -> BTreeMap<SecretName, SecretText> {
        let names = now(self.secrets.list()).unwrap();
        names
            .into_iter()
            .map(|name| {
                let text = now(self.secrets.find(&name)).unwrap().unwrap();
                (name, text)
            })
            .collect()
    }

    /// Everything there is, without what chance decides: passwords and numbers.
    pub(crate) fn snapshot(&self) -> String {
        let mut text = String::new();
        let mut say = |line: &dyn std::fmt::Debug| writeln!(text, "{line:?}").unwrap();
        say(&self
            .secret_texts()
            .keys()
            .map(ToString::to_string)
            .collect::<Vec<_>>());
        say(&now(self.python.find()).unwrap().is_some());
        say(&now(self.storage.ports()).unwrap());
        say(&now(self.storage.list_data()).unwrap());
        say(&now(self.supervisor.find()).unwrap());
        for (name, status) in now(self.supervisor.status()).unwrap() {
            say(&(name, status.state, status.restarts));
        }
        let models = self.models.lock().unwrap().clone();
        let staged = models.staged();
        say(&staged.len());
        for entry in now(models.entries()).unwrap() {
            let serving = now(models.serving(&entry.name)).unwrap();
            let is_served =
                serving.is_some_and(|serving| serving.ready && serving.key == Some(entry.key));
            say(&(
                entry.name,
                entry.platform,
                entry.version,
                is_served,
                staged.contains(&entry.location),
            ));
        }
        if let Some(registry) = self.registry() {
            text.push_str(&now(content(&*registry)));
        }
        text.push_str(&self.postgres().snapshot());
        text.push_str(&without_probe_buckets(&self.s3().snapshot()));
        text
    }
}

/// A killed probe leaves its bucket, which a later probe takes away after some minutes.
fn without_probe_buckets(snapshot: &str) -> String {
    let mut inside = false;
    let mut kept = String::new();
    for line in snapshot.lines() {
        inside |= line.starts_with("    \"mlops-probe-");
        if !inside {
            kept.push_str(line);
            kept.push('\n');
        }
        inside &= line != "    },";
    }
    kept
}

/// What is in a registry, with names instead of numbers.
async fn content(registry: &dyn Registry) -> String {
    let mut text = String::new();
    for user in registry.list_users().await.unwrap() {
        let roles: Vec<_> = user
            .roles
            .iter()
            .map(|role| (&role.name, &role.grants))
            .collect();
        writeln!(text, "user {} {} {roles:?}", user.username, user.is_admin).unwrap();
    }
    let mut roles: Vec<_> = registry
        .list_roles()
        .await
        .unwrap()
        .into_iter()
        .map(|role| role.name)
        .collect();
    roles.sort();
    writeln!(text, "roles {roles:?}").unwrap();
    for name in ["iris", "others"] {
        let Some(model) = registry.find_registered_model(name).await.unwrap() else {
            continue;
        };
        writeln!(text, "model {name} {:?} {:?}", model.tags, model.aliases).unwrap();
        for version in registry.list_model_versions(name).await.unwrap() {
            writeln!(
                text,
                "version {} {} {:?}",
                version.version, version.status, version.tags
            )
            .unwrap();
        }
    }
    let platform = GRAPH.platform.as_str();
    for LoggedModel {
        name,
        status,
        tags,
        artifact_uri,
        ..
    } in registry
        .find_logged_models(PLATFORM_TAG, platform)
        .await
        .unwrap()
    {
        let folder = artifact_uri.trim_start_matches("mlflow-artifacts:/");
        let files = registry.list_artifacts(folder).await.unwrap();
        writeln!(
            text,
            "logged {name} {status} {:?} {files:?}",
            tags.get(REGISTERING_TAG)
        )
        .unwrap();
    }
    for Run { info, .. } in registry.find_runs(PLATFORM_TAG, platform).await.unwrap() {
        writeln!(text, "run {} {:?}", info.run_name, info.status).unwrap();
    }
    text
}
