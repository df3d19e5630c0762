//! `mlops-core` and `mlops-catalog` hold data and functions only: nothing below them opens a socket, runs a task or
//! speaks a protocol.

use crate::cargo;

/// Runtimes and clients; a trailing `-` stands for every crate whose name starts so.
const IMPURE: &[&str] = &[
    "async-std",
    "aws-",
    "hyper",
    "hyper-util",
    "kube",
    "kube-",
    "mio",
    "native-tls",
    "openssl",
    "openssl-sys",
    "reqwest",
    "rustls",
    "smol",
    "socket2",
    "tokio",
    "tokio-postgres",
    "tonic",
    "ureq",
];

/// The names of all crates below `package`, itself first; features on, so that none hides behind one.
fn below(package: &str) -> Vec<String> {
    let text = cargo(&[
        "tree",
        "--package",
        package,
        "--all-features",
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ]);
    let mut names: Vec<String> = text
        .lines()
        .filter_map(|line| Some(line.split_whitespace().next()?.to_owned()))
        .collect();
    assert_eq!(names.first().map(String::as_str), Some(package));
    names.sort();
    names.dedup();
    names
}

fn impure(names: &[String]) -> Vec<&str> {
    let is = |name: &str| {
        IMPURE.iter().any(|bad| {
            if bad.ends_with('-') {
                name.starts_with(bad)
            } else {
                name == *bad
            }
        })
    };
    names
        .iter()
        .map(String::as_str)
        .filter(|name| is(name))
        .collect()
}

#[test]
fn core_is_pure() {
    let names = below("mlops-core");
    assert!(
        names.iter().any(|name| name == "serde"),
        "the list is not one of dependencies: {names:?}"
    );
    assert_eq!(impure(&names), [""; 0]);
}

#[test]
fn the_catalogue_is_pure() {
    let names = below("mlops-catalog");
    assert!(
        names.iter().any(|name| name == "mlops-core"),
        "the catalogue stands on core: {names:?}"
    );
    assert_eq!(impure(&names), [""; 0]);
}

/// The same question asked of a crate that does open sockets, so that an empty answer above means something.
#[test]
fn the_question_finds_what_is_impure() {
    let names = below("mlops-storage");
    let found = impure(&names);
    for expected in ["aws-sdk-s3", "mio", "tokio", "tokio-postgres"] {
        assert!(
            found.contains(&expected),
            "{expected} is missing in {found:?}"
        );
    }
}
