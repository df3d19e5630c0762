//! What every object of a platform has, whoever wrote its template: namespace, labels, selectors, and pods that keep to
//! the Pod Security Standard `restricted` (<https://kubernetes.io/docs/concepts/security/pod-security-standards/>).

use std::collections::BTreeMap;

use mlops_core::Digest;
use mlops_core::kubernetes::PLATFORM_LABEL;
use mlops_core::platform::{Problem, PullSecretName};
use serde_json::{Map, Value, json};

use super::mentions::items;
use super::short;

/// The label that tells the parts of a component apart.
const PART: &str = "app.kubernetes.io/component";

/// The user that containers run as when their template names none: any but root.
const USER: u32 = 10_001;

/// Kinds that live in no namespace, and so are not a component's to make.
const OUTSIDE: [&str; 12] = [
    "APIService",
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "IngressClass",
    "MutatingWebhookConfiguration",
    "Namespace",
    "PersistentVolume",
    "PriorityClass",
    "RuntimeClass",
    "StorageClass",
    "ValidatingWebhookConfiguration",
];

/// Where the pod template of a kind is; `None` for what runs no pods.
pub(super) fn pod_template(kind: &str) -> Option<&'static [&'static str]> {
    Some(match kind {
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "Job" => &["spec", "template"],
        "CronJob" => &["spec", "jobTemplate", "spec", "template"],
        "Pod" => &[],
        _ => return None,
    })
}

fn kind_of(object: &Value) -> &str {
    object["kind"].as_str().unwrap_or_default()
}

fn owned(path: &[&str]) -> Vec<String> {
    path.iter().map(|step| (*step).to_owned()).collect()
}

fn find<'v>(object: &'v Value, path: &[&str]) -> Option<&'v Value> {
    path.iter().try_fold(object, |value, step| value.get(step))
}

/// The value at a path; null where there is none.
pub(super) fn part<'v>(object: &'v Value, path: &[&str]) -> &'v Value {
    find(object, path).unwrap_or(&Value::Null)
}

/// The value at a path, made where it is not there; `None` where something else than a map is in the way.
fn reach<'v>(object: &'v mut Value, path: &[&str]) -> Option<&'v mut Map<String, Value>> {
    let mut at = object;
    for step in path {
        let fields = at.as_object_mut()?;
        at = fields.entry(*step).or_insert_with(|| json!({}));
    }
    at.as_object_mut()
}

/// The spec of an object's pods, and where it is.
pub(super) fn pod_spec(object: &Value) -> Option<(Vec<String>, &Value)> {
    let path = [pod_template(kind_of(object))?, &["spec"]].concat();
    Some((owned(&path), find(object, &path)?))
}

/// Whether a user's data is in it.
pub(super) fn holds_data(object: &Value) -> bool {
    let claims = part(object, &["spec", "volumeClaimTemplates"]);
    kind_of(object) == "PersistentVolumeClaim" || items(claims).next().is_some()
}

/// Notes on the pods of an object what they were configured by.
pub(super) fn mark(object: &mut Value, annotation: &str, digest: Option<&str>) {
    let (Some(path), Some(digest)) = (pod_template(kind_of(object)), digest) else {
        return;
    };
    let path = [path, &["metadata", "annotations"]].concat();
    if let Some(annotations) = reach(object, &path) {
        annotations.insert(annotation.to_owned(), json!(digest));
    }
}

/// A Job never changes: one of another description is another one, with another name, and runs.
pub(super) fn name_job(object: &mut Value) {
    if kind_of(object) != "Job" {
        return;
    }
    let digest = short(&Digest::of(&object["spec"]), 8);
    let name = part(object, &["metadata", "name"])
        .as_str()
        .unwrap_or_default();
    let name = format!("{name}-{digest}");
    if let Some(metadata) = reach(object, &["metadata"]) {
        metadata.insert("name".to_owned(), json!(name));
    }
}

