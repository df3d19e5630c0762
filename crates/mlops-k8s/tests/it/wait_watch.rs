//! Waiting by watches.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt as _};
use http::{Request, Response};
use http_body_util::{BodyStream, StreamBody};
use kube::client::Body;
use mlops_core::ErrorKind;
use mlops_k8s::{
    Check, GroupKind, ObjectId, ReadyRule, ReadyRules, Status, WaitEvent, WaitOptions, Waiter,
};
use serde_json::{Value, json};

use crate::support::*;

fn silent(_: WaitEvent) {}

async fn deployment(client: &kube::Client, namespace: &str, name: &str) -> ObjectId {
    let body = json!({"metadata": {"name": name}, "spec": {"replicas": 1, "selector": {"matchLabels": {"a": name}},
        "template": {"metadata": {"labels": {"a": name}}, "spec": {"containers": [{"name": "c", "image": "x"}]}}}});
    send(
        client,
        "POST",
        &format!("/apis/apps/v1/namespaces/{namespace}/deployments"),
        &body,
    )
    .await;
    ObjectId::new("apps", "Deployment", Some(namespace), name)
}

/// Writes a status, and hands back the version of the object that has it.
async fn report(client: &kube::Client, id: &ObjectId, status: Value) -> String {
    let path = format!(
        "/apis/apps/v1/namespaces/{}/deployments/{}/status",
        id.namespace.as_ref().unwrap(),
        id.name
    );
    let found = send(client, "PATCH", &path, &json!({"status": status})).await;
    let version = found["metadata"]["resourceVersion"].as_str().unwrap();
    version.to_owned()
}

