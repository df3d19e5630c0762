//! What each object needs before it can be written.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

use super::guards::add_guards;
use crate::objects::{GroupKind, ObjectId, Wanted};

const RBAC: &str = "rbac.authorization.k8s.io";

/// The indexes of what must be written before an object.
pub(super) type Needs = BTreeSet<usize>;

/// For each object, by index, those of the others that must be written before.
///
/// Order by need and not by kind: what needs nothing starts at once. All edges of one object's own needs lead to kinds
/// that come earlier in a fixed order, and those to webhooks are added where they close no circle, so there is none.
pub(super) fn needs(wanted: &[&Wanted]) -> Vec<Needs> {
    let index = Index::of(wanted);
    let mut needs: Vec<Needs> = wanted
        .iter()
        .enumerate()
        .map(|(own, object)| {
            let mut found = BTreeSet::new();
            index.general(object, &mut found);
            index.of_pods(object, &mut found);
            index.of_servers(object, &mut found);
            found.remove(&own);
            found
        })
        .collect();
    add_guards(wanted, &mut needs);
    needs
}

struct Index<'a> {
    by_id: HashMap<&'a ObjectId, usize>,
    definitions: BTreeMap<GroupKind, usize>,
    /// By group and version.
    apis: BTreeMap<(&'a str, &'a str), usize>,
    bindings: Vec<(usize, &'a Wanted)>,
    services: Vec<(usize, &'a Wanted)>,
    workloads: Vec<(usize, &'a Wanted)>,
}

impl<'a> Index<'a> {
    fn of(wanted: &[&'a Wanted]) -> Self {
        let numbered = || wanted.iter().copied().enumerate();
        let definitions = numbered()
            .filter(|(_, object)| {
                object
                    .id
                    .is("apiextensions.k8s.io", "CustomResourceDefinition")
            })
            .map(|(at, object)| {
                let text = |path| {
                    object
                        .json
                        .pointer(path)
                        .and_then(Value::as_str)
                        .unwrap_or_default()
                };
                (
                    GroupKind::new(text("/spec/group"), text("/spec/names/kind")),
                    at,
                )
            });
        let apis = numbered().filter(|(_, object)| is_api(&object.id));
        let apis = apis.filter_map(|(at, object)| {
            let text = |path| object.json.pointer(path).and_then(Value::as_str);
            Some(((text("/spec/group")?, text("/spec/version")?), at))
        });
        Self {
            apis: apis.collect(),
            by_id: numbered().map(|(at, object)| (&object.id, at)).collect(),
            definitions: definitions.collect(),
            bindings: numbered()
                .filter(|(_, object)| {
                    object.id.group == RBAC && object.id.kind.ends_with("Binding")
                })
                .collect(),
            services: numbered()
                .filter(|(_, object)| object.id.is("", "Service"))
                .collect(),
            workloads: numbered()
                .filter(|(_, object)| pod_of(object).is_some())
                .collect(),
        }
    }

    fn add(
        &self,
        found: &mut BTreeSet<usize>,
        group: &str,
        kind: &str,
        namespace: Option<&str>,
        name: &str,
    ) {
        found.extend(self.by_id.get(&ObjectId::new(group, kind, namespace, name)));
    }

    fn general(&self, object: &Wanted, found: &mut BTreeSet<usize>) {
        if let Some(namespace) = &object.id.namespace {
            self.add(found, "", "Namespace", None, namespace);
        }
        found.extend(self.definitions.get(&object.id.group_kind()));
        let api = (object.kind.group.as_str(), object.kind.version.as_str());
        found.extend(self.apis.get(&api));
        let text = |path: &str| object.json.pointer(path).and_then(Value::as_str);
        if let (true, Some(class)) = (
            object.id.is("", "PersistentVolumeClaim"),
            text("/spec/storageClassName"),
        ) {
            self.add(found, "storage.k8s.io", "StorageClass", None, class);
        }
        if let (true, Some(class)) = (
            object.id.is("networking.k8s.io", "Ingress"),
            text("/spec/ingressClassName"),
        ) {
            self.add(found, "networking.k8s.io", "IngressClass", None, class);
        }
        // A role may be bound before it is there, but whoever binds it needs to hold its rights until then.
        if object.id.group == RBAC
            && object.id.kind.ends_with("Binding")
            && let (Some(kind), Some(name)) = (text("/roleRef/kind"), text("/roleRef/name"))
        {
            let namespace = if kind == "Role" {
                object.id.namespace.as_deref()
            } else {
                None
            };
            self.add(found, RBAC, kind, namespace, name);
        }
    }

    /// What the pods of a workload mention.
    fn of_pods(&self, object: &Wanted, found: &mut BTreeSet<usize>) {
        let Some(pod) = pod_of(object) else { return };
        let namespace = object.id.namespace.as_deref();
        let account = pod.get("serviceAccountName").and_then(Value::as_str);
        if let Some(account) = account {
            self.add(found, "", "ServiceAccount", namespace, account);
            for (at, binding) in &self.bindings {
                if binds(binding, account, namespace) {
                    found.insert(*at);
                }
            }
        }
        if let Some(class) = pod.get("priorityClassName").and_then(Value::as_str) {
            self.add(found, "scheduling.k8s.io", "PriorityClass", None, class);
        }
        for (kind, name) in mentions(pod) {
            self.add(found, "", kind, namespace, name);
        }
    }

    /// The Service and the workload behind a webhook or an aggregated API.
    fn of_servers(&self, object: &Wanted, found: &mut BTreeSet<usize>) {
        for (namespace, name) in services_behind(object) {
            let id = ObjectId::new("", "Service", Some(namespace), name);
            let Some(service) = self.services.iter().find(|(_, service)| service.id == id) else {
                continue;
            };
            found.insert(service.0);
            let behind = self
                .workloads
                .iter()
                .filter(|(_, workload)| selects(service.1, workload));
            found.extend(behind.map(|(at, _)| *at));
        }
    }
}

/// Whether a Service selects the pods of a workload.
fn selects(service: &Wanted, workload: &Wanted) -> bool {
    let labels = match workload.id.kind.as_str() {
        "Pod" => workload.json.pointer("/metadata/labels"),
        _ => workload.json.pointer("/spec/template/metadata/labels"),
    };
    let selector = service
        .json
        .pointer("/spec/selector")
        .and_then(Value::as_object);
    service.id.namespace == workload.id.namespace
        && selector.is_some_and(|selector| {
            let has = |key: &String| labels.and_then(|labels| labels.get(key));
            !selector.is_empty() && selector.iter().all(|(key, value)| has(key) == Some(value))
        })
}

/// Whether what stands behind an object must be ready before the object is written: from then on the API server asks
/// it, and refuses writes while it does not answer.
pub(super) fn is_gate(id: &ObjectId) -> bool {
    id.is(
        "admissionregistration.k8s.io",
        "ValidatingWebhookConfiguration",
    ) || id.is(
        "admissionregistration.k8s.io",
        "MutatingWebhookConfiguration",
    ) || is_api(id)
}

/// Whether it is an `APIService`, which must be available before objects of its API are written.
pub(super) fn is_api(id: &ObjectId) -> bool {
    id.is("apiregistration.k8s.io", "APIService")
}

/// Where the specification of its pods is in an object of a kind.
fn pod_path(kind: &GroupKind) -> Option<&'static str> {
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Pod") => Some("/spec"),
        ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet")
        | ("batch", "Job")
        | ("", "ReplicationController") => Some("/spec/template/spec"),
        ("batch", "CronJob") => Some("/spec/jobTemplate/spec/template/spec"),
        _ => None,
    }
}

fn pod_of(object: &Wanted) -> Option<&Value> {
    object.json.pointer(pod_path(&object.id.group_kind())?)
}

pub(super) fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value
        .get(key)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

/// The `ConfigMaps`, Secrets and claims that a pod mentions.
fn mentions(pod: &Value) -> Vec<(&'static str, &str)> {
    let mut found = Vec::new();
    for secret in list(pod, "imagePullSecrets") {
        found.extend(text_at(secret, "/name").map(|name| ("Secret", name)));
    }
    for volume in list(pod, "volumes") {
        found.extend(text_at(volume, "/configMap/name").map(|name| ("ConfigMap", name)));
        found.extend(text_at(volume, "/secret/secretName").map(|name| ("Secret", name)));
        found.extend(
            text_at(volume, "/persistentVolumeClaim/claimName")
                .map(|name| ("PersistentVolumeClaim", name)),
        );
        for source in volume
            .get("projected")
            .into_iter()
            .flat_map(|projected| list(projected, "sources"))
        {
            found.extend(text_at(source, "/configMap/name").map(|name| ("ConfigMap", name)));
            found.extend(text_at(source, "/secret/name").map(|name| ("Secret", name)));
        }
    }
    for container in list(pod, "initContainers").chain(list(pod, "containers")) {
        for source in list(container, "envFrom") {
            found.extend(text_at(source, "/configMapRef/name").map(|name| ("ConfigMap", name)));
            found.extend(text_at(source, "/secretRef/name").map(|name| ("Secret", name)));
        }
        for variable in list(container, "env") {
            found.extend(
                text_at(variable, "/valueFrom/configMapKeyRef/name")
                    .map(|name| ("ConfigMap", name)),
            );
            found.extend(
                text_at(variable, "/valueFrom/secretKeyRef/name").map(|name| ("Secret", name)),
            );
        }
    }
    found
}

pub(super) fn text_at<'a>(value: &'a Value, path: &str) -> Option<&'a str> {
    value.pointer(path).and_then(Value::as_str)
}

