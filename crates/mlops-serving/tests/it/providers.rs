//! The providers and probers, against the servers in memory and the real ones alike: nothing is left to do after an
//! apply; what was killed half way is finished by the next; removing leaves nothing of ours and touches nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use async_trait::async_trait;
use bytes::Bytes;
use mlops_core::plan::{Rules, plan, plan_removal};
use mlops_core::{
    Context, Endpoint, Endpoints, Error, ErrorKind, EventSink, Graph, Observation, Plan, Probe,
    Prober as _, Provider, Resource, ResourceId, Result, SecretName, SecretStore, SecretText,
    ServiceName, to_spec,
};
use mlops_serving::fake::{FakeMlflow, FakeModelServer};
use mlops_serving::mlflow::Tags;
use mlops_serving::provider::{
    MlflowProber, MlflowUserProvider, ModelProber, RegisteredModelProvider, ServedModelProvider,
};
use mlops_serving::registry::{ConnectMlflow, ConnectRegistry, PLATFORM_TAG, Registry, Sample};
use mlops_serving::serve::{ConnectMlServer, ConnectModelServer, ModelServer, Via};
use mlops_testkit::mlflow::MlflowServer;
use mlops_testkit::sim::{Trouble, TroubleHook};
use serde_json::json;

use crate::harness::{endpoint, flower, mlflow_server, model_server, sample, unique};

const ADMIN: &str = "mlflow/admin-password";
const USER: &str = "model-server/tracking-password";

struct Surroundings {
    secrets: BTreeMap<SecretName, SecretText>,
    endpoints: BTreeMap<ServiceName, Endpoint>,
}

#[async_trait]
impl SecretStore for Surroundings {
    async fn find(&self, name: &SecretName) -> Result<Option<SecretText>> {
        Ok(self.secrets.get(name).cloned())
    }
    async fn create(&self, name: &SecretName, _text: SecretText) -> Result<SecretText> {
        Err(Error::new(ErrorKind::Unsupported, format!("make `{name}`")))
    }
    async fn remove(&self, _name: &SecretName) -> Result<()> {
        Ok(())
    }
    async fn list(&self) -> Result<Vec<SecretName>> {
        Ok(self.secrets.keys().cloned().collect())
    }
}

#[async_trait]
impl Endpoints for Surroundings {
    async fn get(&self, name: &ServiceName) -> Result<Endpoint> {
        let found = self.endpoints.get(name).cloned();
        found.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("find `{name}`")))
    }
}

/// A world with the names of one test in it.
struct World {
    registries: Arc<dyn ConnectRegistry>,
    servers: Arc<dyn ConnectModelServer>,
    samples: BTreeMap<String, Sample>,
    cx: Context,
    model: String,
    user: String,
}

impl World {
    fn new(
        registries: Arc<dyn ConnectRegistry>,
        servers: Arc<dyn ConnectModelServer>,
        sample: Sample,
        urls: [&str; 3],
    ) -> Self {
        let services = ["mlflow", "model-server", "model-server-grpc"];
        let surroundings = Arc::new(Surroundings {
            secrets: [
                (ADMIN, MlflowServer::PASSWORD),
                (USER, "the-password-of-the-model-server"),
            ]
            .map(|(name, text)| (name.parse().unwrap(), SecretText::new(text)))
            .into(),
            endpoints: services
                .iter()
                .zip(urls)
                .map(|(name, url)| (name.parse().unwrap(), endpoint(url)))
                .collect(),
        });
        Self {
            registries,
            servers,
            samples: [("iris".to_owned(), sample)].into(),
            cx: Context {
                platform: unique("demo").parse().unwrap(),
                secrets: surroundings.clone(),
                endpoints: surroundings,
                events: EventSink::none(),
            },
            model: unique("iris"),
            user: unique("model-server"),
        }
    }

    fn fake() -> (FakeMlflow, FakeModelServer, Self) {
        let mlflow = FakeMlflow::new("admin", SecretText::new(MlflowServer::PASSWORD));
        let server = FakeModelServer::default();
        let file =
            |name: &str, text: &'static str| (name.to_owned(), Bytes::from_static(text.as_bytes()));
        let sample = Sample {
            files: vec![
                file("MLmodel", "flavors: {python_function: {}}\n"),
                file("class.txt", "0"),
                file("data/more.bin", "x"),
            ],
            probe: None,
        };
        let nowhere = "http://127.0.0.1:1";
        let world = Self::new(
            Arc::new(mlflow.clone()),
            Arc::new(server.clone()),
            sample,
            [nowhere; 3],
        );
        (mlflow, server, world)
    }

