//! Fields that cannot be changed once an object is there, and objects that hold data.

use serde_json::Value;

use crate::objects::ObjectId;

/// Which of an object's fields cannot change.
struct Rule {
    group: &'static str,
    kind: &'static str,
    /// Fields below these cannot change.
    fixed: &'static [&'static str],
    /// Except for fields below these.
    free: &'static [&'static str],
}

const fn rule(
    group: &'static str,
    kind: &'static str,
    fixed: &'static [&'static str],
    free: &'static [&'static str],
) -> Rule {
    Rule {
        group,
        kind,
        fixed,
        free,
    }
}

const RBAC: &str = "rbac.authorization.k8s.io";

/// From the validation of updates in the API server:
/// <https://github.com/kubernetes/kubernetes/tree/v1.35.4/pkg/apis> (`validation.go` of each group).
const RULES: &[Rule] = &[
    rule("apps", "Deployment", &[".spec.selector"], &[]),
    rule("apps", "DaemonSet", &[".spec.selector"], &[]),
    rule("apps", "ReplicaSet", &[".spec.selector"], &[]),
    rule(
        "apps",
        "StatefulSet",
        &[".spec"],
        &[
            ".spec.replicas",
            ".spec.ordinals",
            ".spec.template",
            ".spec.updateStrategy",
            ".spec.revisionHistoryLimit",
            ".spec.persistentVolumeClaimRetentionPolicy",
            ".spec.minReadySeconds",
        ],
    ),
    rule(
        "batch",
        "Job",
        &[
            ".spec.template",
            ".spec.selector",
            ".spec.completionMode",
            ".spec.completions",
            ".spec.podFailurePolicy",
            ".spec.backoffLimitPerIndex",
            ".spec.manualSelector",
            ".spec.managedBy",
        ],
        &[],
    ),
    rule(
        "",
        "Pod",
        &[".spec"],
        &[
            ".spec.activeDeadlineSeconds",
            ".spec.terminationGracePeriodSeconds",
            ".spec.tolerations",
        ],
    ),
    rule("", "Service", &[".spec.clusterIP", ".spec.clusterIPs"], &[]),
    rule("", "Secret", &[".type"], &[]),
    rule(
        "",
        "PersistentVolumeClaim",
        &[".spec"],
        &[".spec.resources", ".spec.volumeAttributesClassName"],
    ),
    rule(
        "",
        "PersistentVolume",
        &[
            ".spec.csi",
            ".spec.nfs",
            ".spec.local",
            ".spec.hostPath",
            ".spec.iscsi",
            ".spec.fc",
            ".spec.volumeMode",
            ".spec.nodeAffinity",
        ],
        &[],
    ),
    rule(RBAC, "RoleBinding", &[".roleRef"], &[]),
    rule(RBAC, "ClusterRoleBinding", &[".roleRef"], &[]),
    rule(
        "storage.k8s.io",
        "StorageClass",
        &[
            ".provisioner",
            ".parameters",
            ".reclaimPolicy",
            ".volumeBindingMode",
        ],
        &[],
    ),
    rule(
        "storage.k8s.io",
        "VolumeAttributesClass",
        &[".driverName", ".parameters"],
        &[],
    ),
    rule(
        "scheduling.k8s.io",
        "PriorityClass",
        &[".value", ".preemptionPolicy"],
        &[],
    ),
    rule("node.k8s.io", "RuntimeClass", &[".handler"], &[]),
    rule(
        "networking.k8s.io",
        "IngressClass",
        &[".spec.controller"],
        &[],
    ),
    rule("resource.k8s.io", "ResourceClaim", &[".spec"], &[]),
    rule("resource.k8s.io", "ResourceClaimTemplate", &[".spec"], &[]),
    rule(
        "apiextensions.k8s.io",
        "CustomResourceDefinition",
        &[
            ".spec.group",
            ".spec.scope",
            ".spec.names.plural",
            ".spec.names.kind",
        ],
        &[],
    ),
];

/// Whether a field of an object that is there cannot be changed.
pub(super) fn is_fixed(id: &ObjectId, live: &Value, path: &str) -> bool {
    let is_sealed = live.get("immutable").and_then(Value::as_bool) == Some(true);
    if is_sealed && (id.is("", "ConfigMap") || id.is("", "Secret")) {
        return [".data", ".binaryData", ".immutable"]
            .iter()
            .any(|fixed| is_below(path, fixed));
    }
    // An address that was given by the server may be left out, and a service without one may get one.
    let was_set = |field: &str| live.pointer(field).is_some_and(|value| !value.is_null());
    if id.is("", "Service") && !was_set("/spec/clusterIP") {
        return false;
    }
    let rules = RULES.iter().filter(|rule| id.is(rule.group, rule.kind));
    rules.into_iter().any(|rule| {
        rule.fixed.iter().any(|fixed| is_below(path, fixed))
            && !rule.free.iter().any(|free| is_below(path, free))
    })
}

fn is_below(path: &str, field: &str) -> bool {
    path.strip_prefix(field)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// Why an object is never removed without being named, if it holds data.
pub(crate) fn holds_data(id: &ObjectId, json: &Value) -> Option<&'static str> {
    let has_volumes = json
        .pointer("/spec/volumeClaimTemplates")
        .and_then(Value::as_array)
        .is_some_and(|templates| !templates.is_empty());
    match (id.group.as_str(), id.kind.as_str()) {
        ("", "PersistentVolumeClaim" | "PersistentVolume") => Some("it holds data"),
        ("", "Namespace") => Some("all that is in the namespace would go with it"),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            Some("all objects of its kind would go with it")
        }
        ("apps", "StatefulSet") if has_volumes => {
            Some("its pods keep data on volumes of their own")
        }
        _ => None,
    }
}

/// Why removing an object would lose data, if it would. The volumes of a `StatefulSet` stay when it goes, unless it says
/// otherwise (<https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#persistentvolumeclaim-retention>).
pub(crate) fn loses_data(id: &ObjectId, json: &Value) -> Option<&'static str> {
    if id.is("apps", "StatefulSet") {
        let policy = json.pointer("/spec/persistentVolumeClaimRetentionPolicy/whenDeleted");
        let deletes = policy.and_then(Value::as_str) == Some("Delete");
        return deletes.then_some("its volumes would go with it");
    }
    holds_data(id, json)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fixed_fields() {
        let none = json!({});
        let deployment = ObjectId::new("apps", "Deployment", Some("n"), "a");
        assert!(is_fixed(
            &deployment,
            &none,
            ".spec.selector.matchLabels.app"
        ));
        assert!(!is_fixed(&deployment, &none, ".spec.selectors"));
        assert!(!is_fixed(&deployment, &none, ".spec.template"));
        let set = ObjectId::new("apps", "StatefulSet", Some("n"), "a");
        assert!(is_fixed(&set, &none, ".spec.serviceName"));
        assert!(!is_fixed(
            &set,
            &none,
            ".spec.template.spec.containers[name=\"c\"].image"
        ));
        let map = ObjectId::new("", "ConfigMap", Some("n"), "a");
        assert!(!is_fixed(&map, &none, ".data.a"));
        assert!(is_fixed(&map, &json!({"immutable": true}), ".data.a"));
        let service = ObjectId::new("", "Service", Some("n"), "a");
        assert!(!is_fixed(&service, &none, ".spec.clusterIP"));
        assert!(is_fixed(
            &service,
            &json!({"spec": {"clusterIP": "10.0.0.1"}}),
            ".spec.clusterIP"
        ));
    }
}
