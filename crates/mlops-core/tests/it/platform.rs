//! The platform file: wrong ones with their exact messages, right ones, and properties of both.

use std::fs;
use std::path::{Path, PathBuf};

use mlops_core::platform::{Port, Source};
use mlops_core::{Error, ErrorKind, Platform};
use proptest::prelude::*;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wrong")
}

fn wrong_files() -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(&path).unwrap())
        })
        .collect();
    files.sort();
    files
}

/// With `UPDATE_GOLDEN` in the environment the messages are written instead of compared; look at the difference then.
#[test]
fn wrong_files_have_these_messages() {
    let files = wrong_files();
    assert!(files.len() >= 60, "only {} wrong files", files.len());
    let mut differing = Vec::new();
    for (name, text) in &files {
        let wrong = match Platform::parse("platform.yaml", text) {
            Ok(platform) => panic!("{name} is not wrong: {platform:?}"),
            Err(wrong) => format!("{wrong}\n"),
        };
        assert!(
            !wrong.contains("never-shown"),
            "{name} shows a secret:\n{wrong}"
        );
        let golden = folder().join(format!("{name}.stderr"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&golden, &wrong).unwrap();
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        if wrong != expected {
            differing.push(format!("== {name}\n{wrong}-- expected\n{expected}"));
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

#[test]
fn every_message_has_its_file_and_none_is_left_over() {
    let names: Vec<String> = wrong_files().into_iter().map(|(name, _)| name).collect();
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        assert!(
            names.contains(&stem),
            "{} belongs to no file",
            path.display()
        );
    }
}

#[test]
fn diagnostics_are_data_and_the_cause_of_an_error() {
    let wrong = Platform::parse("platform.yaml", "name: demo\nsise: small\n").unwrap_err();
    let json = serde_json::to_value(&wrong).unwrap();
    assert_eq!(
        json,
        serde_json::json!([{
            "path": "platform.yaml", "line": 2, "column": 1,
            "message": "unknown key `sise`", "hint": "did you mean `size`?",
            "snippet": { "text": "sise: small", "start": 0, "width": 4 },
        }])
    );
    let error = Error::from(wrong);
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(error.to_string(), "failed to understand `platform.yaml`");
    assert!(error.causes()[0].contains("did you mean"));
}

#[test]
fn the_size_of_a_file_is_bounded() {
    let text = format!("name: demo\n{}", "# comment\n".repeat(500_000));
    let wrong = Platform::parse("platform.yaml", &text).unwrap_err();
    assert!(wrong.to_string().contains("at most"), "{wrong}");
}

#[test]
fn a_file_with_everything_is_read_and_survives_json() {
    let text = include_str!("everything.yaml");
    let platform = Platform::parse("platform.yaml", text).unwrap_or_else(|wrong| panic!("{wrong}"));
    assert_eq!(
        platform.ports.values().next().copied().map(Port::get),
        Some(5000)
    );
    let json = serde_json::to_string(&platform).unwrap();
    let mut back: Platform = serde_json::from_str(&json).unwrap();
    back.source = platform.source.clone();
    assert_eq!(back, platform);
}

#[test]
fn what_is_said_of_a_cluster_is_read_and_survives_json() {
    let text = "name: demo\ntarget: cluster\n\
        cluster: { namespace: team-a, context: a@b, kubeconfig: k/c, storage_class: fast.v2, image_pull_secrets: [registry] }\n\
        images: { localhost/mlops-s3: 'registry.example.org:5000/s3@sha256:";
    let text = format!("{text}{}' }}\n", "ab".repeat(32));
    let platform =
        Platform::parse("platform.yaml", &text).unwrap_or_else(|wrong| panic!("{wrong}"));
    assert_eq!(platform.target.as_str(), "cluster");
    assert_eq!(platform.namespace(), "team-a");
    let json = serde_json::to_string(&platform).unwrap();
    let mut back: Platform = serde_json::from_str(&json).unwrap();
    back.source = platform.source.clone();
    assert_eq!(back, platform);
    let other = Platform::parse("platform.yaml", "name: demo\ntarget: cluster\n").unwrap();
    assert_eq!(other.namespace(), "demo");
}

/// The commented lines of the example are right too.
#[test]
fn the_example_with_its_comments_taken_away_is_right() {
    let name = "demo".parse().unwrap();
    let text = Platform::example(&name, "local", "schema.json");
    Platform::parse("platform.yaml", &text).unwrap_or_else(|wrong| panic!("{wrong}"));
    let is_yaml = |line: &str| line.ends_with(':') || line.contains(": ") || line.contains("- ");
    let open: Vec<&str> = text
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest) if is_yaml(rest) && !rest.starts_with(|c: char| c.is_uppercase()) => rest,
            _ => line,
        })
        .filter(|line| !line.starts_with("yaml-language-server"))
        .collect();
    let platform = Platform::parse("platform.yaml", &open.join("\n"))
        .unwrap_or_else(|wrong| panic!("{wrong}\n{}", open.join("\n")));
    assert_eq!(platform.external.len(), 2);
    assert_eq!(platform.models.as_ref().map(Vec::len), Some(1));
    assert_eq!(platform.adopt.len(), 1);
    assert!(platform.local.python.is_some());
    assert_eq!(platform.namespace(), "demo");
    assert!(platform.cluster.kubeconfig.is_some());
    assert_eq!(platform.cluster.image_pull_secrets.len(), 1);
    assert_eq!(platform.images.len(), 1);
}

