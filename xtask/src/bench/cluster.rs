//! A platform on a Kubernetes node, beside the starts of its containers one after another.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::figure::{Goal, Row};
use super::home::{Home, Report};
use super::{BenchArguments, Results, program_version, release_program};
use crate::node::RunningNode;
use crate::shell::capture;

/// The stages of the longest path, by what each leaves out of the platform.
const STAGES: [&str; 3] = [
    "components: { mlflow: { enabled: false }, model-server: { enabled: false } }\nmodels: []",
    "components: { model-server: { enabled: false } }\nmodels: []",
    "",
];

/// What `k8s_load faults` prints.
#[derive(Debug, Deserialize)]
struct Explained {
    cause: String,
    after_evidence: f64,
}

/// All rounds, in seconds.
#[derive(Default)]
struct Rounds {
    up: Vec<f64>,
    again: Vec<f64>,
    path: Vec<f64>,
}

impl Rounds {
    fn round(&mut self, program: &Path, node: &RunningNode) -> Result<()> {
        let home = cluster_home(program, node, "")?;
        let start = Instant::now();
        home.up()?;
        self.up.push(start.elapsed().as_secs_f64());
        let start = Instant::now();
        home.up()?;
        self.again.push(start.elapsed().as_secs_f64());
        home.remove()?;

        let mut path = 0.0;
        let home = cluster_home(program, node, STAGES[0])?;
        for (stage, rest) in STAGES.iter().enumerate() {
            home.write(&platform(rest))?;
            path += longest(stage, &home.up()?)?;
        }
        self.path.push(path);
        home.remove()
    }
}

fn platform(rest: &str) -> String {
    format!("name: bench\ntarget: cluster\n{rest}\n")
}

fn cluster_home(program: &Path, node: &RunningNode, rest: &str) -> Result<Home> {
    let home = Home::new(program)?.on_cluster(&node.kubeconfig());
    home.write(&platform(rest))?;
    Ok(home)
}

/// The seconds of a stage's containers that wait for each other, and of what is registered and asked at the end.
fn longest(stage: usize, report: &Report) -> Result<f64> {
    let object = |name: &str| report.seconds_of(&format!("kubernetes-object/{name}"));
    match stage {
        0 => Ok(object("statefulset.postgres")?.max(object("statefulset.s3")?)),
        1 => Ok(object("job.mlflow-migration")? + object("deployment.mlflow")?),
        _ => Ok(report.seconds("registered-model/iris")?
            + object("deployment.model-server")?
            + report.seconds("served-model/iris")?),
    }
}

pub(super) fn measure(arguments: &BenchArguments) -> Result<Results> {
    let program = release_program(arguments, "mlops-bin", "mlops")?;
    let load = release_program(arguments, "mlops-bench", "k8s_load")?;
    let node = RunningNode::start()?;
    node.bring_images()?;
    // Warms the system's caches.
    Rounds::default().round(&program, &node)?;
    let mut rounds = Rounds::default();
    for _ in 0..arguments.rounds {
        rounds.round(&program, &node)?;
    }
    let mut rows = vec![
        Row::new(
            "`mlops up` on a node, no data, images there",
            "s",
            &rounds.up,
            Goal::RatioAtMost(1.2),
        )?
        .beside("the containers' own starts", &rounds.path)?,
        Row::new("`mlops up` again", "s", &rounds.again, Goal::AtMost(1.0))?,
    ];
    rows.extend(explained(&load, &node.kubeconfig(), arguments.rounds)?);
    Ok(Results {
        rows,
        notes: vec![
            "One node in namespaces of its own on the same machine (`cargo xtask node up`), with the images of the \
             components. `mlops up` also proves every binding through port-forwards."
                .to_owned(),
            "The containers' own starts: the same platform brought up in three stages, so that nothing else starts \
             meanwhile, each from its object's being written to its being ready: PostgreSQL; the migration and MLflow; \
             registering the model, the model server and the first inference. Their sum is the longest path."
                .to_owned(),
            "A fault is a pod that cannot become ready. The first evidence is the moment at which a watch of its own on \
             pods and events is told of a container's failure, of a condition or of a warning; the explanation is there \
             when `explain_until` names the right cause."
                .to_owned(),
        ],
        versions: vec![
            ("mlops".to_owned(), program_version(&program)?),
            ("Kubernetes".to_owned(), RunningNode::version()?),
        ],
    })
}

/// A row for all faults, by the slowest of each round, and one for each of them.
fn explained(load: &Path, kubeconfig: &Path, rounds: u32) -> Result<Vec<Row>> {
    let mut slowest = Vec::new();
    let mut each: Vec<(String, Vec<f64>)> = Vec::new();
    for round in 0..rounds {
        let mut command = Command::new(load);
        command
            .arg("faults")
            .arg(kubeconfig)
            .arg(format!("fault-{round}"));
        let found: Vec<Explained> = serde_json::from_str(&capture(&mut command)?)
            .context("failed to read the load program's figures")?;
        slowest.extend(
            found
                .iter()
                .map(|one| one.after_evidence / 1000.0)
                .max_by(f64::total_cmp),
        );
        for one in found {
            match each.iter_mut().find(|(cause, _)| *cause == one.cause) {
                Some((_, times)) => times.push(one.after_evidence / 1000.0),
                None => each.push((one.cause, vec![one.after_evidence / 1000.0])),
            }
        }
    }
    let mut rows = vec![Row::new(
        "fault to explanation, the slowest of six",
        "s",
        &slowest,
        Goal::AtMost(2.0),
    )?];
    for (cause, times) in each {
        rows.push(Row::new(format!("`{cause}`"), "s", &times, Goal::None)?);
    }
    Ok(rows)
}
