//! Every test of the workspace, with the servers that it needs.

use std::fs::File;
use std::io::Seek as _;
use std::path::{Path, PathBuf};
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

/// Packages whose tests have nobody beside them: their pods are evicted, run out of memory or start in time only when
/// nobody else takes the processor from the kubelet.
const ALONE: [&str; 2] = ["crates/mlops-k8s", "crates/mlops-testkit"];

/// Of the whole workspace, the documentation's examples come first, then the packages that need the machine for
/// themselves. All others run beside the tests of whole platforms, those on a node and those on this machine, since each
/// of the three waits often. The output of those beside comes last: so the closing lines are always those of a test
/// program that ran something. Nothing is printed after them.
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
    let run = Run {
        arguments,
        needs: &needs,
        node: node.as_ref(),
    };
    let examples =
        status(&mut run.with_node(cargo_test(&["--workspace", "--doc"], arguments, &needs)))?;
    if !examples.success() && !arguments.no_fail_fast {
        return Ok(code(examples));
    }
    // A person who names tests waits for those alone.
    let mut ends = vec![examples];
    if arguments.filters.is_empty() {
        ends.extend(run.all()?);
    } else {
        ends.push(status(
            &mut run.with_node(cargo_test(&ALL, arguments, &needs)),
        )?);
    }
    let failed = ends.into_iter().find(|ended| !ended.success());
    Ok(failed.map_or(ExitCode::SUCCESS, code))
}

/// What all test programs of one run have in common.
struct Run<'a> {
    arguments: &'a TestArguments,
    needs: &'a Needs,
    node: Option<&'a RunningNode>,
}

impl Run<'_> {
    fn with_node(&self, mut command: Command) -> Command {
        command.envs(self.node.map(RunningNode::variable));
        command
    }

    fn start(&self, program: &Program, words: &[&str]) -> Command {
        let mut command = self.with_node(program.command(self.needs));
        command.args(words);
        command
    }

    /// Those that need the machine for themselves, then all others beside whole platforms.
    fn all(&self) -> Result<Vec<ExitStatus>> {
        let programs = programs()?;
        let (alone, others): (Vec<_>, Vec<_>) = programs.iter().partition(|one| one.is_alone());
        let mut ends = self.each(&alone)?;
        if !ends.iter().all(ExitStatus::success) && !self.arguments.no_fail_fast {
            return Ok(ends);
        }
        say("the tests of whole platforms run beside the others; their output comes last");
        let platforms = programs
            .iter()
            .find(|program| program.has_platforms())
            .context("Cargo did not build the tests of the command")?;
        // Some wait for their turn on the shared node, some have a node of their own.
        let on_node = Beside::start(self.start(platforms, &[ON_NODE, "--test-threads=4"]))?;
        let here = Beside::start(self.start(platforms, &[WHOLE_PLATFORM, "--skip", ON_NODE]))?;
        let others = self.each(&others);
        ends.extend([here.end()?, on_node.end()?]);
        ends.extend(others?);
        Ok(ends)
    }

    /// One after another, without the tests of whole platforms.
    fn each(&self, programs: &[&Program]) -> Result<Vec<ExitStatus>> {
        let mut ends = Vec::new();
        for program in programs {
            say(format_args!("tests of {}", program.title()));
            let ended = self
                .start(program, &["--skip", WHOLE_PLATFORM])
                .status()
                .with_context(|| format!("failed to start the tests of {}", program.title()))?;
            ends.push(ended);
            if ended.success() {
                continue;
            }
            say(format_args!("FAILED: tests of {}", program.title()));
            if !self.arguments.no_fail_fast {
                break;
            }
        }
        Ok(ends)
    }
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
    profile: Option<Profile>,
}

#[derive(Debug, Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Profile {
    test: bool,
}

/// A test program.
#[derive(Debug)]
struct Program {
    path: PathBuf,
    /// Of its package, below the root of the workspace.
    folder: PathBuf,
    target: Target,
}

impl Program {
    /// What one line of Cargo's tells of, when it is a test program.
    fn of_line(line: &str, root: &Path) -> Option<Self> {
        let built: Built = serde_json::from_str(line).ok()?;
        let folder = built.manifest_path.parent()?.strip_prefix(root).ok()?;
        Some(Self {
            path: built
                .executable
                .filter(|_| built.profile.is_some_and(|profile| profile.test))?,
            folder: folder.to_owned(),
            target: built.target?,
        })
    }

    fn is_alone(&self) -> bool {
        ALONE.iter().any(|alone| self.folder == Path::new(alone))
    }

    /// Whether it is the one with the tests of whole platforms.
    fn has_platforms(&self) -> bool {
        self.folder == Path::new("bins/mlops") && self.target.kind == ["test"]
    }

    fn title(&self) -> String {
        let Target { name, kind } = &self.target;
        format!(
            "{} of {} ({})",
            name,
            self.folder.display(),
            kind.join(", ")
        )
    }

    /// As Cargo would run it.
    fn command(&self, needs: &Needs) -> Command {
        let package = root().join(&self.folder);
        let mut command = Command::new(&self.path);
        command
            .env("CARGO_MANIFEST_DIR", &package)
            .current_dir(package)
            .envs(needs.variables());
        command
    }
}

/// Every test program, built, by package.
fn programs() -> Result<Vec<Program>> {
    let mut build = cargo([
        "test",
        "--no-run",
        "--message-format=json-render-diagnostics",
    ]);
    let text = capture(build.args(ALL))?;
    let root = root();
    let mut programs: Vec<Program> = text
        .lines()
        .filter_map(|line| Program::of_line(line, &root))
        .collect();
    // Cargo tells of them as they are done.
    programs.sort_by(|one, other| (&one.folder, &one.path).cmp(&(&other.folder, &other.path)));
    Ok(programs)
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

    #[test]
    fn test_programs_are_told_from_others() {
        let root = Path::new("/w");
        let line = |package: &str, kind: &str, test: bool| {
            format!(
                r#"{{"reason":"compiler-artifact","manifest_path":"/w/{package}/Cargo.toml",
                    "target":{{"name":"it","kind":["{kind}"]}},"profile":{{"test":{test}}},"executable":"/t/it-1"}}"#
            )
        };
        let of = |package, kind, test| Program::of_line(&line(package, kind, test), root);
        let platforms = of("bins/mlops", "test", true).unwrap();
        assert!(platforms.has_platforms() && !platforms.is_alone());
        assert_eq!(platforms.title(), "it of bins/mlops (test)");
        let alone = of("crates/mlops-k8s", "lib", true).unwrap();
        assert!(alone.is_alone() && !alone.has_platforms());
        assert!(of("bins/mlops", "bin", false).is_none());
        assert!(Program::of_line(r#"{"reason":"build-finished","success":true}"#, root).is_none());
    }
}