fn binds(binding: &Wanted, account: &str, namespace: Option<&str>) -> bool {
    list(&binding.json, "subjects").any(|subject| {
        let own = binding.id.namespace.as_deref();
        text_at(subject, "/kind") == Some("ServiceAccount")
            && text_at(subject, "/name") == Some(account)
            && text_at(subject, "/namespace").or(own) == namespace
    })
}

/// The namespaces and names of the Services that an object sends the API server to.
fn services_behind(object: &Wanted) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    match (object.id.group.as_str(), object.id.kind.as_str()) {
        ("admissionregistration.k8s.io", _) => {
            for webhook in list(&object.json, "webhooks") {
                found.extend(service_at(webhook, "/clientConfig/service"));
            }
        }
        ("apiregistration.k8s.io", "APIService") => {
            found.extend(service_at(&object.json, "/spec/service"));
        }
        _ => {}
    }
    found
}

fn service_at<'a>(value: &'a Value, path: &str) -> Option<(&'a str, &'a str)> {
    let service = value.pointer(path)?;
    Some((text_at(service, "/namespace")?, text_at(service, "/name")?))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::discovery::Kinds;
    use crate::objects::ObjectSet;

    /// The objects of a set as they are wanted in the namespace `n`.
    pub(in super::super) fn wanted_of(text: &str) -> Vec<Wanted> {
        let set = ObjectSet::from_yaml("x.yaml", text).unwrap();
        let kinds = Kinds::built_in().with_definitions_of(&set);
        set.iter()
            .map(|object| Wanted::new(object, &kinds, "n").unwrap())
            .collect()
    }

    fn names(text: &str) -> Vec<(String, Vec<String>)> {
        let wanted = wanted_of(text);
        let wanted: Vec<&Wanted> = wanted.iter().collect();
        let name = |at: usize| wanted[at].id.name.clone();
        needs(&wanted)
            .into_iter()
            .enumerate()
            .map(|(at, needs)| (name(at), needs.into_iter().map(name).collect()))
            .collect()
    }

    const OBJECTS: &str = r"
{apiVersion: v1, kind: ConfigMap, metadata: {name: free}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: {template: {metadata: {labels: {app: web}}, spec: {
  serviceAccountName: sa, imagePullSecrets: [{name: pull}],
  volumes: [{name: v, persistentVolumeClaim: {claimName: data}}, {name: p, projected: {sources: [{secret: {name: tls}}]}}],
  containers: [{name: c, envFrom: [{configMapRef: {name: settings}}]}]}}}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: sa}}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: bind}, roleRef: {kind: Role, name: role},
  subjects: [{kind: ServiceAccount, name: sa}]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: role}}
