//! The rights that one platform takes, and no more.

use mlops_core::kubernetes::{OBJECT, ObjectSpec, SECRET, SecretSpec};
use mlops_core::{Graph, Result};
use serde_json::{Value, json};

use super::kinds::KINDS;
use super::{ClusterTarget, store};
use crate::discovery::{Kinds, Lookup};
use crate::objects::GroupKind;
use crate::validate::{Rights, RightsOptions, rbac_for};

/// The kind of resources that are kept secrets.
const KEPT: &str = "secret";

impl ClusterTarget {
    /// The rights to plan, apply, check and remove a graph in the namespace, for a service account that does nothing
    /// else. No rule has a wildcard. The namespace and the account are there before, made by who gives the rights.
    ///
    /// ```no_run
    /// # fn example(target: &mlops_k8s::target::ClusterTarget, graph: &mlops_core::Graph) -> mlops_core::Result<()> {
    /// let rights = target.rights(graph)?;
    /// for (role, binding) in rights.objects("mlops", "ops", "tool").namespaces {
    ///     // Apply both as somebody who holds these rights.
    /// #   drop((role, binding));
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`rbac_for`].
    pub fn rights(&self, graph: &Graph) -> Result<Rights> {
        let secret = |name: String| {
            let metadata = json!({ "name": name, "namespace": self.namespace });
            json!({ "apiVersion": "v1", "kind": "Secret", "metadata": metadata })
        };
        let mut objects: Vec<Value> = Vec::new();
        for resource in graph.resources() {
            match resource.id.kind().as_str() {
                OBJECT => objects.push(resource.typed::<ObjectSpec>()?.object),
                SECRET => objects.push(secret(resource.typed::<SecretSpec>()?.name)),
                KEPT => {
                    let name = resource.id.name().parse()?;
                    objects.push(secret(store::object_name(&name)));
                }
                _ => {}
            }
        }
        let kinds = Kinds::built_in();
        let mut options = RightsOptions::new()
            .with_namespace(&self.namespace)
            .with_lease(&self.namespace, self.lease_name())
            .with_prune()
            .with_explanations()
            .with_port_forward();
        for (group, kind) in KINDS {
            if let Lookup::Known(kind) = kinds.find_any_version(&GroupKind::new(group, kind)) {
                options = options.with_list(group, &kind.plural);
            }
        }
        rbac_for(&objects, &options)
    }
}