fn ready() -> Value {
    json!({"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1})
}

#[tokio::test(flavor = "multi_thread")]
async fn ready_is_reported_at_once_by_one_watch_for_each_kind() {
    let client = client().await;
    let namespace = namespace(&client, "ready").await;
    let ids = [
        deployment(&client, &namespace, "a").await,
        deployment(&client, &namespace, "b").await,
    ];
    let faults = Faults::new(0);
    let waiter = Waiter::new(client_with(&faults).await);
    let options = WaitOptions::new(Duration::from_secs(30));
    let seen = Mutex::new(Vec::new());
    let on_event = |event: WaitEvent| seen.lock().unwrap().push((event.id.name, event.status));
    let changed = Mutex::new(None);
    let change = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        report(&client, &ids[0], ready()).await;
        report(&client, &ids[1], ready()).await;
        *changed.lock().unwrap() = Some(Instant::now());
    };
    let (done, ()) = tokio::join!(waiter.wait_until_ready(&ids, &options, &on_event), change);
    done.unwrap();
    let late = changed.lock().unwrap().unwrap().elapsed();
    assert!(late < Duration::from_millis(100), "{late:?}");
    // Discovery, one list, one watch.
    assert!(faults.requests.load(Ordering::Relaxed) <= 4);
    let seen = seen.into_inner().unwrap();
    assert!(seen.contains(&("a".to_owned(), Status::Ready)), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_ends_the_wait_at_once_and_time_tells_what_was_seen() {
    let client = client().await;
    let namespace = namespace(&client, "fails").await;
    let id = deployment(&client, &namespace, "a").await;
    let waiter = Waiter::new(client.clone());
    let short = WaitOptions::new(Duration::from_millis(800));
    let error = waiter
        .wait_until_ready(std::slice::from_ref(&id), &short, &silent)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(
        error.causes(),
        [format!("{id}: in progress: its controller has not seen it")]
    );
    let absent = ObjectId::new("", "ConfigMap", Some(&namespace), "none");
    let error = waiter
        .wait_until_ready(&[absent], &short, &silent)
        .await
        .unwrap_err();
    assert!(error.causes()[0].ends_with("not there"), "{error:?}");
    report(
        &client,
        &id,
        json!({"observedGeneration": 1, "conditions": [{"type": "Progressing", "status": "False",
        "reason": "ProgressDeadlineExceeded", "message": "too late"}]}),
    )
    .await;
    let started = Instant::now();
    let long = WaitOptions::new(Duration::from_mins(1));
    let error = waiter
        .wait_until_ready(&[id], &long, &silent)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed);
    assert_eq!(error.causes(), ["ProgressDeadlineExceeded: too late"]);
    assert!(started.elapsed() < Duration::from_secs(10));
    let unknown = ObjectId::new("x.io", "X", None, "x");
    let error = waiter
        .wait_until_ready(&[unknown], &long, &silent)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[tokio::test(flavor = "multi_thread")]
async fn gone_watches_and_trouble_are_survived() {
    let client = client().await;
    let namespace = namespace(&client, "gone").await;
    let id = deployment(&client, &namespace, "a").await;
    let faults = Faults::new(20);
    faults.gone.store(2, Ordering::Relaxed);
    let waiter = Waiter::new(client_with(&faults).await);
    let options = WaitOptions::new(Duration::from_mins(1));
    let change = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        report(&client, &id, ready()).await;
    };
    let ids = [id.clone()];
    let (done, ()) = tokio::join!(waiter.wait_until_ready(&ids, &options, &silent), change);
    done.unwrap();
    assert!(faults.troubles.load(Ordering::Relaxed) >= 2);
    let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments/a");
    let remove = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        send(&client, "DELETE", &path, &json!({})).await;
    };
    let (done, ()) = tokio::join!(waiter.wait_until_gone(&ids, &options, &silent), remove);
    done.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_may_have_a_rule_of_its_own() {
    let client = client().await;
    let namespace = namespace(&client, "rule").await;
    let path = format!("/api/v1/namespaces/{namespace}/configmaps");
    send(
        &client,
        "POST",
        &path,
        &json!({"metadata": {"name": "a"}, "data": {"phase": "starting"}}),
    )
    .await;
    let rule = ReadyRule {
        ready: vec![Check::equals("data.phase", "up")],
        failed: vec![Check::equals("data.phase", "broken")],
    };
    let rules = ReadyRules::default().with(GroupKind::new("", "ConfigMap"), rule);
    let options = WaitOptions::new(Duration::from_secs(20)).with_rules(rules);
    let id = [ObjectId::new("", "ConfigMap", Some(&namespace), "a")];
    let waiter = Waiter::new(client.clone());
    let change = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        send(
            &client,
            "PATCH",
            &format!("{path}/a"),
            &json!({"data": {"phase": "up"}}),
        )
        .await;
    };
    let (done, ()) = tokio::join!(waiter.wait_until_ready(&id, &options, &silent), change);
    done.unwrap();
    send(
        &client,
        "PATCH",
        &format!("{path}/a"),
        &json!({"data": {"phase": "broken"}}),
    )
    .await;
    let error = waiter
        .wait_until_ready(&id, &options, &silent)
        .await
        .unwrap_err();
    assert_eq!(error.causes(), ["data.phase is \"broken\""]);
}

/// What is asked of Deployments, where the server ends watches: orderly, after their first event.
#[derive(Clone, Default)]
struct Closing {
    /// How many watches are still to be ended.
    left: Arc<AtomicUsize>,
    /// Counts those that were.
    closed: Arc<AtomicUsize>,
    /// The queries of all requests.
    queries: Arc<Mutex<Vec<String>>>,
}

impl Closing {
    async fn client(&self) -> kube::Client {
        let (inner, closing) = (client().await, self.clone());
        let service = tower::service_fn(move |request: Request<Body>| {
            let (inner, closing) = (inner.clone(), closing.clone());
            async move { closing.pass(&inner, request).await }
        });
        kube::Client::new(service, "default")
    }

    async fn pass(
        self,
        inner: &kube::Client,
        request: Request<Body>,
    ) -> kube::Result<Response<StreamBody<Frames>>> {
        let query = request.uri().query().unwrap_or_default().to_owned();
        let is_watch = is_watch(&query);
        if request.uri().path().ends_with("/deployments") {
            self.queries.lock().unwrap().push(query);
        }
        if is_watch {
            // While nobody watches, something happens.
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let take = |left: usize| left.checked_sub(1);
        let is_cut = is_watch
            && self
                .left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
                .is_ok();
        let (parts, body) = inner.send(request).await?.into_parts();
        let begun = (BodyStream::new(body), false);
        let frames = stream::unfold(begun, move |(mut frames, is_over)| {
            let closed = Arc::clone(&self.closed);
            async move {
                if is_over {
                    closed.fetch_add(1, Ordering::Relaxed);
                    return None;
                }
                let frame = frames.next().await?;
                // Events are lines.
                let is_event = frame
                    .as_ref()
                    .ok()
                    .and_then(|frame| frame.data_ref())
                    .is_some_and(|data| data.ends_with(b"\n"));
                Some((frame, (frames, is_cut && is_event)))
            }
        });
        Ok(Response::from_parts(parts, StreamBody::new(frames.boxed())))
    }

    async fn wait_until_watches(&self, count: usize) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.watches().len() < count {
            assert!(Instant::now() < deadline, "{:?}", self.queries);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn watches(&self) -> Vec<String> {
        let queries = self.queries.lock().unwrap().clone();
        queries
            .into_iter()
            .filter(|query| is_watch(query))
            .collect()
    }
}

type Frames = stream::BoxStream<'static, <BodyStream<Body> as stream::Stream>::Item>;

fn is_watch(query: &str) -> bool {
    query.contains("watch=true")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_the_server_ends_goes_on_where_it_was() {
    let client = client().await;
    let namespace = namespace(&client, "closed").await;
    let id = deployment(&client, &namespace, "a").await;
    let closing = Closing::default();
    closing.left.store(2, Ordering::Relaxed);
    let waiter = Waiter::new(closing.client().await);
    let options = WaitOptions::new(Duration::from_secs(30));
    let seen = Mutex::new(Vec::new());
    let on_event = |event: WaitEvent| seen.lock().unwrap().push(event.status);
    let change = async {
        let mut versions = Vec::new();
        for (at, status) in [
            json!({"observedGeneration": 1}),
            json!({"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1}),
            ready(),
        ]
        .into_iter()
        .enumerate()
        {
            closing.wait_until_watches(at + 1).await;
            versions.push(report(&client, &id, status).await);
        }
        versions
    };
    let ids = [id.clone()];
    let (done, versions) = tokio::join!(waiter.wait_until_ready(&ids, &options, &on_event), change);
    done.unwrap();
    assert_eq!(closing.closed.load(Ordering::Relaxed), 2);
    assert_eq!(seen.into_inner().unwrap().last(), Some(&Status::Ready));
    // Each goes on behind the last event of the one before; nothing is listed again.
    let watches = closing.watches();
    assert_eq!(watches.len(), 3, "{watches:?}");
    assert_eq!(closing.queries.lock().unwrap().len(), 1 + watches.len());
    for (watch, version) in watches.iter().skip(1).zip(&versions) {
        let from = format!("resourceVersion={version}");
        assert!(
            watch.split('&').any(|part| part == from),
            "{watches:?} {versions:?}"
        );
    }
}
