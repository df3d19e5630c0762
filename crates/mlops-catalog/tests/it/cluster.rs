//! What comes out of resolving for the target `cluster`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use mlops_catalog::{Catalog, load};
use mlops_core::kubernetes::{OBJECT, ObjectSpec, SECRET, SecretSpec};
use mlops_core::observation::{Found, Observation, Observed};
use mlops_core::plan::{Action, Rules, plan_removal};
use mlops_core::{Graph, Resource, ResourceId, SecretText};
use serde_json::{Value, json};

pub(crate) const EXTERNAL: &str = "name: demo
target: cluster
external:
  postgres: { url: postgresql://db.example.org:6432, user: root, password: { env: PGPASSWORD } }
  s3: { url: https://192.0.2.7:9000, access_key: AK, secret_key: { file: key }, region: eu-west-1 }
";

const SIZED: &str = "name: demo
target: cluster
size: large
cluster: { namespace: team-a, context: production, kubeconfig: secrets/kubeconfig, storage_class: fast }
images:
  localhost/mlops-python: registry.example.org:5000/ml/python
  localhost/mlops-postgres:15: images.example.org/postgres:15.18
components:
  postgres: { settings: { volume_gb: 3, max_connections: 77 } }
  mlflow: { size: small, settings: { replicas: 1, allowed_hosts: 'a.b:*, c \"d\"' } }
  model-server: { settings: { min_replicas: 4, max_replicas: 2 } }
models:
  - { name: iris, uri: models:/iris@champion, sample: iris }
  - { name: Wine.2, uri: models:/wine/7 }
";

pub(crate) fn graph_with(text: &str, catalog: &Catalog) -> Graph {
    let (_, graph) = load("platform.yaml", text, catalog).unwrap_or_else(|wrong| panic!("{wrong}"));
    graph
}

pub(crate) fn graph(text: &str) -> Graph {
    graph_with(text, &Catalog::embedded())
}

pub(crate) fn default() -> Graph {
    graph("name: demo\ntarget: cluster\n")
}

fn id(text: &str) -> ResourceId {
    text.parse().unwrap()
}

fn find<'g>(graph: &'g Graph, name: &str) -> &'g Resource {
    let found = graph.find(&id(name));
    found.unwrap_or_else(|| {
        let all: Vec<String> = graph.resources().map(|one| one.id.to_string()).collect();
        panic!("no {name} among {all:?}")
    })
}

pub(crate) fn object(graph: &Graph, name: &str) -> Value {
    let resource = find(graph, &format!("{OBJECT}/{name}"));
    resource.typed::<ObjectSpec>().unwrap().object
}

pub(crate) fn objects(graph: &Graph) -> Vec<Value> {
    let all = graph.resources();
    all.filter(|one| one.id.kind().as_str() == OBJECT)
        .map(|one| one.typed::<ObjectSpec>().unwrap().object)
        .collect()
}

fn pod(object: &Value) -> Option<&Value> {
    let pod = &object["spec"]["template"]["spec"];
    pod.is_object().then_some(pod)
}

#[test]
fn the_default_platform() {
    insta::assert_json_snapshot!(default());
}

#[test]
fn with_servers_from_outside() {
    insta::assert_json_snapshot!(graph(EXTERNAL));
}

#[test]
fn with_sizes_and_images() {
    insta::assert_json_snapshot!(graph(SIZED));
}

#[test]
fn every_pod_pulls_its_images_with_the_secrets_of_the_platform_file() {
    let text =
        "name: demo\ntarget: cluster\ncluster: { image_pull_secrets: [registry, other.one] }\n";
    let graph = graph(text);
    let objects = objects(&graph);
    let pods: Vec<&Value> = objects.iter().filter_map(pod).collect();
    assert!(pods.len() >= 4, "{}", pods.len());
    for pod in pods {
        let wanted = json!([{ "name": "registry" }, { "name": "other.one" }]);
        assert_eq!(pod["imagePullSecrets"], wanted, "{pod}");
    }
    // Secrets that are there already are none of ours.
    assert!(graph.find(&id(&format!("{SECRET}/registry"))).is_none());
    assert!(
        !serde_json::to_string(&default())
            .unwrap()
            .contains("imagePullSecrets")
    );
}

