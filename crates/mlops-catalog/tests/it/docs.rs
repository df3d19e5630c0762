//! The examples of `docs/platform-file.md` and `docs/components.md` are right.

use std::collections::BTreeMap;
use std::path::PathBuf;

use mlops_catalog::{Catalog, load};

const PLATFORM_FILE: &str = include_str!("../../../../docs/platform-file.md");
const COMPONENTS: &str = include_str!("../../../../docs/components.md");

/// The texts between the marks of YAML.
fn blocks(page: &str) -> Vec<&str> {
    let blocks: Vec<&str> = page
        .split("```yaml\n")
        .skip(1)
        .filter_map(|rest| rest.split_once("```"))
        .map(|(block, _)| block)
        .collect();
    assert!(!blocks.is_empty());
    blocks
}

fn loads(text: &str, catalog: &Catalog) {
    if let Err(wrong) = load("platform.yaml", text, catalog) {
        panic!("{wrong}\n{text}");
    }
}

#[test]
fn of_the_platform_file() {
    for block in blocks(PLATFORM_FILE) {
        loads(block, &Catalog::embedded());
    }
}

#[test]
fn of_components() {
    let (files, platforms): (Vec<&str>, Vec<&str>) = blocks(COMPONENTS)
        .into_iter()
        .partition(|block| block.starts_with("# "));
    let files: BTreeMap<PathBuf, String> = files
        .into_iter()
        .map(|block| {
            let path = block.lines().next().unwrap().trim_start_matches("# ");
            (path.into(), block.to_owned())
        })
        .collect();
    assert_eq!(files.len(), 3);
    let catalog = Catalog::embedded().with_folder(files).unwrap();
    for platform in platforms {
        loads(platform, &catalog);
    }
    loads("name: demo\nprofile: storage\n", &catalog);
    let everything = "name: demo\ncomponents:\n  notes: { size: large }\n";
    loads(everything, &catalog);
    let everything = "name: demo\ntarget: cluster\ncomponents:\n  notes: { size: large }\n";
    loads(everything, &catalog);
}

/// Every key of the types is on its page.
#[test]
fn no_key_is_forgotten() {
    let schema = mlops_core::Platform::schema();
    let component = Catalog::component_schema();
    for (schema, page) in [(schema, PLATFORM_FILE), (component, COMPONENTS)] {
        let mut all = vec![&schema];
        all.extend(schema["$defs"].as_object().unwrap().values());
        for one in all {
            let keys = one["properties"].as_object().into_iter().flatten();
            for (key, _) in keys {
                assert!(page.contains(key.as_str()), "`{key}` is not on its page");
            }
        }
    }
}
