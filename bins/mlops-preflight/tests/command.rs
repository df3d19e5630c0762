//! The command as a person types it, against a real API server.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail by panicking, as tests do"
)]

use std::process::{Command, Output, Stdio};

use mlops_testkit::kubernetes::TestCluster;

fn run(kubeconfig: &std::path::Path, args: &[&str]) -> (i32, String, String) {
    let output: Output = Command::new(env!("CARGO_BIN_EXE_mlops-preflight"))
        .args(args)
        .arg("--kubeconfig")
        .arg(kubeconfig)
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
fn each_check_has_a_reason_and_the_worst_decides() {
    let cluster = TestCluster::shared();
    let args = ["--no-volume", "--output", "json", "-n", "default"];
    let (code, out, err) = run(&cluster.kubeconfig(), &args);
    // Without a node nobody answers for names.
    assert_eq!(code, 4, "{out}{err}");
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    let checks = report["checks"].as_array().unwrap();
    let state = |word: &str| {
        let found = checks
            .iter()
            .find(|check| check["name"].as_str().unwrap().contains(word));
        found.unwrap_or_else(|| panic!("{word}: {out}"))["state"].clone()
    };
    assert_eq!(state("version"), "passed");
    assert_eq!(state("DNS"), "failed");
    for check in checks {
        assert!(!check["reason"].as_str().unwrap().is_empty());
    }
}

#[test]
fn rights_are_those_that_the_objects_take() {
    let cluster = TestCluster::shared();
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    std::fs::write(&kubeconfig, cluster.kubeconfig_of("nobody-special", None)).unwrap();
    let object = folder.path().join("one.yaml");
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: one }\n";
    std::fs::write(&object, text).unwrap();
    let args = [object.to_str().unwrap(), "--no-volume", "-n", "default"];
    let (code, out, err) = run(&kubeconfig, &args);
    assert_eq!(code, 4, "{out}{err}");
    // The same right, told of both: so neither line can be lost unseen.
    let right = |out: &str| -> Vec<String> {
        let lines = out
            .lines()
            .filter(|line| line.contains(": right to patch configmaps"));
        lines
            .map(|line| line.split(':').next().unwrap().to_owned())
            .collect()
    };
    assert_eq!(right(&out), ["failed"], "{out}");
    let (_, out, _) = run(&cluster.kubeconfig(), &args);
    assert_eq!(right(&out), ["passed"], "{out}");
    assert!(!out.contains("failed: right to "), "{out}");
}

#[test]
fn a_server_that_does_not_answer_is_named_with_the_cause() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    let text = format!(
        "{{apiVersion: v1, kind: Config, current-context: c, contexts: [{{name: c, context: {{cluster: c, user: u}}}}],
          clusters: [{{name: c, cluster: {{server: 'https://{address}'}}}}], users: [{{name: u, user: {{}}}}]}}"
    );
    std::fs::write(&kubeconfig, text).unwrap();
    let (code, out, err) = run(&kubeconfig, &["--no-volume"]);
    assert_eq!(code, 4, "{out}{err}");
    let said = format!("no answer from `https://{address}`: Connection refused");
    assert!(out.contains(&said), "{out}");
    assert!(
        out.contains("remedy: check that the API server runs"),
        "{out}"
    );
}

#[test]
fn completions_and_manual_page_are_printed() {
    let nowhere = std::path::Path::new("/nowhere");
    assert!(
        run(nowhere, &["--completions", "fish"])
            .1
            .contains("mlops-preflight")
    );
    assert_eq!(run(nowhere, &["--man"]).0, 0);
}
