//! Measurements, each beside its peer in the same run, written to `docs/benchmarks.md`.
//!
//! A benchmark is one module here with one function in [`ALL`]. It measures ours and the peer's in turns, so that what
//! the machine does meanwhile hits both, and hands back rows of medians. What it measured is kept in
//! `docs/benchmarks.json`, so that one benchmark can be run again without the others.

mod cluster;
mod command;
mod figure;
mod home;
mod inference;
mod kubernetes;
mod machine;
mod memory;
mod mlflow_client;
mod page;
mod plan;
mod s3;
mod server;
mod up;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::shell::{capture, cargo, root, run, say};
use figure::Row;
use page::{Measured, Page};

#[derive(Debug, Args)]
pub(crate) struct BenchArguments {
    /// Run only these; all when none is named.
    names: Vec<String>,
    /// Tell the names and what they measure, and measure nothing.
    #[arg(long)]
    list: bool,
    /// How often each thing is measured. An odd number has a median that was measured.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(3..))]
    rounds: u32,
    /// Measure the release programs that were built before.
    #[arg(long)]
    built: bool,
}

/// One benchmark.
struct Bench {
    name: &'static str,
    title: &'static str,
    measure: fn(&BenchArguments) -> Result<Results>,
}

/// What a benchmark hands back.
struct Results {
    rows: Vec<Row>,
    /// How it was measured, what was held equal, what the peers are: a sentence each.
    notes: Vec<String>,
    /// The programs that took part.
    versions: Vec<(String, String)>,
}

/// Every benchmark, in the order of the page.
const ALL: &[Bench] = &[
    Bench {
        name: "up",
        title: "From nothing to a model that answers",
        measure: up::measure,
    },
    Bench {
        name: "cold",
        title: "The same with nothing cached",
        measure: up::measure_cold,
    },
    Bench {
        name: "command",
        title: "The command itself",
        measure: command::measure,
    },
    Bench {
        name: "plan",
        title: "Planning without a network",
        measure: plan::measure,
    },
    Bench {
        name: "s3",
        title: "The embedded S3 server",
        measure: s3::measure,
    },
    Bench {
        name: "memory",
        title: "The supervisor's memory",
        measure: memory::measure,
    },
    Bench {
        name: "mlflow-client",
        title: "The MLflow client",
        measure: mlflow_client::measure,
    },
    Bench {
        name: "inference",
        title: "The inference client",
        measure: inference::measure,
    },
    Bench {
        name: "kubernetes",
        title: "Objects in a cluster",
        measure: kubernetes::measure,
    },
    Bench {
        name: "cluster",
        title: "A platform on a node",
        measure: cluster::measure,
    },
];

pub(crate) fn bench(arguments: &BenchArguments) -> Result<()> {
    if arguments.list {
        for bench in ALL {
            say(format_args!("{:13} {}", bench.name, bench.title));
        }
        return Ok(());
    }
    let chosen = chosen(&arguments.names)?;
    let mut page = Page::open(&root().join("docs"))?;
    for bench in chosen {
        say(format_args!("measuring: {}", bench.title));
        let results = (bench.measure)(arguments)
            .with_context(|| format!("failed to measure `{}`", bench.name))?;
        for row in &results.rows {
            say(row);
        }
        page.keep(Measured {
            name: bench.name.to_owned(),
            title: bench.title.to_owned(),
            machine: machine::describe()?,
            day: jiff::Zoned::now().date().to_string(),
            versions: results.versions,
            notes: results.notes,
            rows: results.rows,
        });
        page.write(&ALL.iter().map(|bench| bench.name).collect::<Vec<_>>())?;
    }
    Ok(())
}

fn chosen(names: &[String]) -> Result<Vec<&'static Bench>> {
    if names.is_empty() {
        return Ok(ALL.iter().collect());
    }
    names
        .iter()
        .map(|name| match ALL.iter().find(|bench| bench.name == name) {
            Some(bench) => Ok(bench),
            None => {
                bail!("no benchmark is called `{name}`; `cargo xtask bench --list` tells the names")
            }
        })
        .collect()
}

/// Builds a program as users get it and hands back its path.
fn release_program(arguments: &BenchArguments, package: &str, name: &str) -> Result<PathBuf> {
    release(arguments, package, "--bin", name).map(|folder| folder.join(name))
}

/// Builds an example as users get it and hands back its path.
fn release_example(arguments: &BenchArguments, package: &str, name: &str) -> Result<PathBuf> {
    release(arguments, package, "--example", name).map(|folder| folder.join("examples").join(name))
}

/// Builds a target of a package and hands back the folder of release programs.
fn release(arguments: &BenchArguments, package: &str, kind: &str, name: &str) -> Result<PathBuf> {
    if !arguments.built {
        let mut build = cargo(["build", "--release", "--quiet", "--package", package]);
        run(build.args([kind, name]))?;
    }
    Ok(crate::built::target().join("release"))
}

/// The version of our program, as it says it.
fn program_version(program: &Path) -> Result<String> {
    let text = capture(Command::new(program).arg("--version"))?;
    let version = text.trim().strip_prefix("mlops ");
    Ok(version
        .context("`mlops --version` does not say `mlops VERSION`")?
        .to_owned())
}
