//! The catalogue that is part of the program is whole and right.

use std::fs;
use std::path::Path;

use mlops_catalog::Catalog;

#[test]
fn every_file_of_the_folders_is_embedded() {
    let catalog = Catalog::embedded();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let names = |folder: &str| -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(root.join(folder))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        names.sort();
        names
    };
    assert_eq!(
        catalog.component_names().collect::<Vec<_>>(),
        names("components")
    );
    assert_eq!(
        catalog.profile_names().collect::<Vec<_>>(),
        names("profiles")
    );
    assert_eq!(catalog.sample_names().collect::<Vec<_>>(), names("samples"));
    let list = fs::read_to_string(root.join("src/embedded.rs")).unwrap();
    for component in names("components") {
        for folder in ["objects", "files"] {
            let folder = format!("components/{component}/{folder}");
            let Ok(files) = fs::read_dir(root.join(&folder)) else {
                continue;
            };
            for file in files {
                let file = file.unwrap().file_name().into_string().unwrap();
                let path = format!("\"{folder}/{file}\"");
                assert!(list.contains(&path), "{path} is not embedded");
            }
        }
        let count = catalog.objects(&component).count();
        assert!(count > 0, "{component} has no objects");
    }
}

#[test]
fn every_component_is_right_and_has_a_page_that_tells_what_it_has() {
    let catalog = Catalog::embedded();
    for name in catalog.component_names() {
        let component = catalog
            .component(name)
            .unwrap_or_else(|wrong| panic!("{wrong}"))
            .unwrap();
        let page = catalog.docs(name).unwrap();
        assert!(
            page.starts_with(&format!("# {}\n", component.title)),
            "{name}"
        );
        let cluster = component.cluster.as_ref().unwrap();
        for setting in component.settings.keys().chain(cluster.settings.keys()) {
            assert!(
                page.contains(&format!("`{setting}`")),
                "{name} does not tell of the setting {setting}"
            );
        }
        for secret in component.secrets.keys() {
            assert!(
                page.contains(&format!("`{name}/{secret}`")),
                "{name} does not tell of the secret {secret}"
            );
        }
        for service in component.services.keys() {
            assert!(
                page.contains(&format!("`{service}`")),
                "{name} does not tell of the service {service}"
            );
        }
        for binding in component.bindings.keys() {
            assert!(
                page.contains(&format!("`{binding}`")),
                "{name} does not tell of the binding {binding}"
            );
        }
        for heading in ["## What it installs", "## What stays", "## Sources"] {
            assert!(page.contains(heading), "{name} has no heading {heading}");
        }
    }
}

#[test]
fn every_profile_and_sample_is_right() {
    let catalog = Catalog::embedded();
    for name in catalog.profile_names() {
        assert!(
            catalog
                .profile(name)
                .unwrap_or_else(|wrong| panic!("{wrong}"))
                .is_some()
        );
    }
    for name in catalog.sample_names() {
        assert!(
            catalog
                .sample(name)
                .unwrap_or_else(|wrong| panic!("{wrong}"))
                .is_some()
        );
    }
}

#[test]
fn the_component_schema_describes_every_field() {
    let schema = Catalog::component_schema();
    let mut objects: Vec<&serde_json::Value> =
        schema["$defs"].as_object().unwrap().values().collect();
    objects.push(&schema);
    for object in objects {
        let properties = object.get("properties").and_then(|all| all.as_object());
        for (name, property) in properties.into_iter().flatten() {
            assert!(
                property.get("description").is_some(),
                "{name} has no description"
            );
        }
    }
}
