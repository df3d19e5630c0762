//! Every provider in a simulated world: the graph of the default platform, killed and disturbed at every single write,
//! in orders of all kinds.

use std::collections::BTreeSet;
use std::sync::Arc;

use mlops::{ApplyOptions, Engine, ProbeChoice};
use mlops_core::hook::Hook;
use mlops_core::report::Outcome;
use mlops_core::{Context, Report, ResourceId, SecretText};
use mlops_local::StorageApi as _;
use mlops_local::fake::FakeStorage;
use mlops_storage::s3::Credentials;
use mlops_testkit::sim::{Trouble, TroubleHook};
use proptest::prelude::*;
use tokio::runtime::Runtime;

use crate::world_links::{context, engine, storage};
use crate::world_state::{GRAPH, World, now};

/// One start of the program: a new engine over what is there.
struct Start {
    engine: Engine,
    cx: Context,
    storage: FakeStorage,
    hook: Arc<TroubleHook>,
}

/// What data a removal is told to take as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Data {
    None,
    Model,
    /// All but the data folders of the servers.
    InServers,
    All,
}

impl Data {
    const EVERY: [Self; 4] = [Self::None, Self::Model, Self::InServers, Self::All];

    fn ids(self) -> BTreeSet<ResourceId> {
        let chosen = |id: &ResourceId| match self {
            Self::None => false,
            Self::Model => id.kind().as_str() == "registered-model",
            Self::InServers => id.kind().as_str() != "data-folder",
            Self::All => true,
        };
        GRAPH
            .resources()
            .filter(|resource| resource.holds_data && chosen(&resource.id))
            .map(|resource| resource.id.clone())
            .collect()
    }
}

impl Start {
    fn new(world: &Arc<World>, hook: Arc<TroubleHook>) -> Self {
        Self {
            engine: engine(world, Arc::clone(&hook) as Hook),
            cx: context(world, Arc::clone(&hook) as Hook),
            storage: storage(world, Arc::clone(&hook) as Hook),
            hook,
        }
    }

    fn quiet(world: &Arc<World>) -> Self {
        Self::new(world, TroubleHook::new(Trouble::None))
    }

    /// Applies; `None` when it was killed.
    async fn up(&self) -> Option<Report> {
        self.hook
            .drive(async {
                let prepared = self.engine.plan(&GRAPH, &self.cx).await.unwrap();
                self.engine
                    .apply(&GRAPH, &prepared, &self.cx, &ApplyOptions::default())
                    .await
            })
            .await
    }

    /// Removes; `None` when it was killed.
    async fn remove(&self, data: Data) -> Option<Report> {
        self.hook
            .drive(async {
                let data = data.ids();
                let prepared = self
                    .engine
                    .plan_removal(&GRAPH, &data, &self.cx)
                    .await
                    .unwrap();
                let options = ApplyOptions {
                    probes: ProbeChoice::None,
                    ..ApplyOptions::default()
                };
                let report = self
                    .engine
                    .apply(&GRAPH, &prepared, &self.cx, &options)
                    .await;
                if report.succeeded() {
                    // As a session does at the end.
                    self.storage.clean_up().await.unwrap();
                }
                report
            })
            .await
    }
}

/// What went wrong, in one line each.
fn failures(report: &Report) -> Vec<String> {
    let steps = report
        .entries
        .iter()
        .filter_map(|entry| match &entry.outcome {
            Outcome::Done { .. } | Outcome::Unchanged | Outcome::Kept => None,
            Outcome::Failed { failure } => {
                let causes = failure.causes.join(": ");
                Some(format!("{}: {}: {causes}", entry.id, failure.message))
            }
            other => Some(format!("{}: {other:?}", entry.id)),
        });
    let probes = report.probes.iter().flat_map(|probe| {
        let failed = probe
            .findings
            .iter()
            .filter(|finding| finding.failure.is_some());
        failed.map(|finding| format!("{}: {finding:?}", probe.name))
    });
    steps.chain(probes).collect()
}

/// What was changed, in one line each.
fn changes(report: &Report) -> Vec<String> {
    let steps = report
        .entries
        .iter()
        .filter_map(|entry| match &entry.outcome {
            Outcome::Done { verb } => Some(format!("{verb} {}", entry.id)),
            _ => None,
        });
    steps.collect()
}

