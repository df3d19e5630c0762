//! From nothing to a model that answers, and back.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use mlops_core::report::Outcome;
use mlops_testkit::home::kill;
use serde_json::Value;

use super::home::{Home, Said, interrupt};
use super::load::{Load, Models};

fn changed(said: &Said) -> usize {
    said.report().changed()
}

fn urls(status: &Value) -> Vec<String> {
    status["components"]
        .as_array()
        .unwrap()
        .iter()
        .map(|component| component["url"].to_string())
        .collect()
}

#[test]
fn from_nothing_to_a_model_that_answers_and_back() {
    let home = Home::new();
    let first = home.run(&["up", "--output", "json"]).expect(0);
    assert!(first.report().succeeded(), "{:#?}", first.report());
    assert!(changed(&first) > 10);
    assert!(!first.report().probes.is_empty());

    // After every apply the plan is empty, and a second run writes nothing.
    home.run(&["plan", "--exit-code"]).expect(0);
    let second = home.run(&["up", "--output", "json"]).expect(0);
    assert_eq!(changed(&second), 0, "{:#?}", second.report());
    assert!(
        second
            .report()
            .entries
            .iter()
            .all(|entry| entry.outcome == Outcome::Unchanged)
    );

    home.run(&["check"]).expect(0);
    let before = home.run(&["status", "--output", "json"]).expect(0).json();
    assert!(
        before["components"]
            .as_array()
            .unwrap()
            .iter()
            .all(|component| component["ready"] == true),
        "{before:#}"
    );
    assert_eq!(before["models"][0]["ready"], true, "{before:#}");
    for protocol in [&[][..], &["--grpc"]] {
        let mut args = vec![
            "predict",
            "iris",
            "--row",
            "5.1,3.5,1.4,0.2",
            "--output",
            "json",
        ];
        args.extend(protocol);
        let answer = home.run(&args).expect(0).json();
        assert_eq!(answer["outputs"][0]["data"][0], 0, "{answer:#}");
    }

    nobody_else_is_listened_to(&home);
    every_verb_speaks_json(&home);
    a_moved_alias_is_served_without_a_failed_request(&home);
    a_restarted_model_server_serves_what_it_served(&home);
    a_check_that_fails_ends_with_4(&home);
    goes_down_and_comes_up_the_same(&home, &before);
    is_removed_but_for_its_data(&home);
    in_json(&home, &["remove", "--all-data", "--yes"]);
    assert!(home.processes().is_empty(), "{:?}", home.processes());
    assert!(!home.platform("local").exists());
}

/// Where TCP is listened for, by the socket's number. The format is described in `proc_net_tcp.txt` of the kernel's
/// documentation (<https://docs.kernel.org/networking/proc_net_tcp.html>).
fn listening() -> BTreeMap<u64, SocketAddr> {
    let word = |hex: &str| u32::from_str_radix(hex, 16).unwrap().to_ne_bytes();
    let address = |text: &str| {
        let (ip, port) = text.split_once(':').unwrap();
        let bytes: Vec<u8> = (0..ip.len() / 8)
            .flat_map(|at| word(&ip[at * 8..at * 8 + 8]))
            .collect();
        let ip: IpAddr = match <[u8; 4]>::try_from(bytes.as_slice()) {
            Ok(bytes) => Ipv4Addr::from(bytes).into(),
            Err(_) => Ipv6Addr::from(<[u8; 16]>::try_from(bytes).unwrap()).into(),
        };
        let port = u16::from_str_radix(port, 16).unwrap();
        SocketAddr::new(ip.to_canonical(), port)
    };
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let texts = tables.map(|table| std::fs::read_to_string(table).unwrap());
    let lines = texts.iter().flat_map(|text| text.lines().skip(1));
    let columns = lines.map(|line| line.split_whitespace().collect::<Vec<_>>());
    let listening = columns.filter(|columns| columns[3] == "0A");
    let named = listening.map(|columns| (columns[9].parse().unwrap(), address(columns[1])));
    named.collect()
}

/// The numbers of a process's sockets.
fn sockets(pid: u32) -> Vec<u64> {
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter();
    let targets = open
        .flatten()
        .flatten()
        .filter_map(|file| std::fs::read_link(file.path()).ok());
    let numbers = targets.filter_map(|target| {
        let number = target.to_str()?.strip_prefix("socket:[")?;
        number.strip_suffix(']')?.parse().ok()
    });
    numbers.collect()
}

