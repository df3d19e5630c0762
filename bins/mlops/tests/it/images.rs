//! `mlops images` without a cluster.

use mlops_testkit::kubernetes::tools;
use serde_json::{Value, json};

use crate::support::World;

/// Any digest.
const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

#[test]
fn images_are_listed_without_a_cluster() {
    let world = World::new();
    world.write(
        "platform.yaml",
        "name: demo\ntarget: cluster\nimages:\n  localhost/mlops-s3: registry.example.org/s3\n  \
         localhost/mlops: registry.example.org/tools\n  \
         localhost/mlops-postgres: registry.example.org/pg:15@DIGEST\n"
            .replace("DIGEST", DIGEST)
            .as_str(),
    );
    let text = world.run(&["images", "--offline"]);
    assert_eq!((text.code, text.err.as_str()), (Some(0), ""));
    let lines: Vec<String> = text
        .out
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    let tools = format!("registry.example.org/tools:{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(
        lines,
        [
            "IMAGE IN PLACE OF USED BY DIGEST",
            "localhost/mlops-python:3.17.2 - mlflow/migration mlflow/server model-server/server -",
            &format!(
                "registry.example.org/pg:15@{DIGEST} localhost/mlops-postgres:15 postgres/server {DIGEST}"
            ),
            "registry.example.org/s3:1.8.0 localhost/mlops-s3:1.8.0 s3/server -",
            &format!("{tools} {} mlops/check -", tools::TOOLS),
        ]
    );
    let listed = world.run(&["images", "--offline", "--output", "json"]);
    let listed: Value = serde_json::from_str(&listed.out).unwrap();
    let s3 = &listed["images"].as_array().unwrap()[2];
    assert_eq!(s3["image"], "registry.example.org/s3:1.8.0");
    assert_eq!(s3["original"], "localhost/mlops-s3:1.8.0");
    assert_eq!(
        s3["used_by"],
        json!([{ "component": "s3", "object": "statefulset.s3", "container": "server" }])
    );

    // That a cluster could not be asked is said, and is not the same as no digest.
    let asked = world.run(&["images", "--output", "json"]);
    assert_eq!(asked.code, Some(0), "{}", asked.err);
    let asked: Value = serde_json::from_str(&asked.out).unwrap();
    assert!(
        asked["unasked"]["message"]
            .as_str()
            .unwrap()
            .contains("failed to"),
        "{asked}"
    );

    world.write("local.yaml", "name: demo\n");
    let local = world.run(&["images", "-f", "local.yaml"]);
    assert_eq!(
        local.out,
        "Platform `demo` runs on this machine: it has no images.\n"
    );
    let inside = world.run(&["check", "--in-cluster", "-f", "local.yaml"]);
    assert_eq!(inside.code, Some(2), "{}", inside.err);
}
