//! The cluster target writes only while its lease is held, and asks for kinds once.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mlops_core::kubernetes::{OBJECT, ObjectSpec, PLATFORM_LABEL};
use mlops_core::{
    Action, Context, ErrorKind, EventSink, Graph, Observed, Resource, ResourceId, SecretText,
};
use mlops_k8s::ClusterAccess;
use mlops_k8s::target::{Access, ClusterTarget};
use mlops_testkit::kubernetes::TestCluster;
use serde_json::{Value, json};

use crate::support::*;

/// A namespace and two `ConfigMaps`, of a platform that is called as the namespace.
pub(crate) fn graph(name: &str) -> Graph {
    let labels = json!({PLATFORM_LABEL: name});
    let resource = |word: &str, object: Value| {
        let id = ResourceId::new(OBJECT, word);
        let spec = ObjectSpec { object };
        Resource::new(id, "web".parse().unwrap())
            .with_spec(&spec)
            .unwrap()
    };
    let map = |map: &str| {
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "data": {"text": "1"},
            "metadata": {"name": map, "namespace": name, "labels": labels},
        });
        resource(&format!("configmap.{map}"), object)
    };
    let space = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
    let space = resource(&format!("namespace.{name}"), space);
    Graph::new(name.parse().unwrap(), [space, map("one"), map("two")]).unwrap()
}

pub(crate) fn context(target: &ClusterTarget, graph: &Graph) -> Context {
    Context {
        platform: graph.platform.clone(),
        secrets: target.secrets(),
        endpoints: target.endpoints(graph),
        events: EventSink::none(),
    }
}

fn find<'g>(graph: &'g Graph, name: &str) -> &'g Resource {
    graph.find(&ResourceId::new(OBJECT, name)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_was_paused_for_too_long_writes_nothing_more() {
    let name = unique("fenced-target");
    let graph = graph(&name);
    let faults = Faults::new(0);
    let target = |client| {
        ClusterTarget::new(Access::Client(client), graph.platform.clone(), &name)
            .with_lease_duration(Duration::from_secs(2))
    };
    let (one, two) = (target(client_with(&faults).await), target(client().await));
    let held = one.lock(&graph, "one", &|_| {}).await.unwrap();
    let (cx, other) = (context(&one, &graph), context(&two, &graph));
    let map = find(&graph, "configmap.one");
    one.provider()
        .apply(map, &Action::Create, &cx)
        .await
        .unwrap();
    let secret = "web/first".parse().unwrap();
    let text = || SecretText::new("abc");
    one.secrets().create(&secret, text()).await.unwrap();

    // Another is told who has it, and gets it when the first has been cut off for long enough.
    let error = two
        .lock_within(&graph, "two", Duration::ZERO, &|_| {})
        .await
        .unwrap_err();
    assert_eq!(error.causes(), ["`one` holds it"]);
    faults.cut.store(true, Ordering::Relaxed);
    let told = Mutex::new(Vec::new());
    let tell = |holder: &str| told.lock().unwrap().push(holder.to_owned());
    let taken = two.lock(&graph, "two", &tell).await.unwrap();
    assert_eq!(*told.lock().unwrap(), ["one"]);
    faults.cut.store(false, Ordering::Relaxed);

    let writes = faults.writes.load(Ordering::Relaxed);
    let later = "web/later".parse().unwrap();
    let refused = [
        one.provider()
            .apply(find(&graph, "configmap.two"), &Action::Create, &cx)
            .await
            .unwrap_err(),
        one.provider()
            .apply(map, &Action::Remove, &cx)
            .await
            .unwrap_err(),
        one.secrets().create(&later, text()).await.unwrap_err(),
        one.secrets().remove(&secret).await.unwrap_err(),
    ];
    for error in &refused {
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}");
        let causes = error.causes().join("; ");
        assert!(causes.contains("`two` has the lease now"), "{causes}");
        assert!(error.hint().is_some(), "{error:?}");
    }
    // Nothing of it was sent, but for what the renewal still tried.
    let client = client().await;
    let maps = names(&client, &name).await;
    assert!(!maps.contains(&"two".to_owned()), "{maps:?}");
    assert!(maps.contains(&"one".to_owned()), "{maps:?}");
    assert!(faults.writes.load(Ordering::Relaxed) - writes <= 1);
    // It may still look.
    let seen = one.provider().observe(&[map], &cx).await;
    assert!(matches!(seen[0].1, Observed::Found(_)), "{seen:?}");

    // The new holder writes, and whoever holds nothing does as well.
    two.provider()
        .apply(find(&graph, "configmap.two"), &Action::Create, &other)
        .await
        .unwrap();
    two.secrets().create(&later, text()).await.unwrap();
    drop((held, taken));
    one.secrets().remove(&later).await.unwrap();
    two.provider()
        .apply(map, &Action::Remove, &other)
        .await
        .unwrap();
}

