//! What rights are derived for.

use std::collections::BTreeMap;

/// What the rights are for, besides reading and applying the objects themselves.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RightsOptions {
    pub(super) namespace: Option<String>,
    pub(super) parent: Option<Named>,
    pub(super) lease: Option<(String, String)>,
    pub(super) prune: bool,
    pub(super) explain: bool,
    pub(super) port_forward: bool,
    /// Groups and resources that are listed besides.
    pub(super) lists: Vec<(String, String)>,
    /// By group and kind, the resource and where it is.
    pub(super) resources: BTreeMap<(String, String), (String, Scope)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    Namespace,
    Cluster,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) group: String,
    pub(super) resource: String,
    pub(super) namespace: Option<String>,
    pub(super) name: String,
}

impl RightsOptions {
    /// For reading and applying only.
    pub fn new() -> Self {
        Self::default()
    }

    pub(super) fn default_namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or("default")
    }

    /// Sets the namespace of objects that name none; `default` unless this is called.
    #[must_use]
    pub fn with_namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// Adds the parent object of the `ApplySet`, a `configmaps` or `secrets`, or a resource of another group.
    #[must_use]
    pub fn with_parent(
        mut self,
        group: impl Into<String>,
        resource: impl Into<String>,
        namespace: Option<&str>,
        name: impl Into<String>,
    ) -> Self {
        self.parent = Some(Named {
            group: group.into(),
            resource: resource.into(),
            namespace: namespace.map(str::to_owned),
            name: name.into(),
        });
        self
    }

    /// Adds the Lease that keeps a second run out.
    #[must_use]
    pub fn with_lease(mut self, namespace: impl Into<String>, name: impl Into<String>) -> Self {
        self.lease = Some((namespace.into(), name.into()));
        self
    }

    /// Allows to delete objects of these kinds whatever their names: what is no longer wanted has names that the set
    /// does not know.
    #[must_use]
    pub fn with_prune(mut self) -> Self {
        self.prune = true;
        self
    }

    /// Allows to read what explains why something is not ready: events, pods and their logs, claims, quotas.
    #[must_use]
    pub fn with_explanations(mut self) -> Self {
        self.explain = true;
        self
    }

    /// Allows to list objects of another kind in the namespaces of the set: to find what it does not know.
    #[must_use]
    pub fn with_list(mut self, group: impl Into<String>, resource: impl Into<String>) -> Self {
        self.lists.push((group.into(), resource.into()));
        self
    }

    /// Allows connections to pods.
    #[must_use]
    pub fn with_port_forward(mut self) -> Self {
        self.port_forward = true;
        self
    }

    /// Names the resource of a kind whose definition is not among the objects, and says that it is in namespaces.
    #[must_use]
    pub fn with_namespaced_resource(
        self,
        group: impl Into<String>,
        kind: impl Into<String>,
        resource: impl Into<String>,
    ) -> Self {
        self.with_resource(
            (group.into(), kind.into()),
            resource.into(),
            Scope::Namespace,
        )
    }

    /// Names the resource of a kind whose definition is not among the objects, and says that it is in no namespace.
    #[must_use]
    pub fn with_cluster_resource(
        self,
        group: impl Into<String>,
        kind: impl Into<String>,
        resource: impl Into<String>,
    ) -> Self {
        self.with_resource((group.into(), kind.into()), resource.into(), Scope::Cluster)
    }

    fn with_resource(mut self, kind: (String, String), resource: String, scope: Scope) -> Self {
        self.resources.insert(kind, (resource, scope));
        self
    }
}
