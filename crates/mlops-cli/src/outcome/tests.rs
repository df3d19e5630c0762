use std::collections::BTreeMap;

use mlops_core::report::Entry;
use mlops_core::{Error, ErrorKind, Failure, Finding};

use super::*;
use crate::printer::Style;
use crate::test_support::{Captured, streams};

fn entry(name: &str, outcome: Outcome, took_ms: u64) -> Entry {
    Entry {
        id: ResourceId::new("process", name),
        outcome,
        start_ms: 0,
        took_ms,
        waited_for: None,
    }
}

fn failed() -> Outcome {
    let error = Error::new(ErrorKind::Exhausted, "start `process/s3`")
        .with_source("no memory")
        .with_hint("buy some");
    Outcome::Failed {
        failure: Failure::from(&error),
    }
}

fn done() -> Outcome {
    Outcome::Done {
        verb: "create".to_owned(),
    }
}

fn report(entries: Vec<Entry>) -> Report {
    Report {
        entries,
        ..Report::new("demo".parse().unwrap())
    }
}

fn probe(name: &str, holds: bool) -> ProbeEntry {
    let findings = if holds {
        vec![Finding::holds("it works")]
    } else {
        let error = Error::new(ErrorKind::Failed, "sign in").with_source("refused");
        vec![
            Finding::holds("it is there"),
            Finding::fails("it works", &error),
        ]
    };
    ProbeEntry {
        name: name.to_owned(),
        findings,
        took_ms: 120,
    }
}

fn said(report: &Report) -> String {
    let err = Captured::default();
    let streams = streams(Captured::default(), err.clone());
    let printer = Printer::new(streams, Style::default(), &BTreeMap::new()).0;
    explain(&printer, report, "run it again");
    err.text()
}

#[test]
fn the_worst_decides_how_it_ends() {
    let because = ResourceId::new("process", "s3");
    let skipped = || Outcome::Skipped {
        because: because.clone(),
    };
    assert_eq!(exit_of(&report(vec![entry("a", done(), 0)])), Exit::Done);
    assert_eq!(
        exit_of(&report(vec![
            entry("s3", failed(), 0),
            entry("b", skipped(), 0)
        ])),
        Exit::Failed
    );
    assert_eq!(
        exit_of(&report(vec![
            entry("s3", failed(), 0),
            entry("b", Outcome::Interrupted, 0)
        ])),
        Exit::Interrupted
    );
    let mut checked = report(vec![entry("a", done(), 0)]);
    checked.probes = vec![probe("one", true)];
    assert_eq!(exit_of(&checked), Exit::Done);
    checked.probes.push(probe("two", false));
    assert_eq!(exit_of(&checked), Exit::CheckFailed);
}

#[test]
fn what_failed_and_what_was_left_is_said() {
    let because = ResourceId::new("process", "s3");
    let report = report(vec![
        entry("postgres", done(), 0),
        entry("s3", failed(), 0),
        entry("mlflow", Outcome::Skipped { because }, 0),
    ]);
    assert_eq!(
        said(&report),
        "\nerror: failed to start `process/s3`\n  caused by: no memory\n\nhint: buy some\n\n\
         left because of that: process/mlflow\n\nhint: run it again\n"
    );
}

#[test]
fn an_interrupted_run_says_what_is_left() {
    let entries = (0..9)
        .map(|number| entry(&format!("p{number}"), Outcome::Interrupted, 0))
        .collect();
    assert_eq!(
        said(&report(entries)),
        "\ninterrupted: 9 of 9 not done: process/p0, process/p1, process/p2, process/p3, process/p4, process/p5, \
         and 3 more\n\nhint: run it again\n"
    );
}

#[test]
fn nothing_is_said_when_all_went_well() {
    assert_eq!(said(&report(vec![entry("a", done(), 0)])), "");
}

#[test]
fn the_longest_path_has_times() {
    let mut report = report(vec![entry("a", done(), 1_200), entry("b", done(), 300)]);
    assert_eq!(longest_path(&report), None);
    report.critical_path = vec![
        ResourceId::new("process", "a"),
        ResourceId::new("process", "b"),
    ];
    assert_eq!(
        longest_path(&report).as_deref(),
        Some("process/a 1.2s, process/b 0.3s")
    );
}

#[test]
fn probes_as_text() {
    let mut report = report(vec![]);
    report.took_ms = 500;
    report.probes = vec![probe("mlflow/store", true), probe("mlflow", false)];
    assert_eq!(
        describe_probes(Paint::new(false), &report),
        "passed  mlflow/store  0.1s\n        it works\n\
         failed  mlflow  0.1s\n        it is there\n        \
         not so: it works: failed to sign in: refused\n\
         1 of 2 checks of `demo` failed in 0.5s."
    );
}
