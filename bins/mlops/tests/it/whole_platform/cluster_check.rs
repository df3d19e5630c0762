//! Checks from inside the cluster, the images of a platform, and an alias that is followed: one platform on a real node.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use mlops_core::SecretText;
use mlops_serving::mlflow::{Mlflow, Tags};
use mlops_testkit::home::kill;
use mlops_testkit::kubernetes::{TestNode, tools};
use serde_json::{Value, json};

use super::home::{Home, Said};

const NAME: &str = "checked";

/// A password that is the user's, and a component of their own.
const DESCRIBED: &str = "\
name: checked
target: cluster
components:
  mlflow: { secrets: { admin-password: { file: admin-password } } }
  notes:
";

const PASSWORD: &str = "given-by-the-user-4711";

const NOTES: &str = "\
name: notes
title: Notes
description: Keeps notes in a database.
keeps: Its database.
bindings:
  store: { capability: postgres, description: The notes., database: notes }
cluster: {}
";

/// What a check makes, each kind where it is listed.
const MADE: [(&str, &str); 8] = [
    ("apis/batch/v1", "jobs"),
    ("api/v1", "pods"),
    ("api/v1", "secrets"),
    ("api/v1", "configmaps"),
    ("api/v1", "serviceaccounts"),
    ("apis/networking.k8s.io/v1", "networkpolicies"),
    ("apis/rbac.authorization.k8s.io/v1", "roles"),
    ("apis/rbac.authorization.k8s.io/v1", "rolebindings"),
];

struct Platform {
    home: Home,
    node: &'static TestNode,
}

