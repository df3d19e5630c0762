use std::collections::BTreeMap;
use std::path::PathBuf;

use mlops_catalog::{Catalog, load, resolve};
use mlops_core::plan::{Plan, Rules, plan};
use mlops_core::{Diagnostics, Graph, Observation, Platform};

/// A platform file is right, and then means the same after a way through JSON and can be planned; or it is wrong, and
/// then every message has a place that is in the file.
pub fn platform_file(text: &str) {
    let catalog = Catalog::embedded();
    match load("platform.yaml", text, &catalog) {
        Ok((platform, graph)) => {
            let json = serde_json::to_string(&platform).expect("a platform is JSON");
            let again: Platform = serde_json::from_str(&json).expect("its own JSON is right");
            assert_eq!(resolve(&again, &catalog).as_ref(), Ok(&graph));
            can_be_planned(&graph);
        }
        Err(wrong) => are_in_their_files(&wrong, text),
    }
}

/// The same for a component that a platform uses.
pub fn component_file(text: &str) {
    let files = BTreeMap::from([(PathBuf::from("echo/component.yaml"), text.to_owned())]);
    let catalog = Catalog::embedded()
        .with_folder(files)
        .expect("there is one component, of a name that is free");
    match load(
        "platform.yaml",
        "name: demo\ncomponents: { echo: }\n",
        &catalog,
    ) {
        Ok((_, graph)) => can_be_planned(&graph),
        Err(wrong) => are_in_their_files(&wrong, text),
    }
}

/// A saved plan that is read is written as it was, and can be shown.
pub fn saved_plan(text: &str) {
    if let Ok(plan) = Plan::from_json(text) {
        let json = serde_json::to_string(&plan).expect("a plan is JSON");
        let again = Plan::from_json(&json).expect("its own JSON is right");
        assert_eq!(again, plan);
        assert!(!plan.to_string().is_empty());
        assert!(plan.check_still_true(&again).is_ok());
    }
}

fn can_be_planned(graph: &Graph) {
    let made = plan(graph, &Observation::default(), &Rules::new()).expect("it can be planned");
    assert_eq!(made.changes.len(), graph.len());
    saved_plan(&serde_json::to_string(&made).expect("a plan is JSON"));
}

fn are_in_their_files(wrong: &Diagnostics, text: &str) {
    assert!(!wrong.is_empty());
    assert!(!wrong.to_string().is_empty());
    for one in wrong {
        assert!(!one.message.is_empty());
        let mut said = one
            .message
            .chars()
            .chain(one.hint.iter().flat_map(|hint| hint.chars()));
        assert!(!said.any(char::is_control), "{one:?}");
        let Some(line) = one.line else { continue };
        // A file that ends too early is wrong behind its last line.
        let lines = text
            .split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'])
            .count()
            .max(2);
        assert!((1..=lines as u64 + 1).contains(&line), "{one:?}");
    }
}
