//! Addresses of services, through port-forwards.

use std::collections::BTreeMap;

use async_trait::async_trait;
use mlops_core::{Endpoint, Endpoints, Error, ErrorKind, Result, Service, ServiceName};
use tokio::sync::Mutex;

use super::Connection;
use crate::reach::Forward;

/// One port of this machine for each service that was asked for.
pub(super) struct Forwards {
    connection: Connection,
    namespace: String,
    services: BTreeMap<ServiceName, Service>,
    open: Mutex<BTreeMap<ServiceName, Forward>>,
}

impl Forwards {
    pub(super) fn new(
        connection: Connection,
        namespace: &str,
        services: BTreeMap<ServiceName, Service>,
    ) -> Self {
        Self {
            connection,
            namespace: namespace.to_owned(),
            services,
            open: Mutex::default(),
        }
    }
}

#[async_trait]
impl Endpoints for Forwards {
    async fn get(&self, name: &ServiceName) -> Result<Endpoint> {
        let doing = || format!("find service `{name}`");
        let service = self.services.get(name).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, doing()).with_source("the platform has no such service")
        })?;
        if let Some(url) = &service.external {
            return Endpoint::new(url.clone());
        }
        let mut open = self.open.lock().await;
        if !open.contains_key(name) {
            let client = self.connection.client().await?;
            // The catalogue names the only port of a Service after its scheme.
            let forward = Forward::open(client, &self.namespace, name.as_str(), "").await?;
            open.insert(name.clone(), forward);
        }
        let address = open.get(name).map(Forward::address);
        let address = address.ok_or_else(|| Error::new(ErrorKind::Failed, doing()))?;
        let url = format!("{}://{address}", service.scheme);
        let url = url
            .parse()
            .map_err(|error| Error::new(ErrorKind::InvalidInput, doing()).with_source(error))?;
        Endpoint::new(url)
    }
}
