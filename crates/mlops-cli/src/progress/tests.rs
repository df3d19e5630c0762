use std::collections::BTreeMap;

use mlops_core::{Error, ErrorKind, Failure, Finding, ResourceId};

use super::*;
use crate::args::Output;
use crate::printer::{Style, Verbosity};
use crate::test_support::{Captured, streams};

fn show(style: Style, json: Json, events: Vec<Event>) -> (String, String) {
    let (out, err) = (Captured::default(), Captured::default());
    let streams = streams(out.clone(), err.clone());
    let printer = Arc::new(Printer::new(streams, style, &BTreeMap::new()).0);
    let progress = Progress::new(&printer, json, "looking");
    let sink = progress.sink();
    for event in events {
        sink.emit(event);
    }
    drop(progress);
    (out.text(), err.text())
}

fn id(name: &str) -> ResourceId {
    ResourceId::new("process", name)
}

fn failure() -> Failure {
    let error = Error::new(ErrorKind::Unavailable, "reach \u{1b}[31mit").with_source("refused");
    Failure::from(&error)
}

fn a_run() -> Vec<Event> {
    vec![
        Event::Started {
            id: id("postgres"),
            verb: "create".to_owned(),
        },
        Event::Progress {
            id: id("postgres"),
            text: "waiting".to_owned(),
        },
        Event::Retrying {
            id: id("postgres"),
            failure: failure(),
            after_ms: 250,
        },
        Event::Finished {
            id: id("postgres"),
            verb: "create".to_owned(),
            took_ms: 412,
        },
        Event::Finished {
            id: id("kept"),
            verb: "nothing".to_owned(),
            took_ms: 90,
        },
        Event::Started {
            id: id("s3"),
            verb: "update".to_owned(),
        },
        Event::Failed {
            id: id("s3"),
            failure: failure(),
        },
        Event::Skipped {
            id: id("mlflow"),
            because: id("s3"),
        },
        Event::Probed {
            name: "mlflow/store".to_owned(),
            findings: vec![
                Finding::holds("the role can"),
                Finding::fails(
                    "the role cannot",
                    &Error::new(ErrorKind::Failed, "be refused"),
                ),
            ],
            took_ms: 90,
        },
    ]
}

/// Times of the run itself differ; all lines begin with one of seven characters.
fn without_times(text: &str) -> String {
    text.lines()
        .map(|line| match line.get(..7) {
            Some(time) if time.trim().ends_with('s') => format!("TIME{}\n", &line[7..]),
            _ => format!("{line}\n"),
        })
        .collect()
}

#[test]
fn plain_lines_say_what_ended() {
    let (out, err) = show(Style::default(), Json::Lines, a_run());
    assert_eq!(out, "");
    assert_eq!(
        without_times(&err),
        "TIME  process/postgres: failed to reach \\u{1b}[31mit: refused, again in 0.2s\n\
         TIME  create process/postgres … done 0.4s\n\
         TIME  process/kept … as described\n\
         TIME  update process/s3 … failed: failed to reach \\u{1b}[31mit: refused\n\
         TIME  work on process/mlflow … left, because process/s3 failed\n\
         TIME  check mlflow/store … failed 0.1s\n           \
         not so: the role cannot: failed to be refused\n"
    );
}

#[test]
fn verbose_lines_say_what_starts_as_well() {
    let style = Style {
        verbosity: Verbosity::Verbose,
        ..Style::default()
    };
    let (_, err) = show(style, Json::Lines, a_run());
    let text = without_times(&err);
    assert!(text.starts_with(
        "TIME  create process/postgres …\nTIME  process/postgres: waiting\nTIME  process/postgres: failed"
    ));
}

#[test]
fn quiet_shows_nothing() {
    let style = Style {
        verbosity: Verbosity::Quiet,
        ..Style::default()
    };
    assert_eq!(
        show(style, Json::Lines, a_run()),
        (String::new(), String::new())
    );
}

#[test]
fn programs_get_every_event_as_a_line() {
    let style = Style {
        output: Output::Json,
        ..Style::default()
    };
    let (out, err) = show(style, Json::Lines, a_run());
    assert_eq!(err, "");
    let events: Vec<Event> = out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(events, a_run());
    let (out, _) = show(style, Json::Nothing, a_run());
    assert_eq!(out, "");
}

#[test]
fn news_that_came_too_soon_are_told_when_nothing_newer_comes() {
    let mut state = State::default();
    let running = Running {
        verb: "remove".to_owned(),
        last_news: Instant::now(),
        held_back: None,
    };
    state.running.insert(id("s3").to_string(), running);
    let news = |text: &str| Event::Progress {
        id: id("s3"),
        text: text.to_owned(),
    };
    assert!(!state.is_news(&id("s3").to_string(), &news("first")));
    assert!(!state.is_news(&id("s3").to_string(), &news("second")));
    assert_eq!(state.overdue(), [], "it is too soon");
    let long_ago = Instant::now().checked_sub(NEWS_EVERY).unwrap();
    state.running.get_mut("process/s3").unwrap().last_news = long_ago;
    assert_eq!(state.overdue(), [news("second")]);
    assert_eq!(state.overdue(), [], "once");
}
