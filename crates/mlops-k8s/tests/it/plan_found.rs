//! What is there and in the way, and what becomes of it.

use mlops_core::ErrorKind;
use mlops_k8s::{Applier, ApplyOptions, Contested, Existing, Outcome, PlanOptions, Refusal};
use mlops_testkit::kubernetes::TestCluster;
use serde_json::{Value, json};

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn conflicts_name_the_other_and_are_taken_only_when_told() {
    let client = client().await;
    let namespace = namespace(&client, "contest").await;
    let applier = Applier::new(client.clone()).with_set("demo", &namespace);
    let set = yaml(&format!(
        "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: a, namespace: {namespace}}}, data: {{k: ours}}}}"
    ));
    let path = format!("/api/v1/namespaces/{namespace}/configmaps");
    send(
        &client,
        "POST",
        &format!("{path}?fieldManager=helm"),
        &json!({"metadata": {"name": "a"}, "data": {"k": "theirs"}}),
    )
    .await;
    let error = applier
        .apply(&set, &ApplyOptions::default(), &quiet)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(
        error.causes()[0].contains("it is there already, and not ours"),
        "{error:?}"
    );
    let mut options = ApplyOptions::default();
    options.plan.existing = Existing::Adopt;
    let plan = applier.plan(&set, &options.plan).await.unwrap();
    assert!(
        plan.to_string()
            .contains(".data.k: \"theirs\" -> \"ours\" (owned by helm)"),
        "{plan}"
    );
    let report = applier.apply(&set, &options, &quiet).await.unwrap();
    assert_eq!(report.outcomes[0].1, Outcome::Adopted);
    assert_nothing_to_do(&applier, &set).await;

    // Another tool that applies takes a field by force: it wants it back, so we do not fight.
    let forced = format!("{path}/a?fieldManager=flux&force=true");
    let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "flux"}});
    let request =
        http::Request::patch(forced).header("content-type", "application/apply-patch+yaml");
    let _: Value = client
        .request(request.body(body.to_string().into_bytes()).unwrap())
        .await
        .unwrap();
    let plan = applier.plan(&set, &PlanOptions::default()).await.unwrap();
    assert!(
        plan.to_string().contains("fields of it belong to flux"),
        "{plan}"
    );
    let mut options = ApplyOptions::default();
    options.plan.contested = Contested::Take;
    assert_eq!(
        applier
            .apply(&set, &options, &quiet)
            .await
            .unwrap()
            .outcomes[0]
            .1,
        Outcome::Updated
    );
    assert_nothing_to_do(&applier, &set).await;

    // Another set.
    let other = Applier::new(client.clone()).with_set("other", &namespace);
    let plan = other
        .plan(
            &set,
            &PlanOptions {
                existing: Existing::Adopt,
                ..PlanOptions::default()
            },
        )
        .await
        .unwrap();
    assert!(
        plan.to_string()
            .contains("it belongs to another set of objects"),
        "{plan}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_changed_is_replaced_but_never_data() {
    let client = client().await;
    let namespace = namespace(&client, "fixed").await;
    let applier = Applier::new(client.clone())
        .with_set("demo", &namespace)
        .with_namespace(&namespace);
    let text = |command: &str, class: &str| {
        yaml(&format!(
            "{{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {{name: bind}},
              roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: {command}}}}}
