//! Probes: that MLflow really takes and gives, and that a model really answers.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::TryStreamExt as _;
use mlops_core::{
    Context, Error, ErrorKind, Finding, ModelName, Probe, Prober, Result, SecretName, SecretText,
    ServiceName,
};
use serde::{Deserialize, Serialize};

use super::{Credentials, connect};
use crate::mlflow::{LogBatch, Metric, Tags, proxy_path};
use crate::registry::{ConnectRegistry, PLATFORM_TAG, Registry, join};
use crate::serve::{ConnectModelServer, InferenceProbe, ModelServer, Via};

/// The tag of runs that probes make; one that a killed probe left is found by it.
const PROBE_RUN_TAG: &str = "mlops.probe-run";

/// What a probe of kind `mlflow` says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MlflowProbe {
    /// The MLflow server.
    pub server: ServiceName,
    /// The user.
    pub user: String,
    /// The secret that is the password.
    pub password: SecretName,
}

/// Signs in to MLflow, logs a run with a metric and an artifact, reads both back and deletes the run; and is refused
/// with a wrong password.
pub struct MlflowProber {
    connect: Arc<dyn ConnectRegistry>,
}

impl std::fmt::Debug for MlflowProber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MlflowProber")
    }
}

impl MlflowProber {
    /// Probes through `connect`.
    pub fn new(connect: Arc<dyn ConnectRegistry>) -> Self {
        Self { connect }
    }

    async fn log(&self, registry: &dyn Registry, cx: &Context) -> Vec<Finding> {
        let (metric_claim, artifact_claim) = (
            "a run with a metric is logged and read back",
            "an artifact is written and read back",
        );
        // Runs that were left by a probe that was killed.
        let cleaned = remove_runs(registry, cx).await;
        let tags = Tags::from([
            (PLATFORM_TAG.to_owned(), cx.platform.to_string()),
            (PROBE_RUN_TAG.to_owned(), cx.platform.to_string()),
        ]);
        let run = match cleaned {
            Ok(()) => registry.create_run("probe", &tags).await,
            Err(error) => Err(error),
        };
        let run = match run {
            Ok(run) => run,
            Err(error) => {
                return vec![
                    Finding::fails(metric_claim, &error),
                    Finding::fails(artifact_claim, &error),
                ];
            }
        };
        let metric = log_metric(registry, &run.info.run_id).await;
        let artifact = write_artifact(registry, &run.info.artifact_uri).await;
        let removed = registry.remove_run(&run.info.run_id).await;
        vec![
            Finding::expect_done(metric_claim, &metric),
            Finding::expect_done(artifact_claim, &artifact),
            Finding::expect_done("the run is deleted again", &removed),
        ]
    }
}

async fn remove_runs(registry: &dyn Registry, cx: &Context) -> Result<()> {
    for run in registry
        .find_runs(PROBE_RUN_TAG, cx.platform.as_str())
        .await?
    {
        registry.remove_run(&run.info.run_id).await?;
    }
    Ok(())
}

async fn log_metric(registry: &dyn Registry, run_id: &str) -> Result<()> {
    let metric = Metric {
        key: "probe".to_owned(),
        value: 0.5,
        timestamp: 1,
        step: 0,
    };
    let batch = LogBatch {
        metrics: vec![metric],
        ..LogBatch::default()
    };
    registry.log_batch(run_id, &batch).await?;
    let run = registry.get_run(run_id).await?;
    let logged = run.data.metrics.iter().find(|metric| metric.key == "probe");
    match logged {
        Some(metric) if (metric.value - 0.5).abs() < f64::EPSILON => Ok(()),
        other => Err(Error::new(ErrorKind::Failed, "read the metric back")
            .with_source(format!("logged 0.5, got {:?}", other.map(|m| m.value)))),
    }
}

