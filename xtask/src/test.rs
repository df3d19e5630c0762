//! Every test of the workspace, with the servers that it needs.

use std::process::{Command, ExitCode, ExitStatus};

use anyhow::Result;
use clap::Args;

use crate::needs::Needs;
use crate::shell::{cargo, status};

#[derive(Debug, Args)]
pub(crate) struct TestArguments {
    /// Run only the tests whose names contain one of these.
    filters: Vec<String>,
    /// Go on after the first test program that fails.
    #[arg(long)]
    no_fail_fast: bool,
}

/// The documentation's examples come first and this package's own tests, by Cargo's order, last: so the closing
/// lines are always those of a test program that ran something. Nothing is printed after them.
pub(crate) fn test(arguments: &TestArguments) -> Result<ExitCode> {
    let needs = Needs::gather()?;
    let mut worst = ExitCode::SUCCESS;
    for targets in ["--doc", "--all-targets"] {
        let ended = status(&mut cargo_test(targets, arguments, &needs))?;
        if !ended.success() {
            worst = code(ended);
            if !arguments.no_fail_fast {
                break;
            }
        }
    }
    Ok(worst)
}

fn cargo_test(targets: &str, arguments: &TestArguments, needs: &Needs) -> Command {
    let mut command = cargo(["test", "--workspace", targets]);
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
            no_fail_fast: true,
        };
        let needs = Needs {
            python: Some(PathBuf::from("/env/bin/python")),
            ..Needs::default()
        };
        let command = cargo_test("--doc", &arguments, &needs);
        let words: Vec<_> = command.get_args().collect();
        assert_eq!(
            words,
            [
                "test",
                "--workspace",
                "--doc",
                "--no-fail-fast",
                "--",
                "roles",
                "keys"
            ]
        );
        assert!(
            command
                .get_envs()
                .any(|(name, value)| name == "MLOPS_TEST_PYTHON"
                    && value == Some(OsStr::new("/env/bin/python")))
        );
    }
}
