//! Servers that all tests share, and samples.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use mlops_core::{Endpoint, SecretText};
use mlops_serving::mlflow::Mlflow;
use mlops_serving::registry::Sample;
use mlops_serving::serve::{InferenceProbe, MlServer};
use mlops_testkit::mlflow::MlflowServer;
use mlops_testkit::mlserver::MlServerProcess;
use mlops_testkit::python::python;
use tokio::sync::OnceCell;

pub(crate) fn endpoint(url: &str) -> Endpoint {
    Endpoint::new(url.parse().unwrap()).unwrap()
}

/// One MLflow for all tests; it ends with their process.
pub(crate) async fn mlflow_server() -> &'static MlflowServer {
    static SERVER: OnceCell<MlflowServer> = OnceCell::const_new();
    SERVER
        .get_or_init(|| async { MlflowServer::start(&python()).await })
        .await
}

/// One MLServer for all tests; it ends with their process.
pub(crate) async fn model_server() -> &'static MlServerProcess {
    static SERVER: OnceCell<MlServerProcess> = OnceCell::const_new();
    SERVER
        .get_or_init(|| async { MlServerProcess::start(&python()).await })
        .await
}

/// The administrator's client.
pub(crate) async fn mlflow() -> Mlflow {
    let server = mlflow_server().await;
    client_for(&server.url())
}

pub(crate) fn client_for(url: &str) -> Mlflow {
    Mlflow::new(&endpoint(url))
        .unwrap()
        .with_basic_auth(
            MlflowServer::ADMIN,
            &SecretText::new(MlflowServer::PASSWORD),
        )
        .unwrap()
}

pub(crate) async fn mlserver() -> Arc<MlServer> {
    let server = model_server().await;
    let grpc = endpoint(&server.grpc_url());
    Arc::new(MlServer::new(&endpoint(&server.url()), Some(&grpc), server.models()).unwrap())
}

/// A name that no other test uses.
pub(crate) fn unique(prefix: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{prefix}-{}-{number}", std::process::id())
}

/// A test request with the first flower, and the class that must come out.
pub(crate) fn flower(class: i64) -> InferenceProbe {
    let column = |name: &str, value: f64| serde_json::json!({"name": name, "shape": [1], "datatype": "FP64", "data": [value]});
    serde_json::from_value(serde_json::json!({
        "inputs": [
            column("sepal length (cm)", 5.1),
            column("sepal width (cm)", 3.5),
            column("petal length (cm)", 1.4),
            column("petal width (cm)", 0.2),
        ],
        "parameters": {"content_type": "pd"},
        "expected": [class],
    }))
    .unwrap()
}

/// A model that was saved by `tests/fixtures/make.py`.
pub(crate) fn sample(name: &str, probe: Option<InferenceProbe>) -> Sample {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let entry = entry.unwrap();
        let content = Bytes::from(std::fs::read(entry.path()).unwrap());
        files.push((entry.file_name().into_string().unwrap(), content));
    }
    files.sort();
    Sample { files, probe }
}

/// The same model with a file that cannot be loaded.
pub(crate) fn broken() -> Sample {
    let mut sample = sample("iris", None);
    for (path, content) in &mut sample.files {
        if path == "model.skops" {
            *content = Bytes::from_static(b"this is no model");
        }
    }
    sample
}
