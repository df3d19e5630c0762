//! Read the report of a run from JSON: what was done, what decided how long it took, what a probe found.
//!
//! Needs:  nothing; with a platform, pipe `mlops check --output json` into it with `-`
//! Run:    cargo run -p mlops-examples --example read_report
//! Prints: the critical path and every claim that does not hold
//! Undo:   nothing is left

use std::io::Read;

use mlops_core::Report;

const RECORDED: &str = r#"{
  "platform": "demo",
  "entries": [
    {"id": "process/postgres", "outcome": "done", "verb": "create", "start_ms": 20, "took_ms": 800},
    {"id": "process/mlflow", "outcome": "done", "verb": "create", "start_ms": 820, "took_ms": 4100, "waited_for": "process/postgres"}
  ],
  "probes": [
    {"name": "mlflow/store", "took_ms": 12, "findings": [
      {"claim": "the role can create and drop a table"},
      {"claim": "the role cannot connect to another database",
       "failure": {"kind": "failed", "message": "failed to be refused", "causes": ["it was allowed, and must not be"]}}
    ]}
  ],
  "took_ms": 4920,
  "critical_path": ["process/postgres", "process/mlflow"]
}"#;

fn main() -> anyhow::Result<()> {
    let text = match std::env::args().nth(1).as_deref() {
        Some("-") => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text)?;
            text
        }
        _ => RECORDED.to_owned(),
    };
    let report: Report = serde_json::from_str(&text)?;

    let path: Vec<String> = report
        .critical_path
        .iter()
        .map(ToString::to_string)
        .collect();
    println!("{} ms, decided by {}", report.took_ms, path.join(" -> "));
    for probe in report.probes.iter().filter(|probe| !probe.passed()) {
        for finding in &probe.findings {
            if let Some(failure) = &finding.failure {
                println!(
                    "{}: does not hold: {} ({})",
                    probe.name,
                    finding.claim,
                    failure.causes.join(": ")
                );
            }
        }
    }
    Ok(())
}
