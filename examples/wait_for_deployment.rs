//! Wait until a Deployment is ready, whoever made it, or says that it has failed.
//!
//! Needs:  a kubeconfig, and the right to list and watch Deployments in that namespace
//! Run:    cargo run -p mlops-examples --example wait_for_deployment -- KUBECONFIG NAMESPACE NAME
//! Prints: each change of its state, the last one "ready"
//! Undo:   nothing is left

use std::time::Duration;

use mlops_core::ErrorKind;
use mlops_examples::{arguments, connect};
use mlops_k8s::{ObjectId, WaitOptions, Waiter};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let [kubeconfig, namespace, name] = arguments(["KUBECONFIG", "NAMESPACE", "NAME"])?;
    let waiter = Waiter::new(connect(&kubeconfig).await?);

    // One watch, and no polling; any number of objects of any kinds may be in the list.
    let ids = [ObjectId::new("apps", "Deployment", Some(&namespace), name)];
    let patience = WaitOptions::new(Duration::from_secs(90));
    let ended = waiter
        .wait_until_ready(&ids, &patience, &|event| println!("{}", event.status))
        .await;

    match ended {
        // It has failed by its own word: the wait ends at once, and longer patience would not help.
        Err(error) if error.kind() == ErrorKind::Failed => {
            anyhow::bail!("it has failed: {}", error.causes().join(": "))
        }
        other => Ok(other?),
    }
}