#[test]
fn bindings_secrets_and_probes_are_those_of_the_local_target() {
    let (local, cluster) = (graph("name: demo\n"), default());
    assert_eq!(local.bindings, cluster.bindings);
    let what = |graph: &Graph| -> Vec<Value> {
        let all = graph.probes.iter();
        all.map(|probe| json!([probe.name, probe.kind, probe.component, probe.spec]))
            .collect()
    };
    assert_eq!(what(&local), what(&cluster));
    let of = |graph: &Graph, kind: &str| -> Vec<(ResourceId, Value)> {
        let all = graph.resources();
        all.filter(|one| one.id.kind().as_str() == kind)
            .map(|one| (one.id.clone(), Value::Object(one.spec.clone())))
            .collect()
    };
    for kind in [
        "secret",
        "postgres-role",
        "postgres-database",
        "s3-key",
        "s3-bucket",
        "mlflow-user",
        "registered-model",
        "served-model",
    ] {
        assert!(!of(&local, kind).is_empty(), "{kind}");
        assert_eq!(of(&local, kind), of(&cluster, kind), "{kind}");
    }
    for kind in ["process", "data-folder", "supervisor", "python-environment"] {
        assert!(of(&cluster, kind).is_empty(), "{kind}");
    }
}

#[test]
fn what_servers_keep_lives_in_their_workloads() {
    let graph = default();
    for (name, host) in [
        ("postgres-role/mlflow", "statefulset.postgres"),
        ("postgres-database/mlflow_auth", "statefulset.postgres"),
        ("s3-key/mlflow", "statefulset.s3"),
        ("s3-bucket/mlflow", "statefulset.s3"),
        ("mlflow-user/model-server", "deployment.mlflow"),
        ("registered-model/iris", "deployment.mlflow"),
        ("served-model/iris", "deployment.model-server"),
    ] {
        let within = find(&graph, name).within.as_ref().unwrap();
        assert_eq!(within.to_string(), format!("{OBJECT}/{host}"), "{name}");
    }
    // With the data stays what makes it of use.
    let claim = find(&graph, "kubernetes-object/persistentvolumeclaim.postgres");
    assert!(
        claim
            .needs
            .contains(&id("secret/postgres/superuser-password"))
    );
    let held: Vec<&str> = graph
        .resources()
        .filter(|one| one.holds_data && one.id.kind().as_str() == OBJECT)
        .map(|one| one.id.name())
        .collect();
    assert_eq!(
        held,
        ["persistentvolumeclaim.postgres", "persistentvolumeclaim.s3"]
    );
}

#[test]
fn workloads_need_what_they_mention() {
    let graph = default();
    let needs = |name: &str| -> Vec<String> {
        let needs = find(&graph, &format!("{OBJECT}/{name}")).needs.iter();
        needs.map(ToString::to_string).collect()
    };
    let job = graph
        .resources()
        .find(|one| one.id.name().starts_with("job.mlflow-migration-"))
        .unwrap();
    assert_eq!(
        needs("statefulset.postgres"),
        [
            "kubernetes-object/configmap.postgres",
            "kubernetes-object/namespace.demo",
            "kubernetes-object/persistentvolumeclaim.postgres",
            "kubernetes-object/service.postgres",
            "kubernetes-object/serviceaccount.postgres",
            "kubernetes-secret/postgres",
        ]
    );
    assert_eq!(
        needs("deployment.mlflow"),
        [
            "kubernetes-object/configmap.mlflow",
            &job.id.to_string(),
            "kubernetes-object/namespace.demo",
            "kubernetes-object/service.mlflow",
            "kubernetes-object/serviceaccount.mlflow",
            "kubernetes-secret/mlflow",
            "kubernetes-secret/mlflow-accounts",
        ]
    );
    // Both wait for their databases by themselves.
    for one in [job, find(&graph, "kubernetes-object/deployment.mlflow")] {
        assert!(one.awaits.contains(&id("postgres-database/mlflow_auth")));
    }
    let server = find(&graph, "kubernetes-object/deployment.model-server");
    for awaited in [
        "registered-model/iris",
        "mlflow-user/model-server",
        "kubernetes-object/deployment.mlflow",
    ] {
        assert!(server.awaits.contains(&id(awaited)), "{awaited}");
    }
    assert!(
        needs("horizontalpodautoscaler.model-server")
            .contains(&"kubernetes-object/deployment.model-server".to_owned())
    );
    // A Secret needs the secrets that it is made of.
    let secret = find(&graph, "kubernetes-secret/mlflow-accounts");
    for made in ["mlflow/admin-password", "mlflow/postgres-password"] {
        assert!(
            secret.needs.contains(&ResourceId::new("secret", made)),
            "{made}"
        );
    }
}

