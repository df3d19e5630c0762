//! Events as plain lines that say the same whenever the same happens; only the times differ.

use std::time::Duration;

use mlops_core::{Event, Failure, Finding};

use crate::text::{Paint, plain_line, seconds, seconds_of};

/// The lines for an event, `elapsed` after the begin. `verb` is that of the work on its resource, where known.
pub(crate) fn describe(
    event: &Event,
    elapsed: Duration,
    verb: Option<&str>,
    paint: Paint,
) -> Vec<String> {
    let at = |text: String| format!("{:>7}  {text}", seconds(elapsed));
    let work = verb.unwrap_or("work on");
    match event {
        Event::Locked { holder } => {
            vec![at(format!(
                "another run holds the platform ({}), waiting for it",
                plain_line(holder)
            ))]
        }
        Event::Planned { plan } => {
            let counts = plan.counts();
            let parts: Vec<String> = counts
                .iter()
                .map(|(verb, count)| format!("{count} to {verb}"))
                .collect();
            if parts.is_empty() {
                vec![at("plan: nothing to do".to_owned())]
            } else {
                vec![at(format!("plan: {}", parts.join(", ")))]
            }
        }
        Event::Started { id, verb } => vec![at(format!("{verb} {id} …"))],
        Event::Progress { id, text } => {
            vec![at(format!("{id}: {}", paint.dim(&plain_line(text))))]
        }
        Event::Retrying {
            id,
            failure,
            after_ms,
        } => {
            vec![at(format!(
                "{id}: {}, again in {}",
                paint.yellow(&short(failure)),
                seconds_of(*after_ms)
            ))]
        }
        Event::Finished { id, verb, took_ms } => vec![at(format!(
            "{verb} {id} … {} {}",
            paint.green("done"),
            seconds_of(*took_ms)
        ))],
        Event::Failed { id, failure } => vec![at(format!(
            "{work} {id} … {}: {}",
            paint.red("failed"),
            short(failure)
        ))],
        Event::Skipped { id, because } => vec![at(format!(
            "{work} {id} … {}, because {because} failed",
            paint.yellow("left")
        ))],
        Event::Probed {
            name,
            findings,
            took_ms,
        } => {
            let (word, mut rest) = (
                verdict(findings, paint),
                failed_findings(findings, "           "),
            );
            rest.insert(
                0,
                at(format!("check {name} … {word} {}", seconds_of(*took_ms))),
            );
            rest
        }
        Event::Process { name, what, detail } => {
            let detail = detail
                .as_deref()
                .map(|detail| format!(": {}", plain_line(detail)))
                .unwrap_or_default();
            vec![at(format!("process `{name}` {what}{detail}"))]
        }
        // The report is the command's to show; events that come later say nothing that is known here.
        _ => Vec::new(),
    }
}

fn verdict(findings: &[Finding], paint: Paint) -> String {
    let failed = findings
        .iter()
        .filter(|finding| finding.failure.is_some())
        .count();
    if failed == 0 && !findings.is_empty() {
        paint.green("passed")
    } else {
        paint.red("failed")
    }
}

/// A line for each claim that does not hold.
pub(crate) fn failed_findings(findings: &[Finding], margin: &str) -> Vec<String> {
    findings
        .iter()
        .filter_map(|finding| {
            let failure = finding.failure.as_ref()?;
            let claim = plain_line(&finding.claim);
            Some(format!("{margin}not so: {claim}: {}", short(failure)))
        })
        .collect()
}

/// A failure in one line: its message and the innermost cause.
fn short(failure: &Failure) -> String {
    let mut text = plain_line(&failure.message);
    if let Some(cause) = failure.causes.last() {
        text.push_str(": ");
        text.push_str(&plain_line(cause));
    }
    text
}
