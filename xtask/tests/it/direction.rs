//! Which member of the workspace may depend on which.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::cargo;

/// The crates in order; a crate depends only on crates of lower floors, and only on those named here.
///
/// ```text
/// bins, examples, benches -> mlops-cli -> mlops -> { catalog, storage, serving, k8s, local } -> mlops-core
///                                                                              local -> mlops-s3-server
/// ```
const MAY: &[(&str, &[&str])] = &[
    ("mlops-core", &[]),
    ("mlops-s3-server", &[]),
    ("mlops-catalog", &["mlops-core"]),
    ("mlops-storage", &["mlops-core"]),
    ("mlops-serving", &["mlops-core"]),
    ("mlops-k8s", &["mlops-core"]),
    ("mlops-local", &["mlops-core", "mlops-s3-server"]),
    ("mlops-test-cache", &[]),
    ("mlops-testkit", &["mlops-core", "mlops-test-cache"]),
    (
        "mlops",
        &[
            "mlops-core",
            "mlops-catalog",
            "mlops-storage",
            "mlops-serving",
            "mlops-k8s",
            "mlops-local",
        ],
    ),
    ("mlops-cli", LIBRARIES),
    ("mlops-bin", ABOVE_CLI),
    ("mlops-apply-bin", ABOVE_CLI),
    ("mlops-explain-bin", ABOVE_CLI),
    ("mlops-preflight-bin", ABOVE_CLI),
    ("mlops-examples", ABOVE_CLI),
    ("mlops-bench", ABOVE_CLI),
    ("xtask", &["mlops-catalog", "mlops-test-cache"]),
];

const LIBRARIES: &[&str] = &[
    "mlops",
    "mlops-core",
    "mlops-catalog",
    "mlops-storage",
    "mlops-serving",
    "mlops-k8s",
    "mlops-local",
];

const ABOVE_CLI: &[&str] = &[
    "mlops-cli",
    "mlops",
    "mlops-core",
    "mlops-catalog",
    "mlops-storage",
    "mlops-serving",
    "mlops-k8s",
    "mlops-local",
    "mlops-k8s",
    "mlops-s3-server",
];

/// Tests may use these everywhere: the kit, and the S3 server as one to test against.
const IN_TESTS: &[&str] = &["mlops-testkit", "mlops-s3-server"];

#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
    /// Absent for a normal dependency.
    kind: Option<String>,
    /// Present for a member of the workspace.
    path: Option<String>,
}

/// Every arrow of `packages` that `MAY` does not allow, in words.
fn wrong_arrows(packages: &[Package]) -> Vec<String> {
    let may: BTreeMap<&str, &[&str]> = MAY.iter().copied().collect();
    let mut wrong = Vec::new();
    for package in packages {
        let Some(allowed) = may.get(package.name.as_str()) else {
            wrong.push(format!("{} has no place in the order", package.name));
            continue;
        };
        for dependency in package.dependencies.iter().filter(|one| one.path.is_some()) {
            let in_tests = dependency.kind.as_deref() == Some("dev");
            let name = dependency.name.as_str();
            let fine = allowed.contains(&name)
                || in_tests && (IN_TESTS.contains(&name) || name == package.name);
            if !fine {
                let kind = dependency.kind.as_deref().unwrap_or("normal");
                wrong.push(format!("{} -> {} ({kind})", package.name, dependency.name));
            }
        }
    }
    wrong
}

#[test]
fn arrows_point_one_way() {
    let text = cargo(&["metadata", "--format-version", "1", "--no-deps"]);
    let metadata: Metadata = serde_json::from_str(&text).unwrap();
    let names: BTreeSet<&str> = metadata
        .packages
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    for (name, _) in MAY {
        assert!(
            names.contains(name),
            "{name} is in the order and not in the workspace"
        );
    }
    assert_eq!(wrong_arrows(&metadata.packages), [""; 0]);
}

#[test]
fn the_order_itself_has_no_way_back() {
    let mut below: BTreeSet<&str> = BTreeSet::new();
    for (name, allowed) in MAY {
        for other in *allowed {
            assert!(
                below.contains(other),
                "{name} may use {other}, which comes later"
            );
        }
        below.insert(name);
    }
}

#[test]
fn a_wrong_arrow_is_told() {
    let arrow = |from: &str, to: &str, kind: Option<&str>| Package {
        name: from.to_owned(),
        dependencies: vec![Dependency {
            name: to.to_owned(),
            kind: kind.map(str::to_owned),
            path: Some(format!("/crates/{to}")),
        }],
    };
    let packages = [
        arrow("mlops-storage", "mlops-serving", None),
        arrow("mlops-core", "mlops-testkit", Some("dev")),
        arrow("mlops-local", "mlops-testkit", None),
        arrow("mlops-core", "mlops", Some("dev")),
        arrow("newcomer", "mlops-core", None),
    ];
    assert_eq!(
        wrong_arrows(&packages),
        [
            "mlops-storage -> mlops-serving (normal)",
            "mlops-local -> mlops-testkit (normal)",
            "mlops-core -> mlops (dev)",
            "newcomer has no place in the order",
        ]
    );
}