#[test]
fn every_object_keeps_the_rules() {
    for graph in [default(), graph(EXTERNAL), graph(SIZED)] {
        for object in objects(&graph) {
            keeps_the_rules(&graph, &object);
        }
    }
}

fn keeps_the_rules(graph: &Graph, object: &Value) {
    let what = format!("{} {}", object["kind"], object["metadata"]["name"]);
    assert!(!object.to_string().contains("secret("), "{what}");
    assert_ne!(object["kind"], "Secret", "{what}");
    let labels = &object["metadata"]["labels"];
    assert_eq!(labels["mlops.dev/platform"], "demo", "{what}");
    assert_eq!(labels["app.kubernetes.io/managed-by"], "mlops", "{what}");
    assert_eq!(labels["app.kubernetes.io/instance"], "demo", "{what}");
    if object["kind"] == "Namespace" {
        assert_eq!(labels["pod-security.kubernetes.io/enforce"], "restricted");
        return;
    }
    for label in ["name", "component"] {
        assert!(
            labels[format!("app.kubernetes.io/{label}")].is_string(),
            "{what}"
        );
    }
    let namespace = &object["metadata"]["namespace"];
    assert!(namespace == "demo" || namespace == "team-a", "{what}");
    if object["kind"] == "ServiceAccount" {
        assert_eq!(object["automountServiceAccountToken"], false, "{what}");
    }
    let Some(pod) = pod(object) else {
        assert_ne!(object["kind"], "Deployment");
        return;
    };
    assert_eq!(pod["automountServiceAccountToken"], false, "{what}");
    let account = pod["serviceAccountName"].as_str().unwrap();
    assert!(
        graph
            .find(&id(&format!("{OBJECT}/serviceaccount.{account}")))
            .is_some()
    );
    let security = &pod["securityContext"];
    assert_eq!(security["runAsNonRoot"], true, "{what}");
    assert!(security["runAsUser"].as_u64().unwrap() > 0, "{what}");
    assert_eq!(
        security["seccompProfile"]["type"], "RuntimeDefault",
        "{what}"
    );
    let containers = pod["containers"].as_array().unwrap();
    assert!(
        !containers.is_empty() && pod.get("initContainers").is_none(),
        "{what}"
    );
    for container in containers {
        let security = &container["securityContext"];
        assert_eq!(security["allowPrivilegeEscalation"], false, "{what}");
        assert_eq!(security["readOnlyRootFilesystem"], true, "{what}");
        assert_eq!(security["capabilities"]["drop"], json!(["ALL"]), "{what}");
        assert_eq!(container["imagePullPolicy"], "IfNotPresent", "{what}");
        for kind in ["requests", "limits"] {
            for resource in ["cpu", "memory"] {
                assert!(container["resources"][kind][resource].is_string(), "{what}");
            }
        }
    }
}

#[test]
fn secrets_of_the_cluster_hold_templates_and_fill_in_to_what_the_servers_read() {
    let graph = default();
    let spec: SecretSpec = find(&graph, &format!("{SECRET}/mlflow")).typed().unwrap();
    assert_eq!(spec.namespace, "demo");
    assert_eq!(spec.labels["mlops.dev/platform"], "demo");
    // Only what the templates mention, so that nothing else rolls the servers.
    assert_eq!(
        Value::Object(spec.vars.clone()),
        json!({ "bindings": {
            "artifacts": { "secret_key": "mlflow/s3-secret-key" },
            "store": {
                "database": "mlflow", "password": "mlflow/postgres-password", "role": "mlflow", "service": "postgres",
            },
        } })
    );
    let secrets = spec.secrets.iter();
    let secrets = secrets.map(|name| (name.clone(), SecretText::new("p@ss/%w")));
    let texts = spec.render(secrets.collect()).unwrap();
    assert_eq!(
        texts["_MLFLOW_SERVER_FILE_STORE"].expose(),
        "postgresql+psycopg2://mlflow:p%40ss%2F%25w@postgres.demo.svc:5432/mlflow"
    );
    let spec: SecretSpec = find(&self::graph(EXTERNAL), &format!("{SECRET}/mlflow-accounts"))
        .typed()
        .unwrap();
    let secrets = spec.secrets.iter();
    let secrets = secrets.map(|name| (name.clone(), SecretText::new("x")));
    let texts = spec.render(secrets.collect()).unwrap();
    assert!(texts["auth.ini"].expose().contains(
        "\ndatabase_uri = postgresql+psycopg2://mlflow:x@db.example.org:6432/mlflow_auth\n"
    ));
    // A text that is missing is an error, not an empty one.
    assert!(spec.render(BTreeMap::new()).is_err());
}

