//! Everything is done as a service account that has exactly the rights that were derived, and one fewer is noticed.

use std::time::{Duration, Instant};

use kube::Client;
use mlops_core::kubernetes::{PLATFORM_LABEL, SECRET, SecretSpec};
use mlops_core::{Action, ErrorKind, Graph, Observed, Resource, ResourceId, SecretText};
use mlops_k8s::explain::{CauseCode, ObjectRef, explain_refusal};
use mlops_k8s::preflight::{Preflight, State, rights_for_members};
use mlops_k8s::target::{Access, ClusterTarget};
use mlops_k8s::validate::{Rights, RightsOptions, rbac_for};
use mlops_k8s::{
    Applier, ApplyOptions, ClusterAccess, LeaseOptions, ObjectSet, Outcome, RemoveOptions, SetLock,
    SetName, WaitOptions,
};
use mlops_testkit::kubernetes::TestCluster;
use serde_json::{Value, json};

use crate::support::*;
use crate::target_lease::{context, graph};

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

/// A client with these rights and no other: an account of the namespace, by a token that the server gave for it.
async fn account(admin: &Client, namespace: &str, name: &str, rights: &Rights) -> Client {
    let token = account_token(admin, namespace, name).await;
    let role = format!("{namespace}-{name}");
    let given = rights.objects(&role, namespace, name);
    let text = serde_json::to_string(&rights.namespaces).unwrap();
    assert!(
        !text.contains('*')
            && !serde_json::to_string(&rights.cluster)
                .unwrap()
                .contains('*')
    );
    if let Some((role, binding)) = given.cluster {
        let (role, binding) = (json!(role), json!(binding));
        send(admin, "POST", &format!("{RBAC}/clusterroles"), &role).await;
        send(
            admin,
            "POST",
            &format!("{RBAC}/clusterrolebindings"),
            &binding,
        )
        .await;
    }
    for (role, binding) in given.namespaces {
        let place = role.metadata.namespace.clone().unwrap();
        let path = |plural: &str| format!("{RBAC}/namespaces/{place}/{plural}");
        send(admin, "POST", &path("roles"), &json!(role)).await;
        send(admin, "POST", &path("rolebindings"), &json!(binding)).await;
    }
    let kubeconfig = kubeconfig_with(&json!({ "token": token }));
    let access = ClusterAccess::from_yaml(&kubeconfig, None).unwrap();
    let client = access.connect().await.unwrap();
    // Rights come into force some moments after they were given.
    let path = format!("/api/v1/namespaces/{namespace}/configmaps");
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let request = http::Request::get(&path)
            .body(kube::client::Body::empty())
            .unwrap();
        if client.send(request).await.unwrap().status() == 200 {
            return client;
        }
        assert!(Instant::now() < deadline, "the rights do not come");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn set(namespace: &str, more: bool) -> ObjectSet {
    let mut set = yaml(&format!(
        "
apiVersion: v1
kind: ConfigMap
metadata: {{name: settings, namespace: {namespace}}}
data: {{a: b}}
---
apiVersion: v1
kind: Service
metadata: {{name: web, namespace: {namespace}}}
spec: {{selector: {{app: web}}, ports: [{{port: 80}}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: {namespace}}}
spec:
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec: {{containers: [{{name: web, image: example.org/web:1}}]}}
"
    ));
    if more {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "more", "namespace": namespace}});
        set.add_value(map).unwrap();
    }
    set
}

