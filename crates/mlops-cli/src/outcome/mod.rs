//! What came of a run: how it ends, and what is said about it.

use mlops_core::report::{Outcome, ProbeEntry};
use mlops_core::{Report, ResourceId};

use crate::exit::Exit;
use crate::printer::Printer;
use crate::progress::failed_findings;
use crate::report;
use crate::text::{Paint, plain_line, seconds_of};

/// How many failures are explained in full.
const MAX_EXPLAINED: usize = 5;

/// How many names are listed before the rest is counted.
const MAX_NAMES: usize = 6;

/// How a run ends, by its report.
pub(crate) fn exit_of(report: &Report) -> Exit {
    let any = |wanted: fn(&Outcome) -> bool| report.entries.iter().any(|e| wanted(&e.outcome));
    if any(|outcome| matches!(outcome, Outcome::Interrupted)) {
        Exit::Interrupted
    } else if any(|outcome| matches!(outcome, Outcome::Failed { .. } | Outcome::Skipped { .. })) {
        Exit::Failed
    } else if !report.probes.iter().all(ProbeEntry::passed) {
        Exit::CheckFailed
    } else {
        Exit::Done
    }
}

/// Says what failed or was left, and what to do about it; nothing when all went well. Programs have the report.
pub(crate) fn explain(printer: &Printer, report: &Report, next: &str) {
    if printer.is_json() {
        return;
    }
    let failures: Vec<_> = report
        .entries
        .iter()
        .filter_map(|entry| match &entry.outcome {
            Outcome::Failed { failure } => Some(failure),
            _ => None,
        })
        .collect();
    for failure in failures.iter().take(MAX_EXPLAINED) {
        printer.error_text("");
        report::print_failure(printer, failure);
    }
    if failures.len() > MAX_EXPLAINED {
        let rest = failures.len() - MAX_EXPLAINED;
        printer.error_text(&format!("\nand {rest} more"));
    }
    let paint = printer.err_paint();
    for probe in report.probes.iter().filter(|probe| !probe.passed()) {
        printer.error_text(&format!(
            "\n{} check `{}` failed",
            paint.error("error:"),
            plain_line(&probe.name)
        ));
        for line in failed_findings(&probe.findings, "  ") {
            printer.error_text(&line);
        }
    }
    let left = ids(report, |outcome| matches!(outcome, Outcome::Skipped { .. }));
    if !left.is_empty() {
        printer.error_text(&format!("\nleft because of that: {}", names(&left)));
    }
    let open = ids(report, |outcome| matches!(outcome, Outcome::Interrupted));
    if !open.is_empty() {
        printer.error_text(&format!(
            "\n{} {} of {} not done: {}",
            paint.error("interrupted:"),
            open.len(),
            report.entries.len(),
            names(&open)
        ));
    }
    if exit_of(report) == Exit::Interrupted || exit_of(report) == Exit::Failed {
        printer.error_text(&format!("\n{} {next}", paint.cyan("hint:")));
    }
}

fn ids(report: &Report, wanted: impl Fn(&Outcome) -> bool) -> Vec<&ResourceId> {
    report
        .entries
        .iter()
        .filter(|entry| wanted(&entry.outcome))
        .map(|entry| &entry.id)
        .collect()
}

/// A few names, and how many more there are.
fn names(ids: &[&ResourceId]) -> String {
    let mut shown: Vec<String> = ids
        .iter()
        .take(MAX_NAMES)
        .map(|id| plain_line(&id.to_string()))
        .collect();
    if ids.len() > MAX_NAMES {
        shown.push(format!("and {} more", ids.len() - MAX_NAMES));
    }
    shown.join(", ")
}

/// The chain of resources that decided how long a run took, each with its own time.
pub(crate) fn longest_path(report: &Report) -> Option<String> {
    let steps: Vec<String> = report
        .critical_path
        .iter()
        .map(|id| {
            let took = report
                .entries
                .iter()
                .find(|entry| entry.id == *id)
                .map_or(0, |entry| entry.took_ms);
            format!("{id} {}", seconds_of(took))
        })
        .collect();
    (!steps.is_empty()).then(|| plain_line(&steps.join(", ")))
}

/// The probes of a report as text: every claim, and why one does not hold.
pub(crate) fn describe_probes(paint: Paint, report: &Report) -> String {
    let mut lines = Vec::new();
    for probe in &report.probes {
        let word = if probe.passed() {
            paint.green("passed")
        } else {
            paint.red("failed")
        };
        lines.push(format!(
            "{word}  {}  {}",
            plain_line(&probe.name),
            seconds_of(probe.took_ms)
        ));
        for finding in &probe.findings {
            let claim = plain_line(&finding.claim);
            match &finding.failure {
                None => lines.push(format!("        {claim}")),
                Some(_) => lines.extend(failed_findings(std::slice::from_ref(finding), "        ")),
            }
        }
    }
    lines.push(summary(report));
    lines.join("\n")
}

fn summary(report: &Report) -> String {
    let (all, took) = (report.probes.len(), seconds_of(report.took_ms));
    let failed = report.probes.iter().filter(|one| !one.passed()).count();
    match (all, failed) {
        (0, _) => format!("Platform `{}` has nothing to check.", report.platform),
        (_, 0) => format!(
            "All {all} checks of `{}` passed in {took}.",
            report.platform
        ),
        _ => format!(
            "{failed} of {all} checks of `{}` failed in {took}.",
            report.platform
        ),
    }
}

#[cfg(test)]
mod tests;