/// The lines that differ; none when the worlds are the same.
fn difference(found: &str, wanted: &str) -> Vec<String> {
    if found == wanted {
        return Vec::new();
    }
    let only = |sign: &str, of: &str, other: &str| {
        let other: Vec<&str> = other.lines().collect();
        let lines = of.lines().filter(|line| !other.contains(line));
        lines
            .map(|line| format!("{sign} {line}"))
            .collect::<Vec<_>>()
    };
    let mut lines = only("+", found, wanted);
    lines.extend(only("-", wanted, found));
    lines.push("how often or in which order".to_owned());
    lines
}

/// The end is the same.
fn assert_same(found: &str, wanted: &str, when: impl std::fmt::Debug) {
    let difference = difference(found, wanted);
    assert!(difference.is_empty(), "{when:?}: {difference:#?}");
}

/// Every step ended well. A probe may have met the trouble.
fn assert_done(report: &Report) {
    let steps = Report {
        probes: Vec::new(),
        ..report.clone()
    };
    assert_well(&steps);
}

/// Everything ended well.
fn assert_well(report: &Report) {
    let failures = failures(report);
    assert!(report.succeeded() && failures.is_empty(), "{failures:#?}");
}

/// Applies without trouble: then everything is as described, every probe passes, and no password was changed.
async fn settle(world: &Arc<World>) -> String {
    let before = world.secret_texts();
    let start = Start::quiet(world);
    let report = start.up().await.unwrap();
    assert_well(&report);
    let again = start.engine.plan(&GRAPH, &start.cx).await.unwrap();
    assert!(again.plan.is_empty(), "{}", again.plan);
    let checked = start.engine.check(&GRAPH, &start.cx).await;
    assert_well(&checked);
    assert_eq!(checked.probes.len(), 5);
    let after = world.secret_texts();
    for (name, text) in &before {
        assert!(after[name].is_same(text), "{name}");
    }
    world.pass_time();
    world.snapshot()
}

/// A world with the platform, and how many points the way there has.
async fn installed() -> (Arc<World>, usize) {
    let world = World::new();
    let start = Start::quiet(&world);
    let report = start.up().await.unwrap();
    assert_well(&report);
    (world, start.hook.points())
}

