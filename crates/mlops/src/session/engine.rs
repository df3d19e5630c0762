//! The engines of the targets: every provider and prober there is.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use mlops_catalog::Catalog;
use mlops_core::{Error, ErrorKind, Graph, Prober, Result};
use mlops_k8s::target::ClusterTarget;
use mlops_local::{LocalTarget, python};
use mlops_serving::provider::{
    MlflowProber, MlflowUserProvider, ModelProber, RegisteredModelProvider, ServedModelProvider,
};
use mlops_serving::registry::{ConnectMlflow, Sample};
use mlops_serving::serve::ConnectMlServer;
use mlops_storage::{postgres, s3};

use super::cluster_models::ClusterModels;
use crate::engine::Engine;
use crate::secrets::SecretProvider;

/// Puts the providers of all rooms together.
pub(super) fn for_local(target: &LocalTarget, samples: BTreeMap<String, Sample>) -> Result<Engine> {
    let mut engine = Engine::new().with_provider(Arc::new(SecretProvider))?;
    for provider in target.providers() {
        engine = engine.with_provider(provider)?;
    }
    engine = with_storage(engine, postgres::PostgresClient::new())?;
    let registries = Arc::new(ConnectMlflow);
    let servers = Arc::new(ConnectMlServer::new(target.folders().models()));
    let served = ServedModelProvider::new(registries, servers.clone());
    engine = with_models(engine.with_provider(Arc::new(served))?, samples)?;
    let prober: Arc<dyn Prober> = Arc::new(ModelProber::new(servers));
    engine.with_prober(&prober)
}

/// Puts the providers of all rooms together, for a platform of a cluster.
pub(super) fn for_cluster(
    target: &ClusterTarget,
    graph: &Graph,
    samples: BTreeMap<String, Sample>,
) -> Result<Engine> {
    let engine = Engine::new()
        .with_provider(Arc::new(SecretProvider))?
        .with_provider(target.provider())?
        .with_provider(Arc::new(ClusterModels::new(target.clone())))?;
    let mut databases = postgres::PostgresClient::new();
    if target.is_within() {
        // Its own servers have no certificates; elsewhere they are reached through ports of this machine.
        let services = graph.services.values();
        let own = services.filter(|service| service.external.is_none());
        databases = databases.with_plain_hosts(own.map(|service| target.host_of(&service.name)));
    }
    let engine = with_models(with_storage(engine, databases)?, samples)?;
    // A probe only asks the server; no folder of this machine is a cluster's.
    let servers = Arc::new(ConnectMlServer::new(std::path::PathBuf::new()));
    let prober: Arc<dyn Prober> = Arc::new(ModelProber::new(servers));
    engine.with_prober(&prober)
}

/// PostgreSQL and S3.
fn with_storage(mut engine: Engine, databases: postgres::PostgresClient) -> Result<Engine> {
    let databases = Arc::new(databases);
    let objects = Arc::new(s3::S3Client::new());
    engine = engine
        .with_provider(Arc::new(postgres::RoleProvider::new(databases.clone())))?
        .with_provider(Arc::new(postgres::DatabaseProvider::new(databases.clone())))?
        .with_provider(Arc::new(s3::KeyProvider::new(objects.clone())))?
        .with_provider(Arc::new(s3::BucketProvider::new(objects.clone())))?;
    let probers: [Arc<dyn Prober>; 2] = [
        Arc::new(postgres::PostgresProber::new(databases)),
        Arc::new(s3::S3Prober::new(objects)),
    ];
    for prober in &probers {
        engine = engine.with_prober(prober)?;
    }
    Ok(engine)
}

/// MLflow's users and registered models.
fn with_models(mut engine: Engine, samples: BTreeMap<String, Sample>) -> Result<Engine> {
    let registries = Arc::new(ConnectMlflow);
    let registered = RegisteredModelProvider::new(registries.clone(), samples);
    engine = engine
        .with_provider(Arc::new(MlflowUserProvider::new(registries.clone())))?
        .with_provider(Arc::new(registered))?;
    let prober: Arc<dyn Prober> = Arc::new(MlflowProber::new(registries));
    engine.with_prober(&prober)
}

/// The samples of the catalogue whose files this program brings.
pub(super) fn samples(catalog: &Catalog) -> Result<BTreeMap<String, Sample>> {
    let mut samples = BTreeMap::new();
    for name in catalog.sample_names() {
        let Some(sample) = python::sample(name) else {
            continue;
        };
        let probe = serde_json::from_str(sample.probe).map_err(|error| {
            Error::new(
                ErrorKind::Failed,
                format!("read the probe of sample `{name}`"),
            )
            .with_source(error)
        })?;
        let files = sample.files.iter();
        samples.insert(
            name.to_owned(),
            Sample {
                files: files
                    .map(|(path, content)| ((*path).to_owned(), Bytes::from_static(content)))
                    .collect(),
                probe: Some(probe),
            },
        );
    }
    Ok(samples)
}
