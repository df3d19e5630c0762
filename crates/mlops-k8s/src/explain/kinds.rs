//! Under which path an object is found: known kinds without a request, others by asking the server.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::APIResource;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, PartialObjectMeta};
use mlops_core::Result;

use super::facts::{Found, list, text};
use super::failure::is_status;
use super::model::ObjectRef;
use crate::error::wrap;

/// How much of the objects of a kind is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it.
    Whole,
    /// Name, labels, owners: never a value.
    Metadata,
}

/// What is read of a namespace, all at once: `apiVersion`, kind, plural, how much.
pub(super) const IN_NAMESPACE: &[(&str, &str, &str, Part)] = &[
    ("v1", "Pod", "pods", Part::Whole),
    ("v1", "Service", "services", Part::Whole),
    (
        "v1",
        "PersistentVolumeClaim",
        "persistentvolumeclaims",
        Part::Whole,
    ),
    ("v1", "ServiceAccount", "serviceaccounts", Part::Metadata),
    ("v1", "Secret", "secrets", Part::Metadata),
    ("v1", "ConfigMap", "configmaps", Part::Metadata),
    ("apps/v1", "Deployment", "deployments", Part::Whole),
    ("apps/v1", "ReplicaSet", "replicasets", Part::Whole),
    ("apps/v1", "StatefulSet", "statefulsets", Part::Whole),
    ("apps/v1", "DaemonSet", "daemonsets", Part::Whole),
    ("batch/v1", "Job", "jobs", Part::Whole),
    ("batch/v1", "CronJob", "cronjobs", Part::Whole),
    (
        "autoscaling/v2",
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
        Part::Whole,
    ),
    ("networking.k8s.io/v1", "Ingress", "ingresses", Part::Whole),
];

/// The group and plural of what is read of a namespace.
pub(crate) fn read_in_namespace() -> impl Iterator<Item = (&'static str, &'static str)> {
    IN_NAMESPACE.iter().map(|(api_version, _, plural, _)| {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        (group, *plural)
    })
}

/// What is read of the whole cluster, when something in the namespace needs it.
pub(super) const NODES: (&str, &str, &str, Part) = ("v1", "Node", "nodes", Part::Whole);
pub(super) const CLASSES: (&str, &str, &str, Part) = (
    "storage.k8s.io/v1",
    "StorageClass",
    "storageclasses",
    Part::Whole,
);
pub(super) const VOLUMES: (&str, &str, &str, Part) = (
    "v1",
    "PersistentVolume",
    "persistentvolumes",
    Part::Metadata,
);
pub(super) const INGRESS_CLASSES: (&str, &str, &str, Part) = (
    "networking.k8s.io/v1",
    "IngressClass",
    "ingressclasses",
    Part::Metadata,
);

/// Other kinds of the whole cluster that need no question.
const OF_CLUSTER: &[(&str, &str, &str)] = &[
    ("v1", "Namespace", "namespaces"),
    ("apiregistration.k8s.io/v1", "APIService", "apiservices"),
    (
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        "customresourcedefinitions",
    ),
];

/// Kinds that moved to another group when the group of old was given up:
/// <https://kubernetes.io/docs/reference/using-api/deprecation-guide/>.
const MOVED: &[(&str, &str, &str)] = &[
    ("extensions", "Ingress", "networking.k8s.io/v1"),
    ("extensions", "NetworkPolicy", "networking.k8s.io/v1"),
    ("extensions", "Deployment", "apps/v1"),
    ("extensions", "DaemonSet", "apps/v1"),
    ("extensions", "ReplicaSet", "apps/v1"),
];

/// Where the objects of a kind are.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// Under this resource; in namespaces or not.
    Served(ApiResource, Scope),
    /// Nowhere that we can look at.
    Not(Found),
}

/// Whether objects of a kind are in namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    Namespaced,
    Cluster,
}

pub(super) fn resource(api_version: &str, kind: &str, plural: &str) -> ApiResource {
    let id = ObjectRef::new(api_version, kind, None, "");
    ApiResource {
        group: id.group,
        version: id.version,
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    }
}

pub(super) fn api(
    client: &Client,
    resource: &ApiResource,
    namespace: Option<&str>,
) -> Api<DynamicObject> {
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, resource),
        None => Api::all_with(client.clone(), resource),
    }
}