impl Platform {
    fn new() -> Self {
        let environment = mlops_testkit::python::python();
        let environment = environment.ancestors().nth(2).unwrap();
        let node = TestNode::shared();
        node.import_platform(environment);
        tools::import(node, env!("CARGO_BIN_EXE_mlops").as_ref());
        let home = Home::on_node();
        let write = |path: &str, text: &str| {
            let path = home.path(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("platform.yaml", DESCRIBED);
        write("components/notes/component.yaml", NOTES);
        write("admin-password", PASSWORD);
        Self { home, node }
    }

    fn kubeconfig(&self) -> String {
        self.node.kubeconfig().to_str().unwrap().to_owned()
    }

    fn run(&self, args: &[&str]) -> Said {
        self.home.run(&given(&self.kubeconfig(), args))
    }

    fn start(&self, args: &[&str]) -> Child {
        self.home.start(&given(&self.kubeconfig(), args))
    }

    /// What of checks is there.
    fn left(&self) -> Vec<String> {
        let left = MADE.iter().flat_map(|(version, plural)| {
            let path =
                format!("/{version}/namespaces/{NAME}/{plural}?labelSelector=mlops.dev/check");
            let list: Value = serde_json::from_str(&self.node.get(&path)).unwrap();
            let items = list["items"].as_array().unwrap().clone();
            items
                .into_iter()
                .map(move |item| format!("{plural}/{}", item["metadata"]["name"].as_str().unwrap()))
        });
        left.collect()
    }

    /// Waits until something holds.
    fn wait(&self, what: &str, within: u64, holds: impl Fn() -> bool) {
        let begin = Instant::now();
        while !holds() {
            let log = self.home.started_log();
            assert!(
                begin.elapsed().as_secs() < within,
                "{what} did not come:\n{log}"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Whether a run has the right to change the platform at this moment.
    fn is_locked(&self) -> bool {
        let path = format!("/apis/coordination.k8s.io/v1/namespaces/{NAME}/leases/mlops-{NAME}");
        let lease: Value = serde_json::from_str(&self.node.get(&path)).unwrap();
        let holder = lease["spec"]["holderIdentity"].as_str();
        holder.is_some_and(|holder| !holder.is_empty())
    }

    /// Where the password is with which `notes` opens its database.
    fn secret(&self) -> String {
        let all = self.run(&["credentials", "notes/store", "--output", "json"]);
        let all = all.expect(0).json();
        let name = all[0]["secrets"]["password"].as_str().unwrap();
        let name = name.replace('/', ".");
        format!("/api/v1/namespaces/{NAME}/secrets/{name}")
    }

    /// The version that answers.
    fn version(&self) -> Value {
        let answer = self.run(&["predict", "iris", "--row", "5.1,3.5,1.4,0.2"]);
        assert!(answer.expect(0).out.contains("[0]"));
        let status = self.run(&["status", "--output", "json"]).expect(0).json();
        status["models"][0]["version"].clone()
    }
}

/// The arguments for this platform.
fn given<'a>(kubeconfig: &'a str, args: &[&'a str]) -> Vec<&'a str> {
    let options = ["--kubeconfig", kubeconfig, "--catalog", "components"];
    [&options[..], args].concat()
}

#[test]
fn a_platform_is_checked_from_inside_and_its_alias_is_followed() {
    let platform = Platform::new();
    platform.run(&["up"]).expect(0);
    all_probes_pass_inside(&platform);
    images_have_the_digests_of_the_node(&platform);
    // The next check is that of the wrong password, and takes away what this one leaves.
    a_check_is_killed(&platform);
    a_wrong_password_is_found_inside(&platform);
    an_interrupted_check_leaves_nothing(&platform);
    a_moved_alias_is_served_at_once(&platform);
    // So do `up`, which has nothing else to do, and `remove`.
    a_check_is_killed(&platform);
    platform.run(&["up"]).expect(0);
    assert_eq!(platform.left(), [""; 0]);
    a_check_is_killed(&platform);
    platform.run(&["remove", "--yes"]).expect(0);
    assert_eq!(platform.left(), [""; 0]);
    platform.run(&["remove", "--yes", "--all-data"]).expect(0);
}

fn all_probes_pass_inside(platform: &Platform) {
    let outside = platform
        .run(&["check", "--output", "json"])
        .expect(0)
        .json();
    let inside = platform.run(&[
        "check",
        "--in-cluster",
        "--output",
        "json",
        "--save",
        "report.txt",
    ]);
    let inside = inside.expect(0).json();
    let names = |report: &Value| -> Vec<Value> {
        let probes = report["probes"].as_array().unwrap().iter();
        probes.map(|probe| probe["name"].clone()).collect()
    };
    assert!(names(&outside).contains(&json!("notes/store")), "{outside}");
    assert_eq!(names(&outside), names(&inside));
    assert!(!inside.to_string().contains(PASSWORD));
    let saved = std::fs::read_to_string(platform.home.path("report.txt")).unwrap();
    assert!(saved.contains("checks of `checked` passed"), "{saved}");
    assert_eq!(platform.left(), [""; 0]);
    // Nothing of it is a difference to what is described.
    platform.run(&["plan", "--exit-code"]).expect(0);
}

fn images_have_the_digests_of_the_node(platform: &Platform) {
    let listed = platform
        .run(&["images", "--output", "json"])
        .expect(0)
        .json();
    assert_eq!(listed.get("unasked"), None, "{listed}");
    let images = listed["images"].as_array().unwrap();
    assert_eq!(images.len(), 4, "{listed}");
    for image in images {
        let is_tools = image["image"] == tools::TOOLS;
        // No pod runs a check now.
        assert_eq!(
            image["digests"].as_array().unwrap().is_empty(),
            is_tools,
            "{image}"
        );
        if !is_tools {
            let digest = &image["digests"][0];
            assert!(
                digest["digest"].as_str().unwrap().starts_with("sha256:"),
                "{image}"
            );
            // They were imported, and so are known to the node alone.
            assert_eq!(digest["known"], "local", "{image}");
        }
    }
    let text = platform.run(&["images"]).expect(0).out;
    assert!(text.contains("postgres/server"), "{text}");
}

/// The Secret that the consumer has is what counts, and not what this machine could read.
fn a_wrong_password_is_found_inside(platform: &Platform) {
    let path = platform.secret();
    let kept: Value = serde_json::from_str(&platform.node.get(&path)).unwrap();
    let put = |text: &Value| {
        platform.node.remove(&path);
        let metadata =
            json!({ "name": kept["metadata"]["name"], "labels": kept["metadata"]["labels"] });
        let object = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": metadata,
            "type": kept["type"], "data": { "text": text }, "immutable": true,
        });
        platform.node.apply(&path, &object.to_string());
    };
    put(&json!("d3Jvbmctd3Jvbmctd3Jvbmc="));
    let said = platform
        .run(&["check", "--in-cluster", "--output", "json"])
        .expect(4);
    put(&kept["data"]["text"]);
    let report = said.json();
    let failed: Vec<&Value> = report["probes"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|probe| {
            probe["findings"]
                .as_array()
                .unwrap()
                .iter()
                .any(|one| one.get("failure").is_some())
        })
        .map(|probe| &probe["name"])
        .collect();
    assert_eq!(failed, ["notes/store"], "{report}");
    assert!(!said.out.contains("wrong-wrong-wrong"));
    assert_eq!(platform.left(), [""; 0]);
}

fn a_moved_alias_is_served_at_once(platform: &Platform) {
    assert_eq!(platform.version(), "1");
    let mut follows = platform.start(&["serve", "--follow", "--output", "json"]);
    platform.wait("the begin", 60, || {
        platform.home.started_log().contains("version 1 is served")
    });
    // It takes turns with others, but only for a switch.
    assert!(!platform.is_locked());
    move_alias(platform);
    platform.wait("the roll", 60, || platform.is_locked());
    // As from another machine: it finds the roll on its way, and neither ends nor undoes it.
    let up = platform.run(&["--data-dir", "elsewhere", "up"]).expect(0);
    let waited = "another run holds the platform";
    assert!(up.err.contains(waited), "{}\n{}", up.out, up.err);
    platform.wait("the switch", 180, || {
        platform
            .home
            .started_log()
            .contains("switch from version 1 to 2")
    });
    assert_eq!(platform.version(), "2");
    assert!(!platform.is_locked());
    assert!(
        follows.try_wait().unwrap().is_none(),
        "{}",
        platform.home.started_log()
    );
    interrupt(&follows);
    assert_eq!(
        follows.wait().unwrap().code(),
        Some(130),
        "{}",
        platform.home.started_log()
    );
    platform.run(&["plan", "--exit-code"]).expect(0);
}

/// Registers the same model as another version, and moves the alias there, as a data scientist would.
fn move_alias(platform: &Platform) {
    let password = SecretText::new(PASSWORD);
    let kubeconfig = platform.kubeconfig();
    let mut command = platform
        .home
        .command(&given(&kubeconfig, &["open", "mlflow"]));
    let mut opened = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut url = String::new();
    let mut printed = BufReader::new(opened.stdout.take().unwrap());
    printed.read_line(&mut url).unwrap();
    let endpoint = mlops_core::Endpoint::new(url.trim().parse().unwrap()).unwrap();
    let client = Mlflow::new(&endpoint)
        .unwrap()
        .with_basic_auth("admin", &password)
        .unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let first = client
            .find_by_alias("iris", "champion")
            .await
            .unwrap()
            .unwrap();
        let source = first.source.trim_start_matches("models:/");
        let none = Tags::new();
        let made = client
            .create_model_version("iris", source, None, &none)
            .await;
        assert_eq!(made.unwrap().version, "2");
        client.set_alias("iris", "champion", "2").await.unwrap();
    });
    kill(opened.id());
    opened.wait().unwrap();
}

fn a_check_is_killed(platform: &Platform) {
    let mut check = begun(platform);
    kill(check.id());
    check.wait().unwrap();
    assert!(platform.left().len() >= 5, "{:?}", platform.left());
}

fn an_interrupted_check_leaves_nothing(platform: &Platform) {
    let mut check = begun(platform);
    interrupt(&check);
    let code = check.wait().unwrap().code();
    assert_eq!(code, Some(130), "{}", platform.home.started_log());
    assert_eq!(platform.left(), [""; 0]);
}

/// A check whose Job is there.
fn begun(platform: &Platform) -> Child {
    let check = platform.start(&["check", "--in-cluster"]);
    platform.wait("the Job", 60, || {
        let left = platform.left();
        left.iter().any(|name| name.starts_with("jobs/"))
    });
    check
}

fn interrupt(child: &Child) {
    let pid = i32::try_from(child.id()).unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
}
