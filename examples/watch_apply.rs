//! Watch an apply and what comes after it, as typed values: writes, retries, and how objects become ready.
//!
//! Needs:  a kubeconfig, and a file of YAML
//! Run:    cargo run -p mlops-examples --example watch_apply -- KUBECONFIG FILE
//! Prints: one line an event, with the milliseconds since the start
//! Undo:   kubectl delete -f FILE

use std::time::{Duration, Instant};

use mlops_examples::{arguments, connect};
use mlops_k8s::{Applier, ApplyEvent, ApplyOptions, ObjectSet, WaitEvent, WaitOptions};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let [kubeconfig, file] = arguments(["KUBECONFIG", "FILE"])?;
    let set = ObjectSet::from_yaml(&file, &std::fs::read_to_string(&file)?)?;
    let applier = Applier::new(connect(&kubeconfig).await?);

    let started = Instant::now();
    let say = |text: String| println!("{:>6} ms  {text}", started.elapsed().as_millis());

    // Called between two writes: it must be quick.
    let on_write = |event: ApplyEvent| match event {
        ApplyEvent::Started { id } => say(format!("writing {id}")),
        ApplyEvent::Done { id, outcome } => say(format!("{id}: {outcome:?}")),
        ApplyEvent::Waiting { id, reason } => say(format!("{id} waits: {reason}")),
        ApplyEvent::Retrying { id, failure, pause } => {
            say(format!("{id} again in {pause:?}: {}", failure.message));
        }
        // New kinds of event may come.
        other => say(format!("{other:?}")),
    };
    let options = ApplyOptions::default();
    let report = applier.apply(&set, &options, &on_write).await?;
    anyhow::ensure!(report.is_complete(), "not all was written");

    // Each change of a state, from watches; `Status` says why something is not ready yet.
    let on_change = |WaitEvent { id, status }: WaitEvent| say(format!("{id} is {status}"));
    let patience = WaitOptions::new(Duration::from_mins(2));
    applier.wait(&set, &patience, &on_change).await?;
    say("all is ready".to_owned());
    Ok(())
}