/// Whether a name can be that of an object: labels of DNS with dots between, short enough for all kinds.
pub(super) fn is_name(name: &str) -> bool {
    let is_inside =
        |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
    let is_end = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    // A Job gets nine characters more, and its pods' labels hold 63.
    (1..=54).contains(&name.len())
        && name.bytes().all(is_inside)
        && name
            .split('.')
            .all(|part| part.starts_with(is_end) && part.ends_with(is_end))
}

/// Sets what is not said.
fn default_to(value: &mut Value, default: Value) {
    match (value, default) {
        (Value::Object(fields), Value::Object(defaults)) => {
            for (key, default) in defaults {
                default_to(fields.entry(key).or_insert(Value::Null), default);
            }
        }
        (value @ Value::Null, default) => *value = default,
        _ => {}
    }
}

/// A field that is `null` is one that is not said.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// What the objects of a component have in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame<'a> {
    pub(super) namespace: &'a str,
    pub(super) platform: &'a str,
    pub(super) component: &'a str,
    /// With which the images of its pods are pulled.
    pub(super) pull_secrets: &'a [PullSecretName],
}

impl Frame<'_> {
    /// By which the pods of a component are found, or one part of them.
    pub(super) fn selector(&self, part: Option<&str>) -> Value {
        let mut labels = json!({
            "app.kubernetes.io/name": self.component,
            "app.kubernetes.io/instance": self.platform,
        });
        if let (Some(part), Some(labels)) = (part, labels.as_object_mut()) {
            labels.insert(PART.to_owned(), json!(part));
        }
        labels
    }

    /// The labels of a part of a component.
    pub(super) fn labels(&self, part: &str) -> BTreeMap<String, String> {
        let labels = [
            ("app.kubernetes.io/name", self.component),
            ("app.kubernetes.io/instance", self.platform),
            ("app.kubernetes.io/managed-by", "mlops"),
            (PART, part),
            (PLATFORM_LABEL, self.platform),
        ];
        labels
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }

    fn head(&self, version: &str, kind: &str, name: &str) -> Value {
        json!({
            "apiVersion": version, "kind": kind,
            "metadata": { "name": name, "namespace": self.namespace, "labels": self.labels("server") },
        })
    }

    /// An object of a kind, with its spec.
    pub(super) fn object(&self, version: &str, kind: &str, name: &str, spec: Value) -> Value {
        let mut object = self.head(version, kind, name);
        if let Some(fields) = object.as_object_mut() {
            fields.insert("spec".to_owned(), spec);
        }
        object
    }

    /// Who the pods are to the API server: somebody without any right, and without a token.
    pub(super) fn service_account(&self) -> Value {
        let mut object = self.head("v1", "ServiceAccount", self.component);
        if let Some(fields) = object.as_object_mut() {
            fields.insert("automountServiceAccountToken".to_owned(), json!(false));
        }
        object
    }

    /// The address of a service.
    pub(super) fn service(&self, name: &str, scheme: &str, port: u16) -> Value {
        let port = json!({ "name": scheme, "port": port, "protocol": "TCP", "targetPort": port });
        let spec = json!({ "selector": self.selector(Some("server")), "ports": [port] });
        self.object("v1", "Service", name, spec)
    }

    /// Gives an object what it does not say by itself.
    pub(super) fn complete(&self, object: &mut Value) -> Result<(), Problem> {
        drop_nulls(object);
        self.check(object)?;
        let said = find(object, &["metadata", "labels", PART]).and_then(Value::as_str);
        let part = said.unwrap_or("server").to_owned();
        let labels = json!(self.labels(&part));
        default_to(
            object,
            json!({ "metadata": { "namespace": self.namespace, "labels": labels } }),
        );
        let selector = json!({ "matchLabels": self.selector(Some(&part)) });
        match kind_of(object) {
            "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "PodDisruptionBudget" => {
                default_to(object, json!({ "spec": { "selector": selector } }));
            }
            "Service" => {
                let selector = self.selector(Some(&part));
                default_to(object, json!({ "spec": { "selector": selector } }));
            }
            _ => {}
        }
        let Some(template) = pod_template(kind_of(object)) else {
            return Ok(());
        };
        if let Some(place) = reach(object, &[template, &["metadata", "labels"]].concat()) {
            for (label, value) in self.labels(&part) {
                place.entry(label).or_insert(json!(value));
            }
        }
        let path = [template, &["spec"]].concat();
        let Some(pod) = reach(object, &path) else {
            return Err(Problem::at(owned(&path), "expected the spec of a pod"));
        };
        self.pod(pod, &path, &selector)
    }

    fn check(&self, object: &Value) -> Result<(), Problem> {
        for path in [&["apiVersion"][..], &["kind"], &["metadata", "name"]] {
            if !find(object, path).is_some_and(Value::is_string) {
                let message = format!("an object says its `{}`", path.join("."));
                return Err(Problem::at(owned(path), message));
            }
        }
        let kind = kind_of(object);
        if kind == "Secret" {
            return Err(Problem::at(["kind"], "a Secret is not written as an object")
                .with_hint("say it under `cluster.secrets`, where its text is filled in only when it is written"));
        }
        if OUTSIDE.contains(&kind) {
            return Err(
                Problem::at(["kind"], format!("a {kind} lives in no namespace"))
                    .with_hint("a component has objects of its platform's namespace only"),
            );
        }
        let name = part(object, &["metadata", "name"])
            .as_str()
            .unwrap_or_default();
        if !is_name(name) {
            let message = format!("`{}` cannot be the name of an object", name.escape_debug());
            return Err(Problem::at(["metadata", "name"], message)
                .with_hint("use at most 54 lower-case letters, digits, hyphens and dots"));
        }
        let namespace = find(object, &["metadata", "namespace"]);
        if namespace.is_some_and(|namespace| namespace != self.namespace) {
            return Err(Problem::at(
                ["metadata", "namespace"],
                "an object of another namespace than the platform's",
            )
            .with_hint("leave the namespace out"));
        }
        Ok(())
    }

    fn pod(
        &self,
        pod: &mut Map<String, Value>,
        path: &[&str],
        selector: &Value,
    ) -> Result<(), Problem> {
        let mut spec = Value::Object(std::mem::take(pod));
        default_to(
            &mut spec,
            json!({
                "serviceAccountName": self.component,
                "automountServiceAccountToken": false,
                // A variable for every Service of the namespace is of no use, and one more thing that changes.
                "enableServiceLinks": false,
                "securityContext": {
                    "runAsNonRoot": true, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER,
                    // Going through all files of a large volume can take hours.
                    "fsGroupChangePolicy": "OnRootMismatch",
                    "seccompProfile": { "type": "RuntimeDefault" },
                },
            }),
        );
        if !self.pull_secrets.is_empty() {
            let secrets = self.pull_secrets.iter();
            let secrets: Vec<Value> = secrets
                .map(|name| json!({ "name": name.as_str() }))
                .collect();
            default_to(&mut spec, json!({ "imagePullSecrets": secrets }));
        }
        let spreads = spec.get_mut("topologySpreadConstraints");
        for spread in spreads.and_then(Value::as_array_mut).into_iter().flatten() {
            default_to(spread, json!({ "labelSelector": selector }));
        }
        for list in ["initContainers", "containers"] {
            let containers = spec.get_mut(list).and_then(Value::as_array_mut);
            for (index, container) in containers.into_iter().flatten().enumerate() {
                let index = index.to_string();
                let path = [path, &[list, &index]].concat();
                complete_container(container, &path)?;
            }
        }
        if let Value::Object(fields) = spec {
            *pod = fields;
        }
        Ok(())
    }
}

fn complete_container(container: &mut Value, path: &[&str]) -> Result<(), Problem> {
    for kind in ["requests", "limits"] {
        for resource in ["cpu", "memory"] {
            if find(container, &["resources", kind, resource]).is_none() {
                let message = format!("a container says its `resources.{kind}.{resource}`");
                return Err(Problem::at(owned(path), message)
                    .with_hint("take it from `size`, under `cluster.sizes`"));
            }
        }
    }
    default_to(
        container,
        json!({
            "imagePullPolicy": "IfNotPresent",
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "capabilities": { "drop": ["ALL"] },
                "readOnlyRootFilesystem": true,
            },
        }),
    );
    Ok(())
}
