//! Bring a folder of objects to a cluster, and take away what is no longer in the folder.
//!
//! Needs:  a kubeconfig, and a folder of YAML
//! Run:    cargo run -p mlops-examples --example apply_folder -- KUBECONFIG FOLDER
//! Prints: the plan, then what became of each object; "nothing to do" when run again
//! Undo:   the same command with `remove` behind it; what holds data stays

use mlops_examples::{arguments, connect};
use mlops_k8s::{Applier, ApplyOptions, ApplyReport, ObjectSet, RemoveOptions};

async fn apply(applier: &Applier, set: &ObjectSet) -> anyhow::Result<()> {
    let options = ApplyOptions::default();
    // One look at the cluster: what is shown is what will be done.
    let prepared = applier.prepare(set, &options.plan).await?;
    println!("{}", prepared.plan());
    if prepared.plan().is_empty() {
        return Ok(());
    }
    let report = applier.apply_prepared(&prepared, &options, &|_| {}).await?;
    show(&report)
}

fn show(report: &ApplyReport) -> anyhow::Result<()> {
    for (id, outcome) in &report.outcomes {
        println!("{id}: {outcome:?}");
    }
    // What failed has stopped only what needed it.
    anyhow::ensure!(report.is_complete(), "not all was done");
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let [kubeconfig, folder] = arguments(["KUBECONFIG", "FOLDER"])?;
    // The set is how members are found again: the ConfigMap `recipe` is its parent. Without a set nothing is removed.
    let applier = Applier::new(connect(&kubeconfig).await?).with_set("recipe", "default");

    if std::env::args().nth(3).as_deref() == Some("remove") {
        let options = RemoveOptions::default();
        return show(&applier.remove(&options, &|_| {}).await?);
    }
    apply(&applier, &ObjectSet::read_folder(folder.as_ref())?).await
}
