//! Wrong manifests with their exact messages, and right ones without any.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use mlops_k8s::validate::{Input, Presence, Problem, Reference, Severity, Validator, Version};

pub(crate) fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it")
        .join(name)
}

/// The files of a folder by their names without ending, in order.
pub(crate) fn files(folder_name: &str) -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = fs::read_dir(folder(folder_name))
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

/// What the comment in the first line of a wrong manifest says.
pub(crate) fn header(text: &str) -> &str {
    text.lines()
        .next()
        .filter(|line| line.starts_with('#'))
        .unwrap_or_default()
}

fn check_wrong(text: &str) -> Vec<Problem> {
    let header = header(text);
    let version = if header.contains("for 1.33") {
        Version::V1_33
    } else {
        Version::V1_35
    };
    let presence = if header.contains("absent") {
        Presence::Absent
    } else {
        Presence::Unknown
    };
    let input = Input {
        source: "objects.yaml",
        text,
    };
    Validator::new(version).check(&[input], |_| presence)
}

/// With `UPDATE_GOLDEN` in the environment the messages are written instead of compared; look at the difference then.
#[test]
fn wrong_manifests_have_these_messages() {
    let files = files("validate_wrong");
    assert!(files.len() >= 60, "only {} wrong manifests", files.len());
    let mut differing = Vec::new();
    for (name, text) in &files {
        let problems = check_wrong(text);
        assert!(!problems.is_empty(), "{name} is not wrong");
        let mut shown = String::new();
        for problem in &problems {
            writeln!(shown, "{problem}\n").unwrap();
        }
        let json = serde_json::to_string(&problems).unwrap();
        for text in [&shown, &json] {
            assert!(
                !text.contains("never-shown"),
                "{name} shows a secret:\n{text}"
            );
            assert!(!text.contains('\u{1b}'), "{name} moves the cursor:\n{text}");
        }
        assert_eq!(
            serde_json::from_str::<Vec<Problem>>(&json).unwrap(),
            problems
        );
        let golden = folder("validate_wrong").join(format!("{name}.stderr"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&golden, &shown).unwrap();
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        if shown != expected {
            differing.push(format!("== {name}\n{shown}-- expected\n{expected}"));
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

#[test]
fn every_message_has_its_manifest_and_none_is_left_over() {
    let names: Vec<String> = files("validate_wrong")
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    for entry in fs::read_dir(folder("validate_wrong")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(
            names.iter().any(|known| known == name),
            "{} is left over",
            path.display()
        );
    }
}

#[test]
fn right_manifests_have_no_problem_in_any_version() {
    let files = files("validate_right");
    assert!(files.len() >= 15, "only {} right manifests", files.len());
    for (name, text) in &files {
        for version in Version::ALL {
            let problems = Validator::new(version)
                .check(&[Input { source: name, text }], |_| Presence::Unknown);
            let shown: Vec<String> = problems.iter().map(ToString::to_string).collect();
            assert!(
                problems.is_empty(),
                "{name} in {version}:\n{}",
                shown.join("\n\n")
            );
        }
    }
}

/// A set may lie in several files, and may come as values; then there are no places.
#[test]
fn files_are_one_set_and_values_are_another_way_in() {
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec:\n  selector: {app: web}\n  ports: [{port: 80}]\n";
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: web, labels: {app: web}}\nspec:\n  containers: [{name: web, image: web}]\n";
    let validator = Validator::new(Version::LATEST).with_namespace("demo");
    let inputs = [
        Input {
            source: "a.yaml",
            text: service,
        },
        Input {
            source: "b.yaml",
            text: pod,
        },
    ];
    let known = |reference: &Reference| match reference {
        Reference::Object {
            kind,
            namespace,
            name,
            ..
        } => {
            assert_eq!(
                (kind.as_str(), namespace, name.as_str()),
                ("Namespace", &None, "demo")
            );
            Presence::Here
        }
        other => panic!("{other}"),
    };
    assert_eq!(validator.check(&inputs, known), []);

    let values: Vec<serde_json::Value> = [service, &pod.replace("image", "imgae")]
        .iter()
        .map(|text| serde_saphyr::from_str(text).unwrap())
        .collect();
    let problems = validator.check_values(&values, known);
    let found: Vec<(&str, &str, Option<u64>)> = problems
        .iter()
        .map(|problem| (problem.path.as_str(), problem.object.as_str(), problem.line))
        .collect();
    assert_eq!(
        found,
        [
            ("spec.containers[0].imgae", "Pod demo/web", None),
            ("spec.containers[0]", "Pod demo/web", None),
        ]
    );
    assert!(
        problems
            .iter()
            .all(|problem| problem.severity == Severity::Error)
    );
}

#[test]
fn what_is_elsewhere_is_asked_for_once_and_with_its_keys() {
    let pod = |name: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  containers:\n  - name: a\n    image: a\n    env:\n    - {{name: A, valueFrom: {{secretKeyRef: {{name: login, key: user}}}}}}\n"
        )
    };
    let text = format!("{}---\n{}", pod("a"), pod("b"));
    let asked = std::cell::RefCell::new(Vec::new());
    let validator = Validator::new(Version::LATEST);
    let problems = validator.check(
        &[Input {
            source: "x",
            text: &text,
        }],
        |reference| {
            asked.borrow_mut().push(reference.to_string());
            match reference {
                Reference::Key { .. } => Presence::Absent,
                _ => Presence::Here,
            }
        },
    );
    assert_eq!(
        asked.into_inner(),
        [
            "Secret `default/login`",
            "key `user` of Secret `default/login`"
        ]
    );
    let messages: Vec<&str> = problems
        .iter()
        .map(|problem| problem.message.as_str())
        .collect();
    let expected = "key `user` of Secret `default/login` is neither in this set nor in the cluster";
    assert_eq!(messages, [expected, expected]);
}

#[test]
fn too_much_is_told_before_anything_is_written() {
    let config_map = |size: usize| {
        serde_json::json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "large"},
            "data": {"a": "x".repeat(size)},
        })
    };
    let validator = Validator::new(Version::LATEST);
    let check = |size| validator.check_values(&[config_map(size)], |_| Presence::Here);
    assert_eq!(check(1 << 20), []);
    assert_eq!(
        check((1 << 20) + 1)[0].message,
        "the values have 1048577 bytes, and a `ConfigMap` takes at most 1048576"
    );
    assert!(
        check(3 << 19)[1]
            .message
            .contains("the store takes at most 1572864")
    );

    let annotated = serde_json::json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "large", "annotations": {"a": "x".repeat(256 << 10)}},
    });
    let problems = validator.check_values(&[annotated], |_| Presence::Here);
    assert_eq!(
        problems[0].message,
        "the annotations have 262145 bytes, and at most 262144 are allowed"
    );
}

/// A thousand objects of the right manifests, which are the usual mix, in the time that a person does not notice.
#[test]
fn a_thousand_objects_are_checked_quickly() {
    let text: String = files("validate_right")
        .into_iter()
        .map(|(_, text)| text + "\n---\n")
        .collect();
    let one = text.matches("\nkind: ").count();
    let times = 1000_usize.div_ceil(one);
    let names: Vec<String> = (0..times).map(|number| format!("{number}.yaml")).collect();
    // Other names, or all but the first are there twice.
    let texts: Vec<String> = (0..times)
        .map(|number| text.replace("right-", &format!("right-{number}-")))
        .collect();
    let inputs: Vec<Input<'_>> = names
        .iter()
        .zip(&texts)
        .map(|(source, text)| Input { source, text })
        .collect();
    let start = Instant::now();
    let problems = Validator::new(Version::LATEST).check(&inputs, |_| Presence::Here);
    let took = start.elapsed();
    println!(
        "{} objects, {} problems: {took:?}",
        one * times,
        problems.len()
    );
    assert!(took.as_secs() < 20, "{took:?}");
}
