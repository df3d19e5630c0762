//! No text makes validation panic, and no problem points out of its file.

use mlops_k8s::validate::{Input, Presence, Validator, Version};
use proptest::prelude::*;

use crate::validate_corpus::files;

fn check(text: &str) {
    for version in Version::ALL {
        let problems = Validator::new(version).check(
            &[Input {
                source: "any.yaml",
                text,
            }],
            |_| Presence::Unknown,
        );
        for problem in problems {
            let shown = problem.to_string();
            assert!(
                !shown.chars().any(|c| c.is_control() && c != '\n'),
                "{shown:?}"
            );
            if let Some(line) = problem.line {
                let lines = u64::try_from(text.lines().count()).unwrap();
                assert!(line >= 1 && line <= lines + 1, "{shown}");
            }
        }
    }
}

/// A manifest of either corpus with some of its lines taken out, doubled, exchanged or changed.
fn mutated() -> impl Strategy<Value = String> {
    let texts: Vec<String> = ["validate_wrong", "validate_right"]
        .iter()
        .flat_map(|folder| files(folder))
        .map(|(_, text)| text)
        .collect();
    let change = (any::<prop::sample::Index>(), 0_u8..6, "\\PC{0,6}");
    (
        prop::sample::select(texts),
        prop::collection::vec(change, 1..6),
    )
        .prop_map(|(text, changes)| {
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            for (index, what, word) in changes {
                if lines.is_empty() {
                    break;
                }
                let at = index.index(lines.len());
                match what {
                    0 => drop(lines.remove(at)),
                    1 => lines.insert(at, lines[at].clone()),
                    2 => lines.swap(0, at),
                    3 => lines[at].push_str(&word),
                    4 => {
                        let end = lines[at].find(':').map_or(0, |colon| colon + 1);
                        lines[at].replace_range(end.., &format!(" {word}"));
                    }
                    _ => lines[at] = lines[at].replace("- ", "  "),
                }
            }
            lines.join("\n")
        })
}

fn value() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::Value;
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    let keys = [
        "metadata",
        "name",
        "labels",
        "spec",
        "template",
        "containers",
        "ports",
        "selector",
        "env",
        "matchLabels",
        "resources",
        "limits",
        "volumes",
        "data",
        "rules",
        "x",
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(prop::sample::select(keys.to_vec()), inner, 0..6).prop_map(
                |map| map
                    .into_iter()
                    .map(|(key, value)| (key.to_owned(), value))
                    .collect()
            ),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_text(text in "(?s).{0,200}") {
        check(&text);
    }

    #[test]
    fn any_text_in_lines(text in "([a-zA-Z]{0,6}:? ?[-\\[\\]{}'\"|>&*#!%@0-9]{0,3}[ \n]{0,3}){0,20}") {
        check(&text);
    }

    #[test]
    fn manifests_that_someone_broke(text in mutated()) {
        check(&text);
    }

    #[test]
    fn any_value_of_any_kind(kind in prop::sample::select(vec![
        ("v1", "Pod"), ("v1", "Service"), ("v1", "Secret"), ("apps/v1", "StatefulSet"), ("batch/v1", "CronJob"),
        ("networking.k8s.io/v1", "Ingress"), ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
        ("rbac.authorization.k8s.io/v1", "RoleBinding"), ("example.org/v1", "Thing"), ("v1", "Nothing"),
    ]), value in value()) {
        let mut object = serde_json::json!({"apiVersion": kind.0, "kind": kind.1});
        if let Some(map) = value.as_object() {
            object.as_object_mut().unwrap().extend(map.clone());
        }
        for problem in Validator::new(Version::LATEST).check_values(&[object, value], |_| Presence::Absent) {
            prop_assert!(!problem.message.is_empty());
        }
    }
}
