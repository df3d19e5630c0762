//! What every S3 server with an admin interface must do: the one in memory, the embedded one, the Versity gateway.

use std::fmt::Write;
use std::sync::Arc;

use async_trait::async_trait;
use mlops_core::{
    Action, ErrorKind, Graph, Observed, Owner, Prober, Provider, Resource, ResourceId, SecretText,
};
use mlops_storage::Mark;
use mlops_storage::fake::{CreateTags, FakeS3};
use mlops_storage::s3::{
    AdminSpec, BUCKET, BindingProbeSpec, BucketProvider, BucketSpec, Connect, Credentials, KEY,
    KeyProvider, KeySpec, Owners, PROBE, S3Admin, S3Client, S3Prober,
};
use mlops_testkit::versity::TestVersity;

use crate::harness::{Engine, Pause, Secrets, assert_kind, context, cut, endpoint, unique, verbs};
use crate::s3_real::Embedded;

#[async_trait]
trait World: Send + Sync {
    /// Clients as a new process would have them.
    fn connect(&self) -> Arc<dyn Connect>;
    fn url(&self) -> String;
    /// Whether keys keep the number that marks them.
    fn marks_keys(&self) -> bool;
}

struct Fake(FakeS3);

#[async_trait]
impl World for Fake {
    fn connect(&self) -> Arc<dyn Connect> {
        Arc::new(self.0.clone())
    }

    fn url(&self) -> String {
        "http://127.0.0.1:9000".to_owned()
    }

    fn marks_keys(&self) -> bool {
        true
    }
}

