//! Plan, apply, prune, remove.

use std::sync::Mutex;
use std::sync::atomic::Ordering;

use mlops_core::ErrorKind;
use mlops_k8s::{
    Action, Applier, ApplyEvent, ApplyOptions, ObjectId, Outcome, PlanOptions, RemoveOptions,
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
    let is_kept = |(id, why): (&ObjectId, &str)| *id == claim && why == "it holds data";
    assert!(report.kept().any(is_kept), "{report:?}");
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
    let is_kept = |(id, why): (&ObjectId, &str)| *id == claim && why == "it holds data";
    assert!(report.kept().any(is_kept), "{report:?}");
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
