//! A real MLServer.
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

/// MLServer with an empty folder of models and no worker processes, all of it gone at the end.
#[derive(Debug)]
pub struct MlServerProcess {
    _server: Guarded,
    http: u16,
    grpc: u16,
    models: PathBuf,
}

impl MlServerProcess {
    /// Starts a server that loads models by calls only, and waits until it answers.
    pub async fn start(python: &Path) -> Self {
        let folder = make_folder("mlops-mlserver-", None);
        let models = folder.join("models");
        if let Err(error) = fs::create_dir(&models) {
            panic!("cannot make a folder for models: {error}");
        }
        let (http, grpc) = (free_port(), free_port());
        let mut command = Command::new(python);
        command
            .args(["-c", "from mlserver.cli import main; main()", "start"])
            .arg(&models)
            .current_dir(&folder)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("LANG", "C.UTF-8")
            .env("HOME", &folder)
            .env("TMPDIR", &folder)
            .env("MLFLOW_DISABLE_TELEMETRY", "true")
            .env("DO_NOT_TRACK", "true")
            .env("MLSERVER_HOST", "127.0.0.1")
            .env("MLSERVER_HTTP_PORT", http.to_string())
            .env("MLSERVER_GRPC_PORT", grpc.to_string())
            .env("MLSERVER_METRICS_PORT", free_port().to_string())
            .env("MLSERVER_GRPC_MAX_MESSAGE_LENGTH", (64 << 20).to_string())
            .env("MLSERVER_PARALLEL_WORKERS", "0")
            .env("MLSERVER_LOAD_MODELS_AT_STARTUP", "false")
            .env("MLSERVER_DEBUG", "false");
        let mut server = Guarded::spawn(command, None, &folder, "TERM");
        wait_for_http(
            &mut server,
            &folder,
            http,
            "/v2/health/live",
            Duration::from_mins(3),
        )
        .await;
        Self {
            _server: server,
            http,
            grpc,
            models,
        }
    }

    /// The address for REST.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.http)
    }

    /// The address for gRPC.
    pub fn grpc_url(&self) -> String {
        format!("grpc://127.0.0.1:{}", self.grpc)
    }

    /// The folder that models are loaded from.
    pub fn models(&self) -> &Path {
        &self.models
    }
}
