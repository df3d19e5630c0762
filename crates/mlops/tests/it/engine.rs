//! The engine over a small world: plans, order, failures, interruption, kills.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use mlops::{ApplyOptions, Engine, Patience, Prepared, ProbeChoice};
use mlops_core::hook::{Hook, NoHook};
use mlops_core::report::Outcome;
use mlops_core::{
    Context, ErrorKind, Event, EventSink, Graph, Probe, Prober, Report, Resource, Spec,
};
use mlops_testkit::sim::{Trouble, TroubleHook};
use proptest::prelude::*;
use tokio_util::sync::CancellationToken;

use crate::support::{Thing, World, WorldProber, WorldProvider, context, id, thing};

fn engine(world: &Arc<Mutex<World>>, hook: Hook) -> Engine {
    let provider = WorldProvider {
        world: Arc::clone(world),
        hook,
    };
    let prober: Arc<dyn Prober> = Arc::new(WorldProber(Arc::clone(world)));
    Engine::new()
        .with_provider(Arc::new(provider))
        .unwrap()
        .with_prober(&prober)
        .unwrap()
        .with_patience(Patience {
            retries: 2,
            first_pause: std::time::Duration::from_millis(1),
            longest_pause: std::time::Duration::from_millis(1),
        })
}

fn graph(resources: Vec<Resource>) -> Graph {
    Graph::new("test".parse().unwrap(), resources).unwrap()
}

fn diamond() -> Graph {
    graph(vec![
        thing("a", &[]),
        thing("b", &["a"]),
        thing("c", &["a"]),
        thing("d", &["b", "c"]),
    ])
}

async fn up(engine: &Engine, graph: &Graph, cx: &Context) -> Report {
    let prepared = engine.plan(graph, cx).await.unwrap();
    engine
        .apply(graph, &prepared, cx, &ApplyOptions::default())
        .await
}

#[tokio::test]
async fn after_apply_the_plan_is_empty_and_nothing_is_written_again() {
    let world = Arc::new(Mutex::new(World::default()));
    let engine = engine(&world, Arc::new(NoHook));
    let (graph, cx) = (diamond(), context(EventSink::none()));
    let report = up(&engine, &graph, &cx).await;
    assert!(report.succeeded(), "{report:?}");
    assert_eq!(report.changed(), 4);
    let writes = world.lock().unwrap().log.len();
    assert!(engine.plan(&graph, &cx).await.unwrap().plan.is_empty());
    assert_eq!(up(&engine, &graph, &cx).await.changed(), 0);
    assert_eq!(world.lock().unwrap().log.len(), writes);
}

#[tokio::test]
async fn a_difference_is_updated_and_told() {
    let world = Arc::new(Mutex::new(World::default()));
    let engine = engine(&world, Arc::new(NoHook));
    let (graph, cx) = (diamond(), context(EventSink::none()));
    up(&engine, &graph, &cx).await;
    world
        .lock()
        .unwrap()
        .things
        .get_mut(&id("b"))
        .unwrap()
        .fields
        .insert("value".to_owned(), "by hand".into());
    let prepared = engine.plan(&graph, &cx).await.unwrap();
    assert_eq!(
        prepared.plan.to_string().lines().collect::<Vec<_>>(),
        [
            "~ update thing/b",
            "    value: \"by hand\" -> \"b\"",
            "Plan for `test`: 1 to update, 3 as described"
        ]
    );
    assert!(up(&engine, &graph, &cx).await.succeeded());
    assert!(engine.plan(&graph, &cx).await.unwrap().plan.is_empty());
}

#[tokio::test]
async fn a_failure_stops_only_what_needs_it_and_the_next_run_goes_on() {
    let world = Arc::new(Mutex::new(World::default()));
    world.lock().unwrap().cursed.push(id("b"));
    let engine = engine(&world, Arc::new(NoHook));
    let (graph, cx) = (diamond(), context(EventSink::none()));
    let report = up(&engine, &graph, &cx).await;
    assert!(!report.succeeded());
    let outcome = |name: &str| {
        report
            .entries
            .iter()
            .find(|entry| entry.id == id(name))
            .map(|entry| entry.outcome.clone())
            .unwrap()
    };
    assert!(matches!(outcome("b"), Outcome::Failed { .. }));
    assert!(matches!(outcome("c"), Outcome::Done { .. }));
    assert_eq!(outcome("d"), Outcome::Skipped { because: id("b") });
    world.lock().unwrap().cursed.clear();
    assert!(up(&engine, &graph, &cx).await.succeeded());
}

#[tokio::test]
async fn could_not_ask_is_an_error_of_the_plan() {
    let world = Arc::new(Mutex::new(World::default()));
    world.lock().unwrap().silent.push(id("c"));
    let engine = engine(&world, Arc::new(NoHook));
    let error = engine
        .plan(&diamond(), &context(EventSink::none()))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(world.lock().unwrap().log.is_empty());
}