/// The ports that were chosen, by the service.
fn ports(home: &Home) -> BTreeMap<String, u16> {
    let text = std::fs::read_to_string(home.platform("local").join("ports.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// What runs here is for this machine alone.
fn nobody_else_is_listened_to(home: &Home) {
    let listening = listening();
    let mut open = BTreeSet::new();
    for (pid, arguments) in home.processes() {
        let sockets = sockets(pid);
        for address in sockets.iter().filter_map(|number| listening.get(number)) {
            assert!(address.ip().is_loopback(), "{address} of {arguments}");
            open.insert(address.port());
        }
    }
    let chosen: BTreeSet<u16> = ports(home).into_values().collect();
    assert!(chosen.len() >= 6, "{chosen:?}");
    assert!(open.is_superset(&chosen), "{open:?} without {chosen:?}");
}

/// The one document, or the last of the lines of which each is one.
#[track_caller]
fn in_json(home: &Home, args: &[&str]) -> Value {
    let said = home.run(&[args, &["--output", "json"]].concat()).expect(0);
    let whole = serde_json::from_str(&said.out);
    whole.unwrap_or_else(|_| {
        let parse = |line: &str| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{args:?}: {error}: {line}"))
        };
        let lines: Vec<Value> = said.out.lines().map(parse).collect();
        let last = lines.into_iter().next_back();
        last.unwrap_or_else(|| panic!("{args:?}: {said:?}"))
    })
}

/// Where each verb that prints something does so for programs.
fn every_verb_speaks_json(home: &Home) {
    for args in [
        &["check"][..],
        &["credentials"],
        &["credentials", "mlflow"],
        &["credentials", "mlflow/admin-password", "--show"],
        &["diff"],
        &["doctor"],
        &["env"],
        &["events"],
        &["images"],
        &["logs"],
        &["logs", "mlflow", "-n", "5"],
        &["open", "mlflow", "--print"],
        &["plan"],
        &["plan", "--offline"],
        &["predict", "iris", "--row", "5.1,3.5,1.4,0.2"],
        &["prefetch"],
        &["schema"],
        &["serve"],
        &["status"],
        &["up"],
    ] {
        let last = in_json(home, args);
        assert!(last.is_object() || last.is_array(), "{args:?}: {last}");
    }
}

/// Looks until a command that was started has written it.
#[track_caller]
fn until_written(home: &Home, text: &str) {
    let limit = Instant::now() + Duration::from_mins(1);
    while !home.started_log().contains(text) {
        let log = home.started_log();
        assert!(Instant::now() < limit, "no `{text}` in:\n{log}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// By `up`, by `serve`, and by `serve --follow`, which waits for others before it changes anything.
fn a_moved_alias_is_served_without_a_failed_request(home: &Home) {
    let ports = ports(home);
    let at = |service: &str| SocketAddr::from((Ipv4Addr::LOCALHOST, ports[service]));
    let password = home.secrets("local")["mlflow/admin-password"].clone();
    let models = Models::open(&format!("http://{}", at("mlflow")), &password);
    let load = Load::start(at("model-server"), at("model-server-grpc"));
    load.expect_only(1);

    assert_eq!(models.champion("iris-v2"), "2");
    home.run(&["plan", "--exit-code"]).expect(3);
    home.run(&["up"]).expect(0);
    load.expect_only(2);
    models.back_to("1");
    home.run(&["serve"]).expect(0);
    load.expect_only(1);

    let mut follows = home.start(&["serve", "--follow", "-v"]);
    until_written(home, "version 1 is served");
    let lock = File::open(home.platform("local").join("lock")).unwrap();
    lock.lock().unwrap();
    models.back_to("2");
    until_written(home, "another run holds the platform");
    load.expect_only(1);
    drop(lock);
    until_written(home, "switch from version 1 to 2");
    load.expect_only(2);
    models.back_to("1");
    until_written(home, "switch from version 2 to 1");
    interrupt(follows.id());
    let ended = follows.wait().unwrap();
    assert_eq!(ended.code(), Some(130), "{}", home.started_log());
    load.expect_only(1);
    let answers = load.stop();
    assert!(answers > 500, "{answers}");
    home.run(&["plan", "--exit-code"]).expect(0);
}

/// The process of a component as `status` tells it.
fn pid(home: &Home, component: &str) -> Option<u32> {
    let status = home.run(&["status", "--output", "json"]).expect(0).json();
    let components = status["components"].as_array().unwrap();
    let found = components.iter().find(|c| c["component"] == component);
    found.and_then(|component| u32::try_from(component["pid"].as_u64()?).ok())
}

/// Nobody runs `up`: the supervisor starts it again, and it finds its models by itself.
fn a_restarted_model_server_serves_what_it_served(home: &Home) {
    let first = pid(home, "model-server").unwrap();
    kill(first);
    let row = ["predict", "iris", "--row", "5.1,3.5,1.4,0.2"];
    let limit = Instant::now() + Duration::from_mins(2);
    loop {
        let said = home.run(&row);
        if said.code == 0 && pid(home, "model-server") != Some(first) {
            break;
        }
        assert!(Instant::now() < limit, "{said:?}");
        std::thread::sleep(Duration::from_millis(200));
    }
    home.run(&["plan", "--exit-code"]).expect(0);
}

/// A password that is not the one of the server's user proves nothing, and nothing is repaired by looking.
fn a_check_that_fails_ends_with_4(home: &Home) {
    let secret = home.platform("local").join("secrets/mlflow/s3-secret-key");
    let text = std::fs::read(&secret).unwrap();
    std::fs::write(&secret, "another-secret-of-the-same-kind\n").unwrap();
    let said = home.run(&["check"]);
    std::fs::write(&secret, text).unwrap();
    assert_eq!(said.code, 4, "{said:?}");
    home.run(&["check"]).expect(0);
}

fn goes_down_and_comes_up_the_same(home: &Home, before: &Value) {
    let kept = home.secrets("local");
    assert!(kept.len() >= 5);
    let down = in_json(home, &["down"]);
    assert_eq!(down["stopped"].as_array().unwrap().len(), 4, "{down}");
    assert!(home.processes().is_empty(), "{:?}", home.processes());
    home.run(&["down"]).expect(0);
    let again = home.run(&["up", "--output", "json"]).expect(0);
    assert!(again.report().succeeded());
    assert_eq!(home.secrets("local"), kept);
    let after = home.run(&["status", "--output", "json"]).expect(0).json();
    assert_eq!(urls(&after), urls(before));
    assert_eq!(after["models"][0]["version"], "1");
}

fn is_removed_but_for_its_data(home: &Home) {
    let before = home.secrets("local");
    // Without a terminal it does not guess.
    home.run(&["remove"]).expect(2);
    let said = home.run(&["remove", "--yes"]).expect(0);
    assert!(
        said.out.contains("keep") || said.err.contains("keep"),
        "{said:?}"
    );
    assert!(home.processes().is_empty(), "{:?}", home.processes());
    assert!(home.platform("local").join("data").exists());
    // What opens the kept data is kept, as it was.
    let kept = home.secrets("local");
    assert!(kept.len() >= 4 && kept.len() < before.len());
    assert!(
        kept.iter()
            .all(|(name, text)| before.get(name) == Some(text))
    );
    let again = home.run(&["up", "--output", "json"]).expect(0);
    assert!(again.report().succeeded());
    let after = home.secrets("local");
    assert!(
        kept.iter()
            .all(|(name, text)| after.get(name) == Some(text))
    );
    let status = home.run(&["status", "--output", "json"]).expect(0).json();
    assert_eq!(status["models"][0]["version"], "1", "{status:#}");
}

#[test]
fn a_stock_mlflow_client_works_with_what_env_prints() {
    let home = Home::new();
    home.run(&["up"]).expect(0);
    let python = home.run(&["prefetch", "--output", "json"]).expect(0).json();
    let python = find_text(&python, "python").unwrap();
    let script = "\
import mlflow, pathlib
mlflow.set_experiment('from-a-client')
with mlflow.start_run() as run:
    mlflow.log_metric('accuracy', 0.5)
    pathlib.Path('note.txt').write_text('hello')
    mlflow.log_artifact('note.txt')
print(mlflow.get_run(run.info.run_id).data.metrics['accuracy'], mlflow.artifacts.load_text(run.info.artifact_uri + '/note.txt'))
";
    std::fs::write(home.path("client.py"), script).unwrap();
    let shell = format!(
        "eval \"$({} env --shell sh)\" && exec '{python}' client.py",
        env!("CARGO_BIN_EXE_mlops")
    );
    let output = home.program("sh").args(["-c", &shell]).output().unwrap();
    let said = Said::from(output);
    assert!(said.expect(0).out.contains("0.5 hello"));
}

/// The first text in a JSON document that ends in a path whose last part begins with `name`.
fn find_text(value: &Value, name: &str) -> Option<String> {
    match value {
        Value::String(text) => std::path::Path::new(text)
            .file_name()
            .is_some_and(|last| last.to_string_lossy().starts_with(name))
            .then(|| text.clone()),
        Value::Array(values) => values.iter().find_map(|value| find_text(value, name)),
        Value::Object(fields) => fields.values().find_map(|value| find_text(value, name)),
        _ => None,
    }
}

#[test]
fn two_at_once_make_one_platform() {
    let home = Home::new();
    let mut other = home.start(&["up", "--output", "json"]);
    let mine = home.run(&["up", "--output", "json"]).expect(0);
    assert!(other.wait().unwrap().success(), "{}", home.started_log());
    let theirs = Said {
        code: 0,
        out: home.started_log(),
        err: String::new(),
    };
    let mut changes = [changed(&mine), changed(&theirs)];
    changes.sort_unstable();
    assert_eq!(changes[0], 0, "one works, the other finds nothing to do");
    assert!(changes[1] > 10);
}