fn annotation(graph: &Graph, name: &str) -> String {
    let object = object(graph, name);
    let annotations = &object["spec"]["template"]["metadata"]["annotations"];
    annotations["mlops.dev/configuration"]
        .as_str()
        .unwrap()
        .to_owned()
}

fn job(graph: &Graph) -> String {
    let mut all = graph.resources().map(|one| one.id.name().to_owned());
    all.find(|name| name.starts_with("job.")).unwrap()
}

#[test]
fn pods_are_replaced_when_their_configuration_changes_and_not_otherwise() {
    let first = default();
    let with = |settings: &str| {
        graph(&format!(
            "name: demo\ntarget: cluster\ncomponents: {{ mlflow: {{ settings: {{ {settings} }} }} }}\n"
        ))
    };
    let mlflow = "deployment.mlflow";
    // Through the ConfigMap, and through the Secret.
    for settings in ["allowed_hosts: a.b", "default_permission: EDIT"] {
        let other = with(settings);
        assert_ne!(
            annotation(&first, mlflow),
            annotation(&other, mlflow),
            "{settings}"
        );
        assert_ne!(job(&first), job(&other), "{settings}");
        let server = "deployment.model-server";
        assert_eq!(
            annotation(&first, server),
            annotation(&other, server),
            "{settings}"
        );
    }
    let other = with("replicas: 3");
    assert_eq!(annotation(&first, mlflow), annotation(&other, mlflow));
    assert_eq!(job(&first), job(&other));
    assert_eq!(object(&other, mlflow)["spec"]["replicas"], 3);
    let text = "name: demo\ntarget: cluster\nimages: { localhost/mlops-python: localhost/mlops-python:4 }\n";
    assert_ne!(job(&first), job(&graph(text)));
}

#[test]
fn settings_sizes_and_images_reach_the_objects() {
    let graph = graph(SIZED);
    let container =
        |name: &str| object(&graph, name)["spec"]["template"]["spec"]["containers"][0].clone();
    assert_eq!(
        container("deployment.mlflow")["image"],
        "registry.example.org:5000/ml/python:3.17.2"
    );
    assert_eq!(
        container("statefulset.postgres")["image"],
        "images.example.org/postgres:15.18"
    );
    assert_eq!(
        container("statefulset.s3")["image"],
        "localhost/mlops-s3:1.8.0"
    );
    assert_eq!(
        container("deployment.mlflow")["resources"]["limits"]["cpu"],
        "2"
    );
    assert_eq!(
        container("statefulset.postgres")["resources"]["limits"]["cpu"],
        "8"
    );
    let args = container("statefulset.postgres")["command"].to_string();
    assert!(
        args.contains("max_connections=77") && args.contains("shared_buffers=4096MB"),
        "{args}"
    );
    let claim = object(&graph, "persistentvolumeclaim.postgres");
    assert_eq!(claim["spec"]["storageClassName"], "fast");
    assert_eq!(claim["spec"]["resources"]["requests"]["storage"], "3Gi");
    let claim = object(&default(), "persistentvolumeclaim.postgres");
    assert_eq!(claim["spec"].get("storageClassName"), None);
    let hosts = object(&graph, "configmap.mlflow")["data"]["MLFLOW_SERVER_ALLOWED_HOSTS"].clone();
    let hosts = hosts.as_str().unwrap();
    assert!(hosts.contains(",mlflow.team-a.svc:5000,"), "{hosts}");
    assert!(hosts.ends_with(",a.b:*, c \"d\""), "{hosts}");
    let scale = object(&graph, "horizontalpodautoscaler.model-server");
    assert_eq!(
        (&scale["spec"]["minReplicas"], &scale["spec"]["maxReplicas"]),
        (&json!(4), &json!(4))
    );
}

