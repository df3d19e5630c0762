//! Our applier beside `kubectl` and a loop of bare requests, at a real API server.

use std::cell::Cell;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::figure::{Goal, Row, process_millis};
use super::home::open_folder;
use super::{BenchArguments, Results, release_example, release_program};
use crate::shell::{capture, say};

/// How far from ten times the cost ten times the objects may be.
const LINEAR: f64 = 1.2;

const KUBECTL: &str = "kubectl";

/// What the server's program prints.
#[derive(Debug, Deserialize)]
struct Served {
    kubeconfig: PathBuf,
    version: String,
}

/// What `k8s_load apply` prints.
#[derive(Debug, Deserialize)]
struct Applied {
    seconds: f64,
    reading_seconds: f64,
    requests: u32,
    peak_megabytes: f64,
}

impl Applied {
    /// What another program's whole process is held against.
    fn whole(&self) -> f64 {
        self.seconds + self.reading_seconds
    }
}

/// What `k8s_load raw` prints.
#[derive(Debug, Deserialize)]
struct Sent {
    seconds: f64,
}

/// What `k8s_load ready` prints, in milliseconds.
#[derive(Debug, Deserialize)]
struct Reported {
    after_answer: Vec<f64>,
    after_sending: Vec<f64>,
}

/// The program that runs the API server.
struct Server(Child);

impl Drop for Server {
    /// Ends its input, upon which it stops what it started.
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // Whatever fails here, its servers end with it.
        let _ = self.0.wait();
    }
}

/// An API server, and the programs that work at it.
struct Cluster<'a> {
    load: &'a Path,
    _server: Server,
    served: Served,
    folder: tempfile::TempDir,
    namespaces: Cell<u32>,
}

/// A namespace with nothing in it, and the objects that are meant for it.
struct Place {
    namespace: String,
    file: PathBuf,
}

impl<'a> Cluster<'a> {
    fn start(server: &Path, load: &'a Path) -> Result<Self> {
        let mut process = Command::new(server)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map(Server)
            .context("failed to start the API server")?;
        let output = process.0.stdout.take().context("no output of the server")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let described = serde_json::from_str(&line).context("the API server did not start")?;
        Ok(Self {
            load,
            _server: process,
            served: described,
            folder: open_folder()?,
            namespaces: Cell::new(0),
        })
    }

    fn work<T: DeserializeOwned>(
        &self,
        task: &str,
        namespace: &str,
        rest: impl IntoIterator<Item = String>,
    ) -> Result<T> {
        let mut command = Command::new(self.load);
        command
            .arg(task)
            .arg(&self.served.kubeconfig)
            .arg(namespace)
            .args(rest);
        serde_json::from_str(&capture(&mut command)?)
            .context("failed to read the load program's figures")
    }

    fn name(&self) -> String {
        let number = self.namespaces.get();
        self.namespaces.set(number + 1);
        format!("bench-{number}")
    }

    fn place(&self, objects: usize, kinds: &str) -> Result<Place> {
        let namespace = self.name();
        let place = Place {
            file: self.folder.path().join(format!("{namespace}.yaml")),
            namespace,
        };
        let rest = [
            text(&place.file),
            format!("--objects={objects}"),
            format!("--kinds={kinds}"),
        ];
        self.work::<()>("prepare", &place.namespace, rest)?;
        Ok(place)
    }

    fn clear(&self, place: &Place) -> Result<()> {
        self.work("clear", &place.namespace, None)
    }

    fn apply(&self, place: &Place) -> Result<Applied> {
        self.work("apply", &place.namespace, [text(&place.file)])
    }

    fn apply_again(&self, place: &Place) -> Result<Applied> {
        let rest = [text(&place.file), "--unchanged".to_owned()];
        self.work("apply", &place.namespace, rest)
    }

    fn raw(&self, place: &Place) -> Result<Sent> {
        self.work("raw", &place.namespace, [text(&place.file)])
    }