#[test]
fn the_schema_describes_every_field() {
    let schema = Platform::schema();
    let definitions = schema["$defs"].as_object().unwrap();
    let mut objects: Vec<&serde_json::Value> = definitions.values().collect();
    objects.push(&schema);
    for object in objects {
        let Some(properties) = object.get("properties").and_then(|all| all.as_object()) else {
            continue;
        };
        for (name, property) in properties {
            let is_described = property.get("description").is_some();
            assert!(is_described, "{name} has no description: {property}");
        }
    }
    for name in [
        "Address",
        "ComponentName",
        "ImageName",
        "Model",
        "ModelUri",
        "NamespaceName",
        "Port",
        "PullSecretName",
        "SecretSource",
        "Size",
        "StorageClassName",
    ] {
        assert!(
            definitions.contains_key(name) || schema.to_string().contains(name),
            "{name} is not in the schema"
        );
    }
    assert_eq!(schema["additionalProperties"], false);
}

/// A line of YAML, right or wrong.
fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(vec![
            "name: demo", "size: small", "size: 3", "components:", "  mlflow:", "  mlflow: {}", "    size: large",
            "    settings: { a: 1 }", "    enabled: false", "external:", "  postgres:", "    url: postgresql://h:1",
            "    password: { env: X }", "    password: text", "ports:", "  mlflow: 5000", "  mlflow: 1", "models:",
            "  - name: iris", "    uri: models:/iris@champion", "adopt: [a/b]", "adopt: &a [x]", "local: *a",
            "name: yes", "name: 1", "target: local", "profile: local", "? a", ": b", "---", "- a",
        ]).prop_map(str::to_owned),
        1 => "\\PC{0,30}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Never a panic; a file is right or has at least one message, each at a place that exists; and what is right
    /// by the fast way has nothing wrong by the slow one.
    #[test]
    fn any_text_is_right_or_explained(lines in prop::collection::vec(line(), 0..12)) {
        let text = lines.join("\n");
        match Platform::parse("x", &text) {
            Ok(platform) => prop_assert!(platform.source.is_some()),
            Err(wrong) => {
                prop_assert!(!wrong.is_empty());
                for one in &wrong {
                    if let Some(line) = one.line {
                        prop_assert!(line >= 1 && line <= text.lines().count() as u64 + 1, "{one}");
                    }
                    prop_assert!(!one.message.is_empty());
                }
            }
        }
    }

    /// The two ways of reading agree: a right file with one wrong key more has that one error, and what is left of it
    /// is the file as it was.
    #[test]
    fn one_wrong_key_is_one_error(lines in prop::collection::vec(line(), 0..8)) {
        let text = lines.join("\n");
        // A second document would be a second error, and an anchor, tag or directive before the first key means
        // something else once another key stands before it.
        prop_assume!(!text.contains("---"));
        prop_assume!(!text.lines().any(|line| line.trim_start().starts_with(['&', '!', '%'])));
        if let Ok(platform) = Platform::parse("x", &text) {
            let (left, wrong) = Platform::parse_partly("x", &format!("zzz: 1\n{text}"));
            prop_assert_eq!(wrong.len(), 1, "{}", wrong);
            let mut left = left.unwrap();
            left.source = platform.source.clone();
            prop_assert_eq!(left, platform);
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(text in "\\PC{0,200}") {
        drop(Source::new("x", text).read::<Platform>());
    }
}
