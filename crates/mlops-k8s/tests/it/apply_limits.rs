//! Many objects, large ones, and those that wait for others or may not be written.

use std::sync::atomic::Ordering;

use mlops_core::ErrorKind;
use mlops_k8s::{Applier, ApplyEvent, ApplyOptions, Outcome};
use serde_json::{Value, json};

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_objects_of_twelve_kinds_with_nothing_to_do_take_few_requests() {
    let client = client().await;
    let namespace = namespace(&client, "many").await;
    let kinds: [(&str, &str, Value); 12] = [
        ("v1", "ConfigMap", json!({"data": {"a": "b"}})),
        ("v1", "Secret", json!({"stringData": {"a": "b"}})),
        ("v1", "ServiceAccount", json!({})),
        ("v1", "LimitRange", json!({"spec": {"limits": []}})),
        (
            "v1",
            "PodTemplate",
            json!({"template": {"spec": {"containers": [{"name": "c", "image": "x"}]}}}),
        ),
        ("rbac.authorization.k8s.io/v1", "Role", json!({"rules": []})),
        (
            "networking.k8s.io/v1",
            "NetworkPolicy",
            json!({"spec": {"podSelector": {}}}),
        ),
        (
            "policy/v1",
            "PodDisruptionBudget",
            json!({"spec": {"selector": {"matchLabels": {"a": "b"}}, "minAvailable": 1}}),
        ),
        (
            "coordination.k8s.io/v1",
            "Lease",
            json!({"spec": {"holderIdentity": "x"}}),
        ),
        (
            "apps/v1",
            "ControllerRevision",
            json!({"revision": 1, "data": {"a": 1}}),
        ),
        ("v1", "Endpoints", json!({"subsets": []})),
        (
            "rbac.authorization.k8s.io/v1",
            "RoleBinding",
            json!({"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "x"}}),
        ),
    ];
    let mut set = mlops_k8s::ObjectSet::new();
    for at in 0..2000 {
        // One kind has many, so that there are pages.
        let (version, kind, content) = &kinds[if at < 900 { 0 } else { at % 12 }];
        let mut json = json!({"apiVersion": version, "kind": kind, "metadata": {"name": format!("x{at}"), "namespace": namespace}});
        json.as_object_mut()
            .unwrap()
            .extend(content.as_object().unwrap().clone());
        set.add_value(json).unwrap();
    }
    let applier = Applier::new(client.clone()).with_set("demo", &namespace);
    apply(&applier, &set).await;
    let faults = Faults::new(0);
    let again = Applier::new(client_with(&faults).await).with_set("demo", &namespace);
    let report = apply(&again, &set).await;
    assert_eq!(report.count(&Outcome::Unchanged), 2000);
    let requests = faults.requests.load(Ordering::Relaxed);
    assert!(requests <= 80, "{requests}");
    println!("2000 objects of 12 kinds, nothing to do: {requests} requests");
}

#[tokio::test(flavor = "multi_thread")]
async fn large_objects_and_unknown_fields_get_a_clear_answer() {
    let client = client().await;
    let namespace = namespace(&client, "large").await;
    let faults = Faults::new(0);
    let applier = Applier::new(client_with(&faults).await)
        .with_set("demo", &namespace)
        .with_namespace(&namespace);
    let secret = |bytes: usize| {
        let mut set = mlops_k8s::ObjectSet::new();
        set.add_value(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "large"}, "stringData": {"k": "x".repeat(bytes)}})).unwrap();
        set
    };
    apply(&applier, &secret(1_000_000)).await;
    assert_nothing_to_do(&applier, &secret(1_000_000)).await;
    let before = faults.writes.load(Ordering::Relaxed);
    let error = applier
        .apply(&secret(1_200_000), &ApplyOptions::default(), &quiet)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.causes()[0].contains("bytes as JSON"), "{error:?}");
    // A definition of 2 MB is over the limit of etcd: nothing is written.
    let mut set = mlops_k8s::ObjectSet::new();
    set.add_value(json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "bigs.large.io"}, "spec": {"group": "large.io", "description": "x".repeat(2_000_000)}})).unwrap();
    let error = applier
        .apply(&set, &ApplyOptions::default(), &quiet)
        .await
        .unwrap_err();
    assert_eq!(
        error.hint(),
        Some("split the object, or keep the bulk elsewhere")
    );
    assert_eq!(faults.writes.load(Ordering::Relaxed), before);

    let wrong = yaml(
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: w}, dataz: {a: b}}\n---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: r}}",
    );
    let report = applier
        .apply(&wrong, &ApplyOptions::default(), &quiet)
        .await
        .unwrap();
    let Outcome::Failed(failure) = &report.outcomes[0].1 else {
        panic!("{report:?}")
    };
    assert!(failure.causes[0].contains("dataz"), "{failure:?}");
    // The rest is done, and nothing was pruned.
    assert_eq!(report.outcomes[1].1, Outcome::Created);
    assert!(
        matches!(report.outcomes[2].1, Outcome::Left(_)),
        "{report:?}"
    );
    assert!(
        exists(
            &client,
            &format!("/api/v1/namespaces/{namespace}/secrets/large")
        )
        .await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confined_set_refuses_strangers_before_any_write() {
    let client = client().await;
    let namespace = namespace(&client, "confined").await;
    let applier = Applier::new(client)
        .with_set("demo", &namespace)
        .with_namespace(&namespace)
        .confined_to([namespace.as_str()]);
    let inside = "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}";
    apply(&applier, &yaml(inside)).await;
    for stranger in [
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: b, namespace: kube-system}}",
        "{apiVersion: v1, kind: Namespace, metadata: {name: b}}",
    ] {
        let set = yaml(&format!("{inside}\n---\n{stranger}"));
        let error = applier
            .apply(&set, &ApplyOptions::default(), &quiet)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.causes()[0].contains("test.yaml:3:1"), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_goes_is_said_and_what_needs_a_failure_is_left() {
    let client = client().await;
    let namespace = namespace(&client, "leaving").await;
    let applier = Applier::new(client.clone()).with_namespace(&namespace);
    // Nothing works off its finalizer here, so it stays on its way out.
    send(
        &client,
        "DELETE",
        &format!("/api/v1/namespaces/{namespace}"),
        &json!({}),
    )
    .await;
    let set = yaml("{apiVersion: v1, kind: ServiceAccount, metadata: {name: a}}
---\n{apiVersion: v1, kind: Pod, metadata: {name: b}, spec: {serviceAccountName: a, containers: [{name: c, image: x}]}}");
    let report = applier
        .apply(&set, &ApplyOptions::default(), &quiet)
        .await
        .unwrap();
    let Outcome::Failed(failure) = &report.outcomes[0].1 else {
        panic!("{report:?}")
    };
    assert_eq!(failure.kind, ErrorKind::Conflict);
    assert!(
        failure
            .hint
            .as_ref()
            .unwrap()
            .starts_with("the namespace is being removed"),
        "{failure:?}"
    );
    assert_eq!(
        report.outcomes[1].1,
        Outcome::Left(format!("it needs ServiceAccount/a in {namespace}"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_registered_only_when_what_answers_is_ready() {
    let client = client().await;
    let namespace = namespace(&client, "hook").await;
    let set = yaml(&r"
{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingWebhookConfiguration, metadata: {name: NS}, webhooks: [{name: a.NS.io,
  sideEffects: None, admissionReviewVersions: [v1], rules: [{apiGroups: [NS.io], apiVersions: [v1], operations: [CREATE], resources: [xs]}],
  clientConfig: {service: {namespace: NS, name: hook}}}]}
---
{apiVersion: v1, kind: Service, metadata: {name: hook, namespace: NS}, spec: {selector: {app: hook}, ports: [{port: 443}]}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: hook, namespace: NS}, spec: {selector: {matchLabels: {app: hook}},
  template: {metadata: {labels: {app: hook}}, spec: {containers: [{name: c, image: x}]}}}}
".replace("NS", &namespace));
    let applier = Applier::new(client.clone()).with_set("demo", &namespace);
    let path = format!(
        "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/{namespace}"
    );
    let waits = tokio::sync::Notify::new();
    let on_event = |event: ApplyEvent| {
        if let ApplyEvent::Waiting { .. } = event {
            waits.notify_one();
        }
    };
    let options = ApplyOptions::default();
    let become_ready = async {
        waits.notified().await;
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        assert!(!exists(&client, &path).await);
        let status = json!({"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1});
        let deployment = format!("/apis/apps/v1/namespaces/{namespace}/deployments/hook/status");
        send(&client, "PATCH", &deployment, &json!({"status": status})).await;
    };
    let (report, ()) = tokio::join!(applier.apply(&set, &options, &on_event), become_ready);
    assert!(report.unwrap().is_complete());
    assert!(exists(&client, &path).await);
    assert_nothing_to_do(&applier, &set).await;
}
