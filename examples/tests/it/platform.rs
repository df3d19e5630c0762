//! Recipes that need a whole platform, or are one.

use std::path::Path;
use std::process::Command;

use mlops::session::{ClientValue, Network, Session, SessionOptions, UpOptions};
use mlops_catalog::{Catalog, load};
use mlops_core::EventSink;
use mlops_local::default_roots;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::home::Home;
use crate::{example, run};

const FILE: &str = "name: recipes\n";

/// A platform that was brought up through the library, and is taken away with its data at the end.
struct Platform {
    session: Session,
    runtime: Runtime,
    home: Home,
    removed: bool,
}

impl Platform {
    fn up() -> Self {
        let home = Home::new();
        let mut env: std::collections::BTreeMap<String, String> = std::env::vars().collect();
        for (name, folder) in home.folder.variables() {
            env.insert(name.to_owned(), folder.display().to_string());
        }
        let catalog = Catalog::embedded();
        let (platform, _graph) = load("platform.yaml", FILE, &catalog).unwrap();
        let options = SessionOptions {
            roots: default_roots(&env, rustix::process::getuid().as_raw()).unwrap(),
            env,
            // This program cannot be its own supervisor; a recipe can.
            supervisor: vec![
                example("bring_platform_up").get_program().to_owned(),
                "supervise".into(),
            ],
            secret_reader: std::sync::Arc::new(|source| panic!("{source:?} is nobody's")),
            network: Network::Use,
            cluster: None,
        };
        let session = Session::open(&platform, &catalog, options).unwrap();
        let mut made = Self {
            session,
            runtime: Runtime::new().unwrap(),
            home,
            removed: false,
        };
        let up = made.session.up(UpOptions::default());
        let report = made.runtime.block_on(up).unwrap();
        if !report.succeeded() {
            let failed = report.probes.iter().filter(|probe| !probe.passed());
            let failed: Vec<_> = failed.collect();
            made.remove();
            panic!("{:#?}\n{failed:#?}", report.first_failure());
        }
        made
    }

    fn remove(&mut self) {
        self.removed = true;
        let resources = self.session.graph().resources();
        let data = resources.filter(|resource| resource.holds_data);
        let data = data.map(|resource| resource.id.clone()).collect();
        let (events, cancel) = (EventSink::none(), CancellationToken::new());
        let gone = self.session.remove(&data, events, cancel);
        let report = self.runtime.block_on(gone).unwrap();
        assert!(report.succeeded(), "{report:#?}");
    }

    /// What `mlops env` prints and where the model server is, for a recipe.
    fn tell(&self, command: &mut Command) {
        let url = |name| self.runtime.block_on(self.session.url(name)).unwrap();
        command
            .env("MODEL_SERVER", url("model-server"))
            .env("MODEL_SERVER_GRPC", url("model-server-grpc"))
            .env("MODEL_FOLDER", self.session.target().folders().models());
        for (name, value) in self.runtime.block_on(self.session.client_env()).unwrap() {
            match value {
                ClientValue::Plain(text) => command.env(name, text),
                ClientValue::Secret(text) => command.env(name, text.expose()),
            };
        }
    }

    fn run(&self, name: &str, arguments: &[&str]) -> String {
        let mut command = self.home.example(name);
        self.tell(&mut command);
        run(command.args(arguments))
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        if !self.removed {
            self.remove();
        }
    }
}

/// What `mlflow.sklearn.save_model` wrote for the sample.
fn save_model(folder: &Path) {
    std::fs::create_dir(folder).unwrap();
    for (name, content) in mlops_local::python::sample("iris").unwrap().files {
        std::fs::write(folder.join(name), content).unwrap();
    }
}

#[test]
fn a_running_platform_is_used_and_checked() {
    let mut platform = Platform::up();

    let text = platform.run("infer_over_grpc", &["iris", "5.1", "3.5", "1.4", "0.2"]);
    assert!(text.contains("takes FP64"), "{text}");
    assert!(text.ends_with("is [0.0]\n"), "{text}");

    let saved = platform.home.path().join("saved");
    save_model(&saved);
    let saved = saved.to_str().unwrap();
    let text = platform.run("register_and_serve_model", &[saved]);
    assert!(text.starts_with("switched in "), "{text}");
    assert!(text.ends_with("version 1 is served\n"), "{text}");
    let text = platform.run("infer_over_grpc", &["flowers", "6.3", "3.3", "6.0", "2.5"]);
    assert!(text.ends_with("is [2.0]\n"), "{text}");
    // Again: nothing to register and nothing to switch.
    let text = platform.run("register_and_serve_model", &[saved]);
    assert_eq!(text, "version 1 is served\n");
    let text = platform.run("register_and_serve_model", &["remove"]);
    assert_eq!(text, "removed\n");

    let file = platform.home.path().join("platform.yaml");
    std::fs::write(&file, FILE).unwrap();
    let text = platform.run("check_a_platform", &[file.to_str().unwrap()]);
    for claim in [
        "  holds: key `mlflow` can put, get, list and delete in bucket `mlflow`",
        "mlflow/store (",
        "mlflow (",
    ] {
        assert!(
            text.lines().any(|line| line.starts_with(claim)),
            "{claim} in {text}"
        );
    }
    assert!(!text.contains("does not hold"), "{text}");

    platform.remove();
    platform.home.is_left_empty();
}

#[test]
fn bring_platform_up() {
    let home = Home::new();
    let text = run(&mut home.example("bring_platform_up"));
    assert!(text.contains("create process/mlflow"), "{text}");
    assert!(text.ends_with("\nclass 0\n"), "{text}");
    home.is_left_empty();
}
