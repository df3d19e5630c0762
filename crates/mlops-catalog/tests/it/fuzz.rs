//! The functions of the fuzz targets, with random texts and on every wrong file that is known.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

#[expect(unreachable_pub, reason = "the fuzz targets see it from outside")]
#[path = "../../../../fuzz/src/targets.rs"]
mod targets;

fn texts(folder: &str) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut texts: Vec<String> = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    texts.sort();
    texts
}

fn platforms() -> Vec<String> {
    let mut all = texts("tests/wrong");
    all.extend(texts("../mlops-core/tests/wrong"));
    all.push(include_str!("../../../mlops-core/tests/it/everything.yaml").to_owned());
    all.push(
        "name: demo\ntarget: cluster\ncluster: { namespace: a }\nimages: { localhost/mlops-s3: a.b/c }\n\
         components: { mlflow: { settings: { replicas: 3, allowed_hosts: 'a: \"b\" {{ c' } } }\n"
            .to_owned(),
    );
    all.push(mlops_core::Platform::example(
        &"demo".parse().unwrap(),
        "local",
        "s.json",
    ));
    all
}

fn components() -> Vec<String> {
    let mut all = texts("tests/wrong_components");
    all.extend(texts("tests/wrong_cluster_components"));
    all.push(include_str!("echo.yaml").to_owned());
    all.push(include_str!("notes.yaml").to_owned());
    all
}

/// One of the texts with a few pieces cut out, doubled, moved or replaced.
fn mutated(seeds: Vec<String>) -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            ":", "- ", "{", "}", "[", "]", "\n", "  ", "\"", "'", "|", "&a ", "*a", "#", "? ",
            "---\n", "<<: ", "{{", "}}", "null", "0", "-1", "1e999", "\t", "\r\n", "\u{85}",
            "\u{feff}", "é🦀", "!!str ", "!x ", "\0",
        ])
        .prop_map(str::to_owned),
        "\\PC{0,5}",
    ];
    let change = (any::<prop::sample::Index>(), 0_usize..12, piece);
    (
        prop::sample::select(seeds),
        prop::collection::vec(change, 0..4),
    )
        .prop_map(|(text, changes)| {
            let mut text: Vec<char> = text.chars().collect();
            for (at, cut, piece) in changes {
                let at = at.index(text.len() + 1);
                let end = (at + cut).min(text.len());
                text.splice(at..end, piece.chars());
            }
            text.into_iter().collect()
        })
}

#[test]
fn every_known_file_passes() {
    for text in platforms() {
        targets::platform_file(&text);
    }
    for text in components() {
        targets::component_file(&text);
    }
    mlops_core::Plan::from_json(include_str!("plan.json")).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn a_platform_file(text in mutated(platforms())) {
        targets::platform_file(&text);
    }

    #[test]
    fn a_component_file(text in mutated(components())) {
        targets::component_file(&text);
    }

    #[test]
    fn a_saved_plan(text in mutated(vec![
        include_str!("plan.json").to_owned(),
        include_str!("plan.json").to_owned(),
    ])) {
        targets::saved_plan(&text);
    }
}
