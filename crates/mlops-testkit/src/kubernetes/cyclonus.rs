//! A judge of network policies: the node's network enforces none, so what they allow is worked out by a program that
//! knows their rules (<https://github.com/mattfenwick/cyclonus>).
#![expect(
    clippy::panic,
    reason = "a test without its judge must fail, and say why"
)]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::programs::{make_once, on_path, recipe_of, run_go};

/// The program, and the last part of its package's name.
const PROGRAM: &str = "cyclonus";
const PACKAGE: &str = "github.com/mattfenwick/cyclonus/cmd/cyclonus";

/// A module that only names the program, so that its version and those of all it is made of are pinned.
const RECIPE: [(&str, &str); 2] = [
    ("go.mod", include_str!("../../cyclonus/go.mod")),
    ("go.sum", include_str!("../../cyclonus/go.sum")),
];

/// The program: on `PATH`, in the cache, else built into the cache by Go.
///
/// # Panics
///
/// When it is not there and cannot be built.
pub fn program() -> PathBuf {
    if let Some(found) = on_path(PROGRAM) {
        return found;
    }
    let entry = format!("{PROGRAM}-{}", recipe_of(&RECIPE));
    make_once(&entry, |staging| {
        let source = staging.join("source");
        let written = fs::create_dir(&source).and_then(|()| {
            RECIPE
                .iter()
                .try_for_each(|(name, text)| fs::write(source.join(name), text))
        });
        let mut go = Command::new("go");
        go.args(["build", "-trimpath", "-mod=readonly", "-ldflags", "-s -w"])
            .args(["-o", &format!("../{PROGRAM}"), PACKAGE])
            .current_dir(&source)
            .env("CGO_ENABLED", "0");
        if let Err(error) = written {
            panic!("cannot write to {}: {error}", source.display());
        }
        run_go(&mut go, PACKAGE, "put it on PATH");
        if let Err(error) = fs::remove_dir_all(&source) {
            panic!("cannot finish {}: {error}", staging.display());
        }
    })
    .join(PROGRAM)
}

/// Whether each connection is allowed, in the order of `traffic`.
///
/// Both texts are JSON: a `NetworkPolicyList`, and a list of connections in the program's own words:
/// `{"Source": PEER, "Destination": PEER, "Protocol": "TCP", "ResolvedPort": 80, "ResolvedPortName": "http"}` where a
/// peer is `{"IP": …}`, with `"Internal": {"Namespace": …, "NamespaceLabels": …, "PodLabels": …}` when it is a pod.
///
/// # Panics
///
/// When there is no judge, or it cannot read one of the texts.
pub fn judge(policies: &str, traffic: &str) -> Vec<bool> {
    let folder = match tempfile::tempdir() {
        Ok(folder) => folder,
        Err(error) => panic!("cannot make a folder: {error}"),
    };
    let (policy_path, traffic_path) = (
        folder.path().join("policies.json"),
        folder.path().join("traffic.json"),
    );
    let written =
        fs::write(&policy_path, policies).and_then(|()| fs::write(&traffic_path, traffic));
    if let Err(error) = written {
        panic!("cannot write to {}: {error}", folder.path().display());
    }
    let output = Command::new(program())
        .args(["analyze", "--mode", "query-traffic", "--policy-path"])
        .arg(&policy_path)
        .arg("--traffic-path")
        .arg(&traffic_path)
        .stdin(Stdio::null())
        .output();
    let output = match output {
        Ok(output) => output,
        Err(error) => panic!("cannot start {PROGRAM}: {error}"),
    };
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{PROGRAM} cannot read what it is given:\n{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    verdicts(&text)
}

/// The last row of the table of each connection: `| IS ALLOWED? |  TRUE  | …`.
fn verdicts(text: &str) -> Vec<bool> {
    text.lines()
        .filter_map(|line| line.strip_prefix("| IS ALLOWED?"))
        .map(|rest| match rest.trim_matches(['|', ' ']) {
            "TRUE" => true,
            "FALSE" => false,
            other => panic!("{PROGRAM} says neither yes nor no: {other}"),
        })
        .collect()
}
