//! From nothing to a model that answers, beside the same chain without `mlops`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::figure::{Goal, Row};
use super::home::{Home, Prefetch, open_folder};
use super::server::free_address;
use super::{BenchArguments, Results, program_version, release_program};
use crate::cache::Cache;
use crate::needs;
use crate::shell::{capture, root};

/// A cold start loads hundreds of megabytes; three tell enough.
const COLD_ROUNDS: u32 = 3;

/// Seconds of each step of `chain.sh hand`.
#[derive(Debug, Deserialize)]
struct Hand {
    postgres_and_s3: f64,
    migrate: f64,
    mlflow: f64,
    first_call: f64,
    train_and_register: f64,
    model_server: f64,
    inference: f64,
}

impl Hand {
    fn sum(&self) -> f64 {
        let servers = self.postgres_and_s3 + self.migrate + self.mlflow + self.model_server;
        servers + self.first_call + self.train_and_register + self.inference
    }
}

/// Seconds that each server takes to start when nothing else does.
#[derive(Debug, Deserialize)]
struct Starts {
    postgres: f64,
    mlflow: f64,
    model_server: f64,
}

/// What `chain.sh` needs.
struct Chain {
    prefetch: Prefetch,
    gateway: PathBuf,
}

impl Chain {
    fn run<T: serde::de::DeserializeOwned>(&self, what: &str) -> Result<T> {
        let folder = open_folder()?;
        let mut command = Command::new("bash");
        command
            .arg(root().join("xtask/src/bench/chain.sh"))
            .arg(what)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("LANG", "C.UTF-8")
            .env("FOLDER", folder.path())
            .env("POSTGRES_BIN", &self.prefetch.postgres)
            .env("POSTGRES_USER", "postgres")
            .env("ENVIRONMENT", &self.prefetch.environment)
            .env("VERSITYGW", &self.gateway);
        for name in ["PG", "S3", "MLFLOW", "HTTP", "GRPC", "METRICS"] {
            command.env(name, free_address()?.port().to_string());
        }
        let text = capture(&mut command)?;
        serde_json::from_str(&text).context("failed to read what `chain.sh` prints")
    }
}

/// All rounds, in seconds.
#[derive(Default)]
struct Rounds {
    up: Vec<f64>,
    again: Vec<f64>,
    hand: Vec<f64>,
    path: Vec<f64>,
}

impl Rounds {
    fn round(&mut self, program: &Path, chain: &Chain) -> Result<()> {
        let home = Home::new(program)?;
        let start = Instant::now();
        let report = home.up()?;
        self.up.push(start.elapsed().as_secs_f64());
        let start = Instant::now();
        home.up()?;
        self.again.push(start.elapsed().as_secs_f64());
        home.down()?;

        self.hand.push(chain.run::<Hand>("hand")?.sum());
        let starts: Starts = chain.run("starts")?;
        let tracked = starts.postgres + starts.mlflow + report.seconds("registered-model/iris")?;
        let served = report.seconds("served-model/iris")?;
        self.path.push(tracked.max(starts.model_server) + served);
        Ok(())
    }
}

pub(super) fn measure(arguments: &BenchArguments) -> Result<Results> {
    let program = release_program(arguments, "mlops-bin", "mlops")?;
    let chain = Chain {
        prefetch: Home::new(&program)?.prefetch()?,
        gateway: needs::versitygw(&Cache::of_user()?)?,
    };
    // Compiles what the chain imports and `mlops` does not, and warms the system's caches.
    Rounds::default().round(&program, &chain)?;
    let mut rounds = Rounds::default();
    for _ in 0..arguments.rounds {
        rounds.round(&program, &chain)?;
    }
    Ok(Results {
        rows: vec![
            Row::new(
                "`mlops up`, no data, caches warm",
                "s",
                &rounds.up,
                Goal::RatioAtMost(0.35),
            )?
            .beside("the chain by hand", &rounds.hand)?,
            Row::new(
                "the same `mlops up`",
                "s",
                &rounds.up,
                Goal::RatioAtMost(1.15),
            )?
            .beside("the servers' own starts", &rounds.path)?,
            Row::new("`mlops up` again", "s", &rounds.again, Goal::AtMost(1.0))?,
        ],
        notes: vec![
            "By hand, one after another in the same Python environment with its bytecode compiled: PostgreSQL and an S3 \
             gateway, `mlflow db upgrade`, `mlflow server --app-name basic-auth` with one worker and no jobs, the first \
             call, training and registering in Python, `mlserver start`, the first inference \
             (`xtask/src/bench/chain.sh`). `mlops up` also proves every binding and signs in a second user."
                .to_owned(),
            "The servers' own starts: PostgreSQL with two databases and then MLflow, or MLServer when that takes longer, \
             each started alone by the commands that `mlops` uses; and what `mlops` reports for registering the model, \
             loading it and asking it."
                .to_owned(),
        ],
        versions: vec![
            ("mlops".to_owned(), program_version(&program)?),
            ("versitygw".to_owned(), needs::VERSITYGW_VERSION.to_owned()),
        ],
    })
}

