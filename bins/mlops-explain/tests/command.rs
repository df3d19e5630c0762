//! The command as a person types it, against a real API server.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail by panicking, as tests do"
)]

use std::process::{Command, Output, Stdio};

use mlops_testkit::kubernetes::TestCluster;

fn run(args: &[&str]) -> (i32, String, String) {
    let output: Output = Command::new(env!("CARGO_BIN_EXE_mlops-explain"))
        .args(args)
        .arg("--kubeconfig")
        .arg(TestCluster::shared().kubeconfig())
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn what_is_there_is_ready_and_what_is_not_is_explained() {
    let (code, out, err) = run(&["service/kubernetes"]);
    assert!(code == 0 || code == 4, "{out}{err}");
    let (code, out, err) = run(&["deployment/nothing", "-n", "default"]);
    assert_eq!(code, 4, "{out}{err}");
    assert!(out.contains("nothing"), "{out}");
    let (code, out, _) = run(&["deployments.apps/nothing", "--output", "json"]);
    let explanation: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(code, 4);
    assert_eq!(explanation["subject"]["kind"], "Deployment");
    assert_eq!(explanation["ready"], false);
}

#[test]
fn wrong_names_have_their_code_and_a_hint() {
    let (code, _, err) = run(&["deploymnt/web"]);
    assert_eq!(code, 2);
    assert!(err.contains("did you mean `deployment`?"), "{err}");
    let (code, _, err) = run(&["web"]);
    assert_eq!(code, 2);
    assert!(err.contains("KIND/NAME"), "{err}");
}

#[test]
fn completions_and_manual_page_are_printed() {
    assert!(
        run(&["--completions", "zsh"])
            .1
            .contains("#compdef mlops-explain")
    );
    assert_eq!(run(&["--man"]).0, 0);
}
