//! What the pods of an object, or the object itself, mention of others.

use serde_json::Value;

use super::complete::{part, pod_spec};

/// One mention.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mention {
    pub(super) kind: String,
    pub(super) name: String,
    /// Where it stands in the object.
    pub(super) path: Vec<String>,
    /// Whether pods start without it.
    pub(super) is_optional: bool,
}

/// Everything that must be there for an object to be of use.
pub(super) fn of(object: &Value) -> Vec<Mention> {
    let mut found = Found::default();
    if let Some((path, pod)) = pod_spec(object) {
        found.pod(&path, pod);
    }
    // An autoscaler has nothing to do before what it scales is there.
    let target = part(object, &["spec", "scaleTargetRef"]);
    if let (Some(kind), Some(name)) = (target["kind"].as_str(), target["name"].as_str()) {
        found.add(
            kind,
            name,
            &["spec", "scaleTargetRef", "name"].map(str::to_owned),
            false,
        );
    }
    found.0
}

#[derive(Default)]
struct Found(Vec<Mention>);

impl Found {
    fn add(&mut self, kind: &str, name: &str, path: &[String], is_optional: bool) {
        self.0.push(Mention {
            kind: kind.to_owned(),
            name: name.to_owned(),
            path: path.to_vec(),
            is_optional,
        });
    }

    /// The object that `source` names in `field`, if it does.
    fn reference(&mut self, kind: &str, source: &Value, field: &str, path: &[String]) {
        if let Some(name) = source[field].as_str() {
            let path = below(path, &[field]);
            self.add(kind, name, &path, source["optional"] == true);
        }
    }

    fn pod(&mut self, path: &[String], pod: &Value) {
        self.reference("ServiceAccount", pod, "serviceAccountName", path);
        for (index, volume) in items(&pod["volumes"]) {
            let path = below(path, &["volumes", &index]);
            self.volume(&path, volume);
            for (index, source) in items(part(volume, &["projected", "sources"])) {
                let path = below(&path, &["projected", "sources", &index]);
                self.reference(
                    "ConfigMap",
                    &source["configMap"],
                    "name",
                    &below(&path, &["configMap"]),
                );
                self.reference(
                    "Secret",
                    &source["secret"],
                    "name",
                    &below(&path, &["secret"]),
                );
            }
        }
        for list in ["initContainers", "containers"] {
            for (index, container) in items(&pod[list]) {
                self.container(&below(path, &[list, &index]), container);
            }
        }
    }

    fn volume(&mut self, path: &[String], volume: &Value) {
        for (kind, source, field) in [
            ("ConfigMap", "configMap", "name"),
            ("Secret", "secret", "secretName"),
            (
                "PersistentVolumeClaim",
                "persistentVolumeClaim",
                "claimName",
            ),
        ] {
            self.reference(kind, &volume[source], field, &below(path, &[source]));
        }
    }

    fn container(&mut self, path: &[String], container: &Value) {
        for (index, from) in items(&container["envFrom"]) {
            for (kind, source) in [("ConfigMap", "configMapRef"), ("Secret", "secretRef")] {
                let path = below(path, &["envFrom", &index, source]);
                self.reference(kind, &from[source], "name", &path);
            }
        }
        for (index, one) in items(&container["env"]) {
            for (kind, source) in [("ConfigMap", "configMapKeyRef"), ("Secret", "secretKeyRef")] {
                let path = below(path, &["env", &index, "valueFrom", source]);
                let source = part(one, &["valueFrom", source]);
                self.reference(kind, source, "name", &path);
            }
        }
    }
}

fn below(path: &[String], steps: &[&str]) -> Vec<String> {
    let steps = steps.iter().map(|step| (*step).to_owned());
    path.iter().cloned().chain(steps).collect()
}

pub(super) fn items(list: &Value) -> impl Iterator<Item = (String, &Value)> {
    let items = list.as_array().into_iter().flatten().enumerate();
    items.map(|(index, item)| (index.to_string(), item))
}
