//! What the engine of the toolkit asks of this crate: providers of users, registered models and served models, and the
//! probers of MLflow and of models.

mod probers;
mod registered;
mod served;
mod user;

use mlops_core::{
    Context, Error, ErrorKind, Failure, Graph, Observed, Resource, ResourceId, Result, SecretName,
    ServiceName,
};
use serde::{Deserialize, Serialize};

pub use probers::{MlflowProbe, MlflowProber, ModelProbeSpec, ModelProber};
pub use registered::{RegisteredModelProvider, RegisteredModelSpec};
pub use served::{RegistryAccess, ServedModelProvider, ServedModelSpec};
pub use user::{MlflowUserProvider, MlflowUserSpec};

use crate::registry::{ConnectRegistry, Registry};

/// A user with the name of the secret that is the password.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// The user.
    pub user: String,
    /// The secret that holds the password.
    pub password: SecretName,
}

async fn connect(
    connect: &dyn ConnectRegistry,
    server: &ServiceName,
    credentials: &Credentials,
    cx: &Context,
) -> Result<std::sync::Arc<dyn Registry>> {
    let endpoint = cx.endpoint(server).await?;
    let password = cx.secret(&credentials.password).await?;
    connect.connect(&endpoint, &credentials.user, &password)
}

/// "Could not ask", with the reason.
fn unknown(error: &Error) -> Observed {
    Observed::Unknown(Failure::from(error))
}

/// The refusal to carry out an action that makes no sense for a kind.
fn no_such_action(resource: &Resource, verb: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("{verb} `{}`", resource.id))
        .with_source("this kind of resource is made and corrected in place only")
}

/// What things on `server` live in, as their neighbours in the graph say.
fn host_of(graph: &Graph, server: &ServiceName) -> Option<ResourceId> {
    let process = ResourceId::new("process", server.as_str());
    graph
        .resources()
        .find(|resource| {
            resource.spec.get("server").and_then(|value| value.as_str()) == Some(server.as_str())
        })
        .and_then(|resource| resource.within.clone())
        .or_else(|| graph.find(&process).map(|resource| resource.id.clone()))
}

/// Tries once more when something came to be between looking and making: a killed run's last call may still be under
/// way at the server.
async fn again_once<F: Future<Output = Result<()>>>(attempt: impl Fn() -> F) -> Result<()> {
    match attempt().await {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => attempt().await,
        result => result,
    }
}