struct Versity(&'static TestVersity);

#[async_trait]
impl World for Versity {
    fn connect(&self) -> Arc<dyn Connect> {
        Arc::new(S3Client::new())
    }

    fn url(&self) -> String {
        self.0.url()
    }

    fn marks_keys(&self) -> bool {
        true
    }
}

#[async_trait]
impl World for Embedded {
    fn connect(&self) -> Arc<dyn Connect> {
        Arc::new(S3Client::new())
    }

    fn url(&self) -> String {
        Embedded::url(self)
    }

    fn marks_keys(&self) -> bool {
        true
    }
}

const REGION: &str = "us-east-1";
const SECRET: &str = "the-consumers-own-secret";

/// One platform with a key and its bucket, both named after the test.
struct Scene {
    world: Box<dyn World>,
    name: String,
    secrets: Arc<Secrets>,
}

fn admin_spec() -> AdminSpec {
    AdminSpec {
        access_key: TestVersity::ACCESS_KEY.to_owned(),
        secret_key: "s3/admin-secret".parse().unwrap(),
    }
}

impl Scene {
    fn new(world: Box<dyn World>) -> Self {
        let secrets = Arc::new(Secrets::default());
        secrets.put("s3/admin-secret", TestVersity::SECRET_KEY);
        secrets.put("app/secret-key", SECRET);
        Self {
            world,
            name: unique(),
            secrets,
        }
    }

    fn key_id(&self) -> ResourceId {
        ResourceId::new(KEY, &self.name)
    }

    fn bucket_id(&self) -> ResourceId {
        ResourceId::new(BUCKET, &self.name)
    }

    fn key(&self) -> Resource {
        let spec = KeySpec {
            server: "s3".parse().unwrap(),
            region: REGION.to_owned(),
            admin: Some(admin_spec()),
            access_key: self.name.clone(),
            secret_key: Some("app/secret-key".parse().unwrap()),
            given: false,
        };
        Resource::new(self.key_id(), "app".parse().unwrap())
            .with_spec(&spec)
            .unwrap()
    }

    fn bucket(&self) -> Resource {
        let spec = BucketSpec {
            server: "s3".parse().unwrap(),
            region: REGION.to_owned(),
            admin: admin_spec(),
            bucket: self.name.parse().unwrap(),
            owner: Some(self.name.clone()),
        };
        Resource::new(self.bucket_id(), "app".parse().unwrap())
            .with_need(self.key_id())
            .with_spec(&spec)
            .unwrap()
            .with_data()
    }

    fn engine_of(&self, resources: impl IntoIterator<Item = Resource>) -> Engine {
        let connect = self.world.connect();
        let providers: Vec<Arc<dyn Provider>> = vec![
            Arc::new(KeyProvider::new(Arc::clone(&connect))),
            Arc::new(BucketProvider::new(connect)),
        ];
        Engine {
            providers,
            graph: Graph::new(self.name.parse().unwrap(), resources).unwrap(),
            cx: context(&self.name, &self.world.url(), Arc::clone(&self.secrets)),
        }
    }

    fn engine(&self) -> Engine {
        self.engine_of([self.key(), self.bucket()])
    }

    async fn admin(&self) -> Arc<dyn S3Admin> {
        let key = Credentials::new(
            TestVersity::ACCESS_KEY,
            SecretText::new(TestVersity::SECRET_KEY),
        );
        let connect = self.world.connect();
        connect
            .admin(&endpoint(&self.world.url()), REGION, &key)
            .await
            .unwrap()
    }

    async fn put_key(&self, name: &str, secret: &str, project: u32) {
        let key = Credentials::new(name, SecretText::new(secret));
        self.admin().await.create_key(&key, project).await.unwrap();
    }

    async fn put_bucket(&self, name: &str, owner: Option<&str>) {
        let none = std::collections::BTreeMap::new();
        self.admin()
            .await
            .create_bucket(&name.parse().unwrap(), owner, &none)
            .await
            .unwrap();
    }

    async fn put_object(&self, bucket: &str) {
        let key = Credentials::new(
            TestVersity::ACCESS_KEY,
            SecretText::new(TestVersity::SECRET_KEY),
        );
        let connect = self.world.connect();
        let session = connect
            .session(&endpoint(&self.world.url()), REGION, &key)
            .await
            .unwrap();
        session
            .put(bucket, "folder/thing", b"thing".to_vec())
            .await
            .unwrap();
    }

    /// What is there with this test's name in its own.
    async fn snapshot(&self) -> String {
        let admin = self.admin().await;
        let mut text = String::new();
        for key in admin.list_keys().await.unwrap() {
            if key.access_key.contains(&self.name) {
                writeln!(text, "{key:?}").unwrap();
            }
        }
        for bucket in admin.list_buckets(Owners::Needed).await.unwrap() {
            if bucket.name.contains(&self.name) {
                let tags = admin.tags(&bucket.name).await.unwrap();
                let holdings = admin.holdings(&bucket.name).await.unwrap();
                writeln!(text, "{bucket:?} {tags:?} {holdings:?}").unwrap();
            }
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
            format!("create {}", scene.key_id()),
            format!("create {}", scene.bucket_id())
        ]
    );
    assert!(engine.plan().await.unwrap().is_empty());
    let before = scene.snapshot().await;
    assert!(before.contains("mlops-platform"), "{before}");
    assert!(verbs(&engine.up().await.unwrap()).is_empty());
    assert_eq!(scene.snapshot().await, before);
    // A new process sees the same.
    assert!(scene.engine().plan().await.unwrap().is_empty());
}

async fn killed_anywhere_it_ends_the_same(scene: Scene) {
    scene.engine().up().await.unwrap();
    let wanted = scene.snapshot().await;
    let data = [scene.bucket_id()];
    scene.engine().remove(&data).await.unwrap();
    let nothing = scene.snapshot().await;
    assert_eq!(nothing, "");
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
        scene.put_object(&scene.name).await;
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
        ups >= 4 && removes >= 4,
        "{ups} and {removes} kills are too few to show anything"
    );
}

async fn remove_leaves_nothing_of_ours_and_nothing_else_changed(scene: Scene) {
    let other = format!("{}other", scene.name);
    scene.put_key(&other, "a-secret-of-somebody-else", 7).await;
    scene.put_bucket(&other, Some(&other)).await;
    scene.put_object(&other).await;
    let before = scene.snapshot().await;
    let engine = scene.engine();
    engine.up().await.unwrap();
    scene.put_object(&scene.name).await;
    assert_ne!(scene.snapshot().await, before);

    // Data goes only by name, and what it needs stays with it.
    let kept = engine.remove(&[]).await.unwrap();
    assert_eq!(
        verbs(&kept),
        [
            format!("keep {}", scene.bucket_id()),
            format!("keep {}", scene.key_id())
        ]
    );
    let resource = engine.graph.find(&scene.bucket_id()).unwrap();
    let holdings = engine
        .provider(resource)
        .holdings(resource, &engine.cx)
        .await
        .unwrap();
    assert_eq!(holdings.as_deref(), Some("1 object, 5 B"));
    // A bucket that nobody called data is never emptied.
    let mut careless = resource.clone();
    careless.holds_data = false;
    let result = engine
        .provider(resource)
        .apply(&careless, &Action::Remove, &engine.cx)
        .await;
    assert_kind(result, ErrorKind::Conflict);
    engine.remove(&[scene.bucket_id()]).await.unwrap();
    assert_eq!(scene.snapshot().await, before);
    assert!(verbs(&engine.remove(&[]).await.unwrap()).is_empty());
}