    /// The seconds of one `kubectl`.
    fn kubectl(&self, task: &str, place: &Place) -> Result<f64> {
        let mut command = Command::new(KUBECTL);
        command
            .arg(task)
            .args(["--server-side", "--filename"])
            .arg(&place.file)
            .arg("--kubeconfig")
            .arg(&self.served.kubeconfig)
            // Kept between the rounds, so that it asks for the server's kinds once.
            .arg("--cache-dir")
            .arg(self.folder.path().join("kubectl"));
        Ok(process_millis(&mut command)? / 1000.0)
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

pub(super) fn measure(arguments: &BenchArguments) -> Result<Results> {
    let load = release_program(arguments, "mlops-bench", "k8s_load")?;
    let server = release_example(arguments, "mlops-testkit", "cluster")?;
    let kubectl = kubectl_version();
    let cluster = Cluster::start(&server, &load)?;
    let mut rows = side_by_side(&cluster, arguments.rounds, kubectl.is_some())?;
    rows.extend(nothing_to_do(
        &cluster,
        arguments.rounds,
        kubectl.is_some(),
    )?);
    rows.extend(linear(&cluster, arguments.rounds)?);
    rows.extend(ready(&cluster)?);
    let mut versions = vec![
        ("mlops-k8s".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ("Kubernetes".to_owned(), cluster.served.version.clone()),
    ];
    let mut notes = vec![
        "kube-apiserver with etcd (no fsync), RBAC and an audit log on the same machine, and no controllers. A new \
         namespace each time, emptied afterwards. A ConfigMap has 300 bytes, and all are in one file."
            .to_owned(),
        "The loop sends one PATCH an object, 32 at a time, with the client, the headers and the threads that ours has, \
         and nothing else. Ours also asks for the server's kinds and for what is there, decides, and writes the set's \
         parent. Both begin with the connection."
            .to_owned(),
        "Nothing to do is a whole `apply` with pruning; its requests are counted by the client.".to_owned(),
        "A pod is made ready by a write to its status while it is waited for. The report may come before the answer \
         to that write; this counts as 0."
            .to_owned(),
    ];
    match kubectl {
        Some(version) => {
            notes.push(
                "`kubectl` is a whole process with its cache of the server's kinds filled; beside it ours has the time \
                 for reading the file added. `kubectl diff` ran once."
                    .to_owned(),
            );
            versions.push((KUBECTL.to_owned(), version));
        }
        None => {
            notes.push("There was no `kubectl` on the machine: its rows are missing.".to_owned());
        }
    }
    Ok(Results {
        rows,
        notes,
        versions,
    })
}

/// `None` when there is none.
fn kubectl_version() -> Option<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Versions {
        client_version: ClientVersion,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct ClientVersion {
        git_version: String,
    }
    which::which(KUBECTL).ok()?;
    let text =
        capture(Command::new(KUBECTL).args(["version", "--client", "--output=json"])).ok()?;
    let versions: Versions = serde_json::from_str(&text).ok()?;
    let version = versions.client_version.git_version;
    Some(version.trim_start_matches('v').to_owned())
}

/// Many objects for an empty namespace: ours, the loop, `kubectl`.
fn side_by_side(cluster: &Cluster<'_>, rounds: u32, with_kubectl: bool) -> Result<Vec<Row>> {
    const OBJECTS: usize = 1000;
    let (mut ours, mut whole, mut raw, mut kubectl) = (vec![], vec![], vec![], vec![]);
    for round in 0..=rounds {
        // The first round warms up and is not kept. Who goes first changes.
        let is_kept = round > 0;
        for turn in 0..3 {
            let side = (round + turn) % 3;
            if side == 2 && !with_kubectl {
                continue;
            }
            let place = cluster.place(OBJECTS, "one")?;
            match side {
                0 => {
                    let applied = cluster.apply(&place)?;
                    if is_kept {
                        ours.push(applied.seconds);
                        whole.push(1000.0 / applied.whole());
                    }
                }
                1 => {
                    let sent = cluster.raw(&place)?;
                    raw.extend(is_kept.then_some(sent.seconds));
                }
                _ => {
                    let seconds = cluster.kubectl("apply", &place)?;
                    kubectl.extend(is_kept.then_some(1000.0 / seconds));
                }
            }
            cluster.clear(&place)?;
        }
    }
    let mut rows = vec![
        Row::new("apply 1,000 ConfigMaps", "s", &ours, Goal::RatioAtMost(1.2))?
            .beside("a loop of PATCH", &raw)?,
    ];
    if with_kubectl {
        let row = Row::new("the same", "objects/s", &whole, Goal::RatioAtLeast(30.0))?;
        rows.push(row.beside("`kubectl apply --server-side`", &kubectl)?);
    }
    Ok(rows)
}

/// Many objects of many kinds that are there already.
fn nothing_to_do(cluster: &Cluster<'_>, rounds: u32, with_kubectl: bool) -> Result<Vec<Row>> {
    let place = cluster.place(2000, "twelve")?;
    cluster.apply(&place)?;
    let mut all = Vec::new();
    // The peer's one round is in the middle of ours.
    let mut kubectl = None;
    for round in 0..rounds {
        if with_kubectl && round == rounds / 2 {
            say("kubectl diff of 2,000 objects takes long");
            kubectl = Some(cluster.kubectl("diff", &place)?);
        }
        all.push(cluster.apply_again(&place)?);
    }
    cluster.clear(&place)?;
    let requests: Vec<f64> = all.iter().map(|one| f64::from(one.requests)).collect();
    let times: Vec<f64> = all.iter().map(Applied::whole).collect();
    let what = "2,000 objects of 12 kinds, nothing to do";
    let mut row = Row::new(what, "s", &times, Goal::None)?;
    if let Some(seconds) = kubectl {
        row.goal = Goal::RatioAtMost(1.0 / 50.0);
        row = row.beside("`kubectl diff --server-side`", &[seconds])?;
    }
    Ok(vec![
        row,
        Row::new(
            "requests of that",
            "requests",
            &requests,
            Goal::AtMost(80.0),
        )?,
    ])
}

/// Ten times the objects, ten times the time, and what they need of memory.
fn linear(cluster: &Cluster<'_>, rounds: u32) -> Result<Vec<Row>> {
    const SIZES: [(usize, &str, &str); 3] = [
        (100, "apply 100 ConfigMaps", ""),
        (1_000, "apply 1,000 ConfigMaps", "ten times that of 100"),
        (10_000, "apply 10,000 ConfigMaps", "ten times that of 1,000"),
    ];
    let mut times: [Vec<f64>; 3] = Default::default();
    let (mut peaks, mut again) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        for ((objects, ..), times) in SIZES.iter().zip(&mut times) {
            let place = cluster.place(*objects, "one")?;
            let applied = cluster.apply(&place)?;
            times.push(applied.whole());
            if *objects == 10_000 {
                peaks.push(applied.peak_megabytes);
                again.push(cluster.apply_again(&place)?);
            }
            cluster.clear(&place)?;
        }
    }
    let mut rows = Vec::new();
    let mut smaller: Option<&Vec<f64>> = None;
    for ((_, what, beside), times) in SIZES.iter().zip(&times) {
        let mut row = Row::new(*what, "s", times, Goal::None)?;
        if let Some(smaller) = smaller {
            let ten_times: Vec<f64> = smaller.iter().map(|time| time * 10.0).collect();
            row.goal = Goal::RatioAtMost(LINEAR);
            row = row.beside(beside, &ten_times)?;
        }
        rows.push(row);
        smaller = Some(times);
    }
    let seconds: Vec<f64> = again.iter().map(Applied::whole).collect();
    let peaks_again: Vec<f64> = again.iter().map(|one| one.peak_megabytes).collect();
    let memory = Goal::AtMost(300.0);
    rows.extend([
        Row::new(
            "10,000 ConfigMaps, nothing to do",
            "s",
            &seconds,
            Goal::None,
        )?,
        Row::new("peak memory, applying 10,000", "MB", &peaks, memory)?,
        Row::new(
            "peak memory, 10,000 with nothing to do",
            "MB",
            &peaks_again,
            memory,
        )?,
    ]);
    Ok(rows)
}

/// From a pod's being ready to its being told.
fn ready(cluster: &Cluster<'_>) -> Result<Vec<Row>> {
    let reported: Reported = cluster.work("ready", &cluster.name(), None)?;
    Ok(vec![
        Row::new(
            "pod ready to reported, from the answer to the write of its status",
            "ms",
            &reported.after_answer,
            Goal::AtMost(100.0),
        )?,
        Row::new(
            "the same from before that write",
            "ms",
            &reported.after_sending,
            Goal::None,
        )?,
    ])
}
