//! Every test of the workspace, with the servers that it needs.

use std::process::{Command, ExitCode, ExitStatus};

use anyhow::Result;
use clap::Args;

use crate::needs::{Needs, optional};
use crate::node::RunningNode;
use crate::shell::{cargo, run, status};

#[derive(Debug, Args)]
pub(crate) struct TestArguments {
    /// Run only the tests whose names contain one of these.
    filters: Vec<String>,
    /// Test only these packages; all when none is named.
    #[arg(short, long = "package", value_name = "NAME")]
    packages: Vec<String>,
    /// Go on after the first test program that fails.
    #[arg(long)]
    no_fail_fast: bool,
}

/// Of the whole workspace, the documentation's examples come first and this package's own tests, by Cargo's order,
/// last: so the closing lines are always those of a test program that ran something. Nothing is printed after them.
///
/// Tests run the programs under `examples/`. Cargo makes them on its own only when no kind of target is chosen, and with
/// `--all-targets` makes test programs of them; so they are built before.
pub(crate) fn test(arguments: &TestArguments) -> Result<ExitCode> {
    let needs = Needs::gather()?;
    let runs: &[&[&str]] = if arguments.packages.is_empty() {
        run(&mut cargo(["build", "--workspace", "--examples"]))?;
        &[
            &["--workspace", "--doc"],
            &["--workspace", "--lib", "--bins", "--tests", "--benches"],
        ]
    } else {
        // Cargo refuses `--doc` for a package that has no library; without a choice it tests what there is.
        &[&[]]
    };
    // One node for all test programs; a package alone starts its own when it needs one.
    let node = (arguments.packages.is_empty() && needs.kubernetes)
        .then(RunningNode::start)
        .and_then(|started| optional("a Kubernetes node", started));
    let mut worst = ExitCode::SUCCESS;
    for targets in runs {
        let mut command = cargo_test(targets, arguments, &needs);
        command.envs(node.as_ref().map(RunningNode::variable));
        let ended = status(&mut command)?;
        if !ended.success() {
            worst = code(ended);
            if !arguments.no_fail_fast {
                break;
            }
        }
    }
    Ok(worst)
}

fn cargo_test(targets: &[&str], arguments: &TestArguments, needs: &Needs) -> Command {
    let mut command = cargo(["test"]);
    command.args(targets);
    for package in &arguments.packages {
        command.args(["--package", package]);
    }
    if arguments.no_fail_fast {
        command.arg("--no-fail-fast");
    }
    if !arguments.filters.is_empty() {
        command.arg("--").args(&arguments.filters);
    }
    command.envs(needs.variables());
    command
}

/// Cargo's own code, so that a script sees what it would see from `cargo test`.
fn code(status: ExitStatus) -> ExitCode {
    status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .map_or(ExitCode::FAILURE, ExitCode::from)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn filters_and_variables_reach_the_tests() {
        let arguments = TestArguments {
            filters: vec!["roles".into(), "keys".into()],
            packages: vec!["mlops-storage".into()],
            no_fail_fast: true,
        };
        let needs = Needs {
            python: Some(PathBuf::from("/env/bin/python")),
            ..Needs::default()
        };
        let command = cargo_test(&["--doc"], &arguments, &needs);
        let words: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
        assert_eq!(
            words.join(" "),
            "test --doc --package mlops-storage --no-fail-fast -- roles keys"
        );
        let told: Vec<_> = command.get_envs().collect();
        let expected = Some(OsStr::new("/env/bin/python"));
        assert_eq!(told, [(OsStr::new("MLOPS_TEST_PYTHON"), expected)]);
    }
}
