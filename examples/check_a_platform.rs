//! Make every probe of a running platform, each with exactly its consumer's credentials, and read what it found.
//!
//! Needs:  a platform that runs, and its file as argument; without one, the platform that `mlops up` starts
//! Run:    cargo run -p mlops-examples --example check_a_platform -- platform.yaml
//! Prints: every claim, and what speaks against it; it fails when one does not hold
//! Undo:   nothing is left: probes take away what they write

use mlops::session::Session;
use mlops_catalog::Catalog;
use mlops_core::EventSink;
use mlops_examples::{open, run};

async fn recipe(session: &Session) -> anyhow::Result<()> {
    let report = session.check(EventSink::none()).await?;
    for probe in &report.probes {
        println!("{} ({} ms)", probe.name, probe.took_ms);
        for finding in &probe.findings {
            match &finding.failure {
                None => println!("  holds: {}", finding.claim),
                Some(failure) => {
                    let causes = failure.causes.join(": ");
                    println!("  does not hold: {}: {causes}", finding.claim);
                }
            }
        }
    }
    // A probe without findings has proven nothing, and counts as failed.
    let failed = report.probes.iter().filter(|probe| !probe.passed());
    match failed.count() {
        0 => Ok(()),
        failed => anyhow::bail!("{failed} of {} probes failed", report.probes.len()),
    }
}

fn main() -> anyhow::Result<()> {
    run(async || {
        let (path, text) = match std::env::args().nth(1) {
            Some(path) => (path.clone(), std::fs::read_to_string(path)?),
            None => ("platform.yaml".to_owned(), "name: local".to_owned()),
        };
        let session = open(&path, &text, &Catalog::embedded())?;
        recipe(&session).await
    })
}
