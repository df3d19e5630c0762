//! What the pages say is true as far as a program can tell.

use std::fs;
use std::path::{Path, PathBuf};

use mlops_catalog::{Catalog, load};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The pages for people: at the root, in `docs/`, and of each crate and of the recipes.
fn pages() -> Vec<PathBuf> {
    let listed = |folder: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    };
    let mut pages = listed(&root());
    pages.extend(listed(&root().join("docs")));
    pages.extend(listed(&root().join("examples")));
    let crates = listed(&root().join("crates"));
    pages.extend(crates.iter().flat_map(|folder| listed(folder)));
    pages.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    pages
}

/// The blocks of a page in one language.
fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let opening = format!("```{language}\n");
    let inside = |rest: &'a str| rest.split_once("\n```").map(|(block, _)| block);
    page.split(opening.as_str())
        .skip(1)
        .filter_map(inside)
        .collect()
}

/// The relative targets of a page's links, without anchors.
fn links(page: &str) -> Vec<&str> {
    page.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')').map(|(target, _)| target))
        .filter(|target| !target.contains("://") && !target.starts_with('#'))
        .map(|target| target.split_once('#').map_or(target, |(file, _)| file))
        .collect()
}

#[test]
fn the_platform_file_of_the_readme_resolves() {
    let page = fs::read_to_string(root().join("README.md")).unwrap();
    let files = blocks(&page, "yaml");
    assert_eq!(files.len(), 1, "the front page shows one platform file");
    for file in files {
        let (platform, graph) = load("platform.yaml", file, &Catalog::embedded())
            .unwrap_or_else(|wrong| panic!("{wrong}"));
        assert_eq!(platform.name.as_str(), "demo");
        assert!(graph.find(&"served-model/iris".parse().unwrap()).is_some());
    }
}

#[test]
fn links_lead_somewhere() {
    let mut dead = Vec::new();
    let mut followed = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for link in links(&text) {
            followed += 1;
            if !page.parent().unwrap().join(link).exists() {
                dead.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert_eq!(dead, [""; 0]);
    assert!(followed > 50, "only {followed} links were found");
}

/// Each crate has a page with an example, and its documentation shows it, so that the example is compiled.
#[test]
fn every_crate_has_a_page_with_an_example_that_is_compiled() {
    let crates = fs::read_dir(root().join("crates")).unwrap();
    let mut seen = 0;
    for folder in crates.map(|entry| entry.unwrap().path()) {
        let read = |file: &str| {
            let path = folder.join(file);
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        let page = read("README.md");
        assert!(page.contains("```"), "{}", folder.display());
        let shown = r#"#![doc = include_str!("../README.md")]"#;
        assert!(
            read("src/lib.rs").starts_with(shown),
            "{}",
            folder.display()
        );
        seen += 1;
    }
    assert!(seen > 5, "only {seen} crates were found");
}

/// The paths in backticks that the code map and the reading list name.
#[test]
fn the_files_that_the_architecture_names_exist() {
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let named: Vec<&str> = page
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|text| text.starts_with("crates/") || text.starts_with("xtask/"))
        .collect();
    assert!(named.len() >= 5, "only {named:?} were found");
    let missing: Vec<&&str> = named
        .iter()
        .filter(|path| !root().join(path).exists())
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
