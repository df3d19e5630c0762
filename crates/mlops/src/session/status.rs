//! How the platform is, at a glance.

use mlops_core::{Observed, Resource, Result, ServiceName};
use serde::Serialize;

use mlops_k8s::Status as Workload;
use mlops_k8s::k8s_openapi::jiff::Timestamp;
use mlops_k8s::target::ClusterTarget;

use super::Session;
use super::pods::pods_of;

/// How the platform is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// Its name.
    pub platform: String,
    /// Whether its supervisor runs.
    pub running: bool,
    /// Its processes, by component.
    pub components: Vec<ComponentStatus>,
    /// The models that it shall serve.
    pub models: Vec<ModelStatus>,
}

/// How one process is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ComponentStatus {
    /// The component.
    pub component: String,
    /// `ready`, `starting`, `waiting to restart`, `stopping`, `failed` or `stopped`.
    pub state: String,
    /// Whether it answers.
    pub ready: bool,
    /// Its process; `None` when it does not run, is part of the supervisor, or runs on a cluster.
    pub pid: Option<u32>,
    /// Where it is reached, once it has a port.
    pub url: Option<String>,
    /// How often it was started again after it had died. On a cluster, of all containers of the pods that are there now.
    pub restarts: u32,
    /// Milliseconds for which it has been so; on a cluster since its pods became ready, or one of them stopped to be.
    pub since_ms: Option<u64>,
    /// Why it is not ready, when that is known.
    pub detail: Option<String>,
}

/// How one model is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelStatus {
    /// The name it is served under.
    pub name: String,
    /// Which registered version shall be served.
    pub uri: String,
    /// The version that answers now.
    pub version: Option<String>,
    /// Whether it answers, with the version that shall be served.
    pub ready: bool,
    /// Where it is reached.
    pub url: Option<String>,
}

impl Session {
    /// How every process and every model is.
    ///
    /// # Errors
    ///
    /// When the supervisor cannot be asked.
    pub async fn status(&self) -> Result<Status> {
        if let Some(cluster) = &self.cluster {
            return self.status_there(cluster).await;
        }
        let kept = self.target.status().await?;
        let running = kept.is_some();
        let kept = kept.unwrap_or_default();
        let mut components = Vec::new();
        for resource in self
            .graph
            .ordered()
            .filter(|resource| resource.id.kind().as_str() == "process")
        {
            let name = resource.id.name();
            let status = kept.get(name);
            components.push(ComponentStatus {
                component: name.to_owned(),
                state: status
                    .map_or("stopped", |status| status.state.as_str())
                    .to_owned(),
                ready: status.is_some_and(mlops_local::supervisor::ProcessStatus::is_ready),
                pid: status.and_then(|status| status.pid),
                url: self.first_url(resource).await?,
                restarts: status.map_or(0, |status| status.restarts),
                since_ms: status.map(mlops_local::supervisor::ProcessStatus::since_ms),
                detail: status.and_then(|status| {
                    let failure = status.failure.as_ref()?;
                    let causes = std::iter::once(&failure.message).chain(&failure.causes);
                    Some(causes.cloned().collect::<Vec<_>>().join(": "))
                }),
            });
        }
        let models = self.models(running).await?;
        Ok(Status {
            platform: self.graph.platform.to_string(),
            running,
            components,
            models,
        })
    }

    async fn status_there(&self, cluster: &ClusterTarget) -> Result<Status> {
        let (workloads, mut pods) = tokio::try_join!(
            cluster.status(&self.graph),
            pods_of(cluster, &self.graph.platform)
        )?;
        let now = Timestamp::now();
        let running = workloads.values().any(|status| *status != Workload::Absent);
        let mut components = Vec::new();
        for (component, status) in workloads {
            let own = self.graph.services.values().find(|service| {
                let owner = service.component.as_ref();
                owner.is_some_and(|owner| owner.as_str() == component)
            });
            let ready = status == Workload::Ready;
            let url = match own.filter(|_| ready) {
                Some(service) => self.place(&service.name).await?,
                None => None,
            };
            let seen = pods.remove(&component).unwrap_or_default();
            components.push(ComponentStatus {
                component,
                state: match &status {
                    Workload::Ready => "running",
                    Workload::Absent => "stopped",
                    Workload::Leaving(_) => "stopping",
                    Workload::Failed(_) => "failed",
                    Workload::InProgress(_) => "starting",
                }
                .to_owned(),
                ready,
                pid: None,
                url,
                restarts: seen.restarts,
                since_ms: seen.since_ms(now),
                detail: match status {
                    Workload::InProgress(why) | Workload::Failed(why) | Workload::Leaving(why) => {
                        Some(why)
                    }
                    Workload::Ready | Workload::Absent => None,
                },
            });
        }
        let models = self.models(running).await?;
        Ok(Status {
            platform: self.graph.platform.to_string(),
            running,
            components,
            models,
        })
    }

    /// The address of the first service that a process listens at.
    async fn first_url(&self, process: &Resource) -> Result<Option<String>> {
        let listens = process.spec.get("listens").and_then(|list| list.get(0));
        let Some(service) = listens.and_then(serde_json::Value::as_str) else {
            return Ok(None);
        };
        self.place(&service.parse()?).await
    }

    async fn models(&self, running: bool) -> Result<Vec<ModelStatus>> {
        let served: Vec<&Resource> = self
            .graph
            .ordered()
            .filter(|resource| resource.id.kind().as_str() == "served-model")
            .collect();
        let observed = if running && !served.is_empty() {
            let cx = self.context(mlops_core::EventSink::none());
            self.engine.observe_only(&served, &cx).await
        } else {
            Vec::new()
        };
        let mut models = Vec::new();
        for resource in served {
            let text = |field: &str| {
                let value = resource.spec.get(field).and_then(serde_json::Value::as_str);
                value.unwrap_or_default().to_owned()
            };
            let found = observed.iter().find_map(|(id, observed)| match observed {
                Observed::Found(found) if *id == resource.id => Some(found),
                _ => None,
            });
            let service: ServiceName = text("server").parse()?;
            models.push(ModelStatus {
                name: resource.id.name().to_owned(),
                uri: text("uri"),
                version: found
                    .and_then(|found| found.fields.get("version"))
                    .and_then(serde_json::Value::as_str)
                    .map(str::to_owned),
                ready: found.is_some_and(|found| {
                    found.ready
                        && mlops_core::plan::compare(&resource.spec, &found.fields).is_empty()
                }),
                url: self
                    .place(&service)
                    .await?
                    .map(|url| format!("{url}/v2/models/{}/infer", resource.id.name())),
            });
        }
        Ok(models)
    }
}
