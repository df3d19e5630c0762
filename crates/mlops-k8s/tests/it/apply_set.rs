//! Plan, apply, prune, remove.

use std::sync::Mutex;
use std::sync::atomic::Ordering;

use mlops_core::ErrorKind;
use mlops_k8s::{
    Action, Applier, ApplyEvent, ApplyOptions, Contested, Existing, ObjectId, Outcome, PlanOptions,
    Refusal, RemoveOptions,
};
use mlops_testkit::kubernetes::TestCluster;
use serde_json::{Value, json};

use crate::support::*;

const APP: &str = r#"
{apiVersion: v1, kind: Namespace, metadata: {name: NS}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: web, namespace: NS}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: settings, namespace: NS, labels: {}}, data: {level: "${LEVEL}"}}
---
{apiVersion: v1, kind: Secret, metadata: {name: key, namespace: NS}, stringData: {password: hunter2, user: me}}
---
{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: data, namespace: NS},
  spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1024Mi}}}}
---
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: NS}, spec: {selector: {app: web}, ports: [{port: 80}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: NS}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      serviceAccountName: web
      nodeSelector: {}
      containers:
      - name: c
        image: nginx
        args: []
        env: [{name: EMPTY, value: ""}, {name: USER, valueFrom: {secretKeyRef: {name: key, key: user}}}]
        resources: {limits: {cpu: 1000m, memory: 0.5Gi}}
        ports: [{containerPort: 80}]
        volumeMounts: [{name: tmp, mountPath: /tmp}, {name: data, mountPath: /data}]
      volumes: [{name: tmp, emptyDir: {}}, {name: data, persistentVolumeClaim: {claimName: data}}]
---
{apiVersion: batch/v1, kind: CronJob, metadata: {name: tick, namespace: NS}, spec: {schedule: "0 * * * *", jobTemplate:
  {spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: nginx}]}}}}}}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: deny, namespace: NS}, spec: {podSelector: {}}}
---
{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: things.NS.example.io}, spec:
  {group: NS.example.io, scope: Namespaced, names: {kind: Thing, plural: things, singular: thing, listKind: ThingList},
   versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, properties: {spec:
     {type: object, properties: {size: {type: integer, default: 3}, list: {type: array, items: {type: string}}}}}}}}]}}
---
{apiVersion: NS.example.io/v1, kind: Thing, metadata: {name: one, namespace: NS}, spec: {list: [a, b]}}
"#;

fn app(namespace: &str) -> mlops_k8s::ObjectSet {
    yaml(&APP.replace("NS", namespace))
}

