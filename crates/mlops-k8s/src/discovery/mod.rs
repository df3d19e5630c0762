//! Which kinds a server has.

mod known;

use std::collections::BTreeMap;

use futures::future::try_join;
use mlops_core::{Error, ErrorKind, Failure, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use known::KnownKinds;
pub(crate) use known::brings_kinds;

use crate::http::{Call, FIRST_PATIENCE, ask};
use crate::objects::{GroupKind, ObjectSet};

/// Asks for all kinds of all groups in one answer
/// (<https://kubernetes.io/docs/concepts/overview/kubernetes-api/#aggregated-discovery>).
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
    application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";

/// The kinds of Kubernetes 1.35 itself: `apiVersion kind plural scope`, as its API server tells them.
const BUILT_IN: &str = include_str!("built_in.txt");

/// Whether objects of a kind are in namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Each is in a namespace.
    Namespaced,
    /// Each belongs to the whole cluster.
    Cluster,
}

/// A kind in one of its versions.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Kind {
    /// The API group; empty for the core group.
    pub group: String,
    /// The version.
    pub version: String,
    /// The kind, such as `Deployment`.
    pub kind: String,
    /// Its name in paths, such as `deployments`.
    pub plural: String,
    /// Whether its objects are in namespaces.
    pub scope: Scope,
    /// Whether a `CustomResourceDefinition` or an `APIService` of the set brings it, and the server may not know it yet.
    #[serde(default)]
    pub is_of_set: bool,
}

impl Kind {
    /// The group and kind.
    pub fn group_kind(&self) -> GroupKind {
        GroupKind::new(&self.group, &self.kind)
    }

    /// The `apiVersion`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            return self.version.clone();
        }
        format!("{}/{}", self.group, self.version)
    }

    /// The path of an object, or of all of a namespace, or of all.
    pub(crate) fn path(&self, namespace: Option<&str>, name: Option<&str>) -> String {
        let root = if self.group.is_empty() { "api" } else { "apis" };
        let mut path = format!("/{root}/{}", self.api_version());
        if let (Scope::Namespaced, Some(namespace)) = (self.scope, namespace) {
            path = format!("{path}/namespaces/{namespace}");
        }
        path = format!("{path}/{}", self.plural);
        match name {
            Some(name) => format!("{path}/{name}"),
            None => path,
        }
    }

    /// The kind for the dynamic interface of the kube crate.
    pub fn api_resource(&self) -> kube::discovery::ApiResource {
        let gvk = kube::core::GroupVersionKind::gvk(&self.group, &self.version, &self.kind);
        kube::discovery::ApiResource::from_gvk_with_plural(&gvk, &self.plural)
    }
}

/// The answer to "is there such a kind?".
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Lookup<'a> {
    /// It is there.
    Known(&'a Kind),
    /// The server answered, and has no such kind.
    NoSuchKind,
    /// The API that would know did not answer the server.
    Unknown(&'a Failure),
}

/// The kinds of a server, those of a set of objects included.
///
/// ```
/// use mlops_k8s::{Kinds, Lookup, Scope};
///
/// let kinds = Kinds::built_in();
/// let Lookup::Known(kind) = kinds.find("apps", "v1", "Deployment") else { panic!() };
/// assert_eq!((kind.plural.as_str(), kind.scope), ("deployments", Scope::Namespaced));
/// assert_eq!(kinds.find("apps", "v1beta1", "Deployment"), Lookup::NoSuchKind);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Kinds {
    /// Versions in the order in which the server prefers them.
    kinds: BTreeMap<GroupKind, Vec<Kind>>,
    silent: BTreeMap<(String, String), Failure>,
}

impl Kinds {
    /// The kinds of Kubernetes itself, for work without a server.
    pub fn built_in() -> Self {
        let mut kinds = Self::default();
        for line in BUILT_IN.lines() {
            let mut words = line.split(' ');
            let (Some(api), Some(kind), Some(plural), Some(scope)) =
                (words.next(), words.next(), words.next(), words.next())
            else {
                continue;
            };
            let (group, version) = api.split_once('/').unwrap_or(("", api));
            kinds.insert(Kind {
                group: group.to_owned(),
                version: version.to_owned(),
                kind: kind.to_owned(),
                plural: plural.to_owned(),
                scope: if scope == "Namespaced" {
                    Scope::Namespaced
                } else {
                    Scope::Cluster
                },
                is_of_set: false,
            });
        }
        kinds
    }

    /// Asks a server, in two requests.
    ///
    /// # Errors
    ///
    /// When it cannot be asked, or is older than Kubernetes 1.27.
    pub async fn of_server(client: &kube::Client) -> Result<Self> {
        let doing = || "ask the API server for its kinds".to_owned();
        let core = Call::get("/api")
            .accepting(AGGREGATED)
            .within(FIRST_PATIENCE);
        let groups = Call::get("/apis")
            .accepting(AGGREGATED)
            .within(FIRST_PATIENCE);
        let (core, groups) =
            try_join(ask(client, &core, &doing), ask(client, &groups, &doing)).await?;
        let mut kinds = Self::default();
        for answer in [core, groups] {
            if answer.get("kind").and_then(Value::as_str) != Some("APIGroupDiscoveryList") {
                return Err(Error::new(ErrorKind::Unsupported, doing())
                    .with_source("it does not know aggregated discovery")
                    .with_hint("this needs Kubernetes 1.27 or later"));
            }
            kinds.read(&answer);
        }
        Ok(kinds)
    }