/// The end of a quiet run, which every other must come to.
async fn calm() -> (String, usize) {
    let (world, points) = installed().await;
    (settle(&world).await, points)
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_quiet_run_makes_everything_and_the_next_writes_nothing() {
    let (world, points) = installed().await;
    assert!(points > 100, "{points}");
    let made = world.snapshot();
    let start = Start::quiet(&world);
    let report = start.up().await.unwrap();
    assert_well(&report);
    assert_eq!((report.changed(), start.hook.points()), (0, 0));
    assert_eq!(settle(&world).await, made);
    for line in [
        "user model-server",
        "version 1",
        "model iris",
        "\"mlflow_auth\"",
    ] {
        assert_eq!(made.matches(line).count(), 1, "{line} in {made}");
    }
    assert!(!made.contains("\nrun "), "{made}");
}

#[tokio::test(start_paused = true)]
async fn a_kill_at_any_write_is_healed_by_the_next_run() {
    let (calm, points) = calm().await;
    for point in 0..points {
        let world = World::new();
        let start = Start::new(&world, TroubleHook::new(Trouble::KillAt(point)));
        assert!(start.up().await.is_none(), "{point}");
        assert_same(&settle(&world).await, &calm, ("killed at", point));
    }
}

#[tokio::test(start_paused = true)]
async fn a_fault_at_any_write_is_overcome() {
    let (calm, points) = calm().await;
    for point in 0..points {
        let world = World::new();
        let start = Start::new(&world, TroubleHook::new(Trouble::FaultAt(point)));
        assert_done(&start.up().await.unwrap());
        assert_same(&settle(&world).await, &calm, ("fault at", point));
    }
}

/// Puts things of others beside ours.
async fn put_others(world: &Arc<World>) {
    let secret = || SecretText::new("the secret of others");
    world
        .postgres()
        .put_role("others", secret(), Some("theirs"));
    world.postgres().put_database("others", "others", None);
    world.postgres().put_table("others", "precious").unwrap();
    world.s3().put_key(&Credentials::new("others", secret()), 7);
    world
        .s3()
        .put_bucket("others", "others", &[("mlops-platform", "another")]);
    world
        .s3()
        .put_object("others", "precious", b"precious")
        .unwrap();
    let registry = world.registry().unwrap();
    registry.create_user("others", &secret()).await.unwrap();
    registry
        .create_registered_model("others", &[].into())
        .await
        .unwrap();
    let model = registry
        .create_logged_model("others", &[].into())
        .await
        .unwrap();
    registry
        .create_model_version("others", &model.model_id, &[].into())
        .await
        .unwrap();
}

/// What is seen of others in the systems that are still there.
fn others(snapshot: &str) -> Vec<&str> {
    snapshot
        .lines()
        .filter(|line| line.contains("others") || line.contains("precious"))
        .collect()
}

async fn with_others() -> Arc<World> {
    let (world, _) = installed().await;
    put_others(&world).await;
    world
}

/// The end of a quiet removal, and how many points it has.
async fn removed(data: Data) -> (String, usize) {
    let world = with_others().await;
    let start = Start::quiet(&world);
    let report = start.remove(data).await.unwrap();
    assert_well(&report);
    let again = Start::quiet(&world);
    let second = again.remove(data).await.unwrap();
    assert_eq!(
        (changes(&second), again.hook.points()),
        (Vec::new(), 0),
        "{data:?}"
    );
    (world.snapshot(), start.hook.points())
}

#[tokio::test(start_paused = true)]
async fn a_removal_takes_what_is_ours_and_nothing_else() {
    let before = with_others().await.snapshot();
    let (nothing, _) = removed(Data::All).await;
    let fresh = World::new();
    now(mlops_local::PythonApi::ensure(&fresh.python, &|_| {})).unwrap();
    assert_eq!(nothing, fresh.snapshot());
    let (emptied, _) = removed(Data::InServers).await;
    for ours in [
        "iris",
        "\"mlflow\"",
        "mlflow_auth",
        "model-server",
        "mlops:sim",
    ] {
        assert!(!emptied.contains(ours), "{ours} in {emptied}");
    }
    // MLflow's own content went with its databases.
    let of_servers: Vec<&str> = others(&before)
        .into_iter()
        .filter(|line| !line.starts_with(['u', 'm']))
        .collect();
    assert!(of_servers.len() > 4);
    assert_eq!(others(&emptied), of_servers);
    for data in [Data::Model, Data::None] {
        let (rest, _) = removed(data).await;
        assert_eq!(others(&rest), others(&before), "{data:?}");
        assert_eq!(rest.contains("model iris"), data == Data::None);
        assert!(!rest.contains("user model-server"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_removal_killed_or_disturbed_at_any_write_ends_as_a_quiet_one() {
    for data in Data::EVERY {
        let (calm, points) = removed(data).await;
        for point in 0..points {
            for trouble in [Trouble::KillAt(point), Trouble::FaultAt(point)] {
                let world = with_others().await;
                let start = Start::new(&world, TroubleHook::new(trouble));
                if let Some(report) = start.remove(data).await {
                    assert_done(&report);
                }
                let report = Start::quiet(&world).remove(data).await.unwrap();
                assert_well(&report);
                assert_same(&world.snapshot(), &calm, (data, trouble));
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_removal_kept_is_there_when_the_platform_comes_back() {
    let (_, points) = removed(Data::None).await;
    let world = with_others().await;
    let before = settle(&world).await;
    for point in 0..=points {
        let world = with_others().await;
        let texts = world.secret_texts();
        let start = Start::new(&world, TroubleHook::new(Trouble::KillAt(point)));
        assert_eq!(start.remove(Data::None).await.is_none(), point < points);
        if point % 2 == 0 {
            assert!(
                Start::quiet(&world)
                    .remove(Data::None)
                    .await
                    .unwrap()
                    .succeeded()
            );
        }
        assert_same(&settle(&world).await, &before, ("killed at", point));
        for name in [
            "postgres/superuser-password",
            "mlflow/admin-password",
            "mlflow/postgres-password",
        ] {
            let name = name.parse().unwrap();
            assert!(world.secret_texts()[&name].is_same(&texts[&name]), "{name}");
        }
    }
}

/// One more thing that happens to a platform between two runs.
fn befall(world: &World, what: usize) {
    match what {
        0 => world.kill_supervisor(),
        1 => world.fail("postgres"),
        2 => world.fail("s3"),
        3 => world.fail("mlflow"),
        4 => world.fail("model-server"),
        5 => world.crash("model-server"),
        _ => world.crash("mlflow"),
    }
}

/// So many cases, and a lot more where the compiler has optimised them. A case that failed is replayed from
/// `proptest-regressions` first of all.
fn cases(name: &'static str, cases: u32) -> ProptestConfig {
    let cases = if cfg!(debug_assertions) {
        cases
    } else {
        cases * 20
    };
    ProptestConfig {
        source_file: Some(file!()),
        test_name: Some(name),
        ..ProptestConfig::with_cases(cases)
    }
}

fn trouble() -> impl Strategy<Value = Trouble> {
    prop_oneof![
        1 => Just(Trouble::None),
        4 => (0_usize..200).prop_map(Trouble::KillAt),
        4 => (0_usize..200).prop_map(Trouble::FaultAt),
    ]
}

#[test]
fn any_order_with_any_trouble_comes_to_the_same_end() {
    let runtime = runtime();
    let (calm, _) = runtime.block_on(calm());
    let begun = std::time::Instant::now();
    let config = cases("any_order_with_any_trouble_comes_to_the_same_end", 100);
    let count = config.cases;
    proptest!(config, |(first in trouble(), second in trouble(), seed in any::<u64>())| {
        runtime.block_on(async {
            let world = World::new();
            for (trouble, seed) in [(first, seed), (second, seed.wrapping_add(1))] {
                let start = Start::new(&world, TroubleHook::shuffled(trouble, seed));
                if let Some(report) = start.up().await {
                    assert_done(&report);
                }
            }
            assert_same(&settle(&world).await, &calm, ());
        });
    });
    let speed = f64::from(3 * count) / begun.elapsed().as_secs_f64();
    println!(
        "{speed:.0} runs a second, with every probe and a look at everything after each third"
    );
}

#[test]
fn servers_that_die_between_runs_come_back() {
    let runtime = runtime();
    let (calm, _) = runtime.block_on(calm());
    let config = cases("servers_that_die_between_runs_come_back", 60);
    let trouble = prop_oneof![
        Just(Trouble::None),
        (0_usize..40).prop_map(Trouble::KillAt),
        (0_usize..40).prop_map(Trouble::FaultAt),
    ];
    let what = proptest::collection::vec(0_usize..7, 1..4);
    proptest!(config, |(point in 0_usize..200, what in what, trouble in trouble, seed in any::<u64>())| {
        runtime.block_on(async {
            let world = World::new();
            Start::new(&world, TroubleHook::shuffled(Trouble::KillAt(point), seed)).up().await;
            for (what, seed) in what.into_iter().zip(seed..) {
                befall(&world, what);
                if let Some(report) = Start::new(&world, TroubleHook::shuffled(trouble, seed)).up().await {
                    assert_done(&report);
                }
            }
            assert_same(&settle(&world).await, &calm, ());
        });
    });
}

#[test]
fn a_removal_in_any_order_with_any_trouble_can_be_taken_back_or_finished() {
    let runtime = runtime();
    let (calm, ends) = runtime.block_on(async {
        let world = with_others().await;
        let mut ends = Vec::new();
        for data in Data::EVERY {
            ends.push(removed(data).await.0);
        }
        (settle(&world).await, ends)
    });
    let config = cases(
        "a_removal_in_any_order_with_any_trouble_can_be_taken_back_or_finished",
        60,
    );
    let which = (0_usize..Data::EVERY.len(), any::<bool>());
    proptest!(config, |((which, back) in which, trouble in trouble(), seed in any::<u64>())| {
        let data = Data::EVERY[which];
        runtime.block_on(async {
            let world = with_others().await;
            let start = Start::new(&world, TroubleHook::shuffled(trouble, seed));
            if let Some(report) = start.remove(data).await {
                assert_done(&report);
            }
            if back {
                // What was named may be gone; the platform itself must work again.
                let made = settle(&world).await;
                if data == Data::None {
                    assert_same(&made, &calm, "taken back");
                }
                let start = Start::quiet(&world);
                assert_well(&start.remove(data).await.unwrap());
            } else {
                let start = Start::new(&world, TroubleHook::shuffled(Trouble::None, seed));
                assert_well(&start.remove(data).await.unwrap());
                assert_same(&world.snapshot(), &ends[which], data);
            }
        });
    });
}
