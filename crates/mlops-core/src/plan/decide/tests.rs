use std::collections::BTreeSet;

use super::*;
use crate::observation::Found;
use crate::plan::plan_removal;
use crate::resource::ResourceId;
use crate::resource::to_spec;
use serde_json::json;

fn thing(name: &str, spec: &serde_json::Value) -> Resource {
    Resource::new(ResourceId::new("thing", name), "test".parse().unwrap())
        .with_spec(spec)
        .unwrap()
}

fn found(spec: &serde_json::Value) -> Found {
    Found::ours(to_spec(spec).unwrap())
}

fn rules() -> KindRules {
    KindRules {
        immutable: BTreeSet::from(["encoding".to_owned()]),
        shared: false,
    }
}

#[test]
fn every_observation_has_its_action() {
    let wanted = thing("a", &json!({"x": 1, "encoding": "UTF8"}));
    let same = found(&json!({"x": 1, "encoding": "UTF8"}));
    let decide_for = |observed| decide(&wanted, &observed, &rules());
    assert_eq!(decide_for(Observed::Absent).unwrap(), Action::Create);
    assert_eq!(
        decide_for(Observed::Found(same.clone())).unwrap(),
        Action::Nothing
    );
    let starting = Found {
        ready: false,
        ..same.clone()
    };
    assert_eq!(decide_for(Observed::Found(starting)).unwrap(), Action::Wait);
    let differs = found(&json!({"x": 2, "encoding": "UTF8"}));
    assert_eq!(
        decide_for(Observed::Found(differs)).unwrap().verb(),
        "update"
    );
    let immutable = found(&json!({"x": 1, "encoding": "LATIN1"}));
    assert_eq!(
        decide_for(Observed::Found(immutable)).unwrap().verb(),
        "replace"
    );
    let behind = ResourceId::new("process", "p");
    assert_eq!(
        decide_for(Observed::Hidden {
            behind: behind.clone()
        })
        .unwrap(),
        Action::Later { behind }
    );
}