fn rights_of(set: &ObjectSet, namespace: &str) -> Rights {
    let values: Vec<Value> = set.iter().map(|object| object.json().clone()).collect();
    let options = RightsOptions::new()
        .with_namespace(namespace)
        .with_parent("", "configmaps", Some(namespace), "demo")
        .with_lease(namespace, SetName::new("demo", namespace).lease())
        .with_prune()
        .with_explanations();
    rbac_for(&values, &options).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_is_applied_waited_for_pruned_and_removed_with_just_its_rights() {
    let admin = client().await;
    let namespace = namespace(&admin, "least").await;
    let all = set(&namespace, true);
    let tool = account(&admin, &namespace, "tool", &rights_of(&all, &namespace)).await;
    // Asked before, it has all of them; whoever has none is told each.
    let rights = rights_for_members(&all, &SetName::new("demo", &namespace)).unwrap();
    let checks = rights
        .into_iter()
        .fold(Preflight::new(), Preflight::with_right);
    let asked = checks.run(&tool).await;
    assert!(asked.checks.len() > 15, "{asked}");
    assert_eq!(asked.worst(), State::Passed, "{asked}");
    let nobody = TestCluster::shared().kubeconfig_of("nobody-at-all", None);
    let nobody = ClusterAccess::from_yaml(&nobody, None).unwrap();
    let asked = checks.run(&nobody.connect().await.unwrap()).await;
    assert!(
        asked
            .checks
            .iter()
            .all(|check| check.state == State::Failed),
        "{asked}"
    );
    let applier = Applier::new(tool.clone()).with_set("demo", &namespace);
    // Another run has the lease, and gives it back while this one watches.
    let other = LeaseOptions::new(
        &SetName::new("demo", &namespace).lease(),
        &namespace,
        "other",
    );
    let held = other.acquire(&admin).await.unwrap();
    let lock = SetLock::new("tool").with_wait(Duration::from_secs(20));
    let options = ApplyOptions::default();
    let taking = applier.clone().locked_for(&lock, &all, &options, &quiet);
    let giving = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        held.give_back().await;
    };
    let (locked, ()) = tokio::join!(taking, giving);
    let locked = locked.unwrap();
    let report = apply(&locked, &all).await;
    assert_eq!(report.count(&Outcome::Created), 4);
    assert_nothing_to_do(&locked, &all).await;

    let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments/web/status");
    let status = json!({"status": {
        "observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1,
        "conditions": [{"type": "Available", "status": "True", "reason": "x", "message": "x"}],
    }});
    let waiting = WaitOptions::new(Duration::from_secs(20));
    let ready = locked.wait(&all, &waiting, &|_| {});
    let (ready, _) = tokio::join!(ready, send(&admin, "PATCH", &path, &status));
    ready.unwrap();

    let report = apply(&locked, &set(&namespace, false)).await;
    assert_eq!(report.count(&Outcome::Removed), 1);
    let report = locked
        .remove(&RemoveOptions::default(), &quiet)
        .await
        .unwrap();
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(report.count(&Outcome::Removed), 3);
    locked.give_back().await;
    assert!(names(&admin, &namespace).await.is_empty());
    let leases = format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases");
    assert_eq!(get(&admin, &leases).await["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_right_fewer_is_told_with_the_right_that_is_missing() {
    let admin = client().await;
    let namespace = namespace(&admin, "fewer").await;
    let all = set(&namespace, false);
    let mut rights = rights_of(&all, &namespace);
    let rules = rights.namespaces.get_mut(&namespace).unwrap();
    let is_of = |list: &Option<Vec<String>>, word: &str| {
        list.as_ref()
            .is_some_and(|list| list.contains(&word.to_owned()))
    };
    let mut fewer = 0;
    for rule in rules {
        if is_of(&rule.resources, "services") && is_of(&rule.resource_names, "web") {
            let before = rule.verbs.len();
            rule.verbs.retain(|verb| verb != "patch");
            fewer += before - rule.verbs.len();
        }
    }
    assert_eq!(fewer, 1);
    let tool = account(&admin, &namespace, "tool", &rights).await;
    let applier = Applier::new(tool).with_set("demo", &namespace);
    let report = applier
        .apply(&all, &ApplyOptions::default(), &quiet)
        .await
        .unwrap();
    let problems: Vec<_> = report.problems().collect();
    let [(id, Outcome::Failed(failure))] = problems.as_slice() else {
        panic!("{problems:?}")
    };
    assert_eq!(
        (id.kind.as_str(), failure.kind),
        ("Service", ErrorKind::PermissionDenied)
    );
    assert_eq!(
        failure.hint.as_deref(),
        Some("ask for the right that the message names")
    );
    let said = failure.causes.join("; ");
    assert!(
        said.contains("cannot patch resource \"services\""),
        "{said}"
    );
    let service = ObjectRef::new("v1", "Service", Some(&namespace), "web");
    let cause = explain_refusal(&service, &said).unwrap();
    assert_eq!(cause.code, CauseCode::Forbidden, "{cause:?}");
    // The rest is there all the same.
    assert_eq!(report.count(&Outcome::Created), 2, "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_is_made_and_removed_with_just_its_rights() {
    let admin = client().await;
    let name = unique("least-target");
    let maps = graph(&name);
    let secret = SecretSpec {
        namespace: name.clone(),
        name: "web".to_owned(),
        r#type: "Opaque".to_owned(),
        labels: [(PLATFORM_LABEL.to_owned(), name.clone())].into(),
        data: [("KEY".to_owned(), "{{ secret('web/key') }}".to_owned())].into(),
        vars: mlops_core::Spec::new(),
        secrets: ["web/key".parse().unwrap()].into(),
        services: std::collections::BTreeMap::new(),
    };
    let key = ResourceId::new("secret", "web/key");
    let component = || "web".parse().unwrap();
    let more = [
        Resource::new(key.clone(), component()),
        Resource::new(ResourceId::new(SECRET, "web"), component())
            .with_need(key)
            .with_spec(&secret)
            .unwrap(),
    ];
    let all = maps.resources().cloned().chain(more);
    let graph = Graph::new(maps.platform.clone(), all).unwrap();
    // Who gives the rights makes the namespace.
    let space = json!({"metadata": {"name": name, "labels": {PLATFORM_LABEL: name}}});
    send(&admin, "POST", "/api/v1/namespaces", &space).await;
    let target = |client| ClusterTarget::new(Access::Client(client), graph.platform.clone(), &name);
    let rights = target(admin.clone()).rights(&graph).unwrap();
    let target = target(account(&admin, &name, "tool", &rights).await);
    let cx = context(&target, &graph);
    let lock = target.lock(&graph, "tool", &|_| {}).await.unwrap();
    let secrets = target.secrets();
    let kept = "web/key".parse().unwrap();
    secrets.create(&kept, SecretText::new("abc")).await.unwrap();
    assert_eq!(secrets.list().await.unwrap().len(), 1);
    let provider = target.provider();
    let ours: Vec<&Resource> = graph
        .ordered()
        .filter(|resource| resource.id.kind().as_str() != "secret")
        .collect();
    for resource in ours
        .iter()
        .filter(|one| !one.id.name().starts_with("namespace"))
    {
        provider
            .apply(resource, &Action::Create, &cx)
            .await
            .unwrap();
    }
    for (id, seen) in provider.observe(&ours, &cx).await {
        assert!(matches!(seen, Observed::Found(_)), "{id}: {seen:?}");
    }
    assert!(provider.find_strays(&graph, &cx).await.unwrap().is_empty());
    assert!(target.status(&graph).await.unwrap().is_empty());
    for resource in ours
        .iter()
        .rev()
        .filter(|one| !one.id.name().starts_with("namespace"))
    {
        provider
            .apply(resource, &Action::Remove, &cx)
            .await
            .unwrap();
    }
    secrets.remove(&kept).await.unwrap();
    lock.give_back().await;
    // It reaches no further than its namespace.
    let stranger = ClusterTarget::new(
        Access::Client(target.client().await.unwrap()),
        graph.platform.clone(),
        "default",
    );
    let error = stranger.secrets().list().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
}
