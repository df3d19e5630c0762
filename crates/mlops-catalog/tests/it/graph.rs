//! What comes out of resolving.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use mlops_catalog::{Catalog, load, resolve};
use mlops_core::process::ProcessSpec;
use mlops_core::template::{Scope, render};
use mlops_core::{Endpoint, Graph, Platform, ResourceId, SecretText, Spec};
use serde_json::Value;

fn graph(text: &str) -> Graph {
    let catalog = Catalog::embedded();
    let (_, graph) =
        load("platform.yaml", text, &catalog).unwrap_or_else(|wrong| panic!("{wrong}"));
    graph
}

fn id(text: &str) -> ResourceId {
    text.parse().unwrap()
}

fn spec<'g>(graph: &'g Graph, name: &str) -> &'g Spec {
    &graph
        .find(&id(name))
        .unwrap_or_else(|| panic!("no {name}"))
        .spec
}

fn probe<'g>(graph: &'g Graph, name: &str) -> &'g Spec {
    let found = graph.probes.iter().find(|probe| probe.name == name);
    &found.unwrap().spec
}

#[test]
fn the_default_platform() {
    let platform = Platform::new("demo".parse().unwrap());
    let graph = resolve(&platform, &Catalog::embedded()).unwrap_or_else(|wrong| panic!("{wrong}"));
    insta::assert_json_snapshot!(graph);
}

#[test]
fn the_same_input_gives_the_same_graph() {
    let text = include_str!("../../../mlops-core/tests/it/everything.yaml");
    let first = graph(text);
    for _ in 0..20 {
        let again = graph(text);
        assert_eq!(first, again);
        assert_eq!(
            serde_json::to_string(&first).unwrap(),
            serde_json::to_string(&again).unwrap()
        );
    }
}

#[test]
fn the_smallest_file_is_the_default_platform() {
    let platform = Platform::new("demo".parse().unwrap());
    let expected = resolve(&platform, &Catalog::embedded()).unwrap();
    assert_eq!(graph("name: demo"), expected);
    let text = Platform::example(&"demo".parse().unwrap(), "local", "schema.json");
    assert_eq!(graph(&text), expected);
}

#[test]
fn an_external_postgres_takes_the_components_place() {
    let graph = graph(
        "name: demo\nexternal:\n  postgres:\n    url: postgresql://db.example.org:6432\n    user: root\n    password: { env: PGPASSWORD }\n",
    );
    assert!(graph.find(&id("process/postgres")).is_none());
    assert!(graph.find(&id("data-folder/postgres")).is_none());
    let role = graph.find(&id("postgres-role/mlflow")).unwrap();
    assert_eq!(role.within, None);
    assert_eq!(
        Value::Object(role.spec.clone()),
        serde_json::json!({
            "server": "postgres", "role": "mlflow", "password": "mlflow/postgres-password",
            "admin": { "user": "root", "password": "external/postgres-password", "database": "postgres" },
        })
    );
    let service = &graph.services[&"postgres".parse().unwrap()];
    assert_eq!(
        service.external.as_ref().unwrap().as_str(),
        "postgresql://db.example.org:6432"
    );
    assert!(
        graph
            .secret_sources
            .contains_key(&"external/postgres-password".parse().unwrap())
    );
    let ports = spec(&graph, "supervisor/local")["services"]
        .as_object()
        .unwrap();
    assert!(!ports.contains_key("postgres"));
    // Nothing was closed there for the probe.
    assert_eq!(probe(&graph, "mlflow/store")["other_database"], Value::Null);
}

#[test]
fn an_external_s3_gives_its_key_to_all_or_makes_one_each() {
    let text = "name: demo\nexternal:\n  s3:\n    url: https://s3.example.org\n    access_key: AK\n    secret_key: { file: key }\n    region: eu-west-1\n";
    let given = graph(text);
    assert!(given.find(&id("s3-key/mlflow")).is_none());
    let bucket = spec(&given, "s3-bucket/mlflow");
    assert_eq!(
        (&bucket["owner"], &bucket["region"]),
        (&"AK".into(), &"eu-west-1".into())
    );
    let process: ProcessSpec = given.find(&id("process/mlflow")).unwrap().typed().unwrap();
    assert!(
        process
            .secrets
            .contains(&"external/s3-secret-key".parse().unwrap())
    );
    let made = graph(&format!("{text}    keys: made\n"));
    assert_eq!(spec(&made, "s3-key/mlflow")["access_key"], "mlflow");
    assert_eq!(spec(&made, "s3-bucket/mlflow")["owner"], "mlflow");
    // The probe makes no bucket on a server of others.
    for graph in [given, made] {
        assert_eq!(probe(&graph, "mlflow/artifacts")["admin"], Value::Null);
    }
}