#[test]
fn could_not_ask_is_an_error_and_never_absent() {
    let failure = Failure::from(&Error::new(ErrorKind::Unavailable, "connect"));
    let error = decide(
        &thing("a", &json!({})),
        &Observed::Unknown(failure),
        &rules(),
    )
    .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[test]
fn a_foreign_thing_is_a_conflict_unless_adopted() {
    let mut wanted = thing("a", &json!({"x": 1}));
    let foreign = Found {
        owner: Owner::Other("made by hand".to_owned()),
        ..found(&json!({"x": 1}))
    };
    let observed = Observed::Found(foreign);
    let error = decide(&wanted, &observed, &rules()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.hint().unwrap().contains("adopt: true"));
    wanted.adopt = true;
    assert_eq!(
        decide(&wanted, &observed, &rules()).unwrap().verb(),
        "adopt"
    );
}

#[test]
fn data_is_never_replaced() {
    let wanted = thing("a", &json!({"encoding": "UTF8"})).with_data();
    let observed = Observed::Found(found(&json!({"encoding": "LATIN1"})));
    let error = decide(&wanted, &observed, &rules()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
}

fn graph() -> Graph {
    let server = thing("server", &json!({}));
    let inner = thing("inner", &json!({}))
        .with_within(server.id.clone())
        .with_data();
    Graph::new("test".parse().unwrap(), [server, inner]).unwrap()
}

fn all_there(graph: &Graph) -> Observation {
    Observation {
        entries: graph
            .resources()
            .map(|resource| {
                (
                    resource.id.clone(),
                    Observed::Found(Found::ours(resource.spec.clone())),
                )
            })
            .collect(),
        strays: Vec::new(),
    }
}

#[test]
fn removal_goes_backwards_and_keeps_unnamed_data() {
    let graph = graph();
    let inner = ResourceId::new("thing", "inner");
    let rules = Rules::new();
    let plan = plan_removal(&graph, &all_there(&graph), &rules, &BTreeSet::new()).unwrap();
    assert_eq!(plan.changes[0].id, inner);
    assert_eq!(plan.changes[0].action, Action::Keep);
    assert_eq!(plan.changes[1].action, Action::Remove);
    assert!(plan.changes[1].after.contains(&inner));
    let named = plan_removal(
        &graph,
        &all_there(&graph),
        &rules,
        &BTreeSet::from([inner.clone()]),
    )
    .unwrap();
    assert_eq!(named.changes[0].action, Action::Remove);
    let wrong = BTreeSet::from([ResourceId::new("thing", "server")]);
    let error = plan_removal(&graph, &all_there(&graph), &rules, &wrong).unwrap_err();
    assert!(error.hint().unwrap().contains("thing/inner"));
}

#[test]
fn a_saved_plan_is_refused_when_the_world_moved() {
    let graph = graph();
    let before = plan(&graph, &Observation::default(), &Rules::new()).unwrap();
    let after = plan(&graph, &all_there(&graph), &Rules::new()).unwrap();
    let saved = Plan::from_json(&serde_json::to_string(&before).unwrap()).unwrap();
    assert_eq!(saved, before);
    saved.check_still_true(&before).unwrap();
    let error = saved.check_still_true(&after).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Changed);
    assert!(after.is_empty());
    assert!(!before.is_empty());
}

#[test]
fn strays_go_and_data_of_strays_stays() {
    let graph = graph();
    let mut observation = all_there(&graph);
    observation.strays = vec![
        thing("old", &json!({})),
        thing("old-data", &json!({}))
            .with_need(ResourceId::new("thing", "old-role"))
            .with_data(),
        thing("old-role", &json!({})),
    ];
    let plan = plan(&graph, &observation, &Rules::new()).unwrap();
    let action = |name: &str| {
        plan.changes
            .iter()
            .find(|change| change.id.name() == name)
            .map(|change| change.action.clone())
            .unwrap()
    };
    assert_eq!(action("old"), Action::Remove);
    assert_eq!(action("old-data"), Action::Keep);
    // The data would be lost to its owner without it.
    assert_eq!(action("old-role"), Action::Keep);
}

#[test]
fn what_kept_data_needs_stays_and_what_lives_in_removed_data_is_not_kept() {
    let folder = thing("folder", &json!({})).with_data();
    let server = thing("server", &json!({})).with_need(folder.id.clone());
    let role = thing("role", &json!({})).with_within(server.id.clone());
    let base = thing("base", &json!({}))
        .with_within(server.id.clone())
        .with_need(role.id.clone())
        .with_data();
    let graph = Graph::new(
        "test".parse().unwrap(),
        [folder.clone(), server.clone(), role.clone(), base.clone()],
    )
    .unwrap();
    let observation = all_there(&graph);
    let actions = |data: &[&Resource]| -> Vec<(String, &'static str)> {
        let data = data.iter().map(|resource| resource.id.clone()).collect();
        let plan = plan_removal(&graph, &observation, &Rules::new(), &data).unwrap();
        let mut actions: Vec<_> = plan
            .changes
            .iter()
            .map(|change| (change.id.name().to_owned(), change.action.verb()))
            .collect();
        actions.sort();
        actions
    };
    let named = |list: [(&str, &'static str); 4]| list.map(|(name, verb)| (name.to_owned(), verb));
    assert_eq!(
        actions(&[]),
        named([
            ("base", "keep"),
            ("folder", "keep"),
            ("role", "keep"),
            ("server", "remove")
        ])
    );
    assert_eq!(
        actions(&[&base]),
        named([
            ("base", "remove"),
            ("folder", "keep"),
            ("role", "remove"),
            ("server", "remove")
        ])
    );
    assert_eq!(
        actions(&[&folder]),
        named([
            ("base", "nothing"),
            ("folder", "remove"),
            ("role", "nothing"),
            ("server", "remove")
        ])
    );
}
