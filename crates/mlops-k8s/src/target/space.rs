//! The namespace of a platform, which is there before anything else, its lock included.

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client};
use mlops_core::kubernetes::{OBJECT, ObjectSpec};
use mlops_core::{Error, ErrorKind, Graph, PlatformName, ResourceId, Result};

use super::object::stranger;
use super::provider::PATIENCE;
use crate::apply::{Applier, ApplyOptions, Outcome};
use crate::error::wrap;
use crate::objects::{ObjectId, ObjectSet};
use crate::wait::{WaitOptions, Waiter};

/// The namespace; one that is on its way out is waited for, since nothing can be made in it.
///
/// # Errors
///
/// [`mlops_core::ErrorKind::Timeout`] when it does not go, with what holds it.
pub(super) async fn settled(client: &Client, namespace: &str) -> Result<Option<Namespace>> {
    let spaces: Api<Namespace> = Api::all(client.clone());
    let found = spaces.get_opt(namespace).await;
    let found = found.map_err(|error| wrap(error, format!("look for namespace `{namespace}`")))?;
    match found {
        Some(found) if found.metadata.deletion_timestamp.is_some() => {
            let id = ObjectId::new("", "Namespace", None, namespace);
            Waiter::new(client.clone())
                .wait_until_gone(&[id], &WaitOptions::new(PATIENCE), &|_| {})
                .await?;
            Ok(None)
        }
        found => Ok(found),
    }
}

/// Makes the platform's namespace when it is not there.
pub(super) async fn make_namespace(
    client: &Client,
    graph: &Graph,
    platform: &PlatformName,
    namespace: &str,
) -> Result<()> {
    let doing = || format!("make namespace `{namespace}`");
    let found = settled(client, namespace)
        .await
        .map_err(|error| Error::new(error.kind(), doing()).with_source(error))?;
    if let Some(found) = found {
        let json = serde_json::to_value(&found).unwrap_or_default();
        return match stranger(&json, platform) {
            // Who was told to adopt it may; the plan says so.
            Some(whose) if !is_adopted(graph, namespace) => {
                Err(Error::new(ErrorKind::Conflict, doing())
                    .with_source(format!("it exists already and is not ours: {whose}"))
                    .with_hint(format!(
                        "choose another in `cluster.namespace`, or say `adopt: [{OBJECT}/namespace.{namespace}]`"
                    )))
            }
            _ => Ok(()),
        };
    }
    let id = ResourceId::new(OBJECT, format!("namespace.{namespace}"));
    let Some(resource) = graph.find(&id) else {
        return Err(
            Error::new(ErrorKind::NotFound, doing()).with_source("it is no part of the platform")
        );
    };
    let mut set = ObjectSet::new();
    set.add_value(resource.typed::<ObjectSpec>()?.object)?;
    let report = Applier::new(client.clone())
        .apply(&set, &ApplyOptions::default(), &|_| {})
        .await?;
    match report.problems().next() {
        Some((_, Outcome::Failed(failure))) => {
            Err(Error::new(failure.kind, doing()).with_source(failure.to_error()))
        }
        _ => Ok(()),
    }
}

fn is_adopted(graph: &Graph, namespace: &str) -> bool {
    let id = ResourceId::new(OBJECT, format!("namespace.{namespace}"));
    graph.find(&id).is_some_and(|resource| resource.adopt)
}
