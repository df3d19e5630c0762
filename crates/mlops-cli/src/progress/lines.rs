//! Events as plain lines that say the same whenever the same happens; only the times differ.

use std::time::Duration;

use mlops_core::{Event, Failure, Finding, Plan};

use crate::text::{Paint, plain_line, seconds, seconds_of};

/// The lines for an event, `elapsed` after the begin. `verb` is that of the work on its resource, where known.
pub(crate) fn describe(
    event: &Event,
    elapsed: Duration,
    verb: Option<&str>,
    paint: Paint,
) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(text) = one_line(event, verb.unwrap_or("work on"), paint) {
        lines.push(format!("{:>7}  {text}", seconds(elapsed)));
    }
    if let Event::Probed { findings, .. } = event {
        lines.extend(failed_findings(findings, "           "));
    }
    lines
}

/// An event in one line; `None` for the report, which is the command's to show, and for events that come later.
fn one_line(event: &Event, work: &str, paint: Paint) -> Option<String> {
    Some(match event {
        Event::Locked { holder } => format!(
            "another run holds the platform ({}), waiting for it",
            plain_line(holder)
        ),
        Event::Planned { plan } => planned(plan),
        Event::Started { id, verb } => format!("{verb} {id} …"),
        Event::Progress { id, text } => format!("{id}: {}", paint.dim(&plain_line(text))),
        Event::Retrying {
            id,
            failure,
            after_ms,
        } => format!(
            "{id}: {}, again in {}",
            paint.yellow(&short(failure)),
            seconds_of(*after_ms)
        ),
        // Looked at again when what it lives in was ready.
        Event::Finished { id, verb, .. } if verb == "nothing" => {
            format!("{id} … {}", paint.green("as described"))
        }
        Event::Finished { id, verb, took_ms } => format!(
            "{verb} {id} … {} {}",
            paint.green("done"),
            seconds_of(*took_ms)
        ),
        Event::Failed { id, failure } => {
            format!("{work} {id} … {}: {}", paint.red("failed"), short(failure))
        }
        Event::Skipped { id, because } => format!(
            "{work} {id} … {}, because {because} failed",
            paint.yellow("left")
        ),
        Event::Probed {
            name,
            findings,
            took_ms,
        } => format!(
            "check {} … {} {}",
            plain_line(name),
            verdict(findings, paint),
            seconds_of(*took_ms)
        ),
        Event::Process { name, what, detail } => {
            let detail = detail
                .as_deref()
                .map(|detail| format!(": {}", plain_line(detail)))
                .unwrap_or_default();
            format!("process `{name}` {what}{detail}")
        }
        _ => return None,
    })
}

fn planned(plan: &Plan) -> String {
    let parts: Vec<String> = plan
        .counts()
        .iter()
        .map(|(verb, count)| format!("{count} to {verb}"))
        .collect();
    if parts.is_empty() {
        "plan: nothing to do".to_owned()
    } else {
        format!("plan: {}", parts.join(", "))
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
