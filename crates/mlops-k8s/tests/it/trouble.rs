//! The same end state, whatever happens on the way.

use std::sync::atomic::Ordering;
use std::time::Instant;

use mlops_k8s::{Applier, ApplyOptions, Outcome};
use mlops_testkit::kubernetes::TestCluster;

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_third_of_all_requests_meet_trouble() {
    let client = client().await;
    let namespace = namespace(&client, "faults").await;
    let faults = Faults::new(30);
    let applier = Applier::new(client_with(&faults).await).with_set("demo", &namespace);
    let set = config_maps(&namespace, 120);
    let report = apply(&applier, &set).await;
    assert!(report.retries > 10, "{}", report.retries);
    assert!(faults.troubles.load(Ordering::Relaxed) > 30);
    assert_eq!(names(&client, &namespace).await.len(), 121);
    let calm = Applier::new(client.clone()).with_set("demo", &namespace);
    assert_nothing_to_do(&calm, &set).await;
    let report = apply(&applier, &config_maps(&namespace, 60)).await;
    assert_eq!(report.count(&Outcome::Removed), 60);
    assert_eq!(names(&client, &namespace).await.len(), 61);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_write_and_run_again() {
    let client = client().await;
    let namespace = namespace(&client, "killed").await;
    let calm = Applier::new(client.clone()).with_set("demo", &namespace);
    let mut killed = 0;
    for round in 0..26_usize {
        // The sets take turns, so that there is always something to make and something to remove.
        let count = if round % 2 == 0 { 40 } else { 15 };
        let set = config_maps(&namespace, count);
        let mut faults = Faults::new(0);
        faults.stop_at = 1 + (round * 7) % 26;
        let applier = Applier::new(client_with(&faults).await).with_set("demo", &namespace);
        let options = ApplyOptions::default();
        tokio::select! {
            biased;
            () = faults.stop.notified() => killed += 1,
            done = applier.apply(&set, &options, &quiet) => { done.unwrap(); }
        }
        apply(&calm, &set).await;
        assert_nothing_to_do(&calm, &set).await;
        assert_eq!(
            names(&client, &namespace).await.len(),
            count + 1,
            "round {round}"
        );
    }
    assert!(killed >= 25, "{killed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_is_restarted_in_the_middle_and_its_store_is_slow() {
    // A server of its own: others must not meet this.
    let cluster = tokio::task::spawn_blocking(TestCluster::start)
        .await
        .unwrap();
    let client = client_of(&cluster.kubeconfig()).await;
    let namespace = namespace(&client, "restart").await;
    let applier = Applier::new(client.clone()).with_set("demo", &namespace);
    let set = config_maps(&namespace, 1500);
    let work = tokio::spawn({
        let (applier, set) = (applier.clone(), set.clone());
        async move { apply(&applier, &set).await }
    });
    while names(&client, &namespace).await.len() < 100 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let cluster = tokio::task::spawn_blocking(move || {
        cluster.stop_api_server();
        cluster.start_api_server();
        cluster
    })
    .await
    .unwrap();
    let report = work.await.unwrap();
    assert!(report.retries > 0, "the restart came too late");
    assert_nothing_to_do(&applier, &set).await;
    assert_eq!(names(&client, &namespace).await.len(), 1501);
    // Its store does not answer for a while.
    let store = cluster.etcd_pid().to_string();
    let signal = move |name: &str| {
        let done = std::process::Command::new("kill")
            .args([name, &store])
            .status()
            .unwrap();
        assert!(done.success());
    };
    signal("-STOP");
    let slow = async {
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        signal("-CONT");
    };
    let fewer = config_maps(&namespace, 100);
    let ((), report) = tokio::join!(slow, apply(&applier, &fewer));
    assert_eq!(report.count(&Outcome::Removed), 1400);
    assert_nothing_to_do(&applier, &fewer).await;
    tokio::task::spawn_blocking(move || drop(cluster))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_objects() {
    let client = client().await;
    let namespace = namespace(&client, "large-set").await;
    let faults = Faults::new(0);
    let applier = Applier::new(client_with(&faults).await).with_set("demo", &namespace);
    let set = config_maps(&namespace, 5000);
    let started = Instant::now();
    apply(&applier, &set).await;
    let first = started.elapsed();
    let requests = faults.requests.swap(0, Ordering::Relaxed);
    // One PATCH for each, the parent, discovery and lists.
    assert!(requests < 5000 + 20, "{requests}");
    let started = Instant::now();
    assert_nothing_to_do(&applier, &set).await;
    println!(
        "5000 objects: {first:?}, then {:?} in {} requests",
        started.elapsed(),
        faults.requests.load(Ordering::Relaxed)
    );
    assert!(faults.requests.load(Ordering::Relaxed) < 20);
    apply(&applier, &config_maps(&namespace, 1)).await;
    assert_eq!(names(&client, &namespace).await.len(), 2);
}

/// Prints the figures for 1,000 `ConfigMaps`: `cargo test -p mlops-k8s --test it speed -- --nocapture`.
#[tokio::test(flavor = "multi_thread")]
async fn speed_of_a_thousand_config_maps() {
    let client = client().await;
    let namespace = namespace(&client, "speed").await;
    let faults = Faults::new(0);
    let applier = Applier::new(client_with(&faults).await).with_set("demo", &namespace);
    let set = config_maps(&namespace, 1000);
    for word in ["empty", "again"] {
        let logged = logged(&namespace);
        let started = Instant::now();
        apply(&applier, &set).await;
        println!(
            "1000 ConfigMaps, {word}: {:?}, {} requests, {} of them in the namespace by the audit log",
            started.elapsed(),
            faults.requests.swap(0, Ordering::Relaxed),
            self::logged(&namespace) - logged,
        );
    }
    let before = logged(&namespace);
    assert_nothing_to_do(&applier, &set).await;
    assert!(logged(&namespace) - before <= 5);
}

/// How many requests for a namespace the audit log has.
fn logged(namespace: &str) -> usize {
    let log = TestCluster::shared().audit_log();
    let wanted = format!("\"namespace\":\"{namespace}\"");
    let done = |line: &&str| line.contains(&wanted) && line.contains("\"ResponseComplete\"");
    log.lines().filter(done).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_at_once_end_as_one() {
    let client = client().await;
    let namespace = namespace(&client, "twins").await;
    let applier = Applier::new(client.clone()).with_set("demo", &namespace);
    let set = config_maps(&namespace, 100);
    let (one, other) = tokio::join!(apply(&applier, &set), apply(&applier, &set));
    assert!(one.is_complete() && other.is_complete());
    assert_eq!(names(&client, &namespace).await.len(), 101);
    assert_nothing_to_do(&applier, &set).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_of_another_tool_is_left_alone_and_one_of_another_version_is_not() {
    let client = client().await;
    let namespace = namespace(&client, "tools").await;
    let applier = Applier::new(client.clone()).with_set("demo", &namespace);
    apply(&applier, &config_maps(&namespace, 3)).await;
    let says = async |tool: &str| {
        let path = format!("/api/v1/namespaces/{namespace}/configmaps/demo");
        let tooling = serde_json::json!({"applyset.kubernetes.io/tooling": tool});
        let body = serde_json::json!({"metadata": {"annotations": tooling}});
        send(&client, "PATCH", &path, &body).await;
    };
    says("kubectl/v1.35.0\u{1b}[2J").await;
    let fewer = config_maps(&namespace, 1);
    let options = ApplyOptions::default();
    let refused = applier.apply(&fewer, &options, &quiet).await;
    let error = refused.unwrap_err();
    assert_eq!(error.kind(), mlops_core::ErrorKind::Conflict);
    let text = error.causes().concat();
    assert!(text.contains("managed by `kubectl/v1.35.0"), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
    assert_eq!(names(&client, &namespace).await.len(), 4);
    says("mlops/v99.0.0").await;
    apply(&applier, &fewer).await;
    assert_eq!(names(&client, &namespace).await.len(), 2);
}
