//! Wrong platform files and wrong component files with their exact messages.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use mlops_catalog::{Catalog, load};
use mlops_core::Diagnostics;

/// With `UPDATE_GOLDEN` in the environment the messages are written instead of compared; look at the difference then.
fn check(folder: &str, least: usize, explain: impl Fn(&str) -> Option<Diagnostics>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut differing = Vec::new();
    let mut count = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let golden = path.with_extension("stderr");
        if path
            .extension()
            .is_some_and(|extension| extension == "stderr")
        {
            assert!(
                path.with_extension("yaml").exists(),
                "{} belongs to no file",
                path.display()
            );
            continue;
        }
        count += 1;
        let text = fs::read_to_string(&path).unwrap();
        let Some(wrong) = explain(&text) else {
            panic!("{} is not wrong", path.display());
        };
        let wrong = format!("{wrong}\n");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&golden, &wrong).unwrap();
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        if wrong != expected {
            differing.push(format!(
                "== {}\n{wrong}-- expected\n{expected}",
                path.display()
            ));
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
    assert!(count >= least, "only {count} wrong files");
}

#[test]
fn wrong_platforms_have_these_messages() {
    let catalog = Catalog::embedded();
    check("tests/wrong", 35, |text| {
        load("platform.yaml", text, &catalog).err()
    });
}

#[test]
fn wrong_components_have_these_messages() {
    let platform = "name: demo\ncomponents:\n  echo: {}\n";
    check("tests/wrong_components", 45, |text| {
        let files = BTreeMap::from([(PathBuf::from("echo/component.yaml"), text.to_owned())]);
        let catalog = Catalog::embedded().with_folder(files).unwrap();
        load("platform.yaml", platform, &catalog).err()
    });
}

#[test]
fn wrong_components_of_a_cluster_have_these_messages() {
    let platform = "name: demo\ntarget: cluster\ncomponents:\n  echo: {}\n";
    check("tests/wrong_cluster_components", 14, |text| {
        let files = BTreeMap::from([(PathBuf::from("echo/component.yaml"), text.to_owned())]);
        let catalog = Catalog::embedded().with_folder(files).unwrap();
        load("platform.yaml", platform, &catalog).err()
    });
}
