//! Every test of the workspace, with the servers that it needs.

use std::fs::File;
use std::io::Seek as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};

use anyhow::{Context as _, Result};
use clap::Args;
use serde::Deserialize;

use crate::needs::{Needs, optional};
use crate::node::RunningNode;
use crate::shell::{capture, cargo, root, run, say, status};

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

/// The module with the tests of a whole platform, which wait for servers most of the time.
const WHOLE_PLATFORM: &str = "whole_platform::";

/// Those of them whose platform is on a node.
const ON_NODE: &str = "whole_platform::cluster";

/// Of the whole workspace, the documentation's examples come first, and the tests of whole platforms last: those on a
/// node beside those on this machine, which is all that two cores bear. The output of those beside comes last: so the
/// closing lines are always those of a test program that ran something. Nothing is printed after them.
///
/// Tests run the programs under `examples/`. Cargo makes them on its own only when no kind of target is chosen, and with
/// `--all-targets` makes test programs of them; so they are built before.
pub(crate) fn test(arguments: &TestArguments) -> Result<ExitCode> {
    let needs = Needs::gather()?;
    if !arguments.packages.is_empty() {
        // Cargo refuses `--doc` for a package that has no library; without a choice it tests what there is.
        return status(&mut cargo_test(&[], arguments, &needs)).map(code);
    }
    run(&mut cargo(["build", "--workspace", "--examples"]))?;
    // One node for all test programs; a package alone starts its own when it needs one.
    let node = needs
        .kubernetes
        .then(RunningNode::start)
        .and_then(|started| optional("a Kubernetes node", started));
    let with_node = |mut command: Command| -> Command {
        command.envs(node.as_ref().map(RunningNode::variable));
        command
    };
    let examples = cargo_test(&["--workspace", "--doc"], arguments, &needs);
    let examples = status(&mut with_node(examples))?;
    if !examples.success() && !arguments.no_fail_fast {
        return Ok(code(examples));
    }
    let mut others = with_node(cargo_test(&ALL, arguments, &needs));
    // A person who names tests waits for those alone.
    let ends = if arguments.filters.is_empty() {
        let program = whole_platform()?;
        let run = |arguments: &[&str]| {
            let mut command = with_node(program.command(&needs));
            command.args(arguments);
            command
        };
        let others = status(others.args(["--", "--skip", WHOLE_PLATFORM]))?;
        say(
            "the tests of a platform on a node run beside those of one on this machine; their output comes last",
        );
        // Some wait for their turn on the shared node, some have a node of their own.
        let on_node = Beside::start(run(&[ON_NODE, "--test-threads=4"]))?;
        let here = status(&mut run(&[WHOLE_PLATFORM, "--skip", ON_NODE]))?;
        vec![examples, others, here, on_node.end()?]
    } else {
        vec![examples, status(&mut others)?]
    };
    let failed = ends.into_iter().find(|ended| !ended.success());
    Ok(failed.map_or(ExitCode::SUCCESS, code))
}

/// Every kind of target of every package but documentation.
const ALL: [&str; 5] = ["--workspace", "--lib", "--bins", "--tests", "--benches"];

/// What Cargo tells of each thing that it has built.
#[derive(Debug, Deserialize)]
struct Built {
    executable: Option<PathBuf>,
    #[serde(default)]
    manifest_path: PathBuf,
    target: Option<Target>,
}

#[derive(Debug, Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

/// The test program of the command.
struct Program {
    path: PathBuf,
    package: PathBuf,
}

impl Program {
    /// As Cargo would run it.
    fn command(&self, needs: &Needs) -> Command {
        let mut command = Command::new(&self.path);
        command
            .env("CARGO_MANIFEST_DIR", &self.package)
            .current_dir(&self.package)
            .envs(needs.variables());
        command
    }
}

/// The program with the tests of a whole platform. Builds all tests.
fn whole_platform() -> Result<Program> {
    let mut build = cargo([
        "test",
        "--no-run",
        "--message-format=json-render-diagnostics",
    ]);
    let text = capture(build.args(ALL))?;
    let package = root().join("bins/mlops");
    let manifest = package.join("Cargo.toml");
    let path = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Built>(line).ok())
        .filter(|built| built.manifest_path == manifest)
        .filter(|built| {
            let target = built.target.as_ref();
            target.is_some_and(|target| target.name == "it" && target.kind == ["test"])
        })
        .find_map(|built| built.executable)
        .context("Cargo did not build the tests of the command")?;
    Ok(Program { path, package })
}

/// A test program that runs beside others; what it prints is kept until its end.
struct Beside {
    child: Child,
    output: File,
}

impl Beside {
    fn start(mut command: Command) -> Result<Self> {
        let output = tempfile::tempfile()?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output.try_clone()?)
            .spawn()
            .context("failed to start the tests of a whole platform")?;
        Ok(Self { child, output })
    }

    fn end(mut self) -> Result<ExitStatus> {
        let ended = self.child.wait()?;
        self.output.rewind()?;
        std::io::copy(&mut self.output, &mut std::io::stdout())?;
        Ok(ended)
    }
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
