//! What is told while an object of a platform does not become ready, and when waiting for it ends.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mlops_core::kubernetes::{OBJECT, ObjectSpec, PLATFORM_LABEL};
use mlops_core::{Action, ErrorKind, Event, EventSink, Graph, Resource, ResourceId};
use mlops_k8s::target::{Access, ClusterTarget};
use serde_json::{Value, json};

use crate::support::*;
use crate::target_lease::context;

/// A workload of one pod, which nobody starts here.
fn stateful_set(namespace: &str) -> Resource {
    let object = json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {"name": "web", "namespace": namespace, "labels": {PLATFORM_LABEL: namespace}},
        "spec": {
            "replicas": 1, "serviceName": "web", "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "c", "image": "localhost/web:1"}]},
            },
        },
    });
    let id = ResourceId::new(OBJECT, "statefulset.web");
    Resource::new(id, "web".parse().unwrap())
        .with_spec(&ObjectSpec { object })
        .unwrap()
}

/// Its pod, as its controller and a kubelet would write it.
struct PodOfTest {
    client: kube::Client,
    path: String,
}

impl PodOfTest {
    async fn create(client: &kube::Client, namespace: &str) -> Self {
        let within = format!("/api/v1/namespaces/{namespace}");
        let account = json!({"metadata": {"name": "default"}});
        send(
            client,
            "POST",
            &format!("{within}/serviceaccounts"),
            &account,
        )
        .await;
        let owner = format!("/apis/apps/v1/namespaces/{namespace}/statefulsets/web");
        while !exists(client, &owner).await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let uid = get(client, &owner).await["metadata"]["uid"].clone();
        let owner = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "uid": uid, "controller": true});
        let pod = json!({
            "metadata": {"name": "web-0", "labels": {"app": "web"}, "ownerReferences": [owner]},
            "spec": {"containers": [{"name": "c", "image": "localhost/web:1"}]},
        });
        send(client, "POST", &format!("{within}/pods"), &pod).await;
        Self {
            client: client.clone(),
            path: format!("{within}/pods/web-0/status"),
        }
    }

    async fn waits(&self, reason: &str, message: &str, restarts: u64) {
        let status = json!({
            "phase": "Pending",
            "containerStatuses": [{
                "name": "c", "image": "localhost/web:1", "imageID": "", "ready": false, "restartCount": restarts,
                "state": {"waiting": {"reason": reason, "message": message}},
                "lastState": {"terminated": {"reason": "Error", "exitCode": 3}},
            }],
        });
        send(
            &self.client,
            "PATCH",
            &self.path,
            &json!({"status": status}),
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cause_is_told_at_once_and_one_that_no_waiting_heals_ends_it() {
    let client = client().await;
    let name = namespace(&client, "told").await;
    let graph = Graph::new(name.parse().unwrap(), [stateful_set(&name)]).unwrap();
    let target = ClusterTarget::new(
        Access::Client(client.clone()),
        graph.platform.clone(),
        &name,
    );
    let told: Arc<Mutex<Vec<(Instant, String)>>> = Arc::default();
    let mut cx = context(&target, &graph);
    cx.events = EventSink::new({
        let told = Arc::clone(&told);
        move |event| {
            if let Event::Progress { text, .. } = event {
                told.lock().unwrap().push((Instant::now(), text));
            }
        }
    });
    let lines = |code: &str| -> Vec<(Instant, String)> {
        let told = told.lock().unwrap();
        let of_it = told.iter().filter(|(_, text)| text.contains(code));
        of_it.cloned().collect()
    };
    let applying = tokio::spawn({
        let (provider, resource) = (target.provider(), stateful_set(&name));
        async move { provider.apply(&resource, &Action::Create, &cx).await }
    });

    let pod = PodOfTest::create(&client, &name).await;
    // Time for whatever begins slowly: from now on it is told by watches.
    tokio::time::sleep(Duration::from_secs(2)).await;
    pod.waits("CrashLoopBackOff", "back-off", 4).await;
    let shown = Instant::now();
    while lines("crash-loop").is_empty() {
        assert!(shown.elapsed() < Duration::from_secs(20), "{told:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let (seen, text) = lines("crash-loop").remove(0);
    assert!(text.starts_with(&format!("Pod {name}/web-0: ")), "{text}");
    let took = seen.duration_since(shown);
    assert!(took < Duration::from_secs(2), "it took {took:?}");
    // Told once, however often it is seen; and waiting goes on.
    pod.waits("CrashLoopBackOff", "back-off", 5).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(lines("crash-loop").len(), 1, "{told:?}");
    assert!(!applying.is_finished());

    pod.waits(
        "ImagePullBackOff",
        "rpc error: code = NotFound desc = not found",
        0,
    )
    .await;
    let shown = Instant::now();
    let error = applying.await.unwrap().unwrap_err();
    let took = shown.elapsed();
    assert!(took > Duration::from_secs(2), "it took {took:?}");
    assert!(took < Duration::from_secs(8), "it took {took:?}");
    assert_eq!(error.kind(), ErrorKind::Failed);
    let causes: Value = json!(error.causes());
    assert!(
        causes[0].as_str().unwrap().contains("(image-not-found)"),
        "{causes}"
    );
    assert!(error.hint().is_some());
    assert!(lines("image-not-found").is_empty(), "{told:?}");
}
