//! Which kind a resource of a graph is on the server.

use kube::api::DynamicObject;
use kube::{Api, Client};
use mlops_core::kubernetes::{ObjectSpec, SECRET};
use mlops_core::{Error, ErrorKind, Resource, Result};
use serde_json::Value;

use super::Connection;
use crate::discovery::{Kind, Kinds, Lookup, Scope};
use crate::objects::{GroupKind, ObjectId};

/// The kinds that a platform's objects have, and in which strays are looked for.
pub(super) const KINDS: [(&str, &str); 12] = [
    ("", "ConfigMap"),
    ("", "PersistentVolumeClaim"),
    ("", "Secret"),
    ("", "Service"),
    ("", "ServiceAccount"),
    ("apps", "DaemonSet"),
    ("apps", "Deployment"),
    ("apps", "StatefulSet"),
    ("autoscaling", "HorizontalPodAutoscaler"),
    ("batch", "Job"),
    ("networking.k8s.io", "NetworkPolicy"),
    ("policy", "PodDisruptionBudget"),
];

/// Whether an object of that kind takes time until it can be used. A claim binds when its pod comes.
pub(super) fn waits(id: &ObjectId) -> bool {
    matches!(
        id.kind.as_str(),
        "Deployment" | "StatefulSet" | "DaemonSet" | "Job" | "Namespace"
    )
}

pub(super) fn api(client: &Client, kind: &Kind, namespace: &str) -> Api<DynamicObject> {
    match kind.scope {
        Scope::Namespaced => Api::namespaced_with(client.clone(), namespace, &kind.api_resource()),
        Scope::Cluster => Api::all_with(client.clone(), &kind.api_resource()),
    }
}

/// The kind and name of what a resource stands for; by its id alone when it has no description.
pub(super) async fn kind_of(
    resource: &Resource,
    to: &Connection,
) -> Result<Option<(Kind, String)>> {
    let (word, name) = if resource.id.kind().as_str() == SECRET {
        ("secret".to_owned(), resource.id.name().to_owned())
    } else if let Ok(spec) = resource.typed::<ObjectSpec>() {
        let text = |path: &str| spec.object.pointer(path).and_then(Value::as_str);
        let kind = text("/kind").unwrap_or_default().to_lowercase();
        (kind, text("/metadata/name").unwrap_or_default().to_owned())
    } else {
        let (word, name) = resource.id.name().split_once('.').ok_or_else(|| {
            Error::new(ErrorKind::InvalidInput, format!("find `{}`", resource.id))
        })?;
        (word.to_owned(), name.to_owned())
    };
    if let Some(kind) = named(&*to.kinds().await?, &word) {
        return Ok(Some((kind, name)));
    }
    // It may have come since the server was asked.
    to.known().forget().await;
    Ok(named(&*to.kinds().await?, &word).map(|kind| (kind, name)))
}

/// The kind of this name in small letters: ours before those of others.
fn named(kinds: &Kinds, word: &str) -> Option<Kind> {
    let known = KINDS.iter().chain(&[("", "Namespace")]);
    let kind = known
        .filter(|(_, kind)| kind.to_lowercase() == word)
        .find_map(
            |(group, kind)| match kinds.find_any_version(&GroupKind::new(*group, *kind)) {
                Lookup::Known(kind) => Some(kind.clone()),
                _ => None,
            },
        );
    let other = || kinds.iter().find(|kind| kind.kind.to_lowercase() == word);
    kind.or_else(|| other().cloned())
}
