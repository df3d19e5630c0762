//! What every PostgreSQL must do, the one in memory and the real one.

use std::fmt::Write;
use std::sync::Arc;

use async_trait::async_trait;
use mlops_core::{
    ErrorKind, Graph, Observed, Owner, Prober, Provider, Resource, ResourceId, SecretText,
};
use mlops_storage::Mark;
use mlops_storage::fake::FakePostgres;
use mlops_storage::postgres::{
    AdminSpec, BindingProbeSpec, Connect, DATABASE, DatabaseProvider, DatabaseSpec, Login, PROBE,
    PostgresAdmin, PostgresClient, PostgresProber, ROLE, RoleProvider, RoleSpec,
};
use mlops_testkit::postgres::TestPostgres;

use crate::harness::{Engine, Pause, Secrets, assert_kind, context, cut, endpoint, unique, verbs};

#[async_trait]
trait World: Send + Sync {
    /// Connections as a new process would have them.
    fn connect(&self) -> Arc<dyn Connect>;
    fn url(&self) -> String;
    /// Runs SQL as the superuser, or the same on the fake.
    async fn put_role(&self, name: &str, comment: Option<&str>);
    async fn put_database(&self, name: &str, owner: &str, comment: Option<&str>);
    async fn put_table(&self, database: &str);

    /// A table that the database's owner made.
    async fn put_own_table(&self, database: &str);
    async fn set_password(&self, role: &str);
    async fn forbid_sign_in(&self, role: &str);
    async fn let_create_everything(&self, role: &str);
}

const FOREIGN: &str = "a-password-of-somebody-else";

struct Fake(FakePostgres);

#[async_trait]
impl World for Fake {
    fn connect(&self) -> Arc<dyn Connect> {
        Arc::new(self.0.clone())
    }

    fn url(&self) -> String {
        "postgresql://127.0.0.1:5432".to_owned()
    }

    async fn put_role(&self, name: &str, comment: Option<&str>) {
        self.0.put_role(name, SecretText::new(FOREIGN), comment);
    }

    async fn put_database(&self, name: &str, owner: &str, comment: Option<&str>) {
        self.0.put_database(name, owner, comment);
    }

    async fn put_table(&self, database: &str) {
        self.0.put_table(database, "things").unwrap();
    }

    async fn put_own_table(&self, database: &str) {
        self.0.put_own_table(database, "own").unwrap();
    }

    async fn set_password(&self, role: &str) {
        let comment = Mark::of(&role.replace('_', "").parse().unwrap());
        self.0
            .put_role(role, SecretText::new(FOREIGN), Some(comment.comment()));
    }

    async fn forbid_sign_in(&self, role: &str) {
        self.0
            .change_role(role, |facts| facts.login = false)
            .unwrap();
    }

    async fn let_create_everything(&self, role: &str) {
        self.0
            .change_role(role, |facts| {
                facts.create_role = true;
                facts.create_database = true;
            })
            .unwrap();
    }
}

