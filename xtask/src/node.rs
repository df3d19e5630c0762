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
use crate::shell::{cargo, root, run, say};

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
    /// Stop it; nothing of it is left.
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
    let mut build = example("build");
    // The terminal's output belongs to the tests.
    run(build.stdout(std::io::stderr()))
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

fn example(mode: &str) -> Command {
    let mut command = cargo(["run", "--quiet", "--package", "mlops-testkit"]);
    command.args(["--example", "node", "--", mode]);
    command
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
        let mut command = example("run");
        let (child, folder) = started(command.stdin(Stdio::piped()))?;
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

/// The node of `up`, as it is remembered in the cache.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    pid: u32,
    folder: PathBuf,
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
        let record: Self = serde_json::from_str(&text)?;
        Ok(record.is_alive().then_some(record))
    }

    /// A process of that number may be another by now: it must be the program, and its folder be there.
    fn is_alive(&self) -> bool {
        let words = fs::read_to_string(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        words.contains("examples/node") && self.folder.join("kubeconfig").is_file()
    }
}

fn up(with_images: bool) -> Result<()> {
    if let Some(record) = Record::read()? {
        say("a node runs already");
        print_kubeconfig(&record);
        return Ok(());
    }
    build()?;
    // Not through Cargo: the process that is remembered is the node's.
    let folder = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root().join("target"), |folder| root().join(folder));
    let mut command = Command::new(folder.join("debug/examples/node"));
    command
        .arg("stay")
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    let (child, folder) = started(&mut command)?;
    let record = Record {
        pid: child.id(),
        folder,
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
    let mut command = example("images");
    command.arg(environment).env(NODE, node);
    Ok(command)
}

fn down() -> Result<()> {
    let Some(record) = Record::read()? else {
        say("no node runs");
        return Ok(());
    };
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
