//! The tasks of this workspace: `cargo xtask help` lists them.

#![expect(
    clippy::print_stderr,
    reason = "a program for the terminal: it tells what it does"
)]

mod bench;
mod built;
mod cache;
mod checks;
mod needs;
mod node;
mod schemas;
mod shell;
mod test;
mod tools;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "The tasks of this workspace")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Run every test with its real servers, which are fetched when missing.
    Test(test::TestArguments),
    /// Run everything that must pass before a change lands: all checks, then all tests.
    Ci(test::TestArguments),
    /// Check that every file is formatted.
    Fmt,
    /// Run clippy on every target; a warning is a failure.
    Lint,
    /// Build the documentation of every crate; a warning is a failure.
    Doc,
    /// Check licences, bans and sources of all dependencies.
    Deny(DenyArguments),
    /// Look for misspelt words.
    Typos,
    /// Look for dependencies that are declared and not used.
    Unused,
    /// Prove that the pure crates are pure and that no crate depends upwards.
    Rooms,
    /// A Kubernetes node on this machine, the one that the tests use.
    Node(node::NodeArguments),
    /// Measure against the peers and write docs/benchmarks.md.
    Bench(bench::BenchArguments),
    /// Write the schemas that objects for Kubernetes are checked against.
    Schemas,
}

#[derive(Debug, Args)]
struct DenyArguments {
    /// Check known vulnerabilities too; this fetches the advisory database.
    #[arg(long)]
    advisories: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse().task) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            for cause in error.chain().skip(1) {
                eprintln!("  caused by: {cause}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run(task: &Task) -> Result<ExitCode> {
    match task {
        Task::Test(arguments) => return test::test(arguments),
        Task::Ci(arguments) => return ci(arguments),
        Task::Fmt => checks::fmt()?,
        Task::Lint => checks::lint()?,
        Task::Doc => checks::doc()?,
        Task::Deny(arguments) => checks::deny(arguments.advisories)?,
        Task::Typos => checks::typos()?,
        Task::Unused => checks::unused()?,
        Task::Rooms => checks::rooms()?,
        Task::Node(arguments) => node::node(arguments)?,
        Task::Bench(arguments) => bench::bench(arguments)?,
        Task::Schemas => schemas::schemas()?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The cheap checks come first, so that the common mistakes are told in seconds.
fn ci(arguments: &test::TestArguments) -> Result<ExitCode> {
    checks::fmt()?;
    checks::typos()?;
    checks::unused()?;
    checks::rooms()?;
    checks::lint()?;
    checks::doc()?;
    checks::deny(false)?;
    test::test(arguments)
}