    async fn real() -> Self {
        let (mlflow, server) = (mlflow_server().await, model_server().await);
        Self::new(
            Arc::new(ConnectMlflow),
            Arc::new(ConnectMlServer::new(server.models())),
            sample("iris", None),
            [&mlflow.url(), &server.url(), &server.grpc_url()],
        )
    }

    fn graph(&self) -> Graph {
        let make = |kind: &str, name: &str, spec: serde_json::Value| {
            let id = ResourceId::new(kind, name);
            Resource::new(id, "mlflow".parse().unwrap())
                .with_spec(&spec)
                .unwrap()
        };
        let admin = json!({"user": "admin", "password": ADMIN});
        let user = make(
            "mlflow-user",
            &self.user,
            json!({
                "server": "mlflow", "admin": admin, "user": self.user, "password": USER,
                "grants": [{"resource": "registered_model", "pattern": "*", "permission": "READ"}],
            }),
        );
        let registered = make(
            "registered-model",
            &self.model,
            json!({
                "server": "mlflow", "credentials": admin, "model": self.model, "sample": "iris",
                "alias": "champion",
            }),
        )
        .with_data();
        let served = make(
            "served-model",
            &self.model,
            json!({
                "server": "model-server", "grpc": "model-server-grpc",
                "registry": {"server": "mlflow", "user": self.user, "password": USER},
                "model": self.model, "uri": format!("models:/{}@champion", self.model),
                "probe": flower(0), "current": true,
            }),
        )
        .with_need(user.id.clone())
        .with_need(registered.id.clone());
        Graph::new(self.cx.platform.clone(), [user, registered, served]).unwrap()
    }

    fn providers(&self) -> Vec<Arc<dyn Provider>> {
        vec![
            Arc::new(MlflowUserProvider::new(self.registries.clone())),
            Arc::new(RegisteredModelProvider::new(
                self.registries.clone(),
                self.samples.clone(),
            )),
            Arc::new(ServedModelProvider::new(
                self.registries.clone(),
                self.servers.clone(),
            )),
        ]
    }

    fn rules(&self) -> Rules {
        self.providers().iter().flat_map(|p| p.rules()).collect()
    }

    async fn observe(&self) -> Observation {
        let graph = self.graph();
        let mut observation = Observation::default();
        for provider in self.providers() {
            let rules = provider.rules();
            let wanted: Vec<&Resource> = graph
                .resources()
                .filter(|resource| rules.contains_key(resource.id.kind()))
                .collect();
            let found = provider.observe(&wanted, &self.cx).await;
            observation.entries.extend(found);
            let strays = provider.find_strays(&graph, &self.cx).await.unwrap();
            observation.strays.extend(strays);
        }
        observation
    }

    async fn plan(&self) -> Result<Plan> {
        plan(&self.graph(), &self.observe().await, &self.rules())
    }

    async fn carry_out(&self, plan: &Plan) -> Result<()> {
        let (graph, providers) = (self.graph(), self.providers());
        for change in plan
            .changes
            .iter()
            .filter(|change| change.action.is_change())
        {
            let provider = providers
                .iter()
                .find(|provider| provider.rules().contains_key(change.id.kind()))
                .unwrap();
            let resource = graph.find(&change.id).unwrap();
            provider.apply(resource, &change.action, &self.cx).await?;
        }
        Ok(())
    }

    async fn up(&self) -> Result<()> {
        self.carry_out(&self.plan().await?).await
    }

    async fn remove(&self) -> Result<()> {
        let data = BTreeSet::from([ResourceId::new("registered-model", self.model.as_str())]);
        let observation = self.observe().await;
        let plan = plan_removal(&self.graph(), &observation, &self.rules(), &data)?;
        self.carry_out(&plan).await
    }

    async fn admin(&self) -> Arc<dyn Registry> {
        let endpoint = self.cx.endpoints.get(&"mlflow".parse().unwrap()).await;
        self.registries
            .connect(
                &endpoint.unwrap(),
                "admin",
                &SecretText::new(MlflowServer::PASSWORD),
            )
            .unwrap()
    }

    async fn server(&self) -> Arc<dyn ModelServer> {
        let get = async |name: &str| self.cx.endpoints.get(&name.parse().unwrap()).await.unwrap();
        let (rest, grpc) = (get("model-server").await, get("model-server-grpc").await);
        self.servers.connect(&rest, Some(&grpc)).unwrap()
    }

