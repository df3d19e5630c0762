//! The engine of the local target: every provider and prober there is.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use mlops_catalog::Catalog;
use mlops_core::{Error, ErrorKind, Prober, Result};
use mlops_local::{LocalTarget, python};
use mlops_serving::provider::{
    MlflowProber, MlflowUserProvider, ModelProber, RegisteredModelProvider, ServedModelProvider,
};
use mlops_serving::registry::{ConnectMlflow, Sample};
use mlops_serving::serve::ConnectMlServer;
use mlops_storage::{postgres, s3};

use crate::engine::Engine;
use crate::secrets::SecretProvider;

/// Puts the providers of all rooms together.
pub(super) fn for_local(target: &LocalTarget, samples: BTreeMap<String, Sample>) -> Result<Engine> {
    let mut engine = Engine::new().with_provider(Arc::new(SecretProvider))?;
    for provider in target.providers() {
        engine = engine.with_provider(provider)?;
    }
    let databases = Arc::new(postgres::PostgresClient::new());
    let objects = Arc::new(s3::S3Client::new());
    engine = engine
        .with_provider(Arc::new(postgres::RoleProvider::new(databases.clone())))?
        .with_provider(Arc::new(postgres::DatabaseProvider::new(databases.clone())))?
        .with_provider(Arc::new(s3::KeyProvider::new(objects.clone())))?
        .with_provider(Arc::new(s3::BucketProvider::new(objects.clone())))?;
    let registries = Arc::new(ConnectMlflow);
    let servers = Arc::new(ConnectMlServer::new(target.folders().models()));
    let registered = RegisteredModelProvider::new(registries.clone(), samples);
    let served = ServedModelProvider::new(registries.clone(), servers.clone());
    engine = engine
        .with_provider(Arc::new(MlflowUserProvider::new(registries.clone())))?
        .with_provider(Arc::new(registered))?
        .with_provider(Arc::new(served))?;
    let probers: [Arc<dyn Prober>; 4] = [
        Arc::new(postgres::PostgresProber::new(databases)),
        Arc::new(s3::S3Prober::new(objects)),
        Arc::new(MlflowProber::new(registries)),
        Arc::new(ModelProber::new(servers)),
    ];
    for prober in &probers {
        engine = engine.with_prober(prober)?;
    }
    Ok(engine)
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
