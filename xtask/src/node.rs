//! A Kubernetes node: for a test run, or for a person.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};

use crate::cache::Cache;
use crate::needs::{apt_get, is_root, python};
use crate::shell::{root, run, say};

/// The environment variable by which tests find a node that runs already.
const NODE: &str = "MLOPS_TEST_NODE";

/// What a node needs of the system, each with its package of Debian.
const PROGRAMS: [(&str, &str); 8] = [
    ("containerd", "containerd"),
    ("runc", "runc"),
    ("iptables", "iptables"),
    ("conntrack", "conntrack"),
    ("ip", "iproute2"),
    ("busybox", "busybox-static"),
    ("debootstrap", "debootstrap"),
    ("curl", "curl"),
];

/// Debian keeps the plugins for networks of containers here.
const CNI: &str = "/usr/lib/cni/bridge";

const NO_NODE: &str = "no node runs; start one with `cargo xtask node up`";

#[derive(Debug, Args)]
pub(crate) struct NodeArguments {
    #[command(subcommand)]
    task: NodeTask,
}

#[derive(Debug, Subcommand)]
enum NodeTask {
    /// Start a node that stays until `down`, with the images of a platform, and print the path of its kubeconfig.
    Up {
        /// Leave the images out; `images` brings them later.
        #[arg(long)]
        no_images: bool,
    },
    /// Stop the node that was started in this checkout; nothing of it is left.
    Down,
    /// Print the path of its kubeconfig.
    Kubeconfig,
    /// Bring the images of a platform to it, and print their names.
    Images,
}

pub(crate) fn node(arguments: &NodeArguments) -> Result<()> {
    match arguments.task {
        NodeTask::Up { no_images } => up(!no_images),
        NodeTask::Down => down(),
        NodeTask::Images => images(),
        NodeTask::Kubeconfig => match Record::read()? {
            Some(record) => {
                print_kubeconfig(&record);
                Ok(())
            }
            None => bail!(NO_NODE),
        },
    }
}

/// Has the system's programs installed, and those of Kubernetes built into the cache.
pub(crate) fn build() -> Result<()> {
    install()?;
    let mut build = crate::built::node()?;
    // The terminal's output belongs to the tests.
    run(build.arg("build").stdout(std::io::stderr()))
}

fn install() -> Result<()> {
    let mut missing: Vec<&str> = PROGRAMS
        .iter()
        .filter(|(program, _)| which::which(program).is_err())
        .map(|(_, package)| *package)
        .collect();
    if !Path::new(CNI).is_file() {
        missing.push("containernetworking-plugins");
    }
    if missing.is_empty() {
        return Ok(());
    }
    let packages = missing.join(" ");
    ensure!(
        is_root() && which::which("apt-get").is_ok(),
        "a Kubernetes node needs root and these packages of Debian: {packages}"
    );
    say(format_args!("installing {packages} with apt-get"));
    apt_get(&["update"])?;
    apt_get(
        &[
            &["install", "--yes", "--no-install-recommends"][..],
            &missing,
        ]
        .concat(),
    )
}

/// A node that runs as long as this value lives.
#[derive(Debug)]
pub(crate) struct RunningNode {
    folder: PathBuf,
    child: Child,
}

impl RunningNode {
    pub(crate) fn start() -> Result<Self> {
        say("starting a Kubernetes node for the tests");
        // Its input ends when this process does, however.
        let mut command = crate::built::node()?;
        let (child, folder) = started(command.arg("run").stdin(Stdio::piped()))?;
        Ok(Self { folder, child })
    }

    pub(crate) fn variable(&self) -> (&'static str, &Path) {
        (NODE, &self.folder)
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    /// The version of Kubernetes that its module names.
    pub(crate) fn version() -> Result<String> {
        const MODULE: &str = "k8s.io/kubernetes v";
        let text = fs::read_to_string(root().join("crates/mlops-testkit/node/go.mod"))?;
        let mut lines = text.lines();
        let version = lines.find_map(|line| line.trim().strip_prefix(MODULE));
        Ok(version
            .context("the node's module does not name Kubernetes")?
            .to_owned())
    }

    /// Brings the images of a platform to it.
    pub(crate) fn bring_images(&self) -> Result<()> {
        run(images_for(&self.folder)?.stdout(std::io::stderr()))
    }
}

impl Drop for RunningNode {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // How it ended is of no use to anybody.
        let _ = self.child.wait();
    }
}

/// Starts it and waits for the line with its folder.
fn started(command: &mut Command) -> Result<(Child, PathBuf)> {
    let mut child = command
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .context("failed to start a Kubernetes node")?;
    let output = child.stdout.take().context("it has no output")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    let folder = PathBuf::from(line.trim());
    if !folder.join("kubeconfig").is_file() {
        let ended = child.wait()?;
        bail!("the Kubernetes node did not start: it ended with {ended}");
    }
    Ok((child, folder))
}

