//! A port of this machine that leads to a Service's pods.

use std::net::SocketAddr;
use std::sync::Arc;

use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::ListParams;
use kube::{Api, Client};
use mlops_core::{Error, ErrorKind, Result};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::error::wrap;

/// A port on 127.0.0.1 whose connections go to a ready pod behind a Service; it closes when this is dropped.
///
/// Each connection asks anew which pods are ready, so it outlives pods that are replaced. What it carries goes through
/// the API server and needs the right to create `pods/portforward`, and to list `endpointslices`.
///
/// ```no_run
/// # async fn example(client: kube::Client) -> mlops_core::Result<()> {
/// let forward = mlops_k8s::Forward::open(client, "demo", "mlflow", "http").await?;
/// println!("http://{}", forward.address());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Forward {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Where connections go.
#[derive(Clone)]
struct Way {
    client: Client,
    namespace: Arc<str>,
    service: Arc<str>,
    port: Arc<str>,
}

impl Forward {
    /// Listens at a free port. `port` is the name of one of the Service's ports, or empty for its only one.
    ///
    /// # Errors
    ///
    /// When no port is free, or the Service has no ready pod now, or no such port.
    pub async fn open(client: Client, namespace: &str, service: &str, port: &str) -> Result<Self> {
        let way = Way {
            client,
            namespace: namespace.into(),
            service: service.into(),
            port: port.into(),
        };
        // What cannot work is told now and not to the first who connects.
        way.find_pod().await?;
        let bound = TcpListener::bind(("127.0.0.1", 0)).await;
        let (address, listener) = bound
            .and_then(|listener| Ok((listener.local_addr()?, listener)))
            .map_err(|error| Error::new(ErrorKind::Failed, way.doing()).with_source(error))?;
        let accepting = tokio::spawn(accept(listener, way));
        Ok(Self { address, accepting })
    }

    /// The address, on 127.0.0.1.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Takes connections until it is aborted, which ends those that are open as well.
async fn accept(listener: TcpListener, way: Way) {
    let mut open = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            taken = listener.accept() => {
                let Ok((stream, _)) = taken else { return };
                let way = way.clone();
                open.spawn(async move {
                    if let Err(error) = way.carry(stream).await {
                        tracing::debug!(%error, "a forwarded connection broke");
                    }
                });
            }
            Some(_) = open.join_next() => {}
        }
    }
}

impl Way {
    fn doing(&self) -> String {
        format!(
            "reach service `{}` in namespace `{}`",
            self.service, self.namespace
        )
    }

    async fn carry(&self, mut stream: TcpStream) -> Result<()> {
        // Without it small messages wait for acknowledgements; one that refuses is slow, and right.
        let _ = stream.set_nodelay(true);
        let (pod, port) = self.find_pod().await?;
        let pods: Api<k8s_openapi::api::core::v1::Pod> =
            Api::namespaced(self.client.clone(), &self.namespace);
        let mut forwarder = pods
            .portforward(&pod, &[port])
            .await
            .map_err(|error| wrap(error, self.doing()))?;
        let broken =
            |cause: String| Error::new(ErrorKind::Unavailable, self.doing()).with_source(cause);
        let mut inner = forwarder
            .take_stream(port)
            .ok_or_else(|| broken("the forwarded port has no stream".to_owned()))?;
        let copied = tokio::io::copy_bidirectional(&mut stream, &mut inner).await;
        drop(inner);
        forwarder.abort();
        copied.map(drop).map_err(|error| broken(error.to_string()))
    }

    /// A ready pod behind the Service, and the number of the port there.
    async fn find_pod(&self) -> Result<(String, u16)> {
        let slices: Api<EndpointSlice> = Api::namespaced(self.client.clone(), &self.namespace);
        let labels = format!("kubernetes.io/service-name={}", self.service);
        let found = slices
            .list(&ListParams::default().labels(&labels))
            .await
            .map_err(|error| wrap(error, self.doing()))?;
        if found.items.is_empty() {
            return Err(Error::new(ErrorKind::NotFound, self.doing())
                .with_source("there is no such service, or it selects nothing"));
        }
        let mut ports = Vec::new();
        for slice in &found.items {
            let Some(port) = self.port_in(slice, &mut ports) else {
                continue;
            };
            let ready = slice.endpoints.iter().flatten().find(|endpoint| {
                let conditions = endpoint.conditions.as_ref();
                conditions
                    .and_then(|conditions| conditions.ready)
                    .unwrap_or(true)
            });
            let pod = ready.and_then(|endpoint| endpoint.target_ref.as_ref()?.name.clone());
            if let Some(pod) = pod {
                return Ok((pod, port));
            }
        }
        let wrong =
            |kind: ErrorKind, cause: String| Err(Error::new(kind, self.doing()).with_source(cause));
        if ports.is_empty() || ports.contains(&&*self.port) || self.port.is_empty() {
            return wrong(
                ErrorKind::Unavailable,
                "none of its pods is ready".to_owned(),
            );
        }
        wrong(
            ErrorKind::InvalidInput,
            format!(
                "it has no port `{}`, but `{}`",
                self.port,
                ports.join("`, `")
            ),
        )
    }

    /// The number of our port in a slice; its names are added to `names`.
    fn port_in<'s>(&self, slice: &'s EndpointSlice, names: &mut Vec<&'s str>) -> Option<u16> {
        let ports = slice.ports.as_deref().unwrap_or_default();
        names.extend(
            ports
                .iter()
                .map(|port| port.name.as_deref().unwrap_or_default()),
        );
        let chosen = match ports {
            [only] if self.port.is_empty() => Some(only),
            ports => ports
                .iter()
                .find(|port| port.name.as_deref().unwrap_or_default() == &*self.port),
        };
        u16::try_from(chosen?.port?).ok()
    }
}