struct Real(&'static TestPostgres);

impl Real {
    async fn sql(&self, database: &str, text: &str) {
        crate::postgres_real::sql(self.0, database, text).await;
    }

    async fn comment(&self, what: &str, name: &str, comment: Option<&str>) {
        if let Some(comment) = comment {
            let text = format!("COMMENT ON {what} {name} IS '{comment}'");
            self.sql("postgres", &text).await;
        }
    }
}

#[async_trait]
impl World for Real {
    fn connect(&self) -> Arc<dyn Connect> {
        Arc::new(PostgresClient::new())
    }

    fn url(&self) -> String {
        self.0.url()
    }

    async fn put_role(&self, name: &str, comment: Option<&str>) {
        let text = format!("CREATE ROLE {name} LOGIN PASSWORD '{FOREIGN}'");
        self.sql("postgres", &text).await;
        self.comment("ROLE", name, comment).await;
    }

    async fn put_database(&self, name: &str, owner: &str, comment: Option<&str>) {
        let text = format!("CREATE DATABASE {name} OWNER {owner} TEMPLATE template0");
        self.sql("postgres", &text).await;
        self.comment("DATABASE", name, comment).await;
    }

    async fn put_table(&self, database: &str) {
        self.sql(database, "CREATE TABLE things (value int)").await;
    }

    async fn put_own_table(&self, database: &str) {
        let text = format!("CREATE TABLE own (value int); ALTER TABLE own OWNER TO {database}");
        self.sql(database, &text).await;
    }

    async fn set_password(&self, role: &str) {
        let text = format!("ALTER ROLE {role} PASSWORD '{FOREIGN}'");
        self.sql("postgres", &text).await;
    }

    async fn forbid_sign_in(&self, role: &str) {
        self.sql("postgres", &format!("ALTER ROLE {role} NOLOGIN"))
            .await;
    }

    async fn let_create_everything(&self, role: &str) {
        self.sql(
            "postgres",
            &format!("ALTER ROLE {role} CREATEDB CREATEROLE"),
        )
        .await;
    }
}

/// One platform with a role and its database, both named after the test.
struct Scene {
    world: Box<dyn World>,
    name: String,
    secrets: Arc<Secrets>,
}

fn admin_spec() -> AdminSpec {
    AdminSpec {
        user: "postgres".to_owned(),
        password: "postgres/superuser-password".parse().unwrap(),
        database: "postgres".to_owned(),
    }
}

impl Scene {
    fn new(world: Box<dyn World>) -> Self {
        let secrets = Arc::new(Secrets::default());
        secrets.put("postgres/superuser-password", TestPostgres::PASSWORD);
        secrets.put("app/password", "the-consumers-own-password");
        Self {
            world,
            name: unique(),
            secrets,
        }
    }

    fn role_id(&self) -> ResourceId {
        ResourceId::new(ROLE, &self.name)
    }

    fn database_id(&self) -> ResourceId {
        ResourceId::new(DATABASE, &self.name)
    }

    fn role(&self) -> Resource {
        let spec = RoleSpec {
            server: "postgres".parse().unwrap(),
            admin: admin_spec(),
            role: self.name.parse().unwrap(),
            password: Some("app/password".parse().unwrap()),
        };
        Resource::new(self.role_id(), "app".parse().unwrap())
            .with_spec(&spec)
            .unwrap()
    }

    fn database(&self, extensions: &[&str]) -> Resource {
        let spec = DatabaseSpec {
            server: "postgres".parse().unwrap(),
            admin: admin_spec(),
            database: self.name.parse().unwrap(),
            owner: self.name.parse().unwrap(),
            encoding: "UTF8".to_owned(),
            extensions: extensions.iter().map(|name| (*name).to_owned()).collect(),
        };
        Resource::new(self.database_id(), "app".parse().unwrap())
            .with_need(self.role_id())
            .with_spec(&spec)
            .unwrap()
            .with_data()
    }

    fn engine_of(&self, resources: impl IntoIterator<Item = Resource>) -> Engine {
        let connect = self.world.connect();
        let providers: Vec<Arc<dyn Provider>> = vec![
            Arc::new(RoleProvider::new(Arc::clone(&connect))),
            Arc::new(DatabaseProvider::new(connect)),
        ];
        Engine {
            providers,
            graph: Graph::new(self.name.parse().unwrap(), resources).unwrap(),
            cx: context(&self.name, &self.world.url(), Arc::clone(&self.secrets)),
        }
    }

    fn engine(&self) -> Engine {
        self.engine_of([self.role(), self.database(&["plpgsql"])])
    }

    async fn admin(&self) -> Arc<dyn PostgresAdmin> {
        let login = Login::new(
            "postgres",
            SecretText::new(TestPostgres::PASSWORD),
            "postgres",
        );
        let connect = self.world.connect();
        connect
            .admin(&endpoint(&self.world.url()), &login)
            .await
            .unwrap()
    }

    /// What is there with this test's name in its own.
    async fn snapshot(&self) -> String {
        let admin = self.admin().await;
        let mut catalogue = admin.catalogue().await.unwrap();
        catalogue.roles.retain(|name, _| name.contains(&self.name));
        catalogue
            .databases
            .retain(|name, _| name.contains(&self.name));
        let mut text = format!("{:#?}\n{:#?}\n", catalogue.roles, catalogue.databases);
        for name in catalogue.databases.keys() {
            let mut inside = admin.inside(name).await.unwrap();
            inside.bytes = 0;
            writeln!(text, "{name}: {inside:?}").unwrap();
        }
        text
    }
}

async fn after_apply_the_plan_is_empty(scene: Scene) {
    let engine = scene.engine();
    let first = engine.up().await.unwrap();
    assert_eq!(
        verbs(&first),
        [
            format!("create {}", scene.role_id()),
            format!("create {}", scene.database_id())
        ]
    );
    assert!(engine.plan().await.unwrap().is_empty());
    let before = scene.snapshot().await;
    assert!(verbs(&engine.up().await.unwrap()).is_empty());
    assert_eq!(scene.snapshot().await, before);
    // A new process sees the same.
    assert!(scene.engine().plan().await.unwrap().is_empty());
}

async fn killed_anywhere_it_ends_the_same(scene: Scene) {
    scene.engine().up().await.unwrap();
    let wanted = scene.snapshot().await;
    let data = [scene.database_id()];
    scene.engine().remove(&data).await.unwrap();
    let nothing = scene.snapshot().await;
    // Real servers take many more turns: the steps grow, and every run begins elsewhere.
    let mut at = 1;
    let (mut ups, mut removes) = (0, 0);
    loop {
        let mut whole = true;
        if cut(at, scene.engine().up()).await.is_none() {
            whole = false;
            ups += 1;
        }
        let engine = scene.engine();
        engine.up().await.unwrap();
        assert!(engine.plan().await.unwrap().is_empty());
        assert_eq!(scene.snapshot().await, wanted, "killed after {at} turns");
        if cut(at, scene.engine().remove(&data)).await.is_none() {
            whole = false;
            removes += 1;
        }
        scene.engine().remove(&data).await.unwrap();
        assert_eq!(scene.snapshot().await, nothing, "killed after {at} turns");
        if whole {
            break;
        }
        at += 1 + at / 8;
    }
    assert!(
        ups >= 5 && removes >= 3,
        "{ups} and {removes} kills are too few to show anything"
    );
}

async fn remove_leaves_nothing_of_ours_and_nothing_else_changed(scene: Scene) {
    let other_role = format!("{}_other", scene.name);
    let other_database = format!("{}_kept", scene.name);
    scene
        .world
        .put_role(&other_role, Some("mlops:somebody"))
        .await;
    scene
        .world
        .put_database(&other_database, &other_role, Some("mlops:somebody"))
        .await;
    scene.world.put_table(&other_database).await;
    let before = scene.snapshot().await;
    let engine = scene.engine();
    engine.up().await.unwrap();
    scene.world.put_table(&scene.name).await;
    assert_ne!(scene.snapshot().await, before);

    // Data goes only by name, and what it needs stays with it.
    let kept = engine.remove(&[]).await.unwrap();
    assert_eq!(
        verbs(&kept),
        [
            format!("keep {}", scene.database_id()),
            format!("keep {}", scene.role_id())
        ]
    );
    let resource = engine.graph.find(&scene.database_id()).unwrap();
    let holdings = engine
        .provider(resource)
        .holdings(resource, &engine.cx)
        .await
        .unwrap();
    assert!(holdings.unwrap().starts_with("1 table, "));
    engine.remove(&[scene.database_id()]).await.unwrap();
    assert_eq!(scene.snapshot().await, before);
    assert!(verbs(&engine.remove(&[]).await.unwrap()).is_empty());
}

async fn foreign_things_of_the_same_name_are_not_touched(scene: Scene) {
    scene.world.put_role(&scene.name, None).await;
    scene
        .world
        .put_database(&scene.name, &scene.name, None)
        .await;
    let before = scene.snapshot().await;
    let engine = scene.engine();
    for id in [scene.role_id(), scene.database_id()] {
        let Observed::Found(found) = engine.found(&id).await else {
            panic!("{id} was not found");
        };
        assert!(matches!(found.owner, Owner::Other(_)), "{found:?}");
    }
    assert_kind(engine.up().await, ErrorKind::Conflict);
    let left = verbs(&engine.remove(&[]).await.unwrap());
    assert!(
        left.iter().all(|line| line.starts_with("keep ")),
        "{left:?}"
    );
    // Even when a plan says so.
    for resource in engine.graph.resources() {
        for action in [mlops_core::Action::Create, mlops_core::Action::Remove] {
            let result = engine
                .provider(resource)
                .apply(resource, &action, &engine.cx)
                .await;
            assert_kind(result, ErrorKind::Conflict);
        }
    }
    assert_eq!(scene.snapshot().await, before);

    // Adopting is a word of its own.
    let (mut role, mut database) = (scene.role(), scene.database(&[]));
    (role.adopt, database.adopt) = (true, true);
    let engine = scene.engine_of([role, database]);
    let plan = engine.up().await.unwrap();
    assert_eq!(verbs(&plan)[0], format!("adopt {}", scene.role_id()));
    assert!(engine.plan().await.unwrap().is_empty());
    engine.remove(&[scene.database_id()]).await.unwrap();
}

async fn a_full_database_without_mark_is_not_taken_for_unfinished(scene: Scene) {
    let mark = Mark::of(&scene.name.parse().unwrap());
    scene
        .world
        .put_role(&scene.name, Some(mark.comment()))
        .await;
    scene
        .world
        .put_database(&scene.name, &scene.name, None)
        .await;
    scene.world.put_table(&scene.name).await;
    let engine = scene.engine();
    assert_kind(engine.up().await, ErrorKind::Conflict);
    assert_kind(
        engine
            .remove(&[scene.database_id()])
            .await
            .map(|plan| assert!(verbs(&plan).is_empty())),
        ErrorKind::Conflict,
    );
}

async fn a_database_that_its_consumer_used_before_the_mark_is_finished(scene: Scene) {
    let mark = Mark::of(&scene.name.parse().unwrap());
    scene
        .world
        .put_role(&scene.name, Some(mark.comment()))
        .await;
    scene
        .world
        .put_database(&scene.name, &scene.name, None)
        .await;
    scene.world.put_own_table(&scene.name).await;
    let engine = scene.engine();
    engine.up().await.unwrap();
    assert!(engine.plan().await.unwrap().is_empty());
    engine.remove(&[scene.database_id()]).await.unwrap();
}

async fn drift_is_seen_and_mended(scene: Scene) {
    let engine = scene.engine();
    engine.up().await.unwrap();
    scene.world.set_password(&scene.name).await;
    let plan = engine.up().await.unwrap();
    assert_eq!(verbs(&plan), [format!("update {}", scene.role_id())]);
    assert_eq!(plan.changes[0].action.differences()[0].field, "password");
    assert!(engine.plan().await.unwrap().is_empty());
    scene.world.forbid_sign_in(&scene.name).await;
    let plan = engine.up().await.unwrap();
    assert_eq!(verbs(&plan), [format!("update {}", scene.role_id())]);
    assert!(engine.plan().await.unwrap().is_empty());
    engine.remove(&[scene.database_id()]).await.unwrap();
}

async fn strays_are_found_and_go_in_order(scene: Scene) {
    scene.engine().up().await.unwrap();
    // The server stays, its consumer is no longer wanted.
    let folder = Resource::new(
        ResourceId::new("data-folder", "postgres"),
        "postgres".parse().unwrap(),
    )
    .with_spec(&serde_json::json!({
        "layout": "postgres", "superuser": "postgres", "password": "postgres/superuser-password"
    }))
    .unwrap();
    let engine = scene.engine_of([folder]);
    let observation = engine.observe().await.unwrap();
    let ids: Vec<_> = observation
        .strays
        .iter()
        .map(|stray| stray.id.clone())
        .collect();
    assert_eq!(ids, [scene.role_id(), scene.database_id()]);
    assert!(observation.strays[1].holds_data);
    assert!(observation.strays[1].needs.contains(&scene.role_id()));
    // What was kept is taken away by name.
    for id in [scene.database_id(), scene.role_id()] {
        let stray = observation
            .strays
            .iter()
            .find(|stray| stray.id == id)
            .unwrap();
        let action = mlops_core::Action::Remove;
        engine
            .provider(stray)
            .apply(stray, &action, &engine.cx)
            .await
            .unwrap();
    }
    assert!(engine.observe().await.unwrap().strays.is_empty());
}

async fn an_unreachable_or_closed_server_is_unknown_never_absent(scene: Scene) {
    scene.secrets.put("postgres/superuser-password", "wrong");
    let engine = scene.engine();
    for id in [scene.role_id(), scene.database_id()] {
        match engine.observe().await.unwrap_err().kind() {
            ErrorKind::Unauthenticated => {}
            kind => panic!("{id}: {kind}"),
        }
        let wanted: Vec<&Resource> = engine.graph.resources().collect();
        for resource in wanted {
            let found = engine
                .provider(resource)
                .observe(&[resource], &engine.cx)
                .await;
            let [(_, Observed::Unknown(failure))] = found.as_slice() else {
                panic!("{found:?}");
            };
            assert_eq!(failure.kind, ErrorKind::Unauthenticated);
        }
    }
}

/// The claims that do not hold for the scene's role in `database`.
async fn broken_claims(
    scene: &Scene,
    database: &str,
    other_database: Option<&str>,
) -> (usize, Vec<String>) {
    let spec = BindingProbeSpec {
        server: "postgres".parse().unwrap(),
        database: database.parse().unwrap(),
        role: scene.name.parse().unwrap(),
        password: "app/password".parse().unwrap(),
        other_database: other_database.map(str::to_owned),
    };
    let probe = mlops_core::Probe {
        name: "app/store".to_owned(),
        kind: PROBE.to_owned(),
        component: "app".parse().unwrap(),
        needs: [].into(),
        spec: mlops_core::to_spec(&spec).unwrap(),
    };
    let before = scene.snapshot().await;
    let prober = PostgresProber::new(scene.world.connect());
    let findings = prober.probe(&probe, &scene.engine().cx).await.unwrap();
    assert_eq!(scene.snapshot().await, before, "a probe leaves nothing");
    let broken = findings
        .iter()
        .filter(|finding| finding.failure.is_some())
        .map(|finding| finding.claim.clone())
        .collect();
    (findings.len(), broken)
}

async fn the_probe_proves_the_binding(scene: Scene) {
    let role = scene.name.clone();
    let other = format!("{role}_other");
    scene.world.put_database(&other, "postgres", None).await;
    scene.engine().up().await.unwrap();
    assert_eq!(broken_claims(&scene, &role, None).await, (4, vec![]));

    // The other database is open to everyone: that must be found.
    let claim = format!("role `{role}` cannot connect to database `{other}`");
    let open = broken_claims(&scene, &role, Some(&other)).await;
    assert_eq!(open, (5, vec![claim]));

    // Another consumer's database is closed.
    let admin = scene.admin().await;
    let other_name = other.parse().unwrap();
    admin.close_database(&other_name, "closed").await.unwrap();
    let closed = broken_claims(&scene, &role, Some(&other)).await;
    assert_eq!(closed, (5, vec![]));

    // A database that is not its own, or is not there, fails the first claim.
    for wrong in [other.as_str(), "no_such_database"] {
        let (_, broken) = broken_claims(&scene, wrong, None).await;
        assert!(
            broken[0].contains("can create and drop a table"),
            "{broken:?}"
        );
    }
    admin.drop_database(&other_name).await.unwrap();
    scene.engine().remove(&[scene.database_id()]).await.unwrap();
}

async fn the_probe_finds_rights_that_are_too_wide(scene: Scene) {
    let role = scene.name.clone();
    scene.engine().up().await.unwrap();
    scene.world.let_create_everything(&role).await;
    assert_eq!(
        broken_claims(&scene, &role, None).await.1,
        [
            format!("role `{role}` cannot create roles"),
            format!("role `{role}` cannot create databases")
        ]
    );
    // So does the plan, and mends it.
    let plan = scene.engine().up().await.unwrap();
    assert_eq!(verbs(&plan), [format!("update {}", scene.role_id())]);
    assert_eq!(plan.changes[0].action.differences()[0].field, "role");
    assert_eq!(broken_claims(&scene, &role, None).await.1, [""; 0]);
    scene.secrets.put("app/password", "wrong");
    let (_, broken) = broken_claims(&scene, &role, None).await;
    assert!(
        broken[0].contains("can create and drop a table"),
        "{broken:?}"
    );
    scene.engine().remove(&[scene.database_id()]).await.unwrap();
}

macro_rules! contract {
    ($($test:ident)*) => {
        mod fake {
            use super::*;
            $(#[tokio::test]
            async fn $test() {
                let password = SecretText::new(TestPostgres::PASSWORD);
                let fake = FakePostgres::new("postgres", password).with_hook(Arc::new(Pause));
                super::$test(Scene::new(Box::new(Fake(fake)))).await;
            })*
        }

        mod real {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(Scene::new(Box::new(Real(TestPostgres::shared())))).await;
            })*
        }
    };
}

contract! {
    after_apply_the_plan_is_empty
    killed_anywhere_it_ends_the_same
    remove_leaves_nothing_of_ours_and_nothing_else_changed
    foreign_things_of_the_same_name_are_not_touched
    a_full_database_without_mark_is_not_taken_for_unfinished
    a_database_that_its_consumer_used_before_the_mark_is_finished
    drift_is_seen_and_mended
    strays_are_found_and_go_in_order
    an_unreachable_or_closed_server_is_unknown_never_absent
    the_probe_proves_the_binding
    the_probe_finds_rights_that_are_too_wide
}