    /// Adds the kinds that `CustomResourceDefinitions` of a set define, and those of its objects whose API an `APIService`
    /// of the set brings.
    #[must_use]
    pub fn with_definitions_of(self, set: &ObjectSet) -> Self {
        self.with_custom(set).with_apis_of(set)
    }

    /// What the server behind an `APIService` calls its kinds is known when it answers: until then the plural is empty.
    fn with_apis_of(mut self, set: &ObjectSet) -> Self {
        let services = set
            .iter()
            .filter(|object| object.id().is("apiregistration.k8s.io", "APIService"));
        let apis: Vec<(&str, &str)> = services
            .filter_map(|object| {
                let text = |path: &str| object.json().pointer(path).and_then(Value::as_str);
                // One without a service is of the API server itself.
                object.json().pointer("/spec/service")?.as_object()?;
                Some((text("/spec/group")?, text("/spec/version")?))
            })
            .collect();
        for object in set {
            let (id, version) = (object.id(), object.version());
            let is_new = apis.contains(&(id.group.as_str(), version))
                && self.find(&id.group, version, &id.kind) == Lookup::NoSuchKind;
            if is_new {
                self.insert(Kind {
                    group: id.group.clone(),
                    version: version.to_owned(),
                    kind: id.kind.clone(),
                    plural: String::new(),
                    scope: Scope::Namespaced,
                    is_of_set: true,
                });
            }
        }
        self
    }

    fn with_custom(mut self, set: &ObjectSet) -> Self {
        let definitions = set.iter().filter(|object| {
            object
                .id()
                .is("apiextensions.k8s.io", "CustomResourceDefinition")
        });
        for object in definitions {
            let spec = object.json().get("spec").cloned().unwrap_or_default();
            let text = |path: &str| {
                spec.pointer(path)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
            };
            let versions = spec.get("versions").and_then(Value::as_array);
            for version in versions.into_iter().flatten() {
                let is_served = version.get("served").and_then(Value::as_bool) != Some(false);
                let Some(version) = version.get("name").and_then(Value::as_str) else {
                    continue;
                };
                let is_known = matches!(
                    self.find(text("/group"), version, text("/names/kind")),
                    Lookup::Known(_)
                );
                if is_served && !is_known {
                    self.insert(Kind {
                        group: text("/group").to_owned(),
                        version: version.to_owned(),
                        kind: text("/names/kind").to_owned(),
                        plural: text("/names/plural").to_owned(),
                        scope: if text("/scope") == "Cluster" {
                            Scope::Cluster
                        } else {
                            Scope::Namespaced
                        },
                        is_of_set: true,
                    });
                }
            }
        }
        self
    }

    /// Finds a kind in one version.
    pub fn find(&self, group: &str, version: &str, kind: &str) -> Lookup<'_> {
        let versions = self.kinds.get(&GroupKind::new(group, kind));
        let found = versions.and_then(|all| all.iter().find(|kind| kind.version == version));
        match (
            found,
            self.silent.get(&(group.to_owned(), version.to_owned())),
        ) {
            (Some(kind), _) => Lookup::Known(kind),
            (None, Some(failure)) => Lookup::Unknown(failure),
            (None, None) => Lookup::NoSuchKind,
        }
    }

    /// Finds a kind in the version that the server prefers.
    pub fn find_any_version(&self, kind: &GroupKind) -> Lookup<'_> {
        if let Some(found) = self.kinds.get(kind).and_then(|versions| versions.first()) {
            return Lookup::Known(found);
        }
        let mut silent = self.silent.iter();
        match silent.find(|((group, _), _)| *group == kind.group) {
            Some((_, failure)) => Lookup::Unknown(failure),
            None => Lookup::NoSuchKind,
        }
    }

    /// All kinds, each in the version that the server prefers.
    pub fn iter(&self) -> impl Iterator<Item = &Kind> {
        self.kinds.values().filter_map(|versions| versions.first())
    }

    fn insert(&mut self, kind: Kind) {
        self.kinds.entry(kind.group_kind()).or_default().push(kind);
    }

    fn read(&mut self, answer: &Value) {
        for group in list(answer, "items") {
            let name = group
                .pointer("/metadata/name")
                .and_then(Value::as_str)
                .unwrap_or_default();
            for version in list(group, "versions") {
                let text = version
                    .get("version")
                    .and_then(Value::as_str)
                    .unwrap_or_default();
                if version.get("freshness").and_then(Value::as_str) == Some("Stale") {
                    let error = Error::new(
                        ErrorKind::Unavailable,
                        format!("ask the API `{name}/{text}`"),
                    )
                    .with_source("the API server cannot reach the service behind it");
                    let key = (name.to_owned(), text.to_owned());
                    self.silent.insert(key, Failure::from(&error));
                }
                for resource in list(version, "resources") {
                    if let Some(kind) = kind_of(name, text, resource) {
                        self.insert(kind);
                    }
                }
            }
        }
    }
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value
        .get(key)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

fn kind_of(group: &str, version: &str, resource: &Value) -> Option<Kind> {
    // Only what can be applied: reviews, for instance, can just be created.
    list(resource, "verbs").find(|verb| verb.as_str() == Some("patch"))?;
    let text = |path: &str| resource.pointer(path).and_then(Value::as_str);
    Some(Kind {
        group: group.to_owned(),
        version: version.to_owned(),
        kind: text("/responseKind/kind")?.to_owned(),
        plural: text("/resource")?.to_owned(),
        scope: if text("/scope")? == "Namespaced" {
            Scope::Namespaced
        } else {
            Scope::Cluster
        },
        is_of_set: false,
    })
}