#[test]
fn an_external_registry_is_used_by_the_model_server() {
    let graph = graph(
        "name: demo\ncomponents:\n  postgres: { enabled: false }\n  s3: { enabled: false }\nexternal:\n  tracking:\n    url: https://mlflow.example.org\n    user: admin\n    password: { env: MLFLOW }\n",
    );
    assert!(graph.find(&id("process/mlflow")).is_none());
    let served = graph.find(&id("served-model/iris")).unwrap();
    assert_eq!(served.spec["registry"]["server"], "tracking");
    assert!(served.needs.contains(&id("mlflow-user/model-server")));
    assert!(graph.find(&id("registered-model/iris")).is_some());
}

#[test]
fn what_the_user_says_goes_over_the_catalogue() {
    let graph = graph(
        "name: demo\nsize: medium\nports: { mlflow: 5005 }\nadopt: [postgres-database/tracking]\ncomponents:\n  mlflow:\n    size: large\n    settings: { auth_cache_seconds: 0 }\n    secrets: { admin-password: { env: ADMIN }, postgres-password: { file: pg } }\n    bindings: { store: { database: tracking }, artifacts: { bucket: my-files } }\n",
    );
    let process: ProcessSpec = graph.find(&id("process/mlflow")).unwrap().typed().unwrap();
    assert_eq!(process.vars["size"]["connections"], 20);
    assert_eq!(process.vars["settings"]["auth_cache_seconds"], 0);
    let postgres: ProcessSpec = graph
        .find(&id("process/postgres"))
        .unwrap()
        .typed()
        .unwrap();
    assert_eq!(postgres.vars["size"]["shared_buffers_mb"], 512);
    assert!(graph.find(&id("secret/mlflow/admin-password")).is_none());
    assert!(graph.find(&id("secret/mlflow/postgres-password")).is_none());
    assert_eq!(graph.secret_sources.len(), 2);
    assert!(graph.find(&id("postgres-database/tracking")).unwrap().adopt);
    assert!(
        !graph
            .find(&id("postgres-database/mlflow_auth"))
            .unwrap()
            .adopt
    );
    assert!(graph.find(&id("s3-bucket/my-files")).is_some());
    assert_eq!(spec(&graph, "supervisor/local")["services"]["mlflow"], 5005);
    assert_eq!(graph.services[&"mlflow".parse().unwrap()].port, Some(5005));
}

#[test]
fn without_a_model_server_the_profiles_model_is_not_served() {
    let graph = graph("name: demo\ncomponents: { model-server: { enabled: false } }\n");
    assert!(graph.find(&id("served-model/iris")).is_none());
    assert!(graph.find(&id("process/mlflow")).is_some());
}

#[test]
fn models_of_the_user_take_the_place_of_the_profiles() {
    let graph = graph("name: demo\nmodels:\n  - { name: wine, uri: models:/wine/7 }\n");
    assert!(graph.find(&id("served-model/iris")).is_none());
    assert!(graph.find(&id("registered-model/wine")).is_none());
    let wine = spec(&graph, "served-model/wine");
    assert_eq!(wine["uri"], "models:/wine/7");
    assert!(wine["probe"].is_null());
    assert!(
        self::graph("name: demo\nmodels: []\n")
            .probes
            .iter()
            .all(|probe| probe.kind != "model")
    );
}

/// With real values in place of the dummies the templates give what the servers read.
#[test]
fn templates_give_what_the_servers_read() {
    let graph =
        graph("name: demo\ncomponents: { mlflow: { settings: { allowed_hosts: my.host } } }\n");
    let process: ProcessSpec = graph.find(&id("process/mlflow")).unwrap().typed().unwrap();
    let mut scope = Scope {
        vars: process.vars.clone(),
        ..Scope::default()
    };
    for name in &process.secrets {
        scope
            .secrets
            .insert(name.clone(), SecretText::new("p@ss/%w"));
    }
    for (name, port) in process.services.iter().zip(5000..) {
        let url = format!("http://127.0.0.1:{port}").parse().unwrap();
        scope
            .services
            .insert(name.clone(), Endpoint::new(url).unwrap());
    }
    for name in ["run", "tmp", "launch"] {
        scope.folders.insert(name.to_owned(), format!("/x/{name}"));
    }
    let env = |name: &str| {
        render(&process.env[name], &scope)
            .unwrap()
            .expose()
            .to_owned()
    };
    assert_eq!(
        env("_MLFLOW_SERVER_FILE_STORE"),
        "postgresql+psycopg2://mlflow:p%40ss%2F%25w@127.0.0.1:5001/mlflow"
    );
    assert_eq!(
        env("_MLFLOW_SERVER_REGISTRY_STORE"),
        env("_MLFLOW_SERVER_FILE_STORE")
    );
    assert_eq!(
        env("MLFLOW_SERVER_ALLOWED_HOSTS"),
        "127.0.0.1:5000,localhost:5000,my.host"
    );
    assert_eq!(env("MLFLOW_S3_ENDPOINT_URL"), "http://127.0.0.1:5002");
    let ini = render(&process.files["auth.ini"], &scope).unwrap();
    assert_eq!(
        ini.expose(),
        "[mlflow]\ndefault_permission = READ\n\
         database_uri = postgresql+psycopg2://mlflow:p%%40ss%%2F%%25w@127.0.0.1:5001/mlflow_auth\n\
         admin_username = admin\nadmin_password = p@ss/%%w\n\
         authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n\
         auth_cache_ttl_seconds = 60\n"
    );
}