#[tokio::test]
async fn a_foreign_thing_is_not_touched() {
    let world = Arc::new(Mutex::new(World::default()));
    let foreign = Thing {
        fields: Spec::new(),
        owner: Some("someone".to_owned()),
    };
    world
        .lock()
        .unwrap()
        .things
        .insert(id("b"), foreign.clone());
    let engine = engine(&world, Arc::new(NoHook));
    let cx = context(EventSink::none());
    let error = engine.plan(&diamond(), &cx).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let none = BTreeSet::new();
    let others = graph(vec![thing("b", &[]), thing("x", &[])]);
    let prepared = engine.plan_removal(&others, &none, &cx).await.unwrap();
    engine
        .apply(&others, &prepared, &cx, &ApplyOptions::default())
        .await;
    assert_eq!(world.lock().unwrap().things.get(&id("b")), Some(&foreign));
}

#[tokio::test]
async fn what_lives_in_a_thing_that_is_not_ready_is_looked_at_later() {
    let world = Arc::new(Mutex::new(World::default()));
    let engine = engine(&world, Arc::new(NoHook));
    let cx = context(EventSink::none());
    let graph = graph(vec![
        thing("server", &[]),
        thing("role", &[]).with_within(id("server")),
    ]);
    up(&engine, &graph, &cx).await;
    // A server without its mark is one that is starting.
    world
        .lock()
        .unwrap()
        .things
        .get_mut(&id("server"))
        .unwrap()
        .owner = None;
    let prepared = engine.plan(&graph, &cx).await.unwrap();
    assert_eq!(
        prepared.plan.to_string().lines().collect::<Vec<_>>(),
        [
            ". wait for thing/server",
            "? look at later thing/role (when thing/server is ready)",
            "Plan for `test`: 1 to look at later, 1 to wait for"
        ]
    );
    let writes = world.lock().unwrap().log.len();
    let report = up(&engine, &graph, &cx).await;
    assert!(report.succeeded());
    // The role was looked at and needed nothing.
    assert_eq!(report.changed(), 1);
    assert_eq!(world.lock().unwrap().log.len(), writes + 2);
}

#[tokio::test]
async fn removal_takes_ours_backwards_and_leaves_nothing() {
    let world = Arc::new(Mutex::new(World::default()));
    let engine = engine(&world, Arc::new(NoHook));
    let (graph, cx) = (diamond(), context(EventSink::none()));
    up(&engine, &graph, &cx).await;
    let foreign = Thing {
        fields: Spec::new(),
        owner: Some("someone".to_owned()),
    };
    world.lock().unwrap().things.insert(id("z"), foreign);
    world.lock().unwrap().log.clear();
    let prepared = engine
        .plan_removal(&graph, &BTreeSet::new(), &cx)
        .await
        .unwrap();
    let report = engine
        .apply(&graph, &prepared, &cx, &ApplyOptions::default())
        .await;
    assert!(report.succeeded());
    let world = world.lock().unwrap();
    assert_eq!(world.things.keys().collect::<Vec<_>>(), [&id("z")]);
    assert_eq!(world.log.first().unwrap(), "remove thing/d");
    assert_eq!(world.log.last().unwrap(), "remove thing/a");
}

#[tokio::test]
async fn what_is_no_longer_described_goes() {
    let world = Arc::new(Mutex::new(World::default()));
    let engine = engine(&world, Arc::new(NoHook));
    let cx = context(EventSink::none());
    up(&engine, &diamond(), &cx).await;
    let smaller = graph(vec![thing("a", &[])]);
    assert!(up(&engine, &smaller, &cx).await.succeeded());
    assert_eq!(world.lock().unwrap().things.len(), 1);
}

#[tokio::test]
async fn a_cancelled_run_says_so_and_the_next_goes_on() {
    let world = Arc::new(Mutex::new(World::default()));
    let cancel = CancellationToken::new();
    let stop = cancel.clone();
    let events = EventSink::new(move |event| {
        if matches!(&event, Event::Finished { id: done, .. } if *done == id("a")) {
            stop.cancel();
        }
    });
    let engine = engine(&world, Arc::new(NoHook));
    let (graph, cx) = (diamond(), context(events));
    let prepared = engine.plan(&graph, &cx).await.unwrap();
    let options = ApplyOptions {
        cancel,
        ..ApplyOptions::default()
    };
    let report = engine.apply(&graph, &prepared, &cx, &options).await;
    assert_eq!(
        report
            .entries
            .iter()
            .filter(|entry| entry.outcome == Outcome::Interrupted)
            .count(),
        3
    );
    assert!(
        up(&engine, &graph, &context(EventSink::none()))
            .await
            .succeeded()
    );
}

