//! What somebody must be allowed to do on a cluster to bring the platform up.

use mlops_core::kubernetes::{OBJECT, ObjectSpec};
use mlops_core::{Error, ErrorKind, ResourceId, Result};
use serde_json::{Value, json};

use super::Session;

impl Session {
    /// The least rights that this platform takes on its cluster, for the `ServiceAccount` `account` of a namespace: a
    /// `List` of the platform's own namespace, which the roles are in, of roles, and of their bindings. Asks nobody.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] when the platform is on this machine; otherwise as
    /// [`mlops_k8s::validate::rbac_for`].
    pub fn rights(&self, namespace: &str, account: &str) -> Result<Value> {
        let doing = || format!("derive the rights of platform `{}`", self.graph.platform);
        let cluster = self.cluster.as_ref().ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, doing())
                .with_source("it is on this machine, not on a cluster")
        })?;
        let failed =
            |error: serde_json::Error| Error::new(ErrorKind::Failed, doing()).with_source(error);
        let mut items = Vec::new();
        let own = ResourceId::new(OBJECT, format!("namespace.{}", cluster.namespace()));
        if let Some(resource) = self.graph.find(&own) {
            items.push(resource.typed::<ObjectSpec>()?.object);
        }
        let name = format!("mlops-{}", self.graph.platform);
        let objects = cluster
            .rights(&self.graph)?
            .objects(&name, namespace, account);
        if let Some((role, binding)) = objects.cluster {
            items.push(serde_json::to_value(role).map_err(failed)?);
            items.push(serde_json::to_value(binding).map_err(failed)?);
        }
        for (role, binding) in objects.namespaces {
            items.push(serde_json::to_value(role).map_err(failed)?);
            items.push(serde_json::to_value(binding).map_err(failed)?);
        }
        Ok(json!({ "apiVersion": "v1", "kind": "List", "items": items }))
    }
}
