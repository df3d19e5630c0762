//! The whole platform on a real node: from nothing to a model that answers, and away again.

use std::time::{Duration, Instant};

use mlops_testkit::home::kill;
use mlops_testkit::kubernetes::TestNode;
use serde_json::Value;

use super::cluster_account::Account;
use super::home::{Home, Said};

const NAME: &str = "on-a-node";

/// A node with the images of a platform, and a home with its file.
pub(super) fn start(text: &str) -> (Home, &'static TestNode) {
    let environment = mlops_testkit::python::python();
    let environment = environment.ancestors().nth(2).unwrap();
    let node = TestNode::shared();
    node.import_platform(environment);
    let home = Home::on_node();
    std::fs::write(home.path("platform.yaml"), text).unwrap();
    (home, node)
}

/// All verbs, as somebody who has just the rights that the tool says that it needs.
#[test]
fn a_platform_on_a_node_answers_is_proven_and_goes() {
    let (home, node) = start(&format!("name: {NAME}\ntarget: cluster\n"));
    let account = Account::new(&home, node, NAME);
    let run = |args: &[&str]| account.run(args);

    let planned = run(&["plan", "--offline"]).expect(0);
    assert!(
        planned
            .out
            .contains("create kubernetes-object/deployment.mlflow"),
        "{}",
        planned.out
    );
    kill_at_every_stage(&account, node);
    run(&["up"]).expect(0);
    assert_answers(&run);
    // After an apply the plan is empty, and those who find nothing to do write nothing.
    run(&["plan", "--exit-code"]).expect(0);
    let again = account.run_without_a_write(&["up"]);
    assert!(
        again.out.contains("there was nothing to do"),
        "{}\n{}",
        again.out,
        again.err
    );
    account.run_without_a_write(&["serve"]);
    run(&["check"]).expect(0);
    assert_all_are_ready(&run);
    let log = run(&["logs", "mlflow", "--lines", "50"]).expect(0);
    assert!(!log.out.is_empty());
    let password = || {
        let shown = run(&["credentials", "mlflow/admin-password", "--show"]);
        shown.expect(0).out
    };
    let first = password();
    let env = run(&["env", "--output", "json"]).expect(0).json();
    // The addresses are those of the cluster, for clients in it.
    assert_eq!(
        env["MLFLOW_TRACKING_URI"],
        format!("http://mlflow.{NAME}.svc:5000")
    );
    assert_eq!(env["MLFLOW_TRACKING_PASSWORD"], first.trim());

    assert_put_back(node, &run);
    assert_restart_is_counted(node, &run);

    run(&["down"]).expect(0);
    up_over_a_bad_way(&home, node);
    run(&["plan", "--exit-code"]).expect(0);
    assert_eq!(password(), first);
    assert_answers(&run);

    // Without a word about data, volumes and the secrets that open them stay; then everything goes.
    run(&["remove", "--yes"]).expect(0);
    let claims = node.get(&format!("/api/v1/namespaces/{NAME}/persistentvolumeclaims"));
    assert!(claims.contains(r#""name":"postgres""#), "{claims}");
    run(&["remove", "--yes", "--all-data"]).expect(0);
    let namespace = node.get(&format!("/api/v1/namespaces/{NAME}"));
    assert!(
        namespace.contains("NotFound") || namespace.contains("Terminating"),
        "{namespace}"
    );
    assert!(node.get("/api/v1/namespaces/default").contains("Active"));
    account.end();
}

fn assert_all_are_ready(run: &dyn Fn(&[&str]) -> Said) {
    let status = run(&["status", "--output", "json"]).expect(0).json();
    let components = status["components"].as_array().unwrap();
    assert_eq!(components.len(), 4, "{status}");
    for one in components {
        assert_eq!(one["ready"], true, "{status}");
        assert!(one["since_ms"].as_u64().unwrap() < 600_000, "{status}");
    }
}

fn assert_answers(run: &dyn Fn(&[&str]) -> Said) {
    let answer = run(&["predict", "iris", "--row", "5.1,3.5,1.4,0.2"]).expect(0);
    assert!(answer.out.contains("[0]"), "{}", answer.out);
}

/// An `up` that meets faults on its way to the cluster.
fn up_over_a_bad_way(home: &Home, node: &TestNode) {
    let proxy = node.fault_proxy(20, 11);
    std::fs::write(home.path("bad-way"), proxy.kubeconfig()).unwrap();
    let up = home.run(&["--kubeconfig", "bad-way", "up"]).expect(0);
    assert!(up.out.contains("is up"), "{}", up.out);
    println!("{:?}", proxy.met());
    assert!(proxy.met().len() > 2, "{:?}", proxy.met());
}

/// Kills an install at moments that only one of a whole platform has; the next run goes on from there.
fn kill_at_every_stage(account: &Account<'_>, node: &TestNode) {
    let path = |group: &str, rest: &str| format!("/apis/{group}/v1/namespaces/{NAME}/{rest}");
    let is_there = |path: &str, pointer: &str| {
        let (code, text) = node.request("GET", path, None);
        let object: Value = serde_json::from_str(&text).unwrap_or_default();
        code == 200 && object.pointer(pointer).is_some()
    };
    for (stage, path, pointer) in [
        (
            "the tables are made",
            path("batch", "jobs"),
            "/items/0/status/active",
        ),
        (
            "MLflow answers",
            path("apps", "deployments/mlflow"),
            "/status/readyReplicas",
        ),
        (
            "a model is served",
            path("apps", "deployments/model-server"),
            "/status/readyReplicas",
        ),
    ] {
        let mut up = account.start(&["up"]);
        let deadline = Instant::now() + Duration::from_mins(2);
        while !is_there(&path, pointer) {
            assert!(Instant::now() < deadline, "never: {stage}");
            assert_eq!(
                up.try_wait().unwrap(),
                None,
                "{stage}: {}",
                account.started_log()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        // It is still at work, or it would not be killed.
        assert_eq!(
            up.try_wait().unwrap(),
            None,
            "{stage}: {}",
            account.started_log()
        );
        up.kill().unwrap();
        up.wait().unwrap();
        println!("killed when {stage}");
    }
}

/// What a person changed by hand is seen and put back.
fn assert_put_back(node: &TestNode, run: &dyn Fn(&[&str]) -> Said) {
    let deployment = format!("/apis/apps/v1/namespaces/{NAME}/deployments/mlflow");
    node.patch(&deployment, r#"{"spec":{"replicas":3}}"#);
    let planned = run(&["plan", "--exit-code"]).expect(3);
    assert!(
        planned.out.contains("object.spec.replicas"),
        "{}",
        planned.out
    );
    run(&["up"]).expect(0);
    let put_back: Value = serde_json::from_str(&node.get(&deployment)).unwrap();
    assert_eq!(put_back["spec"]["replicas"], 2);
    run(&["plan", "--exit-code"]).expect(0);
}

/// A server that died was started again, and is known to have been.
fn assert_restart_is_counted(node: &TestNode, run: &dyn Fn(&[&str]) -> Said) {
    let pod = node.get(&format!("/api/v1/namespaces/{NAME}/pods/s3-0"));
    let pod: Value = serde_json::from_str(&pod).unwrap();
    let container = pod["status"]["containerStatuses"][0]["containerID"].as_str();
    let (_, container) = container.unwrap().split_once("://").unwrap();
    let pids = processes_in(container);
    assert!(!pids.is_empty(), "{pod}");
    for pid in pids {
        kill(pid);
    }
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let status = run(&["status", "--output", "json"]).expect(0).json();
        let components = status["components"].as_array().unwrap();
        let restarts = |name: &str| {
            let one = components.iter().find(|one| one["component"] == name);
            let one = one.unwrap();
            (one["restarts"].as_u64().unwrap(), one["ready"] == true)
        };
        assert_eq!(restarts("postgres").0, 0, "{status}");
        if restarts("s3") == (1, true) {
            return;
        }
        assert!(Instant::now() < deadline, "{status}");
    }
}

/// The processes of this machine that are in the control group of a container.
fn processes_in(container: &str) -> Vec<u32> {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| {
        let group = std::fs::read_to_string(format!("/proc/{pid}/cgroup"));
        group.is_ok_and(|group| group.contains(container))
    })
    .collect()
}