fn id(group: &str, kind: &str, namespace: &str, name: &str) -> ObjectId {
    ObjectId::new(group, kind, Some(namespace), name)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_set_is_applied_once_and_the_second_time_sends_no_write() {
    let (client, namespace) = (client().await, unique("whole"));
    let applier = Applier::new(client.clone()).with_set("demo", &namespace);
    let set = app(&namespace);
    let started = Mutex::new(Vec::new());
    let on_event = |event: ApplyEvent| {
        if let ApplyEvent::Started { id } = event {
            started.lock().unwrap().push(id.kind);
        }
    };
    let report = applier
        .apply(&set, &ApplyOptions::default(), &on_event)
        .await
        .unwrap();
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(report.count(&Outcome::Created), set.len());
    let started = started.into_inner().unwrap();
    let place = |kind: &str| started.iter().position(|found| found == kind).unwrap();
    assert_eq!(place("Namespace"), 0);
    for before in ["Secret", "ServiceAccount", "PersistentVolumeClaim"] {
        assert!(place(before) < place("Deployment"), "{started:?}");
    }
    assert!(
        place("CustomResourceDefinition") < place("Thing"),
        "{started:?}"
    );

    let faults = Faults::new(0);
    let again = Applier::new(client_with(&faults).await).with_set("demo", &namespace);
    let report = again
        .apply(&set, &ApplyOptions::default(), &quiet)
        .await
        .unwrap();
    assert_eq!(report.count(&Outcome::Unchanged), set.len(), "{report:?}");
    assert_eq!(faults.writes.load(Ordering::Relaxed), 0);
    let writes = written(&namespace);
    // One PATCH for each object, and two of the parent at most.
    assert!(writes.len() <= set.len() + 2, "{writes:?}");
    let settings = get(
        &client,
        &format!("/api/v1/namespaces/{namespace}/configmaps/settings"),
    )
    .await;
    assert_eq!(settings["data"]["level"], "${LEVEL}");
    let key = get(
        &client,
        &format!("/api/v1/namespaces/{namespace}/secrets/key"),
    )
    .await;
    assert_eq!(key["data"]["password"], "aHVudGVyMg==");
}

/// The writes of which the audit log of the API server tells, by their objects' names.
fn written(namespace: &str) -> Vec<String> {
    let log = TestCluster::shared().audit_log();
    let lines = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines
        .filter(|entry| {
            let verb = entry["verb"].as_str().unwrap_or_default();
            let is_write = matches!(verb, "patch" | "create" | "update" | "delete");
            let object = entry["objectRef"].to_string();
            is_write
                && object.contains(namespace)
                && entry["stage"] == "ResponseComplete"
                && entry["userAgent"]
                    .as_str()
                    .is_none_or(|agent| !agent.starts_with("kube-apiserver"))
        })
        .map(|entry| format!("{} {}", entry["verb"], entry["objectRef"]["name"]))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wanted_no_more_is_removed_and_data_stays() {
    let (client, namespace) = (client().await, unique("prune"));
    let applier = Applier::new(client.clone()).with_set("demo", &namespace);
    apply(&applier, &app(&namespace)).await;
    // As a controller does, which copies the labels of what it works for.
    let settings = get(
        &client,
        &format!("/api/v1/namespaces/{namespace}/configmaps/settings"),
    )
    .await;
    let copy = json!({"metadata": {"name": "copy", "labels": settings["metadata"]["labels"]}});
    send(
        &client,
        "POST",
        &format!("/api/v1/namespaces/{namespace}/configmaps"),
        &copy,
    )
    .await;
    let less = yaml(&format!(
        "{{apiVersion: v1, kind: Namespace, metadata: {{name: {namespace}}}}}"
    ));
    let plan = applier.plan(&less, &PlanOptions::default()).await.unwrap();
    let claim = id("", "PersistentVolumeClaim", &namespace, "data");
    assert!(
        matches!(plan.action(&claim), Some(Action::Keep { .. })),
        "{plan}"
    );
    assert_eq!(
        plan.action(&id("apps", "Deployment", &namespace, "web")),
        Some(&Action::Remove)
    );
    let report = apply(&applier, &less).await;
    assert_eq!(report.outcome(&claim), Some(&Outcome::Kept));
    assert!(
        !exists(
            &client,
            &format!("/apis/apps/v1/namespaces/{namespace}/deployments/web")
        )
        .await
    );
    assert!(
        exists(
            &client,
            &format!("/api/v1/namespaces/{namespace}/persistentvolumeclaims/data")
        )
        .await
    );
    let parent = get(
        &client,
        &format!("/api/v1/namespaces/{namespace}/configmaps/demo"),
    )
    .await;
    let kinds = parent["metadata"]["annotations"]["applyset.kubernetes.io/contains-group-kinds"]
        .as_str()
        .unwrap();
    assert!(kinds.contains("PersistentVolumeClaim"), "{kinds}");
    assert!(
        exists(
            &client,
            &format!("/api/v1/namespaces/{namespace}/configmaps/copy")
        )
        .await
    );
    assert!(
        !exists(
            &client,
            &format!("/api/v1/namespaces/{namespace}/configmaps/settings")
        )
        .await
    );
    // Named, it goes; then the parent says just what is left.
    let mut options = ApplyOptions::default();
    options.plan.may_remove.insert(claim.clone());
    options.plan.may_remove.insert(ObjectId::new(
        "apiextensions.k8s.io",
        "CustomResourceDefinition",
        None,
        format!("things.{namespace}.example.io"),
    ));
    let report = applier.apply(&less, &options, &quiet).await.unwrap();
    assert_eq!(report.outcome(&claim), Some(&Outcome::Removed));
    let parent = get(
        &client,
        &format!("/api/v1/namespaces/{namespace}/configmaps/demo"),
    )
    .await;
    assert_eq!(
        parent["metadata"]["annotations"]["applyset.kubernetes.io/contains-group-kinds"],
        "Namespace"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_changed_is_shown_and_put_back_and_other_fields_are_left() {
    let (client, namespace) = (client().await, unique("drift"));
    let applier = Applier::new(client.clone()).with_set("demo", &namespace);
    let set = app(&namespace);
    apply(&applier, &set).await;
    let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments/web");
    let edit = json!({"metadata": {"annotations": {"by": "hand"}}, "spec": {"paused": true, "template": {"spec":
        {"containers": [{"name": "c", "image": "other", "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}]}]}}}});
    send(
        &client,
        "PATCH",
        &format!("{path}?fieldManager=person"),
        &edit,
    )
    .await;
    let plan = applier.plan(&set, &PlanOptions::default()).await.unwrap();
    let Some(Action::Update { fields }) = plan.action(&id("apps", "Deployment", &namespace, "web"))
    else {
        panic!("{plan}")
    };
    let texts: Vec<String> = fields.iter().map(ToString::to_string).collect();
    assert!(
        texts.contains(&".spec.template.spec.containers[name=\"c\"].image: \"other\" -> \"nginx\" (owned by person)".to_owned()),
        "{texts:#?}"
    );
    assert_eq!(plan.counts(), (0, 1, 0));
    apply(&applier, &set).await;
    let found = get(&client, &path).await;
    assert_eq!(
        found["spec"]["template"]["spec"]["containers"][0]["image"],
        "nginx"
    );
    assert_eq!(
        (
            &found["spec"]["paused"],
            &found["metadata"]["annotations"]["by"]
        ),
        (&json!(true), &json!("hand"))
    );
    assert_nothing_to_do(&applier, &set).await;
    // A value of a Secret shows as changed, and as nothing else.
    let secret = format!("/api/v1/namespaces/{namespace}/secrets/key?fieldManager=person");
    send(
        &client,
        "PATCH",
        &secret,
        &json!({"data": {"password": "c3RvbGVu"}}),
    )
    .await;
    let plan = applier.plan(&set, &PlanOptions::default()).await.unwrap();
    let text = format!("{plan} {plan:?} {}", serde_json::to_string(&plan).unwrap());
    assert!(
        text.contains(".data.password: (hidden) -> (hidden)"),
        "{text}"
    );
    for secret in ["c3RvbGVu", "stolen", "hunter2", "aHVudGVyMg"] {
        assert!(!text.contains(secret), "{text}");
    }
    apply(&applier, &set).await;
    assert_nothing_to_do(&applier, &set).await;
}

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
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: w}, datas: {a: b}}\n---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: r}}",
    );
    let report = applier
        .apply(&wrong, &ApplyOptions::default(), &quiet)
        .await
        .unwrap();
    let Outcome::Failed(failure) = &report.outcomes[0].1 else {
        panic!("{report:?}")
    };
    assert!(failure.causes[0].contains("datas"), "{failure:?}");
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
async fn a_set_is_removed_in_reverse_and_what_holds_it_is_named() {
    let client = client().await;
    let namespace = namespace(&client, "remove").await;
    let applier = Applier::new(client.clone())
        .with_set("demo", &namespace)
        .with_namespace(&namespace);
    let set = yaml("{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: held, finalizers: [example.io/hold]}}
---\n{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}");
    apply(&applier, &set).await;
    let mut options = RemoveOptions {
        within: std::time::Duration::from_secs(2),
        ..RemoveOptions::default()
    };
    let error = applier.remove(&options, &quiet).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(
        error.causes()[0].contains("ConfigMap/held in")
            && error.causes()[0].contains("example.io/hold"),
        "{error:?}"
    );
    let held = format!("/api/v1/namespaces/{namespace}/configmaps/held");
    send(
        &client,
        "PATCH",
        &held,
        &json!({"metadata": {"finalizers": null}}),
    )
    .await;
    let report = applier.remove(&options, &quiet).await.unwrap();
    let claim = id("", "PersistentVolumeClaim", &namespace, "data");
    assert_eq!(report.outcome(&claim), Some(&Outcome::Kept));
    assert_eq!(names(&client, &namespace).await, ["demo"]);
    options.may_remove.insert(claim.clone());
    // Nothing takes the finalizer of a claim away here, as a controller does.
    let path = format!("/api/v1/namespaces/{namespace}/persistentvolumeclaims/data");
    send(
        &client,
        "PATCH",
        &path,
        &json!({"metadata": {"finalizers": null}}),
    )
    .await;
    let report = applier.remove(&options, &quiet).await.unwrap();
    assert_eq!(report.outcome(&claim), Some(&Outcome::Removed));
    assert_eq!(names(&client, &namespace).await, Vec::<String>::new());
    assert!(
        applier
            .remove(&options, &quiet)
            .await
            .unwrap()
            .outcomes
            .is_empty()
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
    let mut text = String::new();
    for at in 0..5 {
        let place = namespace(&client, &format!("versions-{at}")).await;
        let version = if at % 2 == 0 {
            "autoscaling/v1"
        } else {
            "autoscaling/v2"
        };
        let metric = if at % 2 == 0 {
            "targetCPUUtilizationPercentage: 50"
        } else {
            "metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}]"
        };
        text.push_str(&format!(
            "---\n{{apiVersion: {version}, kind: HorizontalPodAutoscaler, metadata: {{name: a, namespace: {place}}}, spec: {{maxReplicas: 3, \
             {metric}, scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: a}}}}}}\n"
        ));
    }
    let set = yaml(&text);
    let applier = Applier::new(client.clone()).with_set("demo", &home);
    apply(&applier, &set).await;
    assert_nothing_to_do(&applier, &set).await;
    let less = yaml(text.split("---\n").nth(1).unwrap());
    assert_eq!(apply(&applier, &less).await.count(&Outcome::Removed), 4);
}
