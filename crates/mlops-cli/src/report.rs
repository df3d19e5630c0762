//! Errors on the screen: what failed, why, and what to do about it.

use std::fmt::Write as _;

use mlops_core::platform::Diagnostics;
use mlops_core::{Error, Failure};
use serde::Serialize;

use crate::printer::Printer;
use crate::text::{Paint, indent, plain};

/// Prints an error: for people as `error:`, `  caused by:`, a blank line and `hint:`; for programs as one JSON object
/// with the key `error`. Both to standard error.
pub fn print(printer: &Printer, error: &Error) {
    if printer.is_json() {
        let failure = Failure::from(error);
        print_json(printer, &failure, find_diagnostics(error));
    } else {
        printer.error_text(&explain(printer.err_paint(), error));
    }
}

/// Prints a failure that came as data.
pub fn print_failure(printer: &Printer, failure: &Failure) {
    if printer.is_json() {
        print_json(printer, failure, None);
    } else {
        printer.error_text(&explain_failure(printer.err_paint(), failure));
    }
}

fn print_json(printer: &Printer, failure: &Failure, diagnostics: Option<&Diagnostics>) {
    #[derive(Serialize)]
    struct Line<'a> {
        error: &'a Failure,
        #[serde(skip_serializing_if = "Option::is_none")]
        diagnostics: Option<&'a Diagnostics>,
    }
    let line = Line {
        error: failure,
        diagnostics,
    };
    // A failure is made of texts only, and so is always JSON.
    printer.error_text(&serde_json::to_string(&line).unwrap_or_default());
}

/// An error as text for people.
pub fn explain(paint: Paint, error: &Error) -> String {
    match find_diagnostics(error) {
        Some(diagnostics) => explain_diagnostics(paint, diagnostics),
        None => explain_failure(paint, &Failure::from(error)),
    }
}

/// A failure as text for people.
pub fn explain_failure(paint: Paint, failure: &Failure) -> String {
    let mut text = format!(
        "{} {}",
        paint.error("error:"),
        continued(&failure.message, "  ")
    );
    for cause in &failure.causes {
        text.push_str("\n  caused by: ");
        text.push_str(&continued(cause, "    "));
    }
    if let Some(hint) = &failure.hint {
        text.push_str("\n\n");
        text.push_str(&paint.cyan("hint:"));
        text.push(' ');
        text.push_str(&continued(hint, "  "));
    }
    text
}

/// Lines after the first one indented, so that a cause of several lines stays one cause for the eye.
fn continued(text: &str, margin: &str) -> String {
    let text = plain(text.trim_end());
    match text.split_once('\n') {
        Some((first, rest)) => format!("{first}\n{}", indent(rest, margin)),
        None => text.into_owned(),
    }
}

fn explain_diagnostics(paint: Paint, diagnostics: &Diagnostics) -> String {
    let mut text = String::new();
    for diagnostic in diagnostics {
        if !text.is_empty() {
            text.push_str("\n\n");
        }
        let one = diagnostic.to_string();
        let one = plain(&one);
        match one.strip_prefix("error:") {
            Some(rest) => {
                text.push_str(&paint.error("error:"));
                text.push_str(rest);
            }
            None => text.push_str(&one),
        }
    }
    if diagnostics.len() > 1 {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n\n{} errors", diagnostics.len());
    }
    text
}

fn find_diagnostics(error: &Error) -> Option<&Diagnostics> {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(diagnostics) = cause.downcast_ref() {
            return Some(diagnostics);
        }
        source = cause.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use mlops_core::{ErrorKind, Platform};

    fn text(error: &Error) -> String {
        explain(Paint::new(false), error)
    }

    #[test]
    fn an_error_has_causes_and_a_hint() {
        let inner = Error::new(ErrorKind::Unavailable, "connect to 127.0.0.1:1")
            .with_source("connection refused\nby the machine")
            .with_hint("start it");
        let error = Error::new(ErrorKind::Failed, "create bucket `models`").with_source(inner);
        assert_eq!(
            text(&error),
            "error: failed to create bucket `models`\n  \
             caused by: failed to connect to 127.0.0.1:1\n  \
             caused by: connection refused\n    by the machine\n\n\
             hint: start it"
        );
    }

    #[test]
    fn foreign_text_cannot_play_with_the_terminal() {
        let error = Error::new(ErrorKind::Failed, "read `a\u{1b}]0;owned\u{7}`")
            .with_source("\u{1b}[2J\u{202e}gone");
        let text = text(&error);
        assert!(!text.contains('\u{1b}') && !text.contains('\u{7}') && !text.contains('\u{202e}'));
        assert!(text.contains("\\u{1b}[2J\\u{202e}gone"));
    }

    #[test]
    fn all_that_is_wrong_with_a_file_is_shown() {
        let wrong =
            Platform::parse("platform.yaml", "name: demo\nsizes: small\ntargets: x\n").unwrap_err();
        let text = text(&wrong.into());
        assert!(
            text.starts_with("error: unknown key `sizes`\n --> platform.yaml:2:1"),
            "{text}"
        );
        assert!(text.ends_with("2 errors"), "{text}");
        assert!(!text.contains("caused by"));
    }
}
