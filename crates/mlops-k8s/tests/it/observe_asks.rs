//! What the server is asked for: no more than is needed; and that "no such kind", "not there" and "could not ask" are
//! told apart.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use http::header::ACCEPT;
use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use mlops_core::ErrorKind;
use mlops_k8s::{Action, Applier, ApplyOptions, Kinds, Lookup, ObjectId, PlanOptions};
use serde_json::{Value, json};

use crate::support::*;

/// A request that was made, and its answer.
struct Asked {
    request: String,
    accept: String,
    answer: Value,
}

type Log = Arc<Mutex<Vec<Asked>>>;

/// A client that writes down what goes through it.
async fn logging(log: &Log) -> Client {
    let (inner, log) = (client().await, Arc::clone(log));
    let service = tower::service_fn(move |request: Request<Body>| {
        let (inner, log) = (inner.clone(), Arc::clone(&log));
        async move {
            let line = format!("{} {}", request.method(), request.uri());
            let accept = request.headers().get(ACCEPT).cloned();
            let (parts, body) = inner.send(request).await?.into_parts();
            let body = body.collect_bytes().await?;
            log.lock().unwrap().push(Asked {
                request: line,
                accept: accept.map_or(String::new(), |value| value.to_str().unwrap().to_owned()),
                answer: serde_json::from_slice(&body).unwrap_or_default(),
            });
            Ok::<_, kube::Error>(Response::from_parts(parts, Body::from(body)))
        }
    });
    Client::new(service, "default")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_compared_is_asked_for_without_its_content() {
    let admin = client().await;
    let namespace = namespace(&admin, "asks").await;
    let text = "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {k: v}}
---
{apiVersion: v1, kind: Secret, metadata: {name: s}, stringData: {k: kept-to-itself}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: w}
spec:
  serviceName: w
  selector: {matchLabels: {app: w}}
  template: {metadata: {labels: {app: w}}, spec: {containers: [{name: c, image: x}]}}
";
    let log = Log::default();
    let applier = Applier::new(logging(&log).await)
        .with_set("demo", &namespace)
        .with_namespace(&namespace);
    apply(&applier, &yaml(text)).await;
    let core = format!("/api/v1/namespaces/{namespace}");
    let apps = format!("/apis/apps/v1/namespaces/{namespace}");
    let find = |start: &str, word: &str| {
        let log = log.lock().unwrap();
        let mut found = log
            .iter()
            .filter(|asked| asked.request.starts_with(start) && asked.request.contains(word));
        let (first, more) = (found.next(), found.count());
        let first = first.unwrap_or_else(|| panic!("{start} {word} was not asked"));
        assert_eq!(more, 0, "{start} {word} was asked again");
        (first.accept.clone(), first.answer.clone())
    };
    // We know what we have sent.
    for object in [
        format!("{core}/configmaps/a"),
        format!("{core}/secrets/s"),
        format!("{apps}/statefulsets/w"),
    ] {
        let (accept, answer) = find(&format!("PATCH {object}?"), "");
        assert!(accept.contains("as=PartialObjectMetadata;"), "{accept}");
        assert_eq!(answer["kind"], "PartialObjectMetadata");
    }

    // One stays, two are wanted no more, and so many come that their names are asked for at once.
    let map = |name: &str| format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}}}");
    let wanted = ["b0", "b1", "b2", "b3", "b4"].map(|name| map(name) + "}");
    let wanted = wanted.join("\n---\n") + "\n---\n" + &map("a") + ", data: {k: v}}";
    log.lock().unwrap().clear();
    let plan = applier.plan(&yaml(&wanted), &PlanOptions::default()).await;
    assert_eq!(plan.unwrap().counts(), (5, 0, 2));
    let members = "labelSelector=";
    let whole = |list: &str, kind: &str| {
        let (accept, answer) = find(&format!("GET {list}?"), members);
        assert_eq!(accept, "application/json");
        assert_eq!(answer["kind"], kind);
    };
    whole(&format!("{core}/configmaps"), "ConfigMapList");
    // Its removal may take its volumes along, which its content says.
    whole(&format!("{apps}/statefulsets"), "StatefulSetList");
    let (accept, secrets) = find(&format!("GET {core}/secrets?"), members);
    assert!(accept.contains("as=PartialObjectMetadataList;"), "{accept}");
    assert_eq!(secrets["kind"], "PartialObjectMetadataList");
    assert_eq!(secrets["items"][0]["metadata"]["name"], "s");
    let names = format!("GET {core}/configmaps?limit=500");
    let (accept, names) = {
        let log = log.lock().unwrap();
        let asked = log.iter().find(|asked| asked.request == names).unwrap();
        (asked.accept.clone(), asked.answer.clone())
    };
    assert!(accept.contains("as=PartialObjectMetadataList;"), "{accept}");
    assert_eq!(names["kind"], "PartialObjectMetadataList");
    // No answer to a plan had the value.
    let value = base64::engine::general_purpose::STANDARD.encode("kept-to-itself");
    let log = log.lock().unwrap();
    assert!(
        log.iter()
            .all(|asked| !asked.answer.to_string().contains(&value))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_that_is_not_there_and_one_that_nobody_knows_of_are_no_absent_objects() {
    let client = client().await;
    let namespace = namespace(&client, "kinds").await;
    let group = format!("{namespace}.example.com");
    let applier = Applier::new(client.clone()).with_set("demo", &namespace);
    let map = format!(
        "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: a, namespace: {namespace}}}}}"
    );
    let both = |group: &str| {
        let apple = format!(
            "{{apiVersion: {group}/v1, kind: Apple, metadata: {{name: a, namespace: {namespace}}}}}"
        );
        yaml(&format!("{map}\n---\n{apple}"))
    };
    let id = ObjectId::new("", "ConfigMap", Some(&namespace), "a");
    let plan = applier.plan(&yaml(&map), &PlanOptions::default()).await;
    assert_eq!(plan.unwrap().action(&id), Some(&Action::Create));

    // What plan and apply say of it, and nothing is written in either case.
    let refused = async |group: &str| {
        let set = both(group);
        let planned = applier.plan(&set, &PlanOptions::default()).await;
        let written = applier.apply(&set, &ApplyOptions::default(), &quiet).await;
        let (planned, written) = (planned.unwrap_err(), written.unwrap_err());
        assert_eq!(planned.kind(), written.kind());
        assert_eq!(planned.causes(), written.causes());
        assert_eq!(names(&client, &namespace).await, [""; 0]);
        (planned.kind(), planned.causes().join(": "))
    };
    let (kind, causes) = refused(&group).await;
    assert_eq!(kind, ErrorKind::Unsupported);
    assert!(
        causes.starts_with(&format!("the server has no kind `Apple` in `{group}/v1`")),
        "{causes}"
    );

    // From here on there is an API that may know the kind, and nobody behind it.
    let services = "/apis/apiregistration.k8s.io/v1/apiservices";
    let service = json!({
        "metadata": {"name": format!("v1.{group}")},
        "spec": {
            "group": group, "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 10,
            "insecureSkipTLSVerify": true, "service": {"namespace": namespace, "name": "nobody"},
        },
    });
    send(&client, "POST", services, &service).await;
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let kinds = Kinds::of_server(&client).await.unwrap();
        if matches!(kinds.find(&group, "v1", "Apple"), Lookup::Unknown(_)) {
            break;
        }
        assert!(Instant::now() < deadline, "{group} is not told of");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let (kind, causes) = refused(&group).await;
    assert_eq!(kind, ErrorKind::Unavailable);
    assert!(
        causes.contains("cannot reach the service behind it"),
        "{causes}"
    );
    let service = format!("{services}/v1.{group}");
    send(&client, "DELETE", &service, &json!({})).await;
}
