//! Say why a pod is not ready: the first cause, what shows it, and what to do.
//!
//! Needs:  a kubeconfig, and a pod
//! Run:    cargo run -p mlops-examples --example explain_pod -- KUBECONFIG NAMESPACE POD
//! Prints: "ready", or the code of the cause with its evidence and remedy; docs/causes.md has all codes
//! Undo:   nothing is left

use std::time::Duration;

use mlops_examples::{arguments, connect};
use mlops_k8s::explain::{ObjectRef, explain_until};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let [kubeconfig, namespace, name] = arguments(["KUBECONFIG", "NAMESPACE", "POD"])?;
    let client = connect(&kubeconfig).await?;
    let pod = ObjectRef::new("v1", "Pod", Some(&namespace), &name);

    // A pod that was just made has no cause yet: look again at every event. `explain` looks once.
    let patience = Duration::from_secs(30);
    let is_clear = |found: &mlops_k8s::explain::Explanation| found.ready || found.cause.is_some();
    let explanation = explain_until(&client, &pod, patience, is_clear).await?;

    let Some(cause) = &explanation.cause else {
        println!("ready");
        return Ok(());
    };
    // The code is stable: a program may decide by it. The object at fault may be another than the pod.
    println!("{} of {}: {}", cause.code, cause.subject, cause.message);
    for evidence in &cause.evidence {
        println!("shown by {evidence}");
    }
    println!("remedy: {}", cause.remedy);
    // What could not be asked is said, and never taken for "there is nothing".
    for unknown in &explanation.unknown {
        println!("not known: {unknown}");
    }
    Ok(())
}