/// No secret is in an argument, and every secret that a process gets is one that is made or comes from outside.
#[test]
fn every_mention_is_covered() {
    let graph = graph(include_str!("../../../mlops-core/tests/it/everything.yaml"));
    for resource in graph
        .resources()
        .filter(|resource| resource.id.kind().as_str() == "process")
    {
        let process: ProcessSpec = resource.typed().unwrap();
        for secret in &process.secrets {
            let made = ResourceId::new("secret", secret.as_str());
            assert!(
                resource.needs.contains(&made) || graph.secret_sources.contains_key(secret),
                "{} mentions {secret}",
                resource.id
            );
        }
        assert!(
            process
                .services
                .iter()
                .all(|service| graph.services.contains_key(service))
        );
        assert!(process.args.iter().all(|arg| !arg.contains("secret(")));
    }
}

/// `count` components, each with a database and a bucket, and every tenth using the one before.
fn many(count: usize) -> (String, BTreeMap<PathBuf, String>) {
    let echo = include_str!("echo.yaml");
    let mut text = "name: demo\ncomponents:\n".to_owned();
    let files = (0..count)
        .map(|index| {
            let name = format!("echo{index}");
            writeln!(text, "  {name}: {{ settings: {{ greeting: hi }} }}").unwrap();
            let component = echo
                .replace("name: echo", &format!("name: {name}"))
                .replace("  echo: {", &format!("  {name}: {{"))
                .replace(": echo }", &format!(": {name} }}"))
                .replace("'echo'", &format!("'{name}'"))
                .replace("'echo/key'", &format!("'{name}/key'"))
                .replace("[echo]", &format!("[{name}]"))
                .replace("service: echo", &format!("service: {name}"));
            (PathBuf::from(format!("{name}/component.yaml")), component)
        })
        .collect();
    (text, files)
}

fn time(count: usize) -> Duration {
    let (text, files) = many(count);
    time_of(count, &text, files)
}

fn time_of(count: usize, text: &str, files: BTreeMap<PathBuf, String>) -> Duration {
    let start = Instant::now();
    let catalog = Catalog::embedded().with_folder(files).unwrap();
    let (_, graph) =
        load("platform.yaml", text, &catalog).unwrap_or_else(|wrong| panic!("{wrong}"));
    let took = start.elapsed();
    assert!(graph.len() > 6 * count);
    println!("{count} components, {} resources: {took:?}", graph.len());
    took
}

/// The cost of ten times as many components is about ten times the cost.
#[test]
fn the_cost_is_linear() {
    let few = time(200).max(Duration::from_millis(1));
    let many = time(2_000);
    let factor = many.as_secs_f64() / few.as_secs_f64();
    assert!(
        factor < 30.0,
        "2,000 components cost {factor} times as much as 200"
    );
}

/// The same with objects of a cluster: a Deployment for each, its Secret, its Service and its policies.
#[test]
fn the_cost_of_objects_is_linear() {
    let of_cluster = |count: usize| {
        let (text, files) = many(count);
        let text = text.replace("name: demo\n", "name: demo\ntarget: cluster\n");
        let mut all = BTreeMap::new();
        for (path, component) in files {
            let name = path.parent().unwrap().display().to_string();
            let rest = component.split_once("local:").unwrap().0;
            let component = rest
                .replace("{ scheme: http }", "{ scheme: http, cluster_port: 8000 }")
                + "cluster:\n  images: { server: { name: localhost/notes, tag: \"1\" } }\n"
                + &format!(
                    "  secrets: {{ {name}: {{ KEY: \"{{{{ secret('{name}/key') }}}}\" }} }}\n"
                );
            let server = include_str!("notes-server.yaml")
                .replace("{ name: notes }", &format!("{{ name: {name} }}"))
                .replace("name: notes-key", &format!("name: {name}"))
                .replace("file('page.html')", "settings.greeting");
            all.insert(path.with_file_name("objects").join("server.yaml"), server);
            all.insert(path, component);
        }
        time_of(count, &text, all)
    };
    let few = of_cluster(100).max(Duration::from_millis(1));
    let many = of_cluster(1_000);
    let factor = many.as_secs_f64() / few.as_secs_f64();
    assert!(
        factor < 30.0,
        "1,000 components cost {factor} times as much as 100"
    );
}