    /// Everything is there, once, and works.
    async fn check_complete(&self) {
        let plan = self.plan().await.unwrap();
        assert!(plan.is_empty(), "{:?}", plan.changes);
        let (admin, server) = (self.admin().await, self.server().await);
        let versions = admin.list_model_versions(&self.model).await.unwrap();
        assert_eq!(versions.len(), 1);
        let platform = self.cx.platform.as_str();
        let logged = admin
            .find_logged_models(PLATFORM_TAG, platform)
            .await
            .unwrap();
        assert_eq!(logged.len(), 1);
        let entries = server.entries().await.unwrap();
        assert_eq!(entries.iter().filter(|e| e.model == self.model).count(), 1);
        for probe in self.probes() {
            let findings = match probe.kind.as_str() {
                "mlflow" => {
                    MlflowProber::new(self.registries.clone())
                        .probe(&probe, &self.cx)
                        .await
                }
                _ => {
                    ModelProber::new(self.servers.clone())
                        .probe(&probe, &self.cx)
                        .await
                }
            };
            let findings = findings.unwrap();
            assert!(findings.len() >= 2);
            assert!(findings.iter().all(|f| f.failure.is_none()), "{findings:?}");
        }
        let runs = admin.find_runs(PLATFORM_TAG, platform).await.unwrap();
        assert!(runs.is_empty(), "{runs:?}");
    }

    fn probes(&self) -> [Probe; 2] {
        let probe = |kind: &str, spec: serde_json::Value| Probe {
            name: kind.to_owned(),
            kind: kind.to_owned(),
            component: "mlflow".parse().unwrap(),
            needs: BTreeSet::new(),
            spec: to_spec(&spec).unwrap(),
        };
        [
            probe(
                "mlflow",
                json!({"server": "mlflow", "user": "admin", "password": ADMIN}),
            ),
            probe(
                "model",
                json!({"server": "model-server", "grpc": "model-server-grpc", "model": self.model, "probe": flower(0)}),
            ),
        ]
    }

    async fn check_gone(&self) {
        let (admin, server) = (self.admin().await, self.server().await);
        assert!(
            admin
                .find_registered_model(&self.model)
                .await
                .unwrap()
                .is_none()
        );
        let platform = self.cx.platform.as_str();
        let logged = admin
            .find_logged_models(PLATFORM_TAG, platform)
            .await
            .unwrap();
        assert!(logged.is_empty());
        let users = admin.list_users().await.unwrap();
        assert!(users.iter().all(|user| user.username != self.user));
        let roles = admin.list_roles().await.unwrap();
        assert!(roles.iter().all(|role| !role.name.contains(&self.user)));
        assert!(server.serving(&self.model).await.unwrap().is_none());
        let entries = server.entries().await.unwrap();
        assert!(entries.iter().all(|entry| entry.model != self.model));
    }
}

async fn up_leaves_nothing_to_do(world: &World) {
    world.up().await.unwrap();
    world.check_complete().await;
    world.up().await.unwrap();
    world.check_complete().await;
}

async fn remove_leaves_nothing_and_spares_others(world: &World) {
    let admin = world.admin().await;
    let (other, stranger) = (unique("other"), unique("stranger"));
    admin
        .create_registered_model(&other, &Tags::new())
        .await
        .unwrap();
    let password = SecretText::new("some-other-password");
    admin.create_user(&stranger, &password).await.unwrap();
    world.up().await.unwrap();
    world.remove().await.unwrap();
    world.check_gone().await;
    world.remove().await.unwrap();
    assert!(admin.find_registered_model(&other).await.unwrap().is_some());
    let users = admin.list_users().await.unwrap();
    assert!(users.iter().any(|user| user.username == stranger));
    admin.remove_registered_model(&other).await.unwrap();
    admin.remove_user(&stranger).await.unwrap();
}

/// A model and a user of the same names that are not ours are refused, and stay as they are.
async fn what_is_not_ours_is_refused(world: &World) {
    let admin = world.admin().await;
    admin
        .create_registered_model(&world.model, &Tags::new())
        .await
        .unwrap();
    let error = world.plan().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}");
    let model = admin.find_registered_model(&world.model).await.unwrap();
    assert!(model.unwrap().tags.is_empty());
    admin.remove_registered_model(&world.model).await.unwrap();
    let password = SecretText::new("some-other-password");
    admin.create_user(&world.user, &password).await.unwrap();
    let error = world.plan().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}");
    admin.remove_user(&world.user).await.unwrap();
}

/// The alias is its users' business: a moved one is followed, never moved back.
async fn a_moved_alias_is_followed(world: &World) {
    world.up().await.unwrap();
    let admin = world.admin().await;
    let first = admin
        .list_model_versions(&world.model)
        .await
        .unwrap()
        .remove(0);
    let id = first.source.strip_prefix("models:/").unwrap();
    let second = admin
        .create_model_version(&world.model, id, &Tags::new())
        .await
        .unwrap();
    admin
        .set_alias(&world.model, "champion", &second.version)
        .await
        .unwrap();
    let plan = world.plan().await.unwrap();
    let counts: Vec<_> = plan.counts().into_iter().collect();
    assert_eq!(counts, [("update", 1)], "{:?}", plan.changes);
    world.carry_out(&plan).await.unwrap();
    assert!(world.plan().await.unwrap().is_empty());
    let serving = world.server().await.serving(&world.model).await.unwrap();
    assert_eq!(serving.unwrap().version.as_deref(), Some("2"));
}

