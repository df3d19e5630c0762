//! Rights as objects for a service account.

use k8s_openapi::api::rbac::v1::{
    ClusterRole, ClusterRoleBinding, Role, RoleBinding, RoleRef, Subject,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{RBAC, Rights};

/// The objects that give [`Rights`] to a service account.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RightsObjects {
    /// The role of the cluster and its binding, when something of the cluster is needed.
    pub cluster: Option<(ClusterRole, ClusterRoleBinding)>,
    /// A role and its binding for each namespace.
    pub namespaces: Vec<(Role, RoleBinding)>,
}

impl Rights {
    /// The roles and bindings that give the rights to the service account `account` of the namespace `namespace`; all of
    /// them are called `name`, which must be free in the cluster.
    pub fn objects(&self, name: &str, namespace: &str, account: &str) -> RightsObjects {
        let metadata = |place: Option<&str>| ObjectMeta {
            name: Some(name.to_owned()),
            namespace: place.map(str::to_owned),
            ..ObjectMeta::default()
        };
        let role_ref = |kind: &str| RoleRef {
            api_group: Some(RBAC.to_owned()),
            kind: kind.to_owned(),
            name: name.to_owned(),
        };
        let subjects = || {
            Some(vec![Subject {
                api_group: None,
                kind: "ServiceAccount".to_owned(),
                name: account.to_owned(),
                namespace: Some(namespace.to_owned()),
            }])
        };
        let cluster = (!self.cluster.is_empty()).then(|| {
            let role = ClusterRole {
                metadata: metadata(None),
                rules: Some(self.cluster.clone()),
                ..ClusterRole::default()
            };
            let binding = ClusterRoleBinding {
                metadata: metadata(None),
                role_ref: role_ref("ClusterRole"),
                subjects: subjects(),
            };
            (role, binding)
        });
        let namespaces = self.namespaces.iter().map(|(place, rules)| {
            let role = Role {
                metadata: metadata(Some(place)),
                rules: Some(rules.clone()),
            };
            let binding = RoleBinding {
                metadata: metadata(Some(place)),
                role_ref: role_ref("Role"),
                subjects: subjects(),
            };
            (role, binding)
        });
        RightsObjects {
            cluster,
            namespaces: namespaces.collect(),
        }
    }
}
