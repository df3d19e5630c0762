//! Runs the recipes, with real servers where they need some, and looks at what they print.

mod clusters;
mod home;
mod platform;
mod servers;

use std::path::PathBuf;
use std::process::Command;

/// Where cargo puts the examples that it builds together with this test.
fn example(name: &str) -> Command {
    let mut path: PathBuf = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.push("examples");
    path.push(name);
    Command::new(path)
}

/// Runs one to its end and returns what it printed.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    text
}

#[test]
fn embed_engine() {
    let text = run(&mut example("embed_engine"));
    assert_eq!(
        text.lines().collect::<Vec<_>>(),
        [
            "+ create file/first",
            "+ create file/second",
            "Plan for `demo`: 2 to create",
            "changed: 2",
            "Nothing to do: all 2 resources of `demo` are as described",
        ]
    );
}

#[test]
fn follow_events() {
    let text = run(&mut example("follow_events"));
    assert_eq!(
        text.lines().collect::<Vec<_>>(),
        [
            "started create secret/demo/first",
            "finished create secret/demo/first",
            "started create secret/demo/second",
            "finished create secret/demo/second",
            "done, 2 changed",
        ]
    );
}

#[test]
fn read_report() {
    let text = run(&mut example("read_report"));
    assert!(
        text.starts_with("4920 ms, decided by process/postgres -> process/mlflow\n"),
        "{text}"
    );
    assert!(
        text.contains("the role cannot connect to another database"),
        "{text}"
    );
}

#[test]
fn plan_without_platform() {
    let text = run(&mut example("plan_without_platform"));
    assert!(text.contains("+ create process/mlflow"), "{text}");
    assert!(text.contains("+ create served-model/iris"), "{text}");
    assert!(text.contains("mlflow/artifacts (s3-binding)"), "{text}");
}

#[test]
fn add_component() {
    let text = run(&mut example("add_component"));
    for line in [
        "secret/notes/postgres-password",
        "postgres-role/notes",
        "postgres-database/notes",
        "process/notes",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
}
