//! What objects ask of a cluster before they can be what they are for: room, classes, cert-manager.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;
use mlops_core::{Error, ErrorKind, Result};
use serde_json::{Map, Value, json};

use super::Room;
use super::room::requests;
use crate::objects::{Object, ObjectSet};

/// What the objects of a set ask of a cluster, rights apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// What all pods request together, each as often as it is to run. What requests nothing asks for nothing.
    pub room: Room,
    /// The `StorageClass`es of claims; `None` is the default one. Those that are in the set are left out.
    pub storage_classes: BTreeSet<Option<String>>,
    /// The `IngressClass`es that are named. Those that are in the set are left out.
    pub ingress_classes: BTreeSet<String>,
    /// Whether there are objects of cert-manager, and the set does not bring it.
    pub cert_manager: bool,
}

impl Asked {
    /// Nothing.
    pub const NONE: Self = Self {
        room: Room { cpu: 0, memory: 0 },
        storage_classes: BTreeSet::new(),
        ingress_classes: BTreeSet::new(),
        cert_manager: false,
    };

    /// Reads it off the objects, as if none of them were in the cluster yet: of Deployments, `StatefulSet`s, `ReplicaSet`s
    /// and `ReplicationController`s all replicas, of a Job as many pods as run at once, of a `DaemonSet` one pod. A pod counts
    /// as the scheduler counts: its containers together, or its largest preparing one if that is more. A limit without a
    /// request is one.
    ///
    /// ```
    /// use mlops_k8s::ObjectSet;
    /// use mlops_k8s::preflight::Asked;
    ///
    /// let set = ObjectSet::from_yaml("web.yaml", "
    /// apiVersion: apps/v1
    /// kind: Deployment
    /// metadata: {name: web}
    /// spec: {replicas: 3, template: {spec: {containers: [{name: web, resources: {requests: {cpu: 500m, memory: 1Gi}}}]}}}
    /// ")?;
    /// let room = Asked::by(&set)?.room;
    /// assert_eq!((room.cpu, room.memory), (1_500, 3 << 30));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When a request is no quantity.
    pub fn by(set: &ObjectSet) -> Result<Self> {
        let mut asked = Self::NONE;
        let (mut cpu, mut memory) = (0_i128, 0_i128);
        for object in set {
            if let Some((spec, count)) = pods_of(object) {
                let (one_cpu, one_memory) = requested(object, spec)?;
                cpu = cpu.saturating_add(one_cpu.saturating_mul(count));
                memory = memory.saturating_add(one_memory.saturating_mul(count));
                let volumes = list(spec, "/volumes");
                let claims =
                    volumes.filter_map(|volume| volume.pointer("/ephemeral/volumeClaimTemplate"));
                claims.for_each(|claim| asked.claim(claim));
            }
            asked.classes(object);
        }
        asked.leave_out_what_is_in(set);
        // Memory is in thousandths of a byte.
        let positive = |number: i128| u64::try_from(number.max(0)).unwrap_or(u64::MAX);
        asked.room = Room {
            cpu: positive(cpu),
            memory: positive(memory.saturating_add(999) / 1_000),
        };
        Ok(asked)
    }

    fn classes(&mut self, object: &Object) {
        let (json, id) = (object.json(), object.id());
        match (id.group.as_str(), id.kind.as_str()) {
            ("", "PersistentVolumeClaim") => self.claim(json),
            ("apps", "StatefulSet") => {
                let claims = list(json, "/spec/volumeClaimTemplates");
                claims.for_each(|claim| self.claim(claim));
            }
            ("networking.k8s.io", "Ingress") => {
                let class = json.pointer("/spec/ingressClassName");
                let class = class.and_then(Value::as_str).map(str::to_owned);
                self.ingress_classes.extend(class);
            }
            ("cert-manager.io", _) => self.cert_manager = true,
            _ => {}
        }
    }

    /// The class that the volume of a claim is made of; nothing when it is to be a volume that is there.
    fn claim(&mut self, claim: &Value) {
        let spec = claim.get("spec").unwrap_or(&Value::Null);
        let is_given = |field: &str| spec.get(field).is_some_and(|value| !value.is_null());
        if is_given("volumeName") || is_given("selector") {
            return;
        }
        let class = spec.get("storageClassName").and_then(Value::as_str);
        if class != Some("") {
            self.storage_classes.insert(class.map(str::to_owned));
        }
    }

