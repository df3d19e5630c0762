//! The objects, as a file.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use serde_json::{Value, json};

use crate::{Place, create};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kinds {
    /// `ConfigMap`s of 300 bytes.
    One,
    /// Twelve kinds that need no controller.
    Twelve,
}

/// What an object has beside its name: fields that the server keeps as they are, so that `kubectl diff` finds nothing.
fn content(kinds: Kinds, number: usize) -> Value {
    if kinds == Kinds::One {
        // With the names it comes to about 300 bytes.
        return json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"text": "x".repeat(180)}});
    }
    match number % 12 {
        0 => json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"}}),
        1 => json!({"apiVersion": "v1", "kind": "Secret", "data": {"a": "Yg=="}}),
        2 => json!({"apiVersion": "v1", "kind": "ServiceAccount"}),
        3 => json!({"apiVersion": "v1", "kind": "LimitRange",
            "spec": {"limits": [{"type": "Pod", "max": {"cpu": "1"}}]}}),
        4 => json!({"apiVersion": "v1", "kind": "PodTemplate",
            "template": {"spec": {"containers": [{"name": "c", "image": "x"}]}}}),
        5 => json!({"apiVersion": "v1", "kind": "Service",
            "spec": {"clusterIP": "None", "ports": [{"port": 80}]}}),
        6 => json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
            "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]}),
        7 => json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "x"}}),
        8 => {
            json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "spec": {"podSelector": {}}})
        }
        9 => json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
            "spec": {"selector": {"matchLabels": {"a": "b"}}, "minAvailable": 1}}),
        10 => {
            json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "spec": {"holderIdentity": "x"}})
        }
        _ => {
            json!({"apiVersion": "apps/v1", "kind": "ControllerRevision", "revision": 1, "data": {"a": 1}})
        }
    }
}

pub(crate) async fn prepare(
    place: &Place,
    file: &Path,
    objects: usize,
    kinds: Kinds,
) -> Result<()> {
    let mut text = String::new();
    for number in 0..objects {
        let mut object = content(kinds, number);
        let metadata = json!({"name": format!("object-{number:05}"), "namespace": place.namespace});
        let map = object.as_object_mut().context("an object is no map")?;
        map.insert("metadata".to_owned(), metadata);
        writeln!(text, "---\n{object}")?;
    }
    fs::write(file, text)?;
    let client = place.connect().await?;
    let namespace = json!({"metadata": {"name": place.namespace}});
    create(&client, "/api/v1/namespaces", &namespace).await
}