---
{{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {{name: data}}, spec: {{storageClassName: {class},
  accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Gi}}}}}}}}"
        ))
    };
    apply(&applier, &text("one", "slow")).await;
    let before = get(
        &client,
        &format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings/bind"),
    )
    .await;
    let report = apply(&applier, &text("two", "slow")).await;
    assert_eq!(report.outcomes[0].1, Outcome::Replaced);
    let after = get(
        &client,
        &format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings/bind"),
    )
    .await;
    assert_eq!(after["roleRef"]["name"], "two");
    assert_ne!(before["metadata"]["uid"], after["metadata"]["uid"]);
    assert_nothing_to_do(&applier, &text("two", "slow")).await;
    let error = applier
        .apply(&text("two", "fast"), &ApplyOptions::default(), &quiet)
        .await
        .unwrap_err();
    assert!(
        error.causes()[0].contains("not replaced because it holds data"),
        "{error:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn could_not_ask_is_not_absent() {
    let admin = client().await;
    let namespace = namespace(&admin, "rights").await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kubeconfig");
    std::fs::write(
        &file,
        TestCluster::shared().kubeconfig_of("nobody-special", None),
    )
    .unwrap();
    let nobody = client_of(&file).await;
    let set = yaml(&format!(
        "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: a, namespace: {namespace}}}}}"
    ));
    let plan = Applier::new(nobody.clone())
        .plan(&set, &PlanOptions::default())
        .await
        .unwrap();
    assert!(
        plan.to_string()
            .starts_with("? could not ask ConfigMap/a in"),
        "{plan}"
    );
    let error = Applier::new(nobody.clone())
        .apply(&set, &ApplyOptions::default(), &quiet)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    let error = Applier::new(nobody)
        .with_set("demo", &namespace)
        .plan(&set, &PlanOptions::default())
        .await
        .unwrap_err();
    assert_eq!(Refusal::of(&error).unwrap().code, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_ours_is_not_taken_without_a_set_either() {
    let client = client().await;
    let namespace = namespace(&client, "alone").await;
    let alone = Applier::new(client.clone()).with_namespace(&namespace);
    let set = yaml("{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {k: ours}}");
    let path = format!("/api/v1/namespaces/{namespace}/configmaps");
    send(
        &client,
        "POST",
        &path,
        &json!({"metadata": {"name": "a"}, "data": {"k": "theirs"}}),
    )
    .await;
    let error = alone
        .apply(&set, &ApplyOptions::default(), &quiet)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let mut options = ApplyOptions::default();
    options.plan.existing = Existing::Adopt;
    assert!(
        alone
            .apply(&set, &options, &quiet)
            .await
            .unwrap()
            .is_complete()
    );
    assert_nothing_to_do(&alone, &set).await;
    // A member of a set does not leave it by the way.
    let owner = Applier::new(client.clone())
        .with_set("demo", &namespace)
        .with_namespace(&namespace);
    owner.apply(&set, &options, &quiet).await.unwrap();
    let plan = alone.plan(&set, &options.plan).await.unwrap();
    assert!(
        plan.to_string()
            .contains("it belongs to another set of objects"),
        "{plan}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_is_too_old_is_refused_by_the_server_and_says_by_whom() {
    let client = client().await;
    let namespace = namespace(&client, "stale").await;
    let applier = Applier::new(client.clone())
        .with_set("demo", &namespace)
        .with_namespace(&namespace);
    let set = |value: &str| {
        yaml(&format!(
            "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: a}}, data: {{k: {value}}}}}"
        ))
    };
    apply(&applier, &set("one")).await;
    let prepared = applier
        .prepare(&set("two"), &PlanOptions::default())
        .await
        .unwrap();
    let path = format!("/api/v1/namespaces/{namespace}/configmaps/a?fieldManager=person");
    send(&client, "PATCH", &path, &json!({"data": {"k": "three"}})).await;
    let report = applier
        .apply_prepared(&prepared, &ApplyOptions::default(), &quiet)
        .await
        .unwrap();
    let Outcome::Failed(failure) = &report.outcomes[0].1 else {
        panic!("{report:?}")
    };
    assert_eq!(failure.kind, ErrorKind::Conflict);
    assert!(
        failure.causes[0].contains("person") && failure.causes[0].contains(".data.k"),
        "{failure:?}"
    );
    apply(&applier, &set("two")).await;
    assert_nothing_to_do(&applier, &set("two")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_versions_of_one_kind_and_five_namespaces_are_compared_in_their_own() {
    let client = client().await;
    let home = namespace(&client, "versions").await;
    let mut documents = Vec::new();
    for at in 0..5 {
        let place = namespace(&client, &format!("versions-{at}")).await;
        let (version, goal) = if at % 2 == 0 {
            ("autoscaling/v1", "targetCPUUtilizationPercentage: 50")
        } else {
            (
                "autoscaling/v2",
                "metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}]",
            )
        };
        documents.push(format!(
            "{{apiVersion: {version}, kind: HorizontalPodAutoscaler, metadata: {{name: a, namespace: {place}}}, spec: \
             {{maxReplicas: 3, {goal}, scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: a}}}}}}"
        ));
    }
    let text = documents.join("\n---\n");
    let set = yaml(&text);
    let applier = Applier::new(client.clone()).with_set("demo", &home);
    apply(&applier, &set).await;
    assert_nothing_to_do(&applier, &set).await;
    let less = yaml(&documents[0]);
    assert_eq!(apply(&applier, &less).await.count(&Outcome::Removed), 4);
}
