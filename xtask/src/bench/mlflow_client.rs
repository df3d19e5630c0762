//! Our MLflow client beside bytes sent by hand, on one kept connection each.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::figure::{Goal, Row};
use super::home::{Home, Prefetch, open_folder};
use super::server::{Server, free_address};
use super::{BenchArguments, Results, release_program};
use crate::shell::capture;

const PASSWORD: &str = "a-password-of-the-bench";

/// Medians of one run of the load program, in milliseconds.
#[derive(Debug, Deserialize)]
struct Round {
    health: Call,
    runs_get: Call,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct Call {
    client: f64,
    prompt: f64,
    plain: f64,
}

pub(super) fn measure(arguments: &BenchArguments) -> Result<Results> {
    let program = release_program(arguments, "mlops-bin", "mlops")?;
    let load = release_program(arguments, "mlops-bench", "mlflow_latency")?;
    let prefetch = Home::new(&program)?.prefetch()?;
    let folder = open_folder()?;
    let mut rows = Vec::new();
    for workers in [1, 2] {
        let server = start(&prefetch, folder.path(), workers)?;
        let mut rounds = Vec::new();
        for round in 0..=arguments.rounds {
            let text = capture(
                Command::new(&load)
                    .arg(format!("http://{}", server.address))
                    .env("MLFLOW_PASSWORD", PASSWORD),
            )?;
            let figures: Round =
                serde_json::from_str(&text).context("failed to read the load program's figures")?;
            if round > 0 {
                // The first warms every worker up.
                rounds.push(figures);
            }
        }
        for (name, call) in [
            ("/health", (|round| round.health) as fn(&Round) -> Call),
            ("runs/get", |round| round.runs_get),
        ] {
            rows.extend(rows_of(workers, name, &rounds, call)?);
        }
    }
    Ok(Results {
        rows,
        notes: vec![
            "p50 of 200 calls on one kept connection. The server's own time is that of a socket that sends the same bytes, \
             acknowledges at once (`TCP_QUICKACK`) and reads nothing out of the answer; the calls of the two, and of a \
             socket that does not ask for it, are made in turns."
                .to_owned(),
            "MLflow with sign-in on SQLite, uvicorn with `--loop asyncio`: with two workers its sockets lack `TCP_NODELAY` \
             (<https://github.com/Kludex/uvicorn/issues/3149>), so that every answer of two writes waits for the \
             client's acknowledgement."
                .to_owned(),
        ],
        versions: vec![("MLflow".to_owned(), version(&prefetch, "mlflow")?)],
    })
}

fn rows_of(
    workers: u32,
    name: &str,
    rounds: &[Round],
    call: fn(&Round) -> Call,
) -> Result<[Row; 3]> {
    let all = |value: fn(Call) -> f64| -> Vec<f64> {
        rounds.iter().map(|round| value(call(round))).collect()
    };
    let title = match workers {
        1 => format!("`{name}`, 1 worker"),
        _ => format!("`{name}`, {workers} workers"),
    };
    let own = all(|call| call.prompt);
    Ok([
        Row::new(&*title, "ms", &all(|call| call.client), Goal::None)?
            .beside("the server's own", &own)?,
        Row::new(
            format!("{title}, over the server's own time"),
            "ms",
            &all(|call| call.client - call.prompt),
            Goal::AtMost(2.0),
        )?,
        Row::new(
            format!("{title}, a socket with delayed acknowledgements"),
            "ms",
            &all(|call| call.plain),
            Goal::None,
        )?
        .beside("the server's own", &own)?,
    ])
}

/// The version of a package in the environment.
pub(super) fn version(prefetch: &Prefetch, package: &str) -> Result<String> {
    let ask = format!("import importlib.metadata as m; print(m.version('{package}'))");
    let text = capture(Command::new(prefetch.python()).args(["-I", "-c", &ask]))?;
    Ok(text.trim().to_owned())
}

fn start(prefetch: &Prefetch, folder: &Path, workers: u32) -> Result<Server> {
    let address = free_address()?;
    let database = |name: &str| format!("sqlite:///{}", folder.join(name).display());
    let settings = folder.join("auth.ini");
    fs::write(
        &settings,
        format!(
            "[mlflow]\ndefault_permission = READ\ndatabase_uri = {}\nadmin_username = admin\n\
             admin_password = {PASSWORD}\nauth_cache_ttl_seconds = 600\n\
             authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n",
            database("auth.db")
        ),
    )?;
    let mut command = Command::new(prefetch.python());
    let port = address.port().to_string();
    let workers = workers.to_string();
    command
        .args([
            "-I",
            "-m",
            "uvicorn",
            "--no-access-log",
            "--loop",
            "asyncio",
        ])
        .args(["--host", "127.0.0.1", "--port", &port])
        .args(["--workers", &workers])
        .args(["--factory", "mlflow.server.auth:create_app"])
        .current_dir(folder)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("LANG", "C.UTF-8")
        .env("HOME", folder)
        .env("TMPDIR", folder)
        .env("_MLFLOW_SERVER_FILE_STORE", database("mlflow.db"))
        .env("_MLFLOW_SERVER_REGISTRY_STORE", database("mlflow.db"))
        .env("_MLFLOW_SERVER_ARTIFACT_ROOT", "mlflow-artifacts:/")
        .env(
            "_MLFLOW_SERVER_ARTIFACT_DESTINATION",
            folder.join("artifacts"),
        )
        .env("_MLFLOW_SERVER_SERVE_ARTIFACTS", "true")
        .env("_MLFLOW_SGI_NAME", "uvicorn")
        .env("_MLFLOW_IN_JOB_EXECUTOR", "false")
        .env("MLFLOW_SERVER_ALLOWED_HOSTS", address.to_string())
        .env("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
        .env("MLFLOW_ENABLE_WORKSPACES", "false")
        .env("MLFLOW_DISABLE_TELEMETRY", "true")
        .env("MLFLOW_AUTH_CONFIG_PATH", settings)
        .env("MLFLOW_FLASK_SERVER_SECRET_KEY", PASSWORD);
    let server = Server::start(
        &mut command,
        address,
        &folder.join(format!("mlflow-{workers}.log")),
    )?;
    // With several workers the port is open long before one of them answers.
    server.wait_for_http("/health")?;
    Ok(server)
}