    fn leave_out_what_is_in(&mut self, set: &ObjectSet) {
        for object in set {
            let (json, id) = (object.json(), object.id());
            match (id.group.as_str(), id.kind.as_str()) {
                ("storage.k8s.io", "StorageClass") => {
                    self.storage_classes.remove(&Some(id.name.clone()));
                    let marks = json.pointer("/metadata/annotations");
                    let mark = "storageclass.kubernetes.io/is-default-class";
                    if marks.and_then(|all| all.get(mark)) == Some(&Value::from("true")) {
                        self.storage_classes.remove(&None);
                    }
                }
                ("networking.k8s.io", "IngressClass") => {
                    self.ingress_classes.remove(&id.name);
                }
                ("apiextensions.k8s.io", "CustomResourceDefinition") => {
                    let group = json.pointer("/spec/group").and_then(Value::as_str);
                    self.cert_manager &= group != Some("cert-manager.io");
                }
                _ => {}
            }
        }
    }
}

/// The description of the pods that an object makes, and how many of them there are.
fn pods_of(object: &Object) -> Option<(&Value, i128)> {
    let (json, id) = (object.json(), object.id());
    let number = |path: &str| json.pointer(path).and_then(Value::as_i64).map(i128::from);
    let count = match (id.group.as_str(), id.kind.as_str()) {
        ("", "Pod") => return Some((json.get("spec")?, 1)),
        ("", "ReplicationController") | ("apps", "Deployment" | "ReplicaSet" | "StatefulSet") => {
            number("/spec/replicas").unwrap_or(1)
        }
        ("apps", "DaemonSet") => 1,
        ("batch", "Job") => {
            let at_once = number("/spec/parallelism").unwrap_or(1);
            number("/spec/completions").map_or(at_once, |all| all.min(at_once))
        }
        _ => return None,
    };
    Some((json.pointer("/spec/template/spec")?, count.max(0)))
}

/// Cpu and memory that one pod requests, both in thousandths.
fn requested(object: &Object, spec: &Value) -> Result<(i128, i128)> {
    let pod = serde_json::from_value::<Pod>(pod_of(spec));
    pod.ok().as_ref().and_then(requests).ok_or_else(|| {
        let doing = format!("add up what {} requests", object.describe());
        Error::new(ErrorKind::InvalidInput, doing)
            .with_source("a request of its pods is no quantity")
            .with_hint("write quantities such as `500m` and `2Gi`")
    })
}

/// Just what says how much a pod requests, so that nothing else can be in the way.
fn pod_of(spec: &Value) -> Value {
    let containers = |path: &str| -> Vec<Value> { list(spec, path).map(container_of).collect() };
    let of_pod = spec.pointer("/resources/requests");
    json!({"spec": {
        "containers": containers("/containers"),
        "initContainers": containers("/initContainers"),
        "resources": {"requests": amounts(of_pod)},
        "overhead": amounts(spec.get("overhead")),
    }})
}

fn container_of(container: &Value) -> Value {
    // The server takes a limit for the request where there is none.
    let mut wanted = amounts(container.pointer("/resources/limits"));
    wanted.extend(amounts(container.pointer("/resources/requests")));
    let restarts = container.get("restartPolicy").and_then(Value::as_str);
    json!({"name": "", "restartPolicy": restarts, "resources": {"requests": wanted}})
}

fn amounts(value: Option<&Value>) -> Map<String, Value> {
    let given = value.and_then(Value::as_object).into_iter().flatten();
    given
        .filter(|(name, amount)| matches!(name.as_str(), "cpu" | "memory") && !amount.is_null())
        .map(|(name, amount)| (name.clone(), amount.clone()))
        .collect()
}

