//! The facts of each fault, as a server once gave them, judged again without a server.

use std::collections::BTreeMap;
use std::path::PathBuf;

use mlops_k8s::explain::{CauseCode, Facts, judge};
use serde_json::Value;

use crate::explain_causes::{ON_NODE, ON_SERVER, cases, wanted};
use crate::explain_page::Seen;
use crate::explain_stage::Case;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/recorded")
}

/// Writes the facts of a case down, without what says nothing and what differs from machine to machine.
pub(crate) fn keep(case: &Case, mut facts: Facts, namespace: &str) {
    facts
        .objects
        .retain(|object| object.id.name != "kube-root-ca.crt");
    for object in &mut facts.objects {
        if let Some(status) = object
            .value
            .pointer_mut("/status")
            .and_then(Value::as_object_mut)
        {
            for field in ["images", "nodeInfo", "addresses", "daemonEndpoints"] {
                status.remove(field);
            }
        }
    }
    let run = namespace.split('-').take(2).collect::<Vec<_>>().join("-");
    let text = serde_json::to_string_pretty(&facts).unwrap();
    let text = text.replace(namespace, "models").replace(&run, "why");
    std::fs::create_dir_all(folder()).unwrap();
    std::fs::write(
        folder().join(format!("{}.json", case.code)),
        without_folders(&text) + "\n",
    )
    .unwrap();
}

/// The node's folder has another name each time.
fn without_folders(text: &str) -> String {
    let mut parts = text.split("/tmp/mlops-node-");
    let mut steady = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        steady.push_str("/var/lib/node");
        steady.push_str(part.trim_start_matches(|c: char| c.is_ascii_alphanumeric()));
    }
    steady
}

/// Removes what no case writes any more.
pub(crate) fn forget_others(seen: &BTreeMap<CauseCode, Seen>) {
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        if !seen.keys().any(|code| code.as_str() == stem) {
            std::fs::remove_file(path).unwrap();
        }
    }
}

#[test]
fn recorded_facts_are_judged_as_on_the_day_they_were_recorded() {
    let cases: Vec<Case> = [ON_NODE, ON_SERVER].into_iter().flat_map(cases).collect();
    for case in &cases {
        let path = folder().join(format!("{}.json", case.code));
        let text = std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let facts: Facts = serde_json::from_str(&text).unwrap();
        let explanation = judge(&facts);
        assert!(
            wanted(case, &explanation).is_some(),
            "{}: {explanation}",
            case.code
        );
        assert!(!explanation.ready, "{}: {explanation}", case.code);
        // The same facts give the same explanation, also through JSON.
        let json = serde_json::to_string(&explanation).unwrap();
        assert_eq!(
            serde_json::from_str::<mlops_k8s::explain::Explanation>(&json).unwrap(),
            explanation
        );
    }
    assert!(cases.len() >= 60, "{} cases", cases.len());
}

fn recorded() -> Vec<Facts> {
    let entries = std::fs::read_dir(folder()).unwrap();
    let texts = entries.map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap());
    texts
        .map(|text| serde_json::from_str(&text).unwrap())
        .collect()
}

#[test]
fn what_could_not_be_listed_is_never_called_absent() {
    // These causes say that something is not there because it is not in a list; no message of the cluster says so.
    let by_list = [
        CauseCode::SelectsNothing,
        CauseCode::NoStorageClass,
        CauseCode::StorageClassMissing,
        CauseCode::BackendMissing,
        CauseCode::IngressClassMissing,
    ];
    let mut without = 0;
    for mut facts in recorded() {
        let before = judge(&facts).cause.map(|cause| cause.code);
        facts.known.clear();
        let after = judge(&facts);
        let all = after.cause.iter().chain(&after.others);
        assert!(
            !all.into_iter().any(|cause| by_list.contains(&cause.code)),
            "{after}"
        );
        without += usize::from(before.is_some_and(|code| by_list.contains(&code)));
    }
    assert_eq!(
        without,
        by_list.len(),
        "each of these causes must have been there before"
    );
}

#[test]
fn facts_with_gaps_are_judged_too_and_always_alike() {
    let mut judged = 0;
    for facts in recorded() {
        for gap in 0..facts.objects.len() {
            let mut facts = facts.clone();
            facts.objects.remove(gap);
            facts.events.pop();
            let explanation = judge(&facts);
            assert_eq!(explanation, judge(&facts));
            assert!(
                !explanation.ready || explanation.cause.is_none(),
                "{explanation}"
            );
            judged += 1;
        }
    }
    assert!(judged > 200, "{judged}");
}