#[test]
fn readiness_is_that_of_the_models() {
    let probe = |graph: &Graph| {
        let server = object(graph, "deployment.model-server");
        server["spec"]["template"]["spec"]["containers"][0]["readinessProbe"].clone()
    };
    assert_eq!(
        probe(&default())["httpGet"]["path"],
        "/v2/models/iris/ready"
    );
    let two = graph(SIZED);
    let command = probe(&two)["exec"]["command"].clone();
    assert_eq!(command.as_array().unwrap()[3..], ["8080", "iris", "Wine.2"]);
    let models = object(&two, "configmap.model-server-models")["data"].clone();
    let settings: Value = serde_json::from_str(models["Wine.2.json"].as_str().unwrap()).unwrap();
    assert_eq!(
        settings,
        json!({
            "name": "Wine.2", "implementation": "mlserver_mlflow.MLflowRuntime",
            "parameters": { "uri": "models:/wine/7" },
        })
    );
    let none = graph("name: demo\ntarget: cluster\nmodels: []\n");
    assert_eq!(probe(&none)["httpGet"]["path"], "/v2/health/ready");
}

#[test]
fn the_same_input_gives_the_same_graph() {
    let first = graph(SIZED);
    for _ in 0..10 {
        assert_eq!(first, graph(SIZED));
    }
}

fn files(all: &[(&str, &str)]) -> BTreeMap<PathBuf, String> {
    all.iter()
        .map(|(path, text)| (PathBuf::from(path), (*text).to_owned()))
        .collect()
}

const NOTES: &str = include_str!("notes.yaml");
const NOTES_SERVER: &str = include_str!("notes-server.yaml");

#[test]
fn a_component_of_a_user_gets_what_all_have() {
    let catalog = Catalog::embedded()
        .with_folder(files(&[
            ("mine/notes/component.yaml", NOTES),
            ("mine/notes/objects/server.yaml", NOTES_SERVER),
            (
                "mine/notes/objects/nothing.yaml",
                "# Nothing.\n{% if settings.more %}\nkind: X\n{% endif %}\n",
            ),
            ("mine/notes/files/page.html", "{{ not a template }}\n"),
        ]))
        .unwrap();
    let graph = graph_with(
        "name: demo\ntarget: cluster\ncomponents: { notes: }\n",
        &catalog,
    );
    let server = object(&graph, "deployment.notes");
    assert_eq!(
        server["spec"]["selector"]["matchLabels"]["app.kubernetes.io/name"],
        "notes"
    );
    let env = &server["spec"]["template"]["spec"]["containers"][0]["env"];
    assert_eq!(env[0]["value"], "{{ not a template }}\n");
    for object in objects(&graph) {
        keeps_the_rules(&graph, &object);
    }
    // It does not start without its database.
    let server = find(&graph, "kubernetes-object/deployment.notes");
    assert!(server.needs.contains(&id("postgres-database/notes")));
    let pairs = crate::network::judged_by_bindings(&graph);
    assert!(pairs.contains(&("notes".to_owned(), "postgres".to_owned(), "TCP", 5432)));
}

/// What is put in place of what, and what that makes wrong.
const WRONG: &[(&str, &str, &str)] = &[
    (
        "image: {{ image('server') }}",
        "image: {{ secret('notes/key') }}",
        "secret",
    ),
    (
        "image: {{ image('server') }}",
        "image: {{ image('sever') }}",
        "unknown image",
    ),
    (
        "{{ file('page.html') | yaml }}",
        "{{ file('pages.html') | yaml }}",
        "unknown file",
    ),
    (
        "replicas: 1",
        "replicas: {{ setings.x }}",
        "unknown variable",
    ),
    (
        "replicas: 1",
        "replicas: {{ host('mlflow') }}",
        "service of another component",
    ),
    ("replicas: 1", "replicas: {{ 1 | shout }}", "unknown filter"),
    ("replicas: 1", "replicas: [", "not YAML"),
    ("replicas: 1", "replicas: 1\n  replicas: 2", "a key twice"),
    ("kind: Deployment", "kind: Secret", "Secret"),
    (
        "kind: Deployment",
        "kind: ClusterRole",
        "kind without namespace",
    ),
    ("kind: Deployment", "kinds: Deployment", "kind missing"),
    (
        "{ name: notes }",
        "{ name: notes, namespace: kube-system }",
        "another namespace",
    ),
    ("{ name: notes }", "{ name: Notes_1 }", "illegal name"),
    (
        "limits: { cpu: \"1\", memory: 1Gi }",
        "limits: { cpu: \"1\" }",
        "no limit of memory",
    ),
    (
        "name: notes-key",
        "name: notes-keys",
        "Secret that is not there",
    ),
    (
        "{ name: notes }",
        "{ name: other }",
        "server that is not there",
    ),
];