/// The node of `up`, as it is remembered in the cache: every checkout of a user knows of it.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    pid: u32,
    /// When the process began, in ticks of the system's clock: another process may get its number later.
    began: u64,
    folder: PathBuf,
    /// Where `up` was run: only there is it ended again.
    checkout: PathBuf,
}

impl Record {
    fn path() -> Result<PathBuf> {
        Cache::of_user().map(|cache| cache.file("node.json"))
    }

    /// The node that runs; none when the one remembered has ended.
    fn read() -> Result<Option<Self>> {
        let Ok(text) = fs::read_to_string(Self::path()?) else {
            return Ok(None);
        };
        // Of another version of this program: whatever it started, it is not ours to end.
        let record: Option<Self> = serde_json::from_str(&text).ok();
        Ok(record.filter(Self::is_alive))
    }

    fn is_alive(&self) -> bool {
        began(self.pid) == Some(self.began) && self.folder.join("kubeconfig").is_file()
    }

    /// Refuses for a node that another checkout may be using.
    fn check_ours(&self, checkout: &Path) -> Result<()> {
        ensure!(
            self.checkout == checkout,
            "the node that runs was started in {}, and may be in use there; run `cargo xtask node down` in that folder",
            self.checkout.display()
        );
        Ok(())
    }
}

/// When a process began; none when there is none.
fn began(pid: u32) -> Option<u64> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    began_in(&line)
}

/// The 22nd word of `/proc/PID/stat`; the second is a name in brackets, which may hold anything
/// (<https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>).
fn began_in(line: &str) -> Option<u64> {
    line.rsplit_once(')')?
        .1
        .split_whitespace()
        .nth(19)?
        .parse()
        .ok()
}

fn up(with_images: bool) -> Result<()> {
    if let Some(record) = Record::read()? {
        say("a node runs already");
        print_kubeconfig(&record);
        return Ok(());
    }
    build()?;
    let mut command = crate::built::node()?;
    command
        .arg("stay")
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    let (child, folder) = started(&mut command)?;
    let record = Record {
        pid: child.id(),
        began: began(child.id()).context("the node has ended already")?,
        folder,
        checkout: root(),
    };
    let path = Record::path()?;
    fs::create_dir_all(path.parent().unwrap_or(&path))?;
    fs::write(&path, serde_json::to_string(&record)?)?;
    if with_images {
        // A script reads the path alone.
        run(images_for(&record.folder)?.stdout(std::io::stderr()))?;
    }
    print_kubeconfig(&record);
    Ok(())
}

fn images() -> Result<()> {
    let record = Record::read()?.context(NO_NODE)?;
    run(&mut images_for(&record.folder)?)
}

/// What brings the images to a node and prints their names.
fn images_for(node: &Path) -> Result<Command> {
    let python = python()?;
    // The interpreter is in `bin` of the environment.
    let environment = python.ancestors().nth(2).context("it has no folder")?;
    let (mut command, mlops) = (crate::built::node()?, crate::built::mlops()?);
    command.arg("images").arg(environment).env(NODE, node);
    command.arg(mlops.get_program());
    Ok(command)
}

fn down() -> Result<()> {
    let Some(record) = Record::read()? else {
        say("no node runs that `cargo xtask node up` has started");
        return Ok(());
    };
    record.check_ours(&root())?;
    run(Command::new("kill").arg(record.pid.to_string()))?;
    let deadline = Instant::now() + Duration::from_secs(30);
    while record.folder.exists() {
        ensure!(
            Instant::now() < deadline,
            "{} is still there",
            record.folder.display()
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    fs::remove_file(Record::path()?)?;
    say("the node is gone");
    Ok(())
}

#[expect(
    clippy::print_stdout,
    reason = "a script reads the path from standard output"
)]
fn print_kubeconfig(record: &Record) {
    println!("{}", record.folder.join("kubeconfig").display());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_ended_where_it_was_started_and_only_while_it_is_that_process() {
        let own = std::process::id();
        let folder = tempfile::tempdir().unwrap();
        let mut record = Record {
            pid: own,
            began: began(own).unwrap(),
            folder: folder.path().to_owned(),
            checkout: PathBuf::from("/one"),
        };
        record.check_ours(Path::new("/one")).unwrap();
        let refused = record.check_ours(Path::new("/other")).unwrap_err();
        assert!(refused.to_string().contains("/one"), "{refused}");
        assert!(!record.is_alive());
        fs::write(folder.path().join("kubeconfig"), "").unwrap();
        assert!(record.is_alive());
        record.began += 1;
        assert!(!record.is_alive());
    }

    #[test]
    fn when_a_process_began_is_read_behind_its_name() {
        let line = "7 (a ) b 1 2) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 1 2";
        assert_eq!(began_in(line), Some(4242));
        assert_eq!(began_in(""), None);
    }
}