/// How often a user asked for the kinds of the server, by its audit log.
fn discoveries(user: &str) -> usize {
    let log = TestCluster::shared().audit_log();
    let user = format!("\"username\":\"{user}\"");
    let asks = |line: &&str| {
        let is_root = ["\"requestURI\":\"/api\"", "\"requestURI\":\"/apis\""]
            .iter()
            .any(|uri| line.contains(uri));
        line.contains(&user) && is_root && line.contains("\"ResponseComplete\"")
    };
    log.lines().filter(asks).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn kinds_are_asked_for_once_and_again_when_one_is_new() {
    let name = unique("asks-once");
    let graph = graph(&name);
    let kubeconfig = TestCluster::shared().kubeconfig_of(&name, Some("system:masters"));
    let access = ClusterAccess::from_yaml(&kubeconfig, None).unwrap();
    let access = Access::Kubeconfig(Box::new(access));
    let target = ClusterTarget::new(access, graph.platform.clone(), &name);
    let cx = context(&target, &graph);
    let _lock = target.lock(&graph, "one", &|_| {}).await.unwrap();
    let provider = target.provider();
    let wanted: Vec<&Resource> = graph.resources().collect();
    let before = discoveries(&name);
    provider.observe(&wanted, &cx).await;
    assert_eq!(discoveries(&name) - before, 2);
    for word in ["configmap.one", "configmap.two"] {
        let resource = find(&graph, word);
        provider
            .apply(resource, &Action::Create, &cx)
            .await
            .unwrap();
    }
    let seen = provider.observe(&wanted, &cx).await;
    assert!(
        seen.iter()
            .all(|(_, seen)| matches!(seen, Observed::Found(_))),
        "{seen:?}"
    );
    provider.find_strays(&graph, &cx).await.unwrap();
    provider
        .apply(find(&graph, "configmap.one"), &Action::Remove, &cx)
        .await
        .unwrap();
    assert_eq!(discoveries(&name) - before, 2);

    // A kind that somebody defines later is found all the same.
    let kinds = target.kinds().await.unwrap();
    assert!(Arc::ptr_eq(&kinds, &target.kinds().await.unwrap()));
    let client = client().await;
    let word = name.replace('-', "");
    define(&client, &word).await;
    let thing = ObjectSpec {
        object: json!({
            "apiVersion": format!("{word}.example.com/v1"), "kind": "Thing",
            "metadata": {"name": "a", "namespace": name, "labels": {PLATFORM_LABEL: name}},
        }),
    };
    let thing = Resource::new(ResourceId::new(OBJECT, "thing.a"), "web".parse().unwrap())
        .with_spec(&thing)
        .unwrap();
    provider.apply(&thing, &Action::Create, &cx).await.unwrap();
    assert_eq!(discoveries(&name) - before, 4);
    provider.apply(&thing, &Action::Remove, &cx).await.unwrap();
    assert_eq!(discoveries(&name) - before, 4);
}
