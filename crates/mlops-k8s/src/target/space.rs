//! The namespace of a platform, which is there before anything else, its lock included.

use kube::{Api, Client};
use mlops_core::kubernetes::{OBJECT, ObjectSpec};
use mlops_core::{Error, ErrorKind, Graph, PlatformName, ResourceId, Result};

use super::object::stranger;
use crate::apply::{Applier, ApplyOptions, Outcome};
use crate::error::wrap;
use crate::objects::ObjectSet;

/// Makes the platform's namespace when it is not there.
pub(super) async fn make_namespace(
    client: &Client,
    graph: &Graph,
    platform: &PlatformName,
    namespace: &str,
) -> Result<()> {
    let doing = || format!("make namespace `{namespace}`");
    let spaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(client.clone());
    let found = spaces
        .get_opt(namespace)
        .await
        .map_err(|error| wrap(error, doing()))?;
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
