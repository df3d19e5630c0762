//! Addresses of services: through port-forwards, or by their names from inside the cluster.

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
        let service = known(&self.services, name)?;
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
        let address = address.ok_or_else(|| Error::new(ErrorKind::Failed, doing(name)))?;
        at(service, &address.to_string())
    }
}

/// Services at their names in the cluster. Nothing is opened.
pub(super) struct Names {
    namespace: String,
    services: BTreeMap<ServiceName, Service>,
}

impl Names {
    pub(super) fn new(namespace: &str, services: BTreeMap<ServiceName, Service>) -> Self {
        Self {
            namespace: namespace.to_owned(),
            services,
        }
    }
}

#[async_trait]
impl Endpoints for Names {
    async fn get(&self, name: &ServiceName) -> Result<Endpoint> {
        let service = known(&self.services, name)?;
        if let Some(url) = &service.external {
            return Endpoint::new(url.clone());
        }
        let port = service.port.ok_or_else(|| {
            Error::new(ErrorKind::InvalidInput, doing(name)).with_source("it has no port")
        })?;
        at(
            service,
            &format!("{}:{port}", host_of(name, &self.namespace)),
        )
    }
}

/// The name of a service in its namespace.
pub(super) fn host_of(service: &ServiceName, namespace: &str) -> String {
    format!("{service}.{namespace}.svc")
}

fn doing(name: &ServiceName) -> String {
    format!("find service `{name}`")
}

fn known<'s>(
    services: &'s BTreeMap<ServiceName, Service>,
    name: &ServiceName,
) -> Result<&'s Service> {
    services.get(name).ok_or_else(|| {
        Error::new(ErrorKind::NotFound, doing(name)).with_source("the platform has no such service")
    })
}

fn at(service: &Service, address: &str) -> Result<Endpoint> {
    let url = format!("{}://{address}", service.scheme);
    let url = url.parse().map_err(|error| {
        Error::new(ErrorKind::InvalidInput, doing(&service.name)).with_source(error)
    })?;
    Endpoint::new(url)
}
