//! What a platform takes on a cluster, for whoever shall bring it there and do nothing else.

use mlops_core::kubernetes::{OBJECT, ObjectSpec, SECRET, SecretSpec};
use mlops_core::{Graph, Resource, Result};
use serde_json::{Value, json};

use super::ClusterTarget;
use super::kinds::KINDS;
use super::store::object_name;
use crate::discovery::{Kinds, Lookup};
use crate::objects::GroupKind;
use crate::validate::{Rights, RightsOptions, rbac_for};

/// The kind of resources that are kept as a Secret each.
const KEPT: &str = "secret";

impl ClusterTarget {
    /// The rights that it takes to bring a graph up, look at it, prove it, stop it and remove it: those of
    /// [`rbac_for`] for its objects and Secrets, with the Lease of a run, ports that lead to pods, logs, and what
    /// explanations read in its namespace. Asks nobody.
    ///
    /// What a platform no longer wants may have any name, so kinds that it can have are removable by any name in its
    /// namespace; nothing outside of the namespace is, but the namespace itself.
    ///
    /// # Errors
    ///
    /// As [`rbac_for`].
    pub fn rights(&self, graph: &Graph) -> Result<Rights> {
        let mut objects = Vec::new();
        for resource in graph.resources() {
            objects.extend(self.object_of(resource)?);
        }
        let mut options = RightsOptions::new()
            .with_namespace(&self.namespace)
            .with_lease(&self.namespace, self.lease_name())
            .with_explanations()
            .with_port_forward();
        let built_in = Kinds::built_in();
        for (group, kind) in KINDS {
            if let Lookup::Known(kind) = built_in.find_any_version(&GroupKind::new(group, kind)) {
                options = options.with_strays(group, &kind.plural);
            }
        }
        rbac_for(&objects, &options)
    }

    /// As much of an object as rights are derived from.
    fn object_of(&self, resource: &Resource) -> Result<Option<Value>> {
        let secret = |name: &str| {
            let metadata = json!({ "name": name, "namespace": self.namespace });
            json!({ "apiVersion": "v1", "kind": "Secret", "metadata": metadata })
        };
        Ok(match resource.id.kind().as_str() {
            OBJECT => Some(resource.typed::<ObjectSpec>()?.object),
            SECRET => Some(secret(&resource.typed::<SecretSpec>()?.name)),
            KEPT => Some(secret(&object_name(&resource.id.name().parse()?))),
            _ => None,
        })
    }
}
