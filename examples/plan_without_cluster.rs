//! Plan a folder of objects without a cluster: everything is a create, and what is wrong is told by file and line.
//!
//! Needs:  a folder of YAML
//! Run:    cargo run -p mlops-examples --example plan_without_cluster -- FOLDER
//! Prints: one line an object, and where it was read
//! Undo:   nothing is left

use mlops_examples::arguments;
use mlops_k8s::{ObjectSet, plan_without_cluster};

fn main() -> anyhow::Result<()> {
    let [folder] = arguments(["FOLDER"])?;

    let set = ObjectSet::read_folder(folder.as_ref())?;
    // Kinds are those of Kubernetes and those that the folder itself defines. Objects that name no namespace go to this.
    let plan = plan_without_cluster(&set, "models")?;
    for change in &plan.changes {
        let place = change.place.as_deref().unwrap_or("a value");
        println!("{change}, read at {place}");
    }

    // The same value as JSON, for a program; it holds no value of a Secret.
    let size = serde_json::to_string(&plan)?.len();
    let (created, _, _) = plan.counts();
    println!("{created} to create, {size} bytes as JSON");
    Ok(())
}
