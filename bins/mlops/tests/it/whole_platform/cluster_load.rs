//! A model server of a cluster under load: versions come and go, servers are added, and no request fails.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use mlops_testkit::kubernetes::{TestNode, Way};
use serde_json::Value;

use super::cluster;
use super::cluster_account::Account;
use super::home::{Home, Said};
use super::load::{Load, Models};

const NAME: &str = "under-load";

/// Two servers at most: a machine with two cores has no room for more.
const PLATFORM: &str = "name: under-load
target: cluster
components:
  mlflow: { settings: { replicas: 1 } }
  model-server: { settings: { max_replicas: 2, cpu_target_percent: 20 } }
";

/// How long old servers may answer on connections that were open: their own limit for those, and some room.
const DRAINED: Duration = Duration::from_secs(14);

/// The registry of the platform, through a port that leads into the cluster.
struct Mlflow {
    forward: Child,
    models: Models,
}

impl Drop for Mlflow {
    fn drop(&mut self) {
        let _gone = self.forward.kill();
        let _reaped = self.forward.wait();
    }
}

impl Mlflow {
    fn open(home: &Home, account: &Account<'_>) -> Self {
        let shown = account.run(&["credentials", "mlflow/admin-password", "--show"]);
        let shown = shown.expect(0);
        let mut forward = home
            .command(&account.given(&["open", "mlflow"]))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let out = forward.stdout.take().unwrap();
        BufReader::new(out).read_line(&mut line).unwrap();
        Self {
            forward,
            models: Models::open(&line, &shown.out),
        }
    }
}

/// The address of a Service, with a way to it.
fn service(node: &TestNode, name: &str, ways: &mut Vec<Way>) -> SocketAddr {
    let service = get(node, &format!("/api/v1/namespaces/{NAME}/services/{name}"));
    let address = service["spec"]["clusterIP"].as_str().unwrap();
    ways.push(node.lead_to(address));
    let port = service["spec"]["ports"][0]["port"].as_u64().unwrap();
    format!("{address}:{port}").parse().unwrap()
}

fn get(node: &TestNode, path: &str) -> Value {
    serde_json::from_str(&node.get(path)).unwrap()
}

/// Looks until it is so.
#[track_caller]
fn until(what: &str, within: Duration, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + within;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what} is not so in {within:?}");
        std::thread::sleep(Duration::from_millis(250));
    }
}

/// A platform whose model server is asked without end, in the hands of somebody with just the rights that it takes.
struct World<'a> {
    begun: Instant,
    node: &'static TestNode,
    account: Account<'a>,
    mlflow: Mlflow,
    load: Load,
    _ways: Vec<Way>,
}

impl<'a> World<'a> {
    fn start(home: &'a Home, node: &'static TestNode) -> Self {
        let begun = Instant::now();
        let account = Account::new(home, node, NAME);
        account.run(&["up"]).expect(0);
        let mut ways = Vec::new();
        let rest = service(node, "model-server", &mut ways);
        let grpc = service(node, "model-server-grpc", &mut ways);
        let world = Self {
            begun,
            node,
            load: Load::start(rest, grpc),
            mlflow: Mlflow::open(home, &account),
            account,
            _ways: ways,
        };
        world.lap("up");
        world
    }

    fn run(&self, args: &[&str]) -> Said {
        self.account.run(args)
    }

    fn lap(&self, what: &str) {
        eprintln!("{:>6.1} s  {what}", self.begun.elapsed().as_secs_f64());
    }

    /// How many servers are ready.
    fn ready(&self) -> Option<u64> {
        let path = format!("/apis/apps/v1/namespaces/{NAME}/deployments/model-server");
        get(self.node, &path)["status"]["readyReplicas"].as_u64()
    }

    /// Kills an `up` that rolls the model server as soon as new pods are asked for.
    fn kill_up_in_the_middle(&self) {
        let mut up = self.account.start(&["up"]);
        let path = format!("/apis/apps/v1/namespaces/{NAME}/deployments/model-server");
        let rolls = || {
            let annotations = &get(self.node, &path)["metadata"]["annotations"];
            annotations["mlops.dev/served-before-iris"] == "models:/iris/2"
        };
        until("a roll", Duration::from_mins(1), rolls);
        up.kill().unwrap();
        up.wait().unwrap();
        assert!(rolls());
    }

    fn remove_a_server(&self) {
        let list = format!("/api/v1/namespaces/{NAME}/pods");
        let label = "app.kubernetes.io%2Fname%3Dmodel-server";
        let all = get(self.node, &format!("{list}?labelSelector={label}"));
        let pod = all["items"][0]["metadata"]["name"].as_str().unwrap();
        self.node.remove(&format!("{list}/{pod}"));
    }
}

#[test]
fn versions_and_servers_come_and_go_under_load_without_a_failed_request() {
    let (home, node) = cluster::start(PLATFORM);
    let world = World::start(&home, node);
    let (mlflow, load) = (&world.mlflow.models, &world.load);
    load.expect_only(1);

    // A better version: both answer for a while, then it alone.
    let begun_to_roll = Instant::now();
    assert_eq!(mlflow.champion("iris-v2"), "2");
    world.run(&["plan", "--exit-code"]).expect(3);
    world.run(&["up"]).expect(0);
    world.lap("version 2 is served");
    let is_drained = Instant::now() + DRAINED;
    // Connections that were open stay with the old server until it ends them.
    let both = || load.versions_since(begun_to_roll) == [1, 2];
    until("an answer of version 2", DRAINED, both);

    // The load is more than one server should bear. How many there are is no difference to what is wanted.
    let two = || world.ready() == Some(2);
    until("a second server", Duration::from_mins(3), two);
    world.lap("two servers");
    world.run(&["plan", "--exit-code"]).expect(0);
    std::thread::sleep(is_drained.saturating_duration_since(Instant::now()));
    load.expect_only(2);

    // A version that answers wrongly never takes a request, and is said to be wrong.
    let begun_to_fail = Instant::now();
    assert_eq!(mlflow.champion("iris-broken"), "3");
    let refused = world.run(&["up"]).expect(1);
    world.lap("version 3 is refused");
    for part in [
        "Version 3 of `iris`",
        "expected [0, 1, 2]",
        "served as ever",
    ] {
        assert!(refused.err.contains(part), "{part}: {}", refused.err);
    }
    assert_eq!(load.versions_since(begun_to_fail), [2]);

    // Wherever the alias is, a server that starts again serves what the others do.
    world.remove_a_server();
    let one = || world.ready() == Some(1);
    until("one server less", Duration::from_secs(30), one);
    until("another server", Duration::from_mins(3), two);
    std::thread::sleep(Duration::from_secs(2));
    world.lap("a server is replaced");
    assert_eq!(load.versions_since(begun_to_fail), [2]);

    // Killed while the wrong version is tried: the next run puts back what was served, and waits for nothing else.
    world.kill_up_in_the_middle();
    mlflow.back_to("2");
    world.run(&["up"]).expect(0);
    world.lap("a killed roll is taken back");
    assert_eq!(load.versions_since(begun_to_fail), [2]);
    world.run(&["plan", "--exit-code"]).expect(0);
    let answers = load.stop();
    assert!(answers > 1_000, "{answers}");
    world.lap(&format!("{answers} answers"));
    world.run(&["remove", "--yes", "--all-data"]).expect(0);
    world.lap("removed");
    world.account.end();
}