#[tokio::test]
async fn in_memory_up_leaves_nothing_to_do() {
    up_leaves_nothing_to_do(&World::fake().2).await;
}

#[tokio::test]
async fn in_memory_remove_leaves_nothing() {
    remove_leaves_nothing_and_spares_others(&World::fake().2).await;
}

#[tokio::test]
async fn in_memory_others_are_refused() {
    what_is_not_ours_is_refused(&World::fake().2).await;
}

#[tokio::test]
async fn in_memory_a_moved_alias_is_followed() {
    a_moved_alias_is_followed(&World::fake().2).await;
}

#[tokio::test]
async fn in_memory_a_restarted_model_server_is_filled_again() {
    let (_, server, world) = World::fake();
    world.up().await.unwrap();
    server.restart();
    assert!(!world.plan().await.unwrap().is_empty());
    world.up().await.unwrap();
    world.check_complete().await;
}

/// Kills and faults before and after every single write of an `up` and of a removal.
#[tokio::test]
async fn in_memory_trouble_at_every_write_is_survived() {
    let trouble = |kill: bool, at: usize| {
        if kill {
            Trouble::KillAt(at)
        } else {
            Trouble::FaultAt(at)
        }
    };
    for kill in [true, false] {
        for removing in [false, true] {
            for at in 0.. {
                let (mlflow, server, world) = World::fake();
                if removing {
                    world.up().await.unwrap();
                }
                let hook = TroubleHook::new(trouble(kill, at));
                let troubled = World {
                    registries: Arc::new(mlflow.hooked(hook.clone())),
                    servers: Arc::new(server.hooked(hook.clone())),
                    samples: world.samples.clone(),
                    cx: world.cx.clone(),
                    model: world.model.clone(),
                    user: world.user.clone(),
                };
                let ended = if removing {
                    hook.drive(troubled.remove()).await
                } else {
                    hook.drive(troubled.up()).await
                };
                if matches!(ended, Some(Ok(()))) && hook.points() <= at {
                    assert!(at > 10, "{at}");
                    break;
                }
                if removing {
                    world.remove().await.unwrap();
                    world.check_gone().await;
                } else {
                    world.up().await.unwrap();
                    world.check_complete().await;
                }
            }
        }
    }
}

#[tokio::test]
async fn with_real_servers_up_leaves_nothing_to_do() {
    up_leaves_nothing_to_do(&World::real().await).await;
}

#[tokio::test]
async fn with_real_servers_remove_leaves_nothing() {
    remove_leaves_nothing_and_spares_others(&World::real().await).await;
}

#[tokio::test]
async fn with_real_servers_others_are_refused() {
    what_is_not_ours_is_refused(&World::real().await).await;
}

#[tokio::test]
async fn with_real_servers_a_moved_alias_is_followed() {
    a_moved_alias_is_followed(&World::real().await).await;
}

/// Drives a run until it has been woken `times`, and drops it on the spot; `None` when that came before its end.
async fn cut<T>(times: usize, run: impl Future<Output = T>) -> Option<T> {
    let mut run = pin!(run);
    let mut polls = 0;
    std::future::poll_fn(|cx| {
        if polls == times {
            return Poll::Ready(None);
        }
        polls += 1;
        run.as_mut().poll(cx).map(Some)
    })
    .await
}

#[tokio::test]
async fn with_real_servers_a_killed_run_is_finished_by_the_next() {
    let world = World::real().await;
    // Each attempt gets a little further than the one before.
    let mut attempts = 0;
    loop {
        attempts += 1;
        if let Some(done) = cut(attempts * 7, world.up()).await {
            done.unwrap();
            break;
        }
        // What the killed attempt sent last may still be under way.
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    println!("finished by attempt {attempts}");
    assert!(attempts > 2);
    world.check_complete().await;
    world.remove().await.unwrap();
    world.check_gone().await;
}

/// Both ways answer the same.
#[tokio::test]
async fn in_memory_the_model_answers_both_ways() {
    let (_, _, world) = World::fake();
    world.up().await.unwrap();
    let server = world.server().await;
    for via in [Via::Rest, Via::Grpc] {
        let request = flower(0).to_request().unwrap();
        let answer = server.infer(via, &world.model, &request).await;
        assert_eq!(answer.unwrap().outputs[0].data().to_f64().unwrap(), [0.0]);
    }
}
