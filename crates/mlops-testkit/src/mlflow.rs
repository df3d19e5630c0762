//! A real MLflow server with sign-in.
#![expect(
    clippy::panic,
    reason = "a test without its server must fail, and say why"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::server::{Guarded, free_port, make_folder};
use crate::web::wait_for_http;

/// MLflow with basic authentication, `SQLite` databases and artifacts in a folder, all of it gone at the end.
#[derive(Debug)]
pub struct MlflowServer {
    _server: Guarded,
    port: u16,
    folder: PathBuf,
}

impl MlflowServer {
    /// The administrator.
    pub const ADMIN: &'static str = "admin";

    /// The administrator's password.
    pub const PASSWORD: &'static str = "correct-horse-battery";

    /// Starts a server with one worker process.
    pub async fn start(python: &Path) -> Self {
        Self::start_with_workers(python, 1).await
    }

    /// Starts a server with that many worker processes, and waits until it answers. Its tables are made by the first
    /// real call.
    pub async fn start_with_workers(python: &Path, workers: u32) -> Self {
        let folder = make_folder("mlops-mlflow-", None);
        let port = free_port();
        if let Err(error) = fs::write(folder.join("auth.ini"), auth_settings(&folder)) {
            panic!("cannot write the settings of MLflow: {error}");
        }
        let command = command(python, &folder, port, workers);
        let mut server = Guarded::spawn(command, None, &folder, "TERM");
        wait_for_http(
            &mut server,
            &folder,
            port,
            "/health",
            Duration::from_mins(3),
        )
        .await;
        Self {
            _server: server,
            port,
            folder,
        }
    }

    /// The address.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The folder with the log `server.log`.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

fn auth_settings(folder: &Path) -> String {
    format!(
        "[mlflow]\n\
             default_permission = READ\n\
             database_uri = sqlite:///{}/auth.db\n\
             admin_username = {}\n\
             admin_password = {}\n\
             authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n\
             auth_cache_ttl_seconds = 60\n",
        folder.display(),
        MlflowServer::ADMIN,
        MlflowServer::PASSWORD
    )
}

fn command(python: &Path, folder: &Path, port: u16, workers: u32) -> Command {
    let store = format!("sqlite:///{}/mlflow.db", folder.display());
    let mut command = Command::new(python);
    command
        .args(["-m", "uvicorn", "--no-access-log", "--host", "127.0.0.1"])
        .args([
            "--port",
            &port.to_string(),
            "--workers",
            &workers.to_string(),
        ])
        .args(["--factory", "mlflow.server.auth:create_app"])
        .current_dir(folder)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("LANG", "C.UTF-8")
        .env("HOME", folder)
        .env("TMPDIR", folder)
        .env("_MLFLOW_SERVER_FILE_STORE", &store)
        .env("_MLFLOW_SERVER_REGISTRY_STORE", &store)
        .env("_MLFLOW_SERVER_ARTIFACT_ROOT", "mlflow-artifacts:/")
        .env(
            "_MLFLOW_SERVER_ARTIFACT_DESTINATION",
            folder.join("artifacts"),
        )
        .env("_MLFLOW_SERVER_SERVE_ARTIFACTS", "true")
        .env("_MLFLOW_SGI_NAME", "uvicorn")
        .env("_MLFLOW_IN_JOB_EXECUTOR", "false")
        .env(
            "MLFLOW_SERVER_ALLOWED_HOSTS",
            format!("127.0.0.1:{port},localhost:{port}"),
        )
        .env("MLFLOW_ENABLE_WORKSPACES", "false")
        .env("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
        .env("MLFLOW_DISABLE_TELEMETRY", "true")
        .env("DO_NOT_TRACK", "true")
        .env("MLFLOW_AUTH_CONFIG_PATH", folder.join("auth.ini"))
        .env("MLFLOW_FLASK_SERVER_SECRET_KEY", "a-key-for-tests-only");
    command
}