async fn foreign_things_of_the_same_name_are_not_touched(scene: Scene) {
    scene
        .put_key(&scene.name, "a-secret-of-somebody-else", 7)
        .await;
    scene.put_bucket(&scene.name, None).await;
    let before = scene.snapshot().await;
    let engine = scene.engine();
    for id in [scene.key_id(), scene.bucket_id()] {
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
        for action in [Action::Create, Action::Remove] {
            let result = engine
                .provider(resource)
                .apply(resource, &action, &engine.cx)
                .await;
            assert_kind(result, ErrorKind::Conflict);
        }
    }
    assert_eq!(scene.snapshot().await, before);

    // Adopting is a word of its own, and leaves other tags alone.
    let admin = scene.admin().await;
    let tags = [("team".to_owned(), "vision".to_owned())].into();
    admin
        .set_tags(&scene.name.parse().unwrap(), &tags)
        .await
        .unwrap();
    let (mut key, mut bucket) = (scene.key(), scene.bucket());
    (key.adopt, bucket.adopt) = (true, true);
    let engine = scene.engine_of([key, bucket]);
    let plan = engine.up().await.unwrap();
    assert_eq!(verbs(&plan)[0], format!("adopt {}", scene.key_id()));
    assert!(engine.plan().await.unwrap().is_empty());
    assert_eq!(admin.tags(&scene.name).await.unwrap()["team"], "vision");
    engine.remove(&[scene.bucket_id()]).await.unwrap();
}

async fn a_full_bucket_without_mark_is_not_taken_for_unfinished(scene: Scene) {
    let mark = Mark::of(&scene.name.parse().unwrap());
    scene.put_key(&scene.name, SECRET, mark.project()).await;
    scene.put_bucket(&scene.name, Some(&scene.name)).await;
    scene.put_object(&scene.name).await;
    assert_kind(scene.engine().up().await, ErrorKind::Conflict);
}

async fn an_empty_bucket_of_our_key_is_finished(scene: Scene) {
    let mark = Mark::of(&scene.name.parse().unwrap());
    scene.put_key(&scene.name, SECRET, mark.project()).await;
    scene.put_bucket(&scene.name, Some(&scene.name)).await;
    let engine = scene.engine();
    let plan = engine.up().await.unwrap();
    assert_eq!(verbs(&plan), [format!("update {}", scene.bucket_id())]);
    assert!(engine.plan().await.unwrap().is_empty());
    engine.remove(&[scene.bucket_id()]).await.unwrap();
}

async fn drift_is_seen_and_mended(scene: Scene) {
    let engine = scene.engine();
    engine.up().await.unwrap();
    let admin = scene.admin().await;
    let other = format!("{}other", scene.name);
    scene.put_key(&other, "a-secret-of-somebody-else", 7).await;
    admin
        .set_owner(&scene.name.parse().unwrap(), &other)
        .await
        .unwrap();
    let plan = engine.up().await.unwrap();
    assert_eq!(verbs(&plan), [format!("update {}", scene.bucket_id())]);
    assert!(engine.plan().await.unwrap().is_empty());
    if scene.world.marks_keys() {
        // The secret was made anew here, or changed there.
        scene.secrets.put("app/secret-key", "another-secret-now");
        let plan = engine.up().await.unwrap();
        assert_eq!(verbs(&plan), [format!("update {}", scene.key_id())]);
        assert_eq!(plan.changes[0].action.differences()[0].field, "secret_key");
        assert!(engine.plan().await.unwrap().is_empty());
    }
    admin.delete_key(&other).await.unwrap();
    engine.remove(&[scene.bucket_id()]).await.unwrap();
}

