//! Say what a platform would need, with no platform, no network and no rights.
//!
//! Needs:  nothing
//! Run:    cargo run -p mlops-examples --example plan_without_platform
//! Prints: every resource of the `local` profile, what is needed first
//! Undo:   nothing is left

use mlops_catalog::{Catalog, load};
use mlops_core::Observation;
use mlops_core::plan::{Rules, plan};

fn main() -> anyhow::Result<()> {
    // One line is a whole platform: the rest comes from the profile.
    let (_platform, graph) = load("platform.yaml", "name: demo", &Catalog::embedded())?;

    // An empty observation is an empty machine.
    let plan = plan(&graph, &Observation::default(), &Rules::new())?;
    println!("{plan}");
    println!("proven by:");
    for probe in &graph.probes {
        println!("  {} ({})", probe.name, probe.kind);
    }
    Ok(())
}