async fn write_artifact(registry: &dyn Registry, uri: &str) -> Result<()> {
    let folder = proxy_path(uri).ok_or_else(|| {
        Error::new(ErrorKind::Unsupported, "write an artifact")
            .with_source(format!("`{uri}` is not behind MLflow's proxy"))
    })?;
    let path = join(folder, "probe.txt");
    let content = Bytes::from_static(b"written by a probe\n");
    registry.put_artifact(&path, content.clone()).await?;
    let mut pieces = registry.get_artifact_stream(&path).await?;
    let mut back = BytesMut::new();
    while let Some(piece) = pieces.try_next().await? {
        back.extend_from_slice(&piece);
        if back.len() > content.len() {
            break;
        }
    }
    if back == content {
        Ok(())
    } else {
        Err(Error::new(ErrorKind::Failed, "read the artifact back")
            .with_source("it has another content"))
    }
}

#[async_trait]
impl Prober for MlflowProber {
    fn kinds(&self) -> Vec<String> {
        vec!["mlflow".to_owned()]
    }

    async fn probe(&self, probe: &Probe, cx: &Context) -> Result<Vec<Finding>> {
        let spec: MlflowProbe = probe.typed()?;
        let credentials = Credentials {
            user: spec.user.clone(),
            password: spec.password,
        };
        let registry = connect(&*self.connect, &spec.server, &credentials, cx).await?;
        let signed_in = registry.current_user().await;
        let mut findings = vec![Finding::expect_done(
            format!("`{}` signs in", spec.user),
            &signed_in,
        )];
        if signed_in.is_ok() {
            findings.extend(self.log(&*registry, cx).await);
        }
        let endpoint = cx.endpoint(&spec.server).await?;
        let wrong = SecretText::new("not-the-password-of-anyone");
        let stranger = self.connect.connect(&endpoint, &spec.user, &wrong)?;
        findings.push(Finding::expect_refused(
            "a wrong password is refused",
            &stranger.current_user().await,
        ));
        Ok(findings)
    }
}

/// What a probe of kind `model` says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelProbeSpec {
    /// The model server, for REST.
    pub server: ServiceName,
    /// The model server, for gRPC.
    #[serde(default)]
    pub grpc: Option<ServiceName>,
    /// The model.
    pub model: ModelName,
    /// The request and what must come out; without one any answer of the right form will do.
    #[serde(default)]
    pub probe: Option<InferenceProbe>,
}

/// Asks a model over REST and gRPC and compares the answers with what is expected.
pub struct ModelProber {
    connect: Arc<dyn ConnectModelServer>,
}

impl std::fmt::Debug for ModelProber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ModelProber")
    }
}

impl ModelProber {
    /// Probes through `connect`.
    pub fn new(connect: Arc<dyn ConnectModelServer>) -> Self {
        Self { connect }
    }
}

async fn ask(
    server: &dyn ModelServer,
    via: Via,
    model: &str,
    known: Option<&InferenceProbe>,
) -> Result<()> {
    let made;
    let probe = if let Some(probe) = known {
        probe
    } else {
        let metadata = server.metadata(model).await?;
        made = InferenceProbe::zeros(&metadata.inputs).ok_or_else(|| {
            Error::new(
                ErrorKind::Unsupported,
                format!("make a request for `{model}`"),
            )
            .with_source("the model does not say what it takes")
            .with_hint("give it a `probe` in the platform file")
        })?;
        &made
    };
    probe.check(&server.infer(via, model, &probe.to_request()?).await?)
}

#[async_trait]
impl Prober for ModelProber {
    fn kinds(&self) -> Vec<String> {
        vec!["model".to_owned()]
    }

    async fn probe(&self, probe: &Probe, cx: &Context) -> Result<Vec<Finding>> {
        let spec: ModelProbeSpec = probe.typed()?;
        let rest = cx.endpoint(&spec.server).await?;
        let grpc = match &spec.grpc {
            Some(name) => Some(cx.endpoint(name).await?),
            None => None,
        };
        let server = self.connect.connect(&rest, grpc.as_ref())?;
        let right = match &spec.probe {
            Some(probe) if !probe.expected.is_empty() => "gives the right answer",
            _ => "answers",
        };
        let mut findings = Vec::new();
        for (via, name) in [(Via::Rest, "REST"), (Via::Grpc, "gRPC")] {
            if server.speaks(via) {
                let answer = ask(&*server, via, spec.model.as_str(), spec.probe.as_ref()).await;
                let claim = format!("`{}` {right} over {name}", spec.model);
                findings.push(Finding::expect_done(claim, &answer));
            }
        }
        Ok(findings)
    }
}