async fn strays_are_found(scene: Scene) {
    let engine = scene.engine();
    engine.up().await.unwrap();
    // The platform has another bucket now, on the same server.
    let mut wanted = scene.bucket();
    wanted.id = ResourceId::new(BUCKET, "another");
    wanted.needs.clear();
    wanted
        .spec
        .insert("bucket".to_owned(), format!("{}b", scene.name).into());
    let other = scene.engine_of([wanted]);
    let observation = other.observe().await.unwrap();
    let bucket = observation
        .strays
        .iter()
        .find(|stray| stray.id == scene.bucket_id())
        .unwrap();
    assert!(bucket.holds_data && bucket.needs.contains(&scene.key_id()));
    let key = observation
        .strays
        .iter()
        .find(|stray| stray.id == scene.key_id());
    assert_eq!(key.is_some(), scene.world.marks_keys());
    if let Some(key) = key {
        for stray in [bucket, key] {
            other
                .provider(stray)
                .apply(stray, &Action::Remove, &other.cx)
                .await
                .unwrap();
        }
        assert!(other.observe().await.unwrap().strays.is_empty());
    }
}

async fn a_wrong_admin_key_is_unknown_never_absent(scene: Scene) {
    scene.secrets.put("s3/admin-secret", "wrong");
    let engine = scene.engine();
    for resource in engine.graph.resources() {
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

async fn a_given_key_is_tried_and_never_touched(scene: Scene) {
    let mut key = scene.key();
    key.spec.insert("given".to_owned(), true.into());
    key.spec.remove("admin");
    let engine = scene.engine_of([key]);
    assert_eq!(engine.found(&scene.key_id()).await, Observed::Absent);
    assert_kind(engine.up().await, ErrorKind::Unauthenticated);
    scene.put_key(&scene.name, SECRET, 7).await;
    let before = scene.snapshot().await;
    assert!(engine.plan().await.unwrap().is_empty());
    engine.remove(&[]).await.unwrap();
    assert_eq!(scene.snapshot().await, before);
    scene.admin().await.delete_key(&scene.name).await.unwrap();
}

async fn a_bucket_without_owner_needs_no_admin_interface(scene: Scene) {
    let mut bucket = scene.bucket();
    bucket.needs.clear();
    bucket
        .spec
        .insert("owner".to_owned(), serde_json::Value::Null);
    let engine = scene.engine_of([bucket]);
    engine.up().await.unwrap();
    assert!(engine.plan().await.unwrap().is_empty());
    engine.remove(&[scene.bucket_id()]).await.unwrap();
    assert_eq!(scene.snapshot().await, "");
}

/// What a key is tried on beside its own bucket.
#[derive(Clone, Copy)]
enum Beside<'a> {
    Nothing,
    Bucket(&'a str),
    OneThatTheAdminMakes,
}

/// The buckets of probes, of all tests that use the server.
async fn lures(scene: &Scene) -> Vec<String> {
    let buckets = scene.admin().await.list_buckets(Owners::Skip).await;
    let names = buckets.unwrap().into_iter().map(|bucket| bucket.name);
    names
        .filter(|name| name.starts_with("mlops-probe-"))
        .collect()
}

/// Whether the probe's buckets of this test's platform are all gone.
async fn no_lure_is_left(scene: &Scene) -> bool {
    let admin = scene.admin().await;
    for name in lures(scene).await {
        // Another test's may go at any time.
        let tags = admin.tags(&name).await.unwrap_or_default();
        if tags.get("mlops-probe") == Some(&scene.name) {
            return false;
        }
    }
    true
}

/// Which of the three claims hold for the scene's key in `bucket`.
async fn claims(scene: &Scene, bucket: &str, beside: Beside<'_>) -> [bool; 3] {
    let spec = BindingProbeSpec {
        server: "s3".parse().unwrap(),
        region: REGION.to_owned(),
        access_key: scene.name.clone(),
        secret_key: "app/secret-key".parse().unwrap(),
        bucket: bucket.parse().unwrap(),
        other_bucket: match beside {
            Beside::Bucket(name) => Some(name.parse().unwrap()),
            _ => None,
        },
        admin: matches!(beside, Beside::OneThatTheAdminMakes).then(admin_spec),
    };
    let probe = mlops_core::Probe {
        name: "app/files".to_owned(),
        kind: PROBE.to_owned(),
        component: "app".parse().unwrap(),
        needs: [].into(),
        spec: mlops_core::to_spec(&spec).unwrap(),
    };
    let before = scene.snapshot().await;
    let prober = S3Prober::new(scene.world.connect());
    let findings = prober.probe(&probe, &scene.engine().cx).await.unwrap();
    assert_eq!(scene.snapshot().await, before, "a probe leaves nothing");
    assert!(no_lure_is_left(scene).await);
    let holds: Vec<bool> = findings
        .iter()
        .map(|finding| finding.failure.is_none())
        .collect();
    holds.try_into().unwrap()
}

async fn the_probe_proves_the_binding(scene: Scene) {
    let name = scene.name.clone();
    let other = format!("{name}other");
    scene.put_bucket(&other, None).await;
    scene.engine().up().await.unwrap();
    assert_eq!(
        claims(&scene, &name, Beside::Bucket(&other)).await,
        [true; 3]
    );
    assert_eq!(claims(&scene, &name, Beside::Nothing).await, [true; 3]);
    let made = Beside::OneThatTheAdminMakes;
    assert_eq!(claims(&scene, &name, made).await, [true; 3]);

    // A bucket that is not its own, and one of others that is open to it.
    let holds = claims(&scene, &other, Beside::Bucket(&name)).await;
    assert_eq!(holds, [false, false, true]);
    scene.secrets.put("app/secret-key", "wrong");
    for beside in [Beside::Nothing, Beside::Bucket(&other), made] {
        assert_eq!(claims(&scene, &name, beside).await, [false, false, true]);
    }
    scene.secrets.put("app/secret-key", SECRET);
    scene.engine().remove(&[scene.bucket_id()]).await.unwrap();
    let admin = scene.admin().await;
    admin.delete_bucket(&other.parse().unwrap()).await.unwrap();
}

async fn a_probe_takes_away_what_a_killed_one_left(scene: Scene) {
    scene.engine().up().await.unwrap();
    let key = Credentials::new(&scene.name, SecretText::new(SECRET));
    let connect = scene.world.connect();
    let session = connect
        .session(&endpoint(&scene.world.url()), REGION, &key)
        .await
        .unwrap();
    let left = ".mlops-probe/1000000000-abc";
    session
        .put(&scene.name, left, b"left".to_vec())
        .await
        .unwrap();
    session
        .put(&scene.name, "mine", b"mine".to_vec())
        .await
        .unwrap();
    let prober = S3Prober::new(scene.world.connect());
    let probe = mlops_core::Probe {
        name: "app/files".to_owned(),
        kind: PROBE.to_owned(),
        component: "app".parse().unwrap(),
        needs: [].into(),
        spec: mlops_core::to_spec(&serde_json::json!({
            "server": "s3", "region": REGION, "access_key": scene.name,
            "secret_key": "app/secret-key", "bucket": scene.name
        }))
        .unwrap(),
    };
    let findings = prober.probe(&probe, &scene.engine().cx).await.unwrap();
    assert!(findings.iter().all(|finding| finding.failure.is_none()));
    assert_eq!(session.list(&scene.name, "").await.unwrap(), ["mine"]);
    scene.engine().remove(&[scene.bucket_id()]).await.unwrap();
}

/// The probe with a bucket of the administrator's, of `key` in the scene's bucket.
fn probe_with_a_lure(scene: &Scene, key: &str, secret: &str) -> mlops_core::Probe {
    mlops_core::Probe {
        name: "app/files".to_owned(),
        kind: PROBE.to_owned(),
        component: "app".parse().unwrap(),
        needs: [].into(),
        spec: mlops_core::to_spec(&serde_json::json!({
            "server": "s3", "region": REGION, "access_key": key, "secret_key": secret,
            "bucket": scene.name, "admin": admin_spec(),
        }))
        .unwrap(),
    }
}

async fn a_key_that_gets_in_everywhere_is_found_out(scene: Scene) {
    scene.engine().up().await.unwrap();
    let prober = S3Prober::new(scene.world.connect());
    let probe = probe_with_a_lure(&scene, TestVersity::ACCESS_KEY, "s3/admin-secret");
    let findings = prober.probe(&probe, &scene.engine().cx).await.unwrap();
    let failures: Vec<_> = findings.iter().map(|found| &found.failure).collect();
    let [None, Some(failure), None] = failures.as_slice() else {
        panic!("{findings:?}");
    };
    assert!(format!("{failure:?}").contains("it was allowed"));
    assert!(
        findings[1]
            .claim
            .ends_with("is refused on a bucket that is not its own")
    );
    assert!(no_lure_is_left(&scene).await);
    scene.engine().remove(&[scene.bucket_id()]).await.unwrap();
}

async fn a_bucket_that_a_killed_probe_left_is_taken_away(scene: Scene) {
    scene.engine().up().await.unwrap();
    let admin = scene.admin().await;
    // Old enough: with our mark, without any mark, of another platform, and without a mark but with content.
    let number = std::process::id();
    let name = |letter: char| {
        let random: String = std::iter::repeat_n(letter, 12).collect();
        format!("mlops-probe-1{number:09}-{random}")
    };
    let (ours, bare, others, full) = (name('a'), name('b'), name('c'), name('d'));
    for (bucket, platform) in [
        (&ours, scene.name.as_str()),
        (&bare, "somebody"),
        (&others, "somebody"),
        (&full, "somebody"),
    ] {
        let tags = [("mlops-probe".to_owned(), platform.to_owned())].into();
        let bucket = bucket.parse().unwrap();
        let owner = Some(TestVersity::ACCESS_KEY);
        admin.create_bucket(&bucket, owner, &tags).await.unwrap();
        admin.set_tags(&bucket, &tags).await.unwrap();
    }
    // Tags go last: another test's probe may look at any time.
    for bucket in [&ours, &full] {
        scene.put_object(bucket).await;
    }
    for bucket in [&bare, &full] {
        let none = std::collections::BTreeMap::new();
        admin
            .set_tags(&bucket.parse().unwrap(), &none)
            .await
            .unwrap();
    }
    let prober = S3Prober::new(scene.world.connect());
    let probe = probe_with_a_lure(&scene, &scene.name, "app/secret-key");
    let findings = prober.probe(&probe, &scene.engine().cx).await.unwrap();
    assert!(
        findings.iter().all(|found| found.failure.is_none()),
        "{findings:?}"
    );
    let left = lures(&scene).await;
    assert!(!left.contains(&ours) && !left.contains(&bare), "{left:?}");
    assert!(left.contains(&others) && left.contains(&full), "{left:?}");
    for bucket in [&others, &full] {
        let bucket = bucket.parse().unwrap();
        admin.empty_bucket(&bucket).await.unwrap();
        admin.delete_bucket(&bucket).await.unwrap();
    }
    scene.engine().remove(&[scene.bucket_id()]).await.unwrap();
}

fn fake(create_tags: CreateTags) -> Scene {
    let secret = SecretText::new(TestVersity::SECRET_KEY);
    let fake = FakeS3::new(TestVersity::ACCESS_KEY, secret)
        .with_create_tags(create_tags)
        .with_hook(Arc::new(Pause));
    Scene::new(Box::new(Fake(fake)))
}

macro_rules! contract {
    ($($test:ident)*) => {
        mod fake_world {
            use super::*;
            $(#[tokio::test]
            async fn $test() {
                super::$test(fake(CreateTags::Taken)).await;
            })*
        }

        mod fake_world_without_tags_at_creation {
            use super::*;
            $(#[tokio::test]
            async fn $test() {
                super::$test(fake(CreateTags::Ignored)).await;
            })*
        }

        mod embedded {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(Scene::new(Box::new(Embedded::start().await))).await;
            })*
        }

        mod versity {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(Scene::new(Box::new(Versity(TestVersity::shared())))).await;
            })*
        }
    };
}

contract! {
    after_apply_the_plan_is_empty
    killed_anywhere_it_ends_the_same
    remove_leaves_nothing_of_ours_and_nothing_else_changed
    foreign_things_of_the_same_name_are_not_touched
    a_full_bucket_without_mark_is_not_taken_for_unfinished
    an_empty_bucket_of_our_key_is_finished
    drift_is_seen_and_mended
    strays_are_found
    a_wrong_admin_key_is_unknown_never_absent
    a_given_key_is_tried_and_never_touched
    a_bucket_without_owner_needs_no_admin_interface
    the_probe_proves_the_binding
    a_probe_takes_away_what_a_killed_one_left
    a_key_that_gets_in_everywhere_is_found_out
    a_bucket_that_a_killed_probe_left_is_taken_away
}