/// As [`api`], for metadata only.
pub(super) fn metadata_api(
    client: &Client,
    resource: &ApiResource,
    namespace: Option<&str>,
) -> Api<PartialObjectMeta> {
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, resource),
        None => Api::all_with(client.clone(), resource),
    }
}

/// Finds where the objects of a kind are.
pub(super) async fn place(client: &Client, id: &ObjectRef) -> Result<Place> {
    let api_version = id.api_version();
    let is_it = |known: &(&str, &str)| *known == (api_version.as_str(), id.kind.as_str());
    if let Some((_, _, plural, _)) = IN_NAMESPACE.iter().find(|(v, k, ..)| is_it(&(v, k))) {
        return Ok(Place::Served(
            resource(&api_version, &id.kind, plural),
            Scope::Namespaced,
        ));
    }
    let named = [NODES, CLASSES, VOLUMES, INGRESS_CLASSES].map(|(v, k, p, _)| (v, k, p));
    let mut known = named.iter().chain(OF_CLUSTER);
    if let Some((_, _, plural)) = known.find(|(v, k, _)| is_it(&(v, k))) {
        return Ok(Place::Served(
            resource(&api_version, &id.kind, plural),
            Scope::Cluster,
        ));
    }
    match resources(client, id, &id.version).await {
        Ok(served) => match of_kind(&served, &id.kind) {
            Some(found) => {
                let scope = if found.namespaced {
                    Scope::Namespaced
                } else {
                    Scope::Cluster
                };
                Ok(Place::Served(
                    resource(&api_version, &id.kind, &found.name),
                    scope,
                ))
            }
            None => Ok(Place::Not(Found::NoKind(other_versions(client, id).await?))),
        },
        Err(error) if is_status(&error, 404) => {
            Ok(Place::Not(Found::NoKind(other_versions(client, id).await?)))
        }
        Err(error) if is_status(&error, 403) => Ok(Place::Not(Found::Forbidden(error.to_string()))),
        Err(error) => group_down(client, id, error).await,
    }
}

fn of_kind<'a>(served: &'a [APIResource], kind: &str) -> Option<&'a APIResource> {
    served
        .iter()
        .find(|resource| resource.kind == kind && !resource.name.contains('/'))
}

async fn resources(
    client: &Client,
    id: &ObjectRef,
    version: &str,
) -> kube::Result<Vec<APIResource>> {
    let listed = if id.group.is_empty() {
        client.list_core_api_resources(version).await?
    } else {
        client
            .list_api_group_resources(&format!("{}/{version}", id.group))
            .await?
    };
    Ok(listed.resources)
}

/// The versions in which the server has the kind, when it does not have it in the one asked for.
async fn other_versions(client: &Client, id: &ObjectRef) -> Result<Vec<String>> {
    let doing = || format!("ask which versions of group `{}` are served", id.group);
    let groups = client
        .list_api_groups()
        .await
        .map_err(|error| wrap(error, doing()))?;
    let Some(group) = groups
        .groups
        .into_iter()
        .find(|group| group.name == id.group)
    else {
        let moved = MOVED
            .iter()
            .filter(|(group, kind, _)| *group == id.group && *kind == id.kind);
        return Ok(moved
            .map(|(_, _, to)| format!("{to} {}", id.kind))
            .collect());
    };
    let mut served = Vec::new();
    for version in group.versions {
        if version.version == id.version {
            continue;
        }
        let there = resources(client, id, &version.version)
            .await
            .map_err(|error| wrap(error, doing()))?;
        if of_kind(&there, &id.kind).is_some() {
            served.push(format!("{} {}", version.group_version, id.kind));
        }
    }
    Ok(served)
}

/// A group that another server answers for, which does not: its `APIService` says why.
async fn group_down(client: &Client, id: &ObjectRef, error: kube::Error) -> Result<Place> {
    let services = resource("apiregistration.k8s.io/v1", "APIService", "apiservices");
    let name = format!("{}.{}", id.version, id.group);
    let found = api(client, &services, None).get(&name).await;
    let available = found.as_ref().ok().and_then(|service| {
        let conditions = list(&service.data, "/status/conditions");
        conditions
            .iter()
            .find(|condition| text(condition, "/type") == "Available")
    });
    match available.filter(|condition| text(condition, "/status") == "False") {
        Some(condition) => Ok(Place::Not(Found::GroupDown(
            text(condition, "/message").to_owned(),
        ))),
        None => Err(wrap(
            error,
            format!("ask for the kinds of `{}`", id.api_version()),
        )),
    }
}
