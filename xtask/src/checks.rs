//! The checks that need no server. Each can be run alone.

use std::process::Command;

use anyhow::Result;

use crate::shell::{cargo, root, run};
use crate::tools;

pub(crate) fn fmt() -> Result<()> {
    run(&mut cargo(["fmt", "--all", "--check"]))
}

pub(crate) fn lint() -> Result<()> {
    run(&mut cargo([
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))?;
    // Outside of the workspace, since to run them takes a nightly compiler; they must compile with ours.
    run(&mut cargo([
        "check",
        "--manifest-path",
        "fuzz/Cargo.toml",
        "--target-dir",
        "target/fuzz",
    ]))
}

/// The program `mlops` is left out: its pages would overwrite those of the library of that name, and `mlops man` is its
/// manual.
pub(crate) fn doc() -> Result<()> {
    run(
        cargo(["doc", "--workspace", "--exclude", "mlops-bin", "--no-deps"])
            .env("RUSTDOCFLAGS", "-D warnings"),
    )
}

/// The advisories are apart: their database comes from the network, and a new entry must not turn an unchanged
/// tree red.
pub(crate) fn deny(advisories: bool) -> Result<()> {
    let mut command = Command::new(tools::DENY.get()?);
    command
        .current_dir(root())
        .args(["check", "bans", "licenses", "sources"]);
    if advisories {
        command.arg("advisories");
    }
    run(&mut command)
}

pub(crate) fn typos() -> Result<()> {
    run(Command::new(tools::TYPOS.get()?)
        .current_dir(root())
        .args(["--config", "typos.toml"]))
}

pub(crate) fn unused() -> Result<()> {
    run(Command::new(tools::MACHETE.get()?)
        .current_dir(root())
        .arg("--with-metadata"))
}

/// Beside them is the test of the node, which needs servers.
pub(crate) fn rooms() -> Result<()> {
    run(&mut cargo([
        "test",
        "--quiet",
        "--package",
        "xtask",
        "--test",
        "it",
        "--",
        "--skip",
        "node::",
    ]))
}