#[tokio::test]
async fn probes_are_made_of_what_changed_and_all_on_check() {
    let world = Arc::new(Mutex::new(World::default()));
    let engine = engine(&world, Arc::new(NoHook));
    let mut graph = diamond();
    graph.probes = vec![
        Probe {
            name: "b".to_owned(),
            kind: "there".to_owned(),
            component: "test".parse().unwrap(),
            needs: BTreeSet::from([id("b")]),
            spec: Spec::new(),
        },
        Probe {
            name: "unknown".to_owned(),
            kind: "no such kind".to_owned(),
            component: "test".parse().unwrap(),
            needs: BTreeSet::new(),
            spec: Spec::new(),
        },
    ];
    let cx = context(EventSink::none());
    let report = up(&engine, &graph, &cx).await;
    assert_eq!(report.probes.len(), 1);
    assert!(report.succeeded());
    assert!(up(&engine, &graph, &cx).await.probes.is_empty());
    let report = engine.check(&graph, &cx).await;
    assert_eq!(report.probes.len(), 2);
    assert!(report.probes[0].passed());
    assert!(!report.probes[1].passed());
    world.lock().unwrap().things.remove(&id("b"));
    assert!(!engine.check(&graph, &cx).await.probes[0].passed());
    let prepared: Prepared = engine.plan(&graph, &cx).await.unwrap();
    let options = ApplyOptions {
        probes: ProbeChoice::All,
        ..ApplyOptions::default()
    };
    let report = engine.apply(&graph, &prepared, &cx, &options).await;
    assert_eq!(report.probes.len(), 2);
}

/// Applies with trouble at one point, then again without; the world must be as after one quiet run.
async fn survive(graph: &Graph, trouble: Trouble) -> World {
    let world = Arc::new(Mutex::new(World::default()));
    let cx = context(EventSink::none());
    let hook = TroubleHook::new(trouble);
    let troubled = engine(&world, Arc::clone(&hook) as Hook);
    let run = async {
        let prepared = troubled.plan(graph, &cx).await.unwrap();
        troubled
            .apply(graph, &prepared, &cx, &ApplyOptions::default())
            .await
    };
    let report = hook.drive(run).await;
    match trouble {
        Trouble::KillAt(at) if at < hook.points() => assert!(report.is_none()),
        _ => assert!(report.unwrap().succeeded()),
    }
    let quiet = engine(&world, Arc::new(NoHook));
    assert!(up(&quiet, graph, &cx).await.succeeded());
    assert!(quiet.plan(graph, &cx).await.unwrap().plan.is_empty());
    drop((quiet, troubled));
    Arc::into_inner(world).unwrap().into_inner().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_graph_survives_trouble_at_any_write(
        edges in proptest::collection::vec((0_usize..12, 0_usize..12), 0..30),
        point in 0_usize..48,
        kill in any::<bool>(),
    ) {
        let resources = (0..12).map(|index: usize| {
            let needs: Vec<String> = edges.iter()
                .filter(|(from, to)| *from == index && to < from)
                .map(|(_, to)| to.to_string()).collect();
            thing(&index.to_string(), &needs.iter().map(String::as_str).collect::<Vec<_>>())
        }).collect();
        let graph = graph(resources);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let calm = survive(&graph, Trouble::None).await;
            let trouble = if kill { Trouble::KillAt(point) } else { Trouble::FaultAt(point) };
            let rough = survive(&graph, trouble).await;
            prop_assert_eq!(calm.things, rough.things);
            Ok(())
        })?;
    }
}

#[tokio::test(start_paused = true)]
async fn work_that_waits_for_something_by_itself_is_given_up_when_that_fails() {
    let world = Arc::new(Mutex::new(World::default()));
    world.lock().unwrap().cursed.push(id("database"));
    world.lock().unwrap().endless.push(id("server"));
    let engine = engine(&world, Arc::new(NoHook));
    let mut server = thing("server", &[]);
    server.awaits.insert(id("database"));
    let graph = graph(vec![
        server,
        thing("database", &["host"]),
        thing("host", &[]),
    ]);
    let report = up(&engine, &graph, &context(EventSink::none())).await;
    let entry = report.entries.iter().find(|entry| entry.id == id("server"));
    assert_eq!(
        entry.map(|entry| entry.outcome.clone()),
        Some(Outcome::Skipped {
            because: id("database")
        })
    );
}

#[tokio::test(start_paused = true)]
async fn a_look_that_was_not_answered_is_repeated() {
    let world = Arc::new(Mutex::new(World::default()));
    world.lock().unwrap().silent.push(id("c"));
    let engine = engine(&world, Arc::new(NoHook));
    let cx = context(EventSink::none());
    let (soon, graph) = (Arc::clone(&world), diamond());
    let answers = async {
        tokio::task::yield_now().await;
        soon.lock().unwrap().silent.clear();
    };
    let (prepared, ()) = tokio::join!(engine.plan(&graph, &cx), answers);
    assert_eq!(prepared.unwrap().plan.counts().get("create"), Some(&4));
}

/// Programs may spawn whole runs; this compiles or it does not.
#[expect(dead_code, reason = "only its types matter")]
fn runs_can_be_spawned(session: &mlops::Session) {
    fn check<T: Send>(_: &T) {}
    check(&session.up(mlops::UpOptions::default()));
    check(&session.plan());
}
