//! Making probes.

use futures::future::join_all;
use mlops_core::event::millis;
use mlops_core::report::ProbeEntry;
use mlops_core::{Context, Error, ErrorKind, Event, Finding, Graph, Probe, Report};
use tokio::time::Instant;

use super::Engine;

impl Engine {
    /// Makes all probes of a graph, side by side, and changes nothing.
    pub async fn check(&self, graph: &Graph, cx: &Context) -> Report {
        let begin = Instant::now();
        let mut report = Report::new(graph.platform.clone());
        report.probes = join_all(graph.probes.iter().map(|probe| self.probe(probe, cx))).await;
        report
            .probes
            .sort_by(|left, right| left.name.cmp(&right.name));
        report.took_ms = millis(begin.elapsed());
        cx.events.emit(Event::Done {
            report: report.clone(),
        });
        report
    }

    pub(super) async fn probe(&self, probe: &Probe, cx: &Context) -> ProbeEntry {
        let begin = Instant::now();
        let result = match self.probers.get(&probe.kind) {
            Some(prober) => prober.probe(probe, cx).await,
            None => Err(Error::new(
                ErrorKind::Unsupported,
                format!("make the probe `{}`", probe.name),
            )
            .with_source(format!("no prober knows the kind `{}`", probe.kind))),
        };
        let findings = match result {
            Ok(findings) if !findings.is_empty() => findings,
            // A probe that looked at nothing has proven nothing.
            Ok(_) => vec![Finding::fails(
                "the probe looks at something",
                &Error::new(
                    ErrorKind::Failed,
                    format!("make the probe `{}`", probe.name),
                ),
            )],
            Err(error) => vec![Finding::fails("the probe can be made", &error)],
        };
        let entry = ProbeEntry {
            name: probe.name.clone(),
            findings,
            took_ms: millis(begin.elapsed()),
        };
        cx.events.emit(Event::Probed {
            name: entry.name.clone(),
            findings: entry.findings.clone(),
            took_ms: entry.took_ms,
        });
        entry
    }
}