fn list<'a>(value: &'a Value, path: &str) -> impl Iterator<Item = &'a Value> {
    let found = value.pointer(path).and_then(Value::as_array);
    found.into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(yaml: &str) -> Asked {
        Asked::by(&ObjectSet::from_yaml("test.yaml", yaml).unwrap()).unwrap()
    }

    fn cores(object: &str) -> u64 {
        asked(object).room.cpu
    }

    #[test]
    fn each_pod_counts_as_often_as_it_runs() {
        let of = |kind: &str, more: &str| {
            cores(&format!(
                "{{{kind}, metadata: {{name: a}}, spec: {{{more} template: {{spec: {{containers: [
                  {{name: a, resources: {{requests: {{cpu: 2}}}}}}]}}}}}}}}"
            ))
        };
        assert_eq!(of("apiVersion: apps/v1, kind: Deployment", ""), 2_000);
        assert_eq!(
            of("apiVersion: apps/v1, kind: StatefulSet", "replicas: 50,"),
            100_000
        );
        assert_eq!(
            of("apiVersion: apps/v1, kind: DaemonSet", "replicas: 9,"),
            2_000
        );
        let job = "apiVersion: batch/v1, kind: Job";
        assert_eq!(of(job, "parallelism: 3,"), 6_000);
        assert_eq!(of(job, "parallelism: 3, completions: 2,"), 4_000);
        assert_eq!(
            of("apiVersion: apps/v1, kind: Deployment", "replicas: 0,"),
            0
        );
        assert_eq!(of("apiVersion: batch/v1, kind: CronJob", ""), 0);
    }

    #[test]
    fn preparing_containers_count_by_the_largest_and_limits_are_requests() {
        let pod = |containers: &str| {
            cores(&format!(
                "{{apiVersion: v1, kind: Pod, metadata: {{name: a}}, spec: {{{containers}}}}}"
            ))
        };
        let both = "containers: [{resources: {requests: {cpu: 100m}}}, {resources: {limits: {cpu: '0.2'}}}, {}]";
        assert_eq!(pod(both), 300);
        let prepared = |first: &str| {
            pod(&format!(
                "{both}, initContainers: [{first}, {{resources: {{requests: {{cpu: 250m}}}}}}]"
            ))
        };
        assert_eq!(prepared("{resources: {requests: {cpu: 1}}}"), 1_000);
        assert_eq!(prepared("{resources: {requests: {cpu: 200m}}}"), 300);
        let sidecar = "{restartPolicy: Always, resources: {requests: {cpu: 200m}}}";
        assert_eq!(prepared(sidecar), 500);
        let set = "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{resources: {requests: {cpu: much}}}]}}";
        let error = Asked::by(&ObjectSet::from_yaml("test.yaml", set).unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.doing().contains("Pod/a (test.yaml:1:1)"), "{error:?}");
    }

    const CLASSES: &str = "
{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: named}, spec: {storageClassName: fast}}
---
{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: default}, spec: {}}
---
{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: static}, spec: {storageClassName: ''}}
---
{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: there}, spec: {volumeName: disk-1}}
---
{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: db}, spec: {
  volumeClaimTemplates: [{metadata: {name: data}, spec: {storageClassName: slow}}],
  template: {spec: {volumes: [{name: tmp, ephemeral: {volumeClaimTemplate: {spec: {storageClassName: brief}}}}]}}}}
---
{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: web}, spec: {ingressClassName: public}}
---
{apiVersion: cert-manager.io/v1, kind: Certificate, metadata: {name: web}, spec: {}}
";

    #[test]
    fn classes_are_those_of_claims_and_ingresses_that_the_set_does_not_bring() {
        let found = asked(CLASSES);
        let classes: Vec<&str> = found
            .storage_classes
            .iter()
            .map(|class| class.as_deref().unwrap_or("-"))
            .collect();
        assert_eq!(classes, ["-", "brief", "fast", "slow"]);
        assert_eq!(found.ingress_classes, BTreeSet::from(["public".to_owned()]));
        assert!(found.cert_manager);
        let brought = "
---
{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: fast,
  annotations: {storageclass.kubernetes.io/is-default-class: 'true'}}}
---
{apiVersion: networking.k8s.io/v1, kind: IngressClass, metadata: {name: public}}
---
{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: issuers.cert-manager.io},
  spec: {group: cert-manager.io}}
";
        let found = asked(&format!("{CLASSES}{brought}"));
        let left = ["brief", "slow"].map(|class| Some(class.to_owned()));
        assert_eq!(found.storage_classes, BTreeSet::from(left));
        assert!(found.ingress_classes.is_empty() && !found.cert_manager);
    }
}