/// What is wrong with the objects of a component, each with its exact message.
#[test]
fn wrong_objects_have_these_messages() {
    let mut messages = String::new();
    for (from, to, case) in WRONG {
        assert!(NOTES_SERVER.contains(from), "{from}");
        let server = NOTES_SERVER.replacen(from, to, 1);
        let catalog = Catalog::embedded()
            .with_folder(files(&[
                ("notes/component.yaml", NOTES),
                ("notes/objects/server.yaml", &server),
                ("notes/files/page.html", "page"),
            ]))
            .unwrap();
        let text = "name: demo\ntarget: cluster\ncomponents: { notes: }\n";
        let wrong = load("platform.yaml", text, &catalog).unwrap_err();
        write!(messages, "== {case}\n{wrong}\n\n").unwrap();
    }
    insta::assert_snapshot!(messages);
}

#[test]
fn objects_of_a_replaced_component_are_gone() {
    let own = NOTES.replace("name: notes\n", "name: s3\nreplaces: true\n");
    let catalog = Catalog::embedded()
        .with_folder(files(&[("mine/s3/component.yaml", &own)]))
        .unwrap();
    assert_eq!(catalog.objects("s3").count(), 0);
    assert_eq!(catalog.objects("postgres").count(), 3);
}

#[test]
fn images_are_listed_with_what_takes_their_place() {
    let platform = mlops_core::Platform::parse("platform.yaml", SIZED).unwrap();
    let all = mlops_catalog::images(&platform, &Catalog::embedded()).unwrap();
    let all: Vec<String> = all
        .iter()
        .map(|one| format!("{} {} {} {}", one.component, one.name, one.image, one.used))
        .collect();
    assert_eq!(
        all,
        [
            "mlflow python localhost/mlops-python:3.17.2 registry.example.org:5000/ml/python:3.17.2",
            "model-server python localhost/mlops-python:3.17.2 registry.example.org:5000/ml/python:3.17.2",
            "postgres server localhost/mlops-postgres:15 images.example.org/postgres:15.18",
            "s3 server localhost/mlops-s3:1.8.0 localhost/mlops-s3:1.8.0",
        ]
    );
    // A server from outside needs none.
    let platform = mlops_core::Platform::parse("platform.yaml", EXTERNAL).unwrap();
    let all = mlops_catalog::images(&platform, &Catalog::embedded()).unwrap();
    assert_eq!(all.len(), 2);
}

/// What `remove` does to a platform that is there.
fn removal(graph: &Graph, named: &[&str]) -> BTreeMap<String, Action> {
    let found = |one: &Resource| Observed::Found(Found::ours(one.spec.clone()));
    let entries = graph.resources().map(|one| (one.id.clone(), found(one)));
    let observation = Observation {
        entries: entries.collect(),
        strays: Vec::new(),
    };
    let named = named.iter().map(|name| id(name)).collect();
    let plan = plan_removal(graph, &observation, &Rules::new(), &named).unwrap();
    let changes = plan.changes.into_iter();
    changes
        .map(|change| (change.id.to_string(), change.action))
        .collect()
}

#[test]
fn removal_leaves_volumes_and_what_they_stand_on_until_they_are_named() {
    let graph = default();
    let claims = ["postgres", "s3"].map(|name| format!("{OBJECT}/persistentvolumeclaim.{name}"));
    let namespace = format!("{OBJECT}/namespace.demo");
    let changes = removal(&graph, &[]);
    for kept in claims.iter().chain([&namespace]) {
        assert_eq!(changes[kept], Action::Keep, "{kept}");
    }
    for gone in [
        "statefulset.postgres",
        "deployment.mlflow",
        "configmap.mlflow",
    ] {
        assert_eq!(
            changes[&format!("{OBJECT}/{gone}")],
            Action::Remove,
            "{gone}"
        );
    }
    assert_eq!(changes["secret/postgres/superuser-password"], Action::Keep);
    // A volume covers what lives in its server; the other one keeps the namespace.
    let changes = removal(&graph, &[&claims[0]]);
    assert_eq!(changes[&claims[0]], Action::Remove);
    assert_eq!(changes["postgres-database/mlflow"], Action::Nothing);
    assert_eq!(changes[&namespace], Action::Keep);
    let changes = removal(&graph, &[&claims[0], &claims[1]]);
    assert_eq!(changes[&namespace], Action::Remove);
    assert!(!changes.values().any(|action| *action == Action::Keep));
}
