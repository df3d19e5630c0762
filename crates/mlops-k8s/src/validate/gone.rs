//! APIs that Kubernetes had once, from the deprecation guide:
//! <https://kubernetes.io/docs/reference/using-api/deprecation-guide/>.

/// An API that is gone: group and version, kind, the first version without it, and what to write instead.
pub(super) struct Gone(
    pub(super) &'static str,
    pub(super) &'static str,
    pub(super) &'static str,
    pub(super) &'static str,
);

/// Alphabetical by group and version.
const GONE: [Gone; 49] = [
    Gone(
        "admissionregistration.k8s.io/v1beta1",
        "MutatingWebhookConfiguration",
        "1.22",
        "admissionregistration.k8s.io/v1",
    ),
    Gone(
        "admissionregistration.k8s.io/v1beta1",
        "ValidatingWebhookConfiguration",
        "1.22",
        "admissionregistration.k8s.io/v1",
    ),
    Gone(
        "apiextensions.k8s.io/v1beta1",
        "CustomResourceDefinition",
        "1.22",
        "apiextensions.k8s.io/v1",
    ),
    Gone(
        "apiregistration.k8s.io/v1beta1",
        "APIService",
        "1.22",
        "apiregistration.k8s.io/v1",
    ),
    Gone("apps/v1beta1", "Deployment", "1.16", "apps/v1"),
    Gone("apps/v1beta1", "StatefulSet", "1.16", "apps/v1"),
    Gone("apps/v1beta2", "DaemonSet", "1.16", "apps/v1"),
    Gone("apps/v1beta2", "Deployment", "1.16", "apps/v1"),
    Gone("apps/v1beta2", "ReplicaSet", "1.16", "apps/v1"),
    Gone("apps/v1beta2", "StatefulSet", "1.16", "apps/v1"),
    Gone(
        "authentication.k8s.io/v1beta1",
        "TokenReview",
        "1.22",
        "authentication.k8s.io/v1",
    ),
    Gone(
        "authorization.k8s.io/v1beta1",
        "LocalSubjectAccessReview",
        "1.22",
        "authorization.k8s.io/v1",
    ),
    Gone(
        "authorization.k8s.io/v1beta1",
        "SelfSubjectAccessReview",
        "1.22",
        "authorization.k8s.io/v1",
    ),
    Gone(
        "authorization.k8s.io/v1beta1",
        "SelfSubjectRulesReview",
        "1.22",
        "authorization.k8s.io/v1",
    ),
    Gone(
        "authorization.k8s.io/v1beta1",
        "SubjectAccessReview",
        "1.22",
        "authorization.k8s.io/v1",
    ),
    Gone(
        "autoscaling/v2beta1",
        "HorizontalPodAutoscaler",
        "1.25",
        "autoscaling/v2",
    ),
    Gone(
        "autoscaling/v2beta2",
        "HorizontalPodAutoscaler",
        "1.26",
        "autoscaling/v2",
    ),
    Gone("batch/v1beta1", "CronJob", "1.25", "batch/v1"),
    Gone(
        "certificates.k8s.io/v1beta1",
        "CertificateSigningRequest",
        "1.22",
        "certificates.k8s.io/v1",
    ),
    Gone(
        "coordination.k8s.io/v1beta1",
        "Lease",
        "1.22",
        "coordination.k8s.io/v1",
    ),
    Gone(
        "discovery.k8s.io/v1beta1",
        "EndpointSlice",
        "1.25",
        "discovery.k8s.io/v1",
    ),
    Gone("events.k8s.io/v1beta1", "Event", "1.25", "events.k8s.io/v1"),
    Gone("extensions/v1beta1", "DaemonSet", "1.16", "apps/v1"),
    Gone("extensions/v1beta1", "Deployment", "1.16", "apps/v1"),
    Gone(
        "extensions/v1beta1",
        "Ingress",
        "1.22",
        "networking.k8s.io/v1",
    ),
    Gone(
        "extensions/v1beta1",
        "NetworkPolicy",
        "1.16",
        "networking.k8s.io/v1",
    ),
    Gone(
        "extensions/v1beta1",
        "PodSecurityPolicy",
        "1.16",
        "labels of Pod Security Admission on the namespace",
    ),
    Gone("extensions/v1beta1", "ReplicaSet", "1.16", "apps/v1"),
    Gone(
        "flowcontrol.apiserver.k8s.io/v1beta1",
        "FlowSchema",
        "1.26",
        "flowcontrol.apiserver.k8s.io/v1",
    ),
    Gone(
        "flowcontrol.apiserver.k8s.io/v1beta1",
        "PriorityLevelConfiguration",
        "1.26",
        "flowcontrol.apiserver.k8s.io/v1",
    ),
    Gone(
        "flowcontrol.apiserver.k8s.io/v1beta2",
        "FlowSchema",
        "1.29",
        "flowcontrol.apiserver.k8s.io/v1",
    ),
    Gone(
        "flowcontrol.apiserver.k8s.io/v1beta2",
        "PriorityLevelConfiguration",
        "1.29",
        "flowcontrol.apiserver.k8s.io/v1",
    ),
    Gone(
        "flowcontrol.apiserver.k8s.io/v1beta3",
        "FlowSchema",
        "1.32",
        "flowcontrol.apiserver.k8s.io/v1",
    ),
    Gone(
        "flowcontrol.apiserver.k8s.io/v1beta3",
        "PriorityLevelConfiguration",
        "1.32",
        "flowcontrol.apiserver.k8s.io/v1",
    ),
    Gone(
        "networking.k8s.io/v1beta1",
        "Ingress",
        "1.22",
        "networking.k8s.io/v1",
    ),
    Gone(
        "networking.k8s.io/v1beta1",
        "IngressClass",
        "1.22",
        "networking.k8s.io/v1",
    ),
    Gone(
        "node.k8s.io/v1beta1",
        "RuntimeClass",
        "1.25",
        "node.k8s.io/v1",
    ),
    Gone("policy/v1beta1", "PodDisruptionBudget", "1.25", "policy/v1"),
    Gone(
        "policy/v1beta1",
        "PodSecurityPolicy",
        "1.25",
        "labels of Pod Security Admission on the namespace",
    ),
    Gone(
        "rbac.authorization.k8s.io/v1beta1",
        "ClusterRole",
        "1.22",
        "rbac.authorization.k8s.io/v1",
    ),
    Gone(
        "rbac.authorization.k8s.io/v1beta1",
        "ClusterRoleBinding",
        "1.22",
        "rbac.authorization.k8s.io/v1",
    ),
    Gone(
        "rbac.authorization.k8s.io/v1beta1",
        "Role",
        "1.22",
        "rbac.authorization.k8s.io/v1",
    ),
    Gone(
        "rbac.authorization.k8s.io/v1beta1",
        "RoleBinding",
        "1.22",
        "rbac.authorization.k8s.io/v1",
    ),
    Gone(
        "scheduling.k8s.io/v1beta1",
        "PriorityClass",
        "1.22",
        "scheduling.k8s.io/v1",
    ),
    Gone(
        "storage.k8s.io/v1beta1",
        "CSIDriver",
        "1.22",
        "storage.k8s.io/v1",
    ),
    Gone(
        "storage.k8s.io/v1beta1",
        "CSINode",
        "1.22",
        "storage.k8s.io/v1",
    ),
    Gone(
        "storage.k8s.io/v1beta1",
        "CSIStorageCapacity",
        "1.27",
        "storage.k8s.io/v1",
    ),
    Gone(
        "storage.k8s.io/v1beta1",
        "StorageClass",
        "1.22",
        "storage.k8s.io/v1",
    ),
    Gone(
        "storage.k8s.io/v1beta1",
        "VolumeAttachment",
        "1.22",
        "storage.k8s.io/v1",
    ),
];

/// The entry of an API that is gone.
pub(super) fn find(api_version: &str, kind: &str) -> Option<&'static Gone> {
    GONE.iter()
        .find(|gone| gone.0 == api_version && gone.1 == kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validate::schema::Schemas;

    #[test]
    fn what_is_gone_is_in_no_schema_and_its_successor_is() {
        for gone in &GONE {
            let (group, version) = gone.0.split_once('/').unwrap();
            assert!(
                Schemas::get().find(group, version, gone.1).is_none(),
                "{} {}",
                gone.0,
                gone.1
            );
            if let Some((group, version)) = gone.3.split_once('/') {
                assert!(
                    Schemas::get().find(group, version, gone.1).is_some(),
                    "{} {}",
                    gone.3,
                    gone.1
                );
            }
        }
        assert!(GONE.is_sorted_by_key(|gone| (gone.0, gone.1)));
        assert!(find("policy/v1beta1", "PodDisruptionBudget").is_some());
    }
}
