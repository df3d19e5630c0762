//! The way to the cluster that everything of a platform goes through.

use std::sync::{Arc, Mutex, PoisonError};

use http::{Method, Request};
use kube::Client;
use kube::client::Body;
use mlops_core::{Error, ErrorKind, Result};
use tokio::sync::OnceCell;

use super::Access;
use crate::client::connect_in_cluster;
use crate::discovery::{Kinds, KnownKinds};
use crate::lease::{LeaseGuard, WeakLease};

/// A client that is made when it is needed first: until then nothing runs and nobody is asked.
///
/// All of a platform share it, and with it two things: which kinds the server has, and the lease under which is written.
#[derive(Clone)]
pub(crate) struct Connection {
    pub(super) access: Access,
    clients: Arc<OnceCell<Clients>>,
    known: KnownKinds,
    gate: Gate,
}

struct Clients {
    /// Asks the gate before each write.
    guarded: Client,
    /// For the lease itself.
    free: Client,
}

impl Connection {
    pub(super) fn new(access: Access) -> Self {
        Self {
            access,
            clients: Arc::default(),
            known: KnownKinds::new(),
            gate: Gate::default(),
        }
    }

    /// The client for everything but the lease. While a lease is held, or was lost by who still holds its guard, no
    /// write goes through without it.
    pub(crate) async fn client(&self) -> Result<Client> {
        Ok(self.clients().await?.guarded.clone())
    }

    /// The client for the lease itself, which must be renewed whatever the gate says.
    pub(super) async fn free_client(&self) -> Result<Client> {
        Ok(self.clients().await?.free.clone())
    }

    /// What is known of the server's kinds.
    pub(super) fn known(&self) -> &KnownKinds {
        &self.known
    }

    pub(super) async fn kinds(&self) -> Result<Arc<Kinds>> {
        self.known.get(&self.client().await?).await
    }

    /// Lets writes through from now on only while this lease is held; all of them once it was given back.
    pub(super) fn write_under(&self, lease: &LeaseGuard) {
        *self.gate.lock() = Some(lease.downgrade());
    }

    async fn clients(&self) -> Result<&Clients> {
        let made = self.clients.get_or_try_init(|| async {
            let free = match &self.access {
                Access::Kubeconfig(access) => access.connect().await?,
                Access::InCluster | Access::Within => connect_in_cluster()?,
                Access::Client(client) => client.clone(),
            };
            let guarded = self.gate.guard(free.clone());
            Ok::<_, Error>(Clients { guarded, free })
        });
        made.await
    }
}

/// Under which lease is written; none when nobody took one.
#[derive(Clone, Default)]
struct Gate {
    lease: Arc<Mutex<Option<WeakLease>>>,
}

impl Gate {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<WeakLease>> {
        self.lease.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lease(&self) -> Option<LeaseGuard> {
        self.lock().as_ref().and_then(WeakLease::held)
    }

    /// The same client, which asks before each write: the one place that all of them pass, whoever sends them.
    fn guard(&self, client: Client) -> Client {
        let namespace = client.default_namespace().to_owned();
        let valid_until = *client.valid_until();
        let gate = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let (client, gate) = (client.clone(), gate.clone());
            async move {
                let lease = if is_write(&request) {
                    gate.lease()
                } else {
                    None
                };
                let Some(lease) = lease else {
                    return Ok::<_, tower::BoxError>(client.send(request).await?);
                };
                lease.confirm().await?;
                // Nothing of ours may be on its way when another has the lease.
                match tokio::time::timeout(lease.left(), client.send(request)).await {
                    Ok(answer) => Ok(answer?),
                    Err(late) => {
                        let error = Error::new(ErrorKind::Timeout, "write under a lease");
                        Err(error.with_source(late).into())
                    }
                }
            }
        });
        Client::new(service, namespace).with_valid_until(valid_until)
    }
}

/// Whether a request may change something. Questions about rights are made like objects, and change nothing.
fn is_write(request: &Request<Body>) -> bool {
    let is_read = matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS
    );
    let is_question = request
        .uri()
        .path()
        .starts_with("/apis/authorization.k8s.io/");
    !is_read && !is_question
}
