//! Wait for a kind of your own by a rule that is data: which fields say that it is ready, and which that it has failed.
//!
//! Needs:  a kubeconfig, and an object of a kind `Backup` in the group `example.org`
//! Run:    cargo run -p mlops-examples --example own_readiness_rule -- KUBECONFIG NAMESPACE NAME
//! Prints: each change of its state, the last one "ready"
//! Undo:   nothing is left

use std::time::Duration;

use mlops_examples::{arguments, connect};
use mlops_k8s::{GroupKind, ObjectId, ReadyRule, ReadyRules, WaitOptions, Waiter};

/// Could be in a file. Ready when all of the first hold, failed when one of the second does.
const RULE: &str = r#"{
    "ready": [
        { "path": "status.phase", "equals": "Completed" },
        { "path": "status.conditions[type=Verified].status", "equals": "True" }
    ],
    "failed": [{ "path": "status.phase", "equals": "Failed" }]
}"#;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let [kubeconfig, namespace, name] = arguments(["KUBECONFIG", "NAMESPACE", "NAME"])?;
    let rule: ReadyRule = serde_json::from_str(RULE)?;

    // It goes before what is built in: without a rule, the conditions `Ready`, `Available` and so on decide.
    let rules = ReadyRules::default().with(GroupKind::new("example.org", "Backup"), rule);
    let options = WaitOptions::new(Duration::from_mins(1)).with_rules(rules);

    let ids = [ObjectId::new(
        "example.org",
        "Backup",
        Some(&namespace),
        name,
    )];
    Waiter::new(connect(&kubeconfig).await?)
        .wait_until_ready(&ids, &options, &|event| println!("{}", event.status))
        .await?;
    Ok(())
}