---
{apiVersion: v1, kind: Secret, metadata: {name: pull}}
---
{apiVersion: v1, kind: Secret, metadata: {name: tls}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: settings, namespace: n}}
---
{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: data}, spec: {storageClassName: fast}}
---
{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: fast}}
---
{apiVersion: v1, kind: Service, metadata: {name: hook}, spec: {selector: {app: web}}}
---
{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingWebhookConfiguration, metadata: {name: gate},
  webhooks: [{clientConfig: {service: {namespace: n, name: hook}}}]}
---
{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: things.x.io},
  spec: {group: x.io, scope: Cluster, names: {kind: Thing, plural: things}, versions: [{name: v1, served: true}]}}
---
{apiVersion: x.io/v1, kind: Thing, metadata: {name: thing}}
---
{apiVersion: apiregistration.k8s.io/v1, kind: APIService, metadata: {name: v1.y.io},
  spec: {group: y.io, version: v1, service: {namespace: n, name: hook}}}
---
{apiVersion: y.io/v1, kind: Fruit, metadata: {name: apple}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: inside, namespace: made}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: made}}
";

    #[test]
    fn by_need_and_not_by_kind() {
        let found = names(OBJECTS);
        let of = |name: &str| -> Vec<&str> {
            let found = found.iter().find(|(found, _)| found == name).unwrap();
            found.1.iter().map(String::as_str).collect()
        };
        assert_eq!(of("free"), Vec::<&str>::new());
        assert_eq!(of("web"), ["sa", "bind", "pull", "tls", "settings", "data"]);
        assert_eq!(of("bind"), ["role"]);
        assert_eq!(of("data"), ["fast"]);
        assert_eq!(of("gate"), ["web", "hook"]);
        assert_eq!(of("thing"), ["things.x.io"]);
        assert_eq!(of("v1.y.io"), ["web", "hook"]);
        assert_eq!(of("apple"), ["v1.y.io"]);
        assert_eq!(of("inside"), ["made"]);
        assert!(is_gate(&ObjectId::new(
            "apiregistration.k8s.io",
            "APIService",
            None,
            "x"
        )));
    }
}
