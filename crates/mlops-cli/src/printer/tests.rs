use super::*;
use crate::test_support::{Captured, FullDisk, NobodyReads, streams};

fn printer(style: Style) -> (Printer, Captured, Captured) {
    let (out, err) = (Captured::default(), Captured::default());
    let streams = streams(out.clone(), err.clone());
    (Printer::new(streams, style, &BTreeMap::new()).0, out, err)
}

#[test]
fn results_and_notices_go_different_ways() {
    let (printer, out, err) = printer(Style::default());
    printer.text("result").unwrap();
    printer.say("notice");
    printer.tell("detail");
    assert_eq!(out.text(), "result\n");
    assert_eq!(err.text(), "notice\n");
}

#[test]
fn quiet_leaves_results_and_errors() {
    let (printer, out, err) = printer(Style {
        verbosity: Verbosity::Quiet,
        ..Style::default()
    });
    printer.text("result").unwrap();
    printer.say("notice");
    printer.error_text("error: no");
    assert_eq!(out.text(), "result\n");
    assert_eq!(err.text(), "error: no\n");
}

#[test]
fn verbose_tells_more() {
    let (printer, _, err) = printer(Style {
        verbosity: Verbosity::Verbose,
        ..Style::default()
    });
    printer.tell("detail");
    assert_eq!(err.text(), "detail\n");
}

#[test]
fn a_result_is_text_or_json() {
    let value = serde_json::json!({"a": 1});
    let (printer, out, _) = printer(Style {
        output: Output::Json,
        ..Style::default()
    });
    printer.show(&value, |_| "text".to_owned()).unwrap();
    printer.json_line(&value).unwrap();
    assert_eq!(out.text(), "{\n  \"a\": 1\n}\n{\"a\":1}\n");
}

#[test]
fn a_closed_pipe_is_quiet_and_a_full_disk_is_not() {
    let with = |stdout: Box<dyn Write + Send>| {
        let streams = Streams {
            stdout,
            ..streams(Captured::default(), Captured::default())
        };
        Printer::new(streams, Style::default(), &BTreeMap::new()).0
    };
    let printer = with(Box::new(NobodyReads));
    printer.text("x").unwrap();
    assert!(printer.is_closed());
    printer.text("y").unwrap();
    let printer = with(Box::new(FullDisk));
    let error = printer.text("x").unwrap_err();
    assert_eq!(error.to_string(), "failed to write to standard output");
    assert!(!printer.is_closed());
}

#[test]
fn colour_follows_wish_then_environment_then_terminal() {
    let env = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    };
    let none = env(&[]);
    assert!(wants_color(Color::Auto, &none, true));
    assert!(!wants_color(Color::Auto, &none, false));
    assert!(wants_color(
        Color::Always,
        &env(&[("NO_COLOR", "1")]),
        false
    ));
    assert!(!wants_color(
        Color::Never,
        &env(&[("CLICOLOR_FORCE", "1")]),
        true
    ));
    assert!(!wants_color(Color::Auto, &env(&[("NO_COLOR", "1")]), true));
    assert!(wants_color(Color::Auto, &env(&[("NO_COLOR", "")]), true));
    assert!(wants_color(
        Color::Auto,
        &env(&[("CLICOLOR_FORCE", "1")]),
        false
    ));
    assert!(!wants_color(
        Color::Auto,
        &env(&[("CLICOLOR_FORCE", "0")]),
        false
    ));
    assert!(!wants_color(Color::Auto, &env(&[("CLICOLOR", "0")]), true));
    assert!(!wants_color(Color::Auto, &env(&[("TERM", "dumb")]), true));
}

#[test]
fn lines_of_input_are_read_one_by_one() {
    let streams = Streams {
        stdin: Box::new(&b"yes\r\nmore"[..]),
        ..streams(Captured::default(), Captured::default())
    };
    let (_, input) = Printer::new(streams, Style::default(), &BTreeMap::new());
    assert_eq!(input.line().unwrap().as_deref(), Some("yes"));
    assert_eq!(input.all(100).unwrap(), "more");
    assert_eq!(input.line().unwrap(), None);
}
