//! From nothing to a model that answers, and back.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mlops_core::report::Outcome;
use mlops_testkit::home::kill;
use serde_json::Value;

use super::home::{Home, Said};

fn changed(said: &Said) -> usize {
    said.report().changed()
}

/// Every secret's text by its file.
fn secrets(home: &Home) -> BTreeMap<String, String> {
    fn walk(folder: &std::path::Path, found: &mut BTreeMap<String, String>) {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            if entry.path().is_dir() {
                walk(&entry.path(), found);
            } else {
                let text = std::fs::read_to_string(entry.path()).unwrap();
                found.insert(entry.path().display().to_string(), text);
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(&home.platform("local").join("secrets"), &mut found);
    found
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

    a_restarted_model_server_serves_what_it_served(&home);
    a_check_that_fails_ends_with_4(&home);
    goes_down_and_comes_up_the_same(&home, &before);
    is_removed_but_for_its_data(&home);
    home.run(&["remove", "--all-data", "--yes"]).expect(0);
    assert!(home.processes().is_empty(), "{:?}", home.processes());
    assert!(!home.platform("local").exists());
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
    let kept = secrets(home);
    assert!(kept.len() >= 5);
    home.run(&["down"]).expect(0);
    assert!(home.processes().is_empty(), "{:?}", home.processes());
    home.run(&["down"]).expect(0);
    let again = home.run(&["up", "--output", "json"]).expect(0);
    assert!(again.report().succeeded());
    assert_eq!(secrets(home), kept);
    let after = home.run(&["status", "--output", "json"]).expect(0).json();
    assert_eq!(urls(&after), urls(before));
    assert_eq!(after["models"][0]["version"], "1");
}

fn is_removed_but_for_its_data(home: &Home) {
    let before = secrets(home);
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
    let kept = secrets(home);
    assert!(kept.len() >= 4 && kept.len() < before.len());
    assert!(
        kept.iter()
            .all(|(name, text)| before.get(name) == Some(text))
    );
    let again = home.run(&["up", "--output", "json"]).expect(0);
    assert!(again.report().succeeded());
    let after = secrets(home);
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
    let mut command = std::process::Command::new("sh");
    let template = home.command(&[]);
    for (key, value) in template.get_envs() {
        if let Some(value) = value {
            command.env(key, value);
        }
    }
    let said: Said = command
        .args(["-c", &shell])
        .current_dir(home.folder.path())
        .output()
        .unwrap()
        .into();
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
