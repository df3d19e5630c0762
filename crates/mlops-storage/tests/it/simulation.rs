//! The fakes with trouble at every single write: a kill, and an answer that never came.

use std::sync::Arc;

use mlops_core::{Graph, PlatformName, Provider, Resource, ResourceId, SecretText};
use mlops_storage::fake::{CreateTags, FakePostgres, FakeS3};
use mlops_storage::postgres::{DATABASE, DatabaseProvider, ROLE, RoleProvider};
use mlops_storage::s3::{BUCKET, BucketProvider, KEY, KeyProvider};
use mlops_testkit::sim::{Trouble, TroubleHook};

use crate::harness::{Engine, Secrets, context};

/// Both systems of one platform.
struct World {
    postgres: FakePostgres,
    s3: FakeS3,
    secrets: Arc<Secrets>,
}

fn resource(kind: &str, name: &str, needs: Option<&str>, spec: &serde_json::Value) -> Resource {
    let component = "app".parse().unwrap();
    let mut resource = Resource::new(ResourceId::new(kind, name), component)
        .with_spec(spec)
        .unwrap();
    if let Some(need) = needs {
        resource = resource.with_need(ResourceId::new(need, name)).with_data();
    }
    resource
}

/// The resources as the catalogue writes them, for two consumers.
fn graph() -> Graph {
    let mut resources = Vec::new();
    for name in ["tracking", "serving"] {
        let admin = serde_json::json!({"user": "postgres", "password": "postgres/superuser-password",
            "database": "postgres"});
        resources.push(resource(
            ROLE,
            name,
            None,
            &serde_json::json!({"server": "postgres", "admin": admin, "role": name, "password": "app/password"}),
        ));
        resources.push(resource(
            DATABASE,
            name,
            Some(ROLE),
            &serde_json::json!({"server": "postgres", "admin": admin, "database": name, "owner": name,
                "encoding": "UTF8", "extensions": []}),
        ));
        let admin = serde_json::json!({"access_key": "admin", "secret_key": "s3/admin-secret"});
        resources.push(resource(
            KEY,
            name,
            None,
            &serde_json::json!({"server": "s3", "region": "us-east-1", "admin": admin, "access_key": name,
                "secret_key": "app/password"}),
        ));
        resources.push(resource(
            BUCKET,
            name,
            Some(KEY),
            &serde_json::json!({"server": "s3", "region": "us-east-1", "admin": admin, "bucket": name,
                "owner": name}),
        ));
    }
    let platform: PlatformName = "demo".parse().unwrap();
    Graph::new(platform, resources).unwrap()
}

impl World {
    fn new(create_tags: CreateTags) -> Self {
        let secrets = Arc::new(Secrets::default());
        secrets.put("postgres/superuser-password", "one");
        secrets.put("s3/admin-secret", "two");
        secrets.put("app/password", "three");
        Self {
            postgres: FakePostgres::new("postgres", SecretText::new("one")),
            s3: FakeS3::new("admin", SecretText::new("two")).with_create_tags(create_tags),
            secrets,
        }
    }

    /// A new process over the same systems.
    fn engine(&self, hook: &Arc<TroubleHook>) -> Engine {
        let postgres = Arc::new(self.postgres.clone().with_hook(hook.clone()));
        let s3 = Arc::new(self.s3.clone().with_hook(hook.clone()));
        let providers: Vec<Arc<dyn Provider>> = vec![
            Arc::new(RoleProvider::new(postgres.clone())),
            Arc::new(DatabaseProvider::new(postgres)),
            Arc::new(KeyProvider::new(s3.clone())),
            Arc::new(BucketProvider::new(s3)),
        ];
        Engine {
            providers,
            graph: graph(),
            cx: context("demo", "http://127.0.0.1:1", Arc::clone(&self.secrets)),
        }
    }

    fn calm(&self) -> Engine {
        self.engine(&TroubleHook::new(Trouble::None))
    }

    fn snapshot(&self) -> String {
        format!("{}\n{}", self.postgres.snapshot(), self.s3.snapshot())
    }
}

async fn trouble_anywhere(create_tags: CreateTags, trouble: fn(usize) -> Trouble) {
    let quiet = World::new(create_tags);
    let nothing = quiet.snapshot();
    let hook = TroubleHook::new(Trouble::None);
    quiet.engine(&hook).up().await.unwrap();
    let wanted = quiet.snapshot();
    let points = hook.points();
    assert!(points >= 20, "{points}");
    let data: Vec<ResourceId> = graph()
        .resources()
        .filter(|resource| resource.holds_data)
        .map(|resource| resource.id.clone())
        .collect();

    for at in 0..points {
        let world = World::new(create_tags);
        let hook = TroubleHook::new(trouble(at));
        let ended = hook.drive(world.engine(&hook).up()).await;
        assert!(
            ended.is_none_or(|result| result.is_err()),
            "no trouble at {at}"
        );
        let engine = world.calm();
        engine.up().await.unwrap();
        assert!(engine.plan().await.unwrap().is_empty());
        assert_eq!(world.snapshot(), wanted, "trouble at {at}");

        let hook = TroubleHook::new(trouble(at));
        let ended = hook.drive(world.engine(&hook).remove(&data)).await;
        let undisturbed = ended.is_some_and(|result| result.is_ok());
        assert_eq!(undisturbed, at >= hook.points(), "trouble at {at}");
        world.calm().remove(&data).await.unwrap();
        assert_eq!(world.snapshot(), nothing, "trouble at {at}");
    }
}

#[tokio::test]
async fn killed_at_every_write() {
    trouble_anywhere(CreateTags::Taken, Trouble::KillAt).await;
    trouble_anywhere(CreateTags::Ignored, Trouble::KillAt).await;
}

#[tokio::test]
async fn failed_at_every_write() {
    trouble_anywhere(CreateTags::Taken, Trouble::FaultAt).await;
    trouble_anywhere(CreateTags::Ignored, Trouble::FaultAt).await;
}

#[tokio::test]
async fn a_server_that_is_away_is_unknown_and_nothing_is_written() {
    let world = World::new(CreateTags::Taken);
    world.calm().up().await.unwrap();
    let before = world.snapshot();
    world.postgres.set_reachable(false);
    world.s3.set_reachable(false);
    let engine = world.calm();
    for resource in engine.graph.resources() {
        let found = engine
            .provider(resource)
            .observe(&[resource], &engine.cx)
            .await;
        assert!(
            matches!(&found[..], [(_, mlops_core::Observed::Unknown(failure))] if failure.kind.is_retryable()),
            "{found:?}"
        );
    }
    assert!(engine.up().await.is_err());
    world.postgres.set_reachable(true);
    world.s3.set_reachable(true);
    assert_eq!(world.snapshot(), before);
}
