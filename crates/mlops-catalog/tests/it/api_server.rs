//! The objects of the platform before a real API server.

use std::collections::BTreeMap;

use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use mlops_catalog::Catalog;
use mlops_core::SecretText;
use mlops_core::kubernetes::{OBJECT, ObjectSpec, SECRET, SecretSpec};
use mlops_testkit::kubernetes::TestCluster;
use serde_json::{Value, json};

use crate::cluster::graph_with;

/// The plural of a kind, and so the end of its path.
fn plural(kind: &str) -> String {
    let kind = kind.to_lowercase();
    match kind.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None => format!("{kind}s"),
    }
}

fn path(object: &Value) -> String {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let version = text("/apiVersion").unwrap();
    let root = if version.contains('/') {
        "/apis"
    } else {
        "/api"
    };
    let namespace = text("/metadata/namespace")
        .map(|namespace| format!("/namespaces/{namespace}"))
        .unwrap_or_default();
    let plural = plural(text("/kind").unwrap());
    let name = text("/metadata/name").unwrap();
    format!("{root}/{version}{namespace}/{plural}/{name}")
}

/// Applies an object; the answer's status, warnings and text.
async fn apply(client: &Client, object: &Value, mode: &str) -> (u16, Vec<String>, String) {
    let uri = format!(
        "{}?fieldManager=mlops&fieldValidation=Strict{mode}",
        path(object)
    );
    let request = http::Request::patch(uri)
        .header("content-type", "application/apply-patch+yaml")
        .body(Body::from(object.to_string().into_bytes()))
        .unwrap();
    let answer = client.send(request).await.unwrap();
    let status = answer.status().as_u16();
    let warnings = answer.headers().get_all("warning").iter();
    let warnings = warnings
        .map(|one| one.to_str().unwrap().to_owned())
        .collect();
    let text = answer.into_body().collect_bytes().await.unwrap();
    (
        status,
        warnings,
        String::from_utf8_lossy(&text).into_owned(),
    )
}

fn secret(spec: &SecretSpec) -> Value {
    let secrets = spec.secrets.iter();
    let secrets = secrets.map(|name| (name.clone(), SecretText::new("not a secret")));
    let texts = spec.render(secrets.collect()).unwrap();
    let texts: BTreeMap<&String, &str> = texts
        .iter()
        .map(|(key, text)| (key, text.expose()))
        .collect();
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": spec.r#type, "stringData": texts,
        "metadata": { "name": spec.name, "namespace": spec.namespace, "labels": spec.labels },
    })
}

async fn client() -> Client {
    let kubeconfig = Kubeconfig::read_from(TestCluster::shared().kubeconfig()).unwrap();
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    Client::try_from(config.unwrap()).unwrap()
}

/// Every object is right to the letter, and none wants more than Pod Security allows.
async fn is_accepted(text: &str) {
    let graph = graph_with(text, &Catalog::embedded());
    let client = client().await;
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    let mut pods = Vec::new();
    for resource in graph.ordered() {
        let object = match resource.id.kind().as_str() {
            OBJECT => resource.typed::<ObjectSpec>().unwrap().object,
            SECRET => secret(&resource.typed().unwrap()),
            _ => continue,
        };
        // The rest is tried in a namespace that is really there, with its labels, and pods need their accounts.
        let is_made = object["kind"] == "Namespace" || object["kind"] == "ServiceAccount";
        let mode = if is_made { "" } else { "&dryRun=All" };
        let (status, warnings, answer) = apply(&client, &object, mode).await;
        assert!(
            matches!(status, 200 | 201),
            "{}: {status} {answer}\n{object:#}",
            resource.id
        );
        assert!(warnings.is_empty(), "{}: {warnings:?}", resource.id);
        *kinds
            .entry(object["kind"].as_str().unwrap().to_owned())
            .or_default() += 1;
        pods.extend(pod_of(&object));
    }
    assert!(pods.len() >= 3, "{}", pods.len());
    for pod in &pods {
        let (status, warnings, answer) = apply(&client, pod, "&dryRun=All").await;
        assert!(matches!(status, 200 | 201), "{status} {answer}\n{pod:#}");
        assert!(warnings.is_empty(), "{warnings:?}");
        // The judge is awake.
        let mut greedy = pod.clone();
        greedy["spec"]["containers"][0]["securityContext"]["capabilities"] = json!({});
        let (status, _, answer) = apply(&client, &greedy, "&dryRun=All").await;
        assert!(
            status == 403 && answer.contains("PodSecurity"),
            "{status} {answer}"
        );
    }
    println!("{kinds:?}");
    for kind in [
        "Namespace",
        "Deployment",
        "ConfigMap",
        "Job",
        "NetworkPolicy",
        "HorizontalPodAutoscaler",
        "Secret",
    ] {
        assert!(kinds.contains_key(kind), "{kind}");
    }
}

/// A pod of an object's template: Pod Security judges pods, and only warns of templates.
fn pod_of(object: &Value) -> Option<Value> {
    let spec = object["spec"]["template"].get("spec")?;
    Some(json!({
        "apiVersion": "v1", "kind": "Pod", "spec": spec,
        "metadata": { "name": "tried", "namespace": object["metadata"]["namespace"] },
    }))
}

#[tokio::test]
async fn the_default_platform_is_accepted() {
    is_accepted("name: catalogued\ntarget: cluster\n").await;
}

#[tokio::test]
async fn other_platforms_are_accepted() {
    is_accepted(
        "name: other\ntarget: cluster\nsize: large\ncluster: { namespace: catalogued-2, storage_class: fast }\n\
         images: { localhost/mlops-python: registry.example.org:5000/ml/python }\n\
         external:\n  postgres: { url: 'postgresql://192.0.2.7', user: root, password: { env: P } }\n\
         models:\n  - { name: a, uri: models:/a/1 }\n  - { name: B.c_d, uri: models:/b@best }\n",
    )
    .await;
}
