//! A user's own folder of components.

use std::collections::BTreeMap;
use std::path::PathBuf;

use mlops_catalog::{Catalog, load};
use mlops_core::process::ProcessSpec;

const ECHO: &str = include_str!("echo.yaml");

fn files(all: &[(&str, &str)]) -> BTreeMap<PathBuf, String> {
    all.iter()
        .map(|(path, text)| (PathBuf::from(path), (*text).to_owned()))
        .collect()
}

#[test]
fn a_component_is_added_without_rust() {
    let catalog = Catalog::embedded()
        .with_folder(files(&[
            ("mine/echo/component.yaml", ECHO),
            ("mine/notes.txt", "not read"),
        ]))
        .unwrap();
    let text = "name: demo\ncomponents:\n  echo: { settings: { greeting: hi } }\n";
    let (_, graph) =
        load("platform.yaml", text, &catalog).unwrap_or_else(|wrong| panic!("{wrong}"));
    let id = |text: &str| text.parse().unwrap();
    let process = graph.find(&id("process/echo")).unwrap();
    assert!(process.needs.contains(&id("postgres-database/echo")));
    assert!(process.needs.contains(&id("s3-bucket/echo")));
    assert!(!process.needs.contains(&id("python-environment/local")));
    let spec: ProcessSpec = process.typed().unwrap();
    assert_eq!(spec.vars["settings"]["greeting"], "hi");
    let secrets: Vec<&str> = spec.secrets.iter().map(AsRef::as_ref).collect();
    // The templates do not mention the password of the role, so the process does not get it.
    assert_eq!(secrets, ["echo/key"]);
    let services: Vec<&str> = spec.services.iter().map(AsRef::as_ref).collect();
    assert_eq!(services, ["echo", "postgres"]);
    assert!(graph.services.contains_key(&"echo".parse().unwrap()));
    let probes: Vec<&str> = graph
        .probes
        .iter()
        .map(|probe| probe.name.as_str())
        .collect();
    assert!(probes.contains(&"echo/store") && probes.contains(&"echo/files"));
    // Each of the two roles is proven to be kept out of the other's database.
    let other = |name: &str| {
        let probe = graph
            .probes
            .iter()
            .find(|probe| probe.name == name)
            .unwrap();
        probe.spec["other_database"].clone()
    };
    assert_eq!(other("echo/store"), "mlflow_auth");
    assert_eq!(other("mlflow/store"), "echo");
}

#[test]
fn a_component_takes_the_place_of_another_only_when_it_says_so() {
    let own = ECHO.replace("name: echo\n", "name: s3\n");
    let wrong = Catalog::embedded()
        .with_folder(files(&[("mine/s3/component.yaml", &own)]))
        .unwrap_err();
    assert_eq!(
        wrong.to_string(),
        "error: the catalogue has a component `s3` already\n \
         --> mine/s3/component.yaml:1:7\n  |\n1 | name: s3\n  |       ^^\n  \
         = hint: choose another name, or say `replaces: true` to put this one in its place"
    );
    let own = format!("{own}replaces: true\n");
    let catalog = Catalog::embedded()
        .with_folder(files(&[("mine/s3/component.yaml", &own)]))
        .unwrap();
    assert_eq!(catalog.component("s3").unwrap().unwrap().title, "Echo");
}

#[test]
fn a_folder_without_components_is_an_error() {
    let wrong = Catalog::embedded()
        .with_folder(files(&[("mine/readme.txt", "")]))
        .unwrap_err();
    assert!(
        wrong
            .to_string()
            .contains("no component, profile or sample"),
        "{wrong}"
    );
}

#[test]
fn profiles_and_samples_can_be_added() {
    let profile = "description: Only storage.\ncomponents: [postgres, s3]\n";
    let catalog = Catalog::embedded()
        .with_folder(files(&[("mine/profiles/storage.yaml", profile)]))
        .unwrap();
    let (_, graph) = load("platform.yaml", "name: demo\nprofile: storage\n", &catalog).unwrap();
    assert!(graph.find(&"process/postgres".parse().unwrap()).is_some());
    assert!(graph.find(&"process/mlflow".parse().unwrap()).is_none());
    assert!(
        graph
            .resources()
            .all(|resource| resource.id.kind().as_str() != "served-model")
    );
}
