//! One at a time.

use std::time::{Duration, Instant};

use mlops_core::ErrorKind;
use mlops_k8s::{Applier, ApplyOptions, LeaseOptions, Outcome};
use serde_json::json;

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn the_second_is_told_who_holds_it_and_gets_it_when_it_is_given_back() {
    let client = client().await;
    let namespace = namespace(&client, "lease").await;
    let lease = |holder: &str| {
        LeaseOptions::new("demo", &namespace, holder).with_duration(Duration::from_secs(4))
    };
    let first = lease("one").acquire(&client).await.unwrap();
    first.check().unwrap();
    let error = lease("two").acquire(&client).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.causes()),
        (ErrorKind::Conflict, vec!["`one` holds it".to_owned()])
    );
    let path = format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/demo");
    let before = get(&client, &path).await;
    // It is renewed: longer than its duration, and still held.
    let error = lease("two")
        .with_wait(Duration::from_secs(6))
        .acquire(&client)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    first.check().unwrap();
    let after = get(&client, &path).await;
    assert_eq!(before["spec"]["acquireTime"], after["spec"]["acquireTime"]);
    assert_ne!(before["spec"]["renewTime"], after["spec"]["renewTime"]);
    let token = first.token();
    let started = Instant::now();
    let waiting = lease("two").with_wait(Duration::from_secs(20));
    let second = tokio::spawn({
        let client = client.clone();
        async move { waiting.acquire(&client).await }
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    drop(first);
    let second = second.await.unwrap().unwrap();
    assert!(started.elapsed() < Duration::from_secs(4));
    assert!(second.token() > token);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_holder_is_taken_over_and_can_no_longer_write() {
    let client = client().await;
    let namespace = namespace(&client, "fence").await;
    let lease = |holder: &str| {
        LeaseOptions::new("demo", &namespace, holder).with_duration(Duration::from_secs(2))
    };
    // Every request of the first meets a reset from now on: it is as good as dead, and does not know.
    let faults = Faults::new(0);
    let cut_off = client_with(&faults).await;
    let first = lease("one").acquire(&cut_off).await.unwrap();
    faults.cut.store(true, std::sync::atomic::Ordering::Relaxed);
    let second = lease("two")
        .with_wait(Duration::from_secs(20))
        .acquire(&client)
        .await
        .unwrap();
    let error = first.check().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(second.token() > first.token());
    // Its network is back, and still it writes nothing.
    let applier = Applier::new(client.clone()).with_lease(first);
    let set = config_maps(&namespace, 2);
    let report = applier
        .apply(&set, &ApplyOptions::default(), &quiet)
        .await
        .unwrap();
    assert!(
        report
            .outcomes
            .iter()
            .all(|(_, outcome)| matches!(outcome, Outcome::Failed(_))),
        "{report:?}"
    );
    assert!(names(&client, &namespace).await.is_empty());
    let applier = Applier::new(client.clone()).with_lease(second);
    apply(&applier, &set).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_was_overruled_notices() {
    let client = client().await;
    let namespace = namespace(&client, "overruled").await;
    let lease = LeaseOptions::new("demo", &namespace, "one").with_duration(Duration::from_secs(2));
    let held = lease.acquire(&client).await.unwrap();
    let path = format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/demo");
    send(
        &client,
        "PATCH",
        &path,
        &json!({"spec": {"holderIdentity": "person", "leaseTransitions": 9}}),
    )
    .await;
    tokio::time::sleep(Duration::from_millis(900)).await;
    let error = held.check().unwrap_err();
    assert_eq!(error.causes(), ["`person` has the lease now"]);
}
