//! What the tests share: the server, a client, namespaces, faults.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine as _;
use futures::future::BoxFuture;
use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use mlops_k8s::{
    Applier, ApplyEvent, ApplyOptions, ApplyReport, ClusterAccess, ObjectSet, PlanOptions,
};
pub(crate) use mlops_testkit::kubernetes::TEST_LABEL;
use mlops_testkit::kubernetes::TestCluster;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tower::Service;

/// A name that no other test has.
pub(crate) fn unique(word: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{word}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

pub(crate) async fn client() -> Client {
    client_of(&TestCluster::shared().kubeconfig()).await
}

pub(crate) async fn client_of(kubeconfig: &Path) -> Client {
    ClusterAccess::read(kubeconfig, None)
        .unwrap()
        .connect()
        .await
        .unwrap()
}

/// A kubeconfig for the shared server, with this as its user.
pub(crate) fn kubeconfig_with(user: &Value) -> String {
    let cluster = TestCluster::shared();
    let authority = base64::engine::general_purpose::STANDARD.encode(cluster.authority());
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": cluster.url(), "certificate-authority-data": authority}}],
        "users": [{"name": "u", "user": user}],
    });
    kubeconfig.to_string()
}

/// Makes a service account, and a token for it as the server gives them.
pub(crate) async fn account_token(admin: &Client, namespace: &str, name: &str) -> Value {
    let accounts = format!("/api/v1/namespaces/{namespace}/serviceaccounts");
    let account = json!({"metadata": {"name": name}});
    send(admin, "POST", &accounts, &account).await;
    let wish =
        json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    let given = send(admin, "POST", &format!("{accounts}/{name}/token"), &wish).await;
    given["status"]["token"].clone()
}

/// A client whose requests meet trouble, and are counted.
pub(crate) async fn client_with(faults: &Faults) -> Client {
    Client::new(
        Faulty {
            inner: client().await,
            faults: faults.clone(),
        },
        "default",
    )
}

/// A namespace of its own, made by hand.
pub(crate) async fn namespace(client: &Client, word: &str) -> String {
    let name = unique(word);
    send(
        client,
        "POST",
        "/api/v1/namespaces",
        &json!({"metadata": {"name": name, "labels": {TEST_LABEL: word}}}),
    )
    .await;
    name
}

/// One request, which must succeed.
pub(crate) async fn send(client: &Client, method: &str, path: &str, body: &Value) -> Value {
    let content = if method == "PATCH" {
        "application/merge-patch+json"
    } else {
        "application/json"
    };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", content);
    let body = if method == "GET" {
        Vec::new()
    } else {
        body.to_string().into_bytes()
    };
    client.request(request.body(body).unwrap()).await.unwrap()
}

pub(crate) async fn get(client: &Client, path: &str) -> Value {
    send(client, "GET", path, &Value::Null).await
}

/// The status of a GET: 200 or 404.
pub(crate) async fn exists(client: &Client, path: &str) -> bool {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let status = client.send(request).await.unwrap().status().as_u16();
    assert!(status == 200 || status == 404, "{status}");
    status == 200
}

pub(crate) fn yaml(text: &str) -> ObjectSet {
    ObjectSet::from_yaml("test.yaml", text).unwrap()
}

/// `ConfigMaps` of about 300 bytes.
pub(crate) fn config_maps(namespace: &str, count: usize) -> ObjectSet {
    let mut set = ObjectSet::new();
    for at in 0..count {
        set.add_value(json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": format!("map-{at}"), "namespace": namespace},
            "data": {"text": "x".repeat(200)},
        }))
        .unwrap();
    }
    set
}

pub(crate) async fn apply(applier: &Applier, set: &ObjectSet) -> ApplyReport {
    let report = applier
        .apply(set, &ApplyOptions::default(), &quiet)
        .await
        .unwrap();
    assert!(
        report.is_complete(),
        "{:?}",
        report.problems().collect::<Vec<_>>()
    );
    report
}

pub(crate) fn quiet(_: ApplyEvent) {}

/// After an apply the plan is empty.
pub(crate) async fn assert_nothing_to_do(applier: &Applier, set: &ObjectSet) {
    let plan = applier.plan(set, &PlanOptions::default()).await.unwrap();
    assert!(plan.is_empty(), "{plan}");
}

