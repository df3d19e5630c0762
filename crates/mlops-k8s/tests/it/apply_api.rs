//! Objects of an API that another server answers for: its `APIService` is available before they are written.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mlops_k8s::{Applier, Outcome};
use serde_json::{Map, Value, json};

use crate::support::*;
use crate::tls_server::TlsServer;

/// What the other server has, and when it was asked to write.
#[derive(Default)]
struct Orchard {
    objects: BTreeMap<String, Value>,
    first_write: Option<Instant>,
}

/// What an apply owns, in the form of managed fields.
fn owned(value: &Value) -> Value {
    let Some(fields) = value.as_object() else {
        return json!({});
    };
    let fields = fields
        .iter()
        .filter(|(key, _)| !matches!(key.as_str(), "apiVersion" | "kind" | "name" | "namespace"));
    Value::Object(
        fields
            .map(|(key, value)| (format!("f:{key}"), owned(value)))
            .collect::<Map<_, _>>(),
    )
}

/// Serves apples, and says so from a moment on.
fn answer(
    orchard: &Mutex<Orchard>,
    group: &str,
    opens: Instant,
    call: (&str, &str, &Value),
) -> (u16, Value) {
    let (method, path, body) = call;
    let failure = |code: u16, reason: &str| {
        (
            code,
            json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code}),
        )
    };
    if Instant::now() < opens {
        return failure(503, "ServiceUnavailable");
    }
    let path = path.split('?').next().unwrap();
    if path == format!("/apis/{group}/v1") {
        let verbs = ["create", "delete", "get", "list", "patch"];
        let apples = json!({"name": "apples", "singularName": "apple", "namespaced": true, "kind": "Apple", "verbs": verbs});
        return (
            200,
            json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": format!("{group}/v1"), "resources": [apples]}),
        );
    }
    let mut orchard = orchard.lock().unwrap();
    match (method, path.rsplit_once("/apples")) {
        ("GET", Some((_, ""))) => {
            let items: Vec<&Value> = orchard.objects.values().collect();
            (
                200,
                json!({"kind": "AppleList", "apiVersion": format!("{group}/v1"), "metadata": {}, "items": items}),
            )
        }
        ("GET", Some(_)) => match orchard.objects.get(path) {
            Some(found) => (200, found.clone()),
            None => failure(404, "NotFound"),
        },
        ("PATCH", Some(_)) => {
            orchard.first_write.get_or_insert_with(Instant::now);
            let mut stored = body.clone();
            stored["metadata"]["uid"] = json!("1");
            stored["metadata"]["resourceVersion"] = json!("1");
            stored["metadata"]["managedFields"] = json!([{
                "manager": "mlops", "operation": "Apply", "apiVersion": format!("{group}/v1"),
                "fieldsType": "FieldsV1", "fieldsV1": owned(body),
            }]);
            orchard.objects.insert(path.to_owned(), stored.clone());
            (200, stored)
        }
        _ => failure(404, "NotFound"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_wait_until_the_server_behind_their_api_answers() {
    let client = client().await;
    let namespace = namespace(&client, "orchard").await;
    let group = format!("{namespace}.example.com");
    let opens = Instant::now() + Duration::from_secs(2);
    let orchard = Arc::new(Mutex::new(Orchard::default()));
    let (shared, of) = (Arc::clone(&orchard), group.clone());
    let server = TlsServer::start(move |method, path, body| {
        answer(&shared, &of, opens, (method, path, body))
    });
    // The first in the file is the last that can be written.
    let text = format!(
        "
apiVersion: {group}/v1
kind: Apple
metadata: {{name: red, namespace: {namespace}}}
spec: {{taste: sweet}}
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {{name: v1.{group}}}
spec:
  group: {group}
  version: v1
  groupPriorityMinimum: 100
  versionPriority: 10
  insecureSkipTLSVerify: true
  service: {{namespace: {namespace}, name: orchard, port: {port}}}
---
apiVersion: v1
kind: Service
metadata: {{name: orchard, namespace: {namespace}}}
spec: {{type: ExternalName, externalName: localhost}}
",
        port = server.address.port()
    );
    let set = yaml(&text);
    let applier = Applier::new(client.clone());
    let report = apply(&applier, &set).await;
    assert_eq!(report.count(&Outcome::Created), 3, "{report:?}");
    let written = orchard.lock().unwrap().first_write.unwrap();
    assert!(written >= opens, "{:?} too early", opens - written);
    let path = format!("/apis/{group}/v1/namespaces/{namespace}/apples/red");
    assert_eq!(get(&client, &path).await["spec"]["taste"], "sweet");
    // From now on the server knows the kind.
    assert_nothing_to_do(&applier, &set).await;
    let api = format!("/apis/apiregistration.k8s.io/v1/apiservices/v1.{group}");
    send(&client, "DELETE", &api, &json!({})).await;
}