/// With nothing cached: neither environment nor packages.
pub(super) fn measure_cold(arguments: &BenchArguments) -> Result<Results> {
    let program = release_program(arguments, "mlops-bin", "mlops")?;
    let uv = installer(&program)?;
    let path = search_path(&uv)?;
    let (mut cold, mut installer, mut allowed) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..arguments.rounds.min(COLD_ROUNDS) {
        let home = Home::new(&program)?;
        let start = Instant::now();
        home.up()?;
        let warm = start.elapsed().as_secs_f64();
        drop(home);

        installer.push(install(&uv)?);
        allowed.push(installer.last().copied().unwrap_or_default() + 1.3 * warm);

        let home = Home::cold(&program)?;
        let start = Instant::now();
        capture(home.command(&["--quiet", "up"]).env("PATH", &path))?;
        cold.push(start.elapsed().as_secs_f64());
    }
    Ok(Results {
        rows: vec![
            Row::new(
                "`mlops up`, nothing cached",
                "s",
                &cold,
                Goal::RatioAtMost(1.0),
            )?
            .beside("installer + 1.3 x warm `up`", &allowed)?,
            Row::new("of which more than the installer alone", "s", &cold, Goal::None)?
                .beside("installer", &installer)?,
        ],
        notes: vec![
            "The installer alone: `uv venv` and `uv pip sync --require-hashes` with the same lock file and an empty cache; it \
             compiles no bytecode, `mlops up` does. Both load the packages from the same index, and both find `uv` on \
             the search path."
                .to_owned(),
        ],
        versions: vec![
            ("mlops".to_owned(), program_version(&program)?),
            (
                "uv".to_owned(),
                capture(Command::new(&uv).arg("--version"))?
                    .trim()
                    .trim_start_matches("uv ")
                    .to_owned(),
            ),
        ],
    })
}

/// The `uv` of the search path, else the one that `mlops prefetch` installed.
fn installer(program: &Path) -> Result<PathBuf> {
    if let Ok(found) = which::which("uv") {
        return Ok(found);
    }
    let environment = Home::new(program)?.prefetch()?.environment;
    let folder = environment.parent().context("no folder of environments")?;
    std::fs::read_dir(folder)?
        .flatten()
        .map(|entry| entry.path().join("bin/uv"))
        .find(|path| path.is_file())
        .context("uv is needed to measure it: install it, for example by `pip install uv`")
}

fn search_path(uv: &Path) -> Result<std::ffi::OsString> {
    let ours = uv.parent().map(Path::to_owned);
    let rest = std::env::var_os("PATH").unwrap_or_default();
    Ok(std::env::join_paths(
        ours.into_iter().chain(std::env::split_paths(&rest)),
    )?)
}

/// The installer's own seconds, from an empty cache.
fn install(uv: &Path) -> Result<f64> {
    let folder = open_folder()?;
    let uv = |arguments: &[&str]| {
        let mut command = Command::new(uv);
        command
            .args(arguments)
            .current_dir(folder.path())
            .env("UV_CACHE_DIR", folder.path().join("cache"))
            .env("VIRTUAL_ENV", folder.path().join("environment"));
        capture(&mut command)
    };
    let lock = root().join("crates/mlops-local/python/requirements.lock");
    let start = Instant::now();
    uv(&["venv", "--quiet", "environment"])?;
    uv(&[
        "pip",
        "sync",
        "--quiet",
        "--require-hashes",
        &lock.to_string_lossy(),
    ])?;
    Ok(start.elapsed().as_secs_f64())
}