/// The names of all `ConfigMaps` of a namespace.
pub(crate) async fn names(client: &Client, namespace: &str) -> Vec<String> {
    let found = get(
        client,
        &format!("/api/v1/namespaces/{namespace}/configmaps"),
    )
    .await;
    let items = found["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| item["metadata"]["name"].as_str().unwrap().to_owned())
        .collect()
}

/// What goes wrong with requests: by chances that are the same in every run.
#[derive(Clone, Default)]
pub(crate) struct Faults {
    percent: u64,
    /// Counts all requests.
    pub(crate) requests: Arc<AtomicUsize>,
    /// Counts those that change something.
    pub(crate) writes: Arc<AtomicUsize>,
    /// Counts the troubles.
    pub(crate) troubles: Arc<AtomicUsize>,
    /// How many watches are still to be answered with 410 Gone.
    pub(crate) gone: Arc<AtomicUsize>,
    /// Told when so many writes were sent.
    pub(crate) stop: Arc<Notify>,
    /// At how many writes that is.
    pub(crate) stop_at: usize,
    /// Whether all connections are reset from now on.
    pub(crate) cut: Arc<AtomicBool>,
    chance: Arc<Mutex<u64>>,
}

impl Faults {
    pub(crate) fn new(percent: u64) -> Self {
        Self {
            percent,
            chance: Arc::new(Mutex::new(0x9E37_79B9_7F4A_7C15)),
            ..Self::default()
        }
    }

    fn roll(&self) -> u64 {
        let mut state = self.chance.lock().unwrap();
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state
    }
}

struct Faulty {
    inner: Client,
    faults: Faults,
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

fn reset() -> BoxError {
    Box::new(std::io::Error::from(std::io::ErrorKind::ConnectionReset))
}

fn refusal(code: u16, reason: &str) -> Response<Body> {
    let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "message": "a fault of the test", "code": code});
    let mut response = Response::builder().status(code);
    if code == 429 {
        response = response.header("retry-after", "1");
    }
    response
        .body(Body::from(body.to_string().into_bytes()))
        .unwrap()
}

impl Service<Request<Body>> for Faulty {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Body>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (faults, inner) = (self.faults.clone(), self.inner.clone());
        Box::pin(async move {
            faults.requests.fetch_add(1, Ordering::Relaxed);
            if request.method() != "GET" {
                let sent = faults.writes.fetch_add(1, Ordering::Relaxed) + 1;
                if sent == faults.stop_at {
                    faults.stop.notify_one();
                }
            }
            let is_watch = request
                .uri()
                .query()
                .is_some_and(|query| query.contains("watch=true"));
            let gone = || {
                faults
                    .gone
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                        left.checked_sub(1)
                    })
            };
            if is_watch && gone().is_ok() {
                faults.troubles.fetch_add(1, Ordering::Relaxed);
                return Ok(refusal(410, "Expired"));
            }
            if faults.cut.load(Ordering::Relaxed) {
                return Err(reset());
            }
            let chance = faults.roll();
            if chance % 100 >= faults.percent {
                return Ok(inner.send(request).await?);
            }
            faults.troubles.fetch_add(1, Ordering::Relaxed);
            match (chance / 100) % 7 {
                0 => Err(reset()),
                // The server has done it, and the answer is lost.
                1 => {
                    inner.send(request).await?;
                    Err(reset())
                }
                2 => Ok(refusal(429, "TooManyRequests")),
                3 => Ok(refusal(500, "InternalError")),
                4 => Ok(refusal(503, "ServiceUnavailable")),
                5 => {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    Ok(inner.send(request).await?)
                }
                // Half an answer.
                _ => {
                    let (parts, body) = inner.send(request).await?.into_parts();
                    let bytes = body.collect_bytes().await?;
                    let half = bytes[..bytes.len() / 2].to_vec();
                    Ok(Response::from_parts(parts, Body::from(half)))
                }
            }
        })
    }
}

/// Defines the kind `Thing` of the group `WORD.example.com`, and waits until the server has it.
pub(crate) async fn define(client: &Client, word: &str) {
    let group = format!("{word}.example.com");
    let set = yaml(&format!(
        "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: things.{group}}}
spec:
  group: {group}
  scope: Namespaced
  names: {{plural: things, singular: thing, kind: Thing}}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {{openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}
"
    ));
    apply(&Applier::new(client.clone()), &set).await;
    // It is established, and named by discovery a moment later.
    let deadline = std::time::Instant::now() + Duration::from_secs(15);
    let kind = mlops_k8s::GroupKind::new(group, "Thing");
    loop {
        let kinds = mlops_k8s::Kinds::of_server(client).await.unwrap();
        if matches!(kinds.find_any_version(&kind), mlops_k8s::Lookup::Known(_)) {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "{kind} is not named");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
