//! How bindings are proven.

use mlops_core::{Binding, Probe, ResourceId, Spec};
use serde_json::{Value, json};

use super::work::Work;

impl Work<'_> {
    /// A probe for each database and bucket that is used: it works, and another consumer's does not.
    pub(super) fn add_binding_probes(&mut self) {
        let databases = Others::new(&self.bindings, "postgres", "database", "role");
        let buckets = Others::new(&self.bindings, "s3", "bucket", "access-key");
        let mut probes = Vec::new();
        for binding in &self.bindings {
            let fact = |name: &str| binding.facts.get(name).cloned().unwrap_or_default();
            let (kind, resource, other, spec) = match binding.capability.as_str() {
                "postgres" => {
                    let other = databases.beside(&fact("role"));
                    let spec = json!({
                        "server": binding.service, "database": fact("database"), "role": fact("role"),
                        "password": binding.secrets.get("password"), "other_database": other,
                    });
                    ("postgres-binding", "postgres-database", other, spec)
                }
                "s3" => {
                    let other = buckets.beside(&fact("access-key"));
                    let spec = json!({
                        "server": binding.service, "region": fact("region"),
                        "access_key": fact("access-key"), "secret_key": binding.secrets.get("secret-key"),
                        "bucket": fact("bucket"), "other_bucket": other,
                    });
                    ("s3-binding", "s3-bucket", other, spec)
                }
                _ => continue,
            };
            let own = binding.fact("database").or(binding.fact("bucket"));
            probes.push(Probe {
                name: binding.id(),
                kind: kind.to_owned(),
                component: binding.consumer.clone(),
                needs: own
                    .into_iter()
                    .chain(other.and_then(Value::as_str))
                    .map(|name| ResourceId::new(resource, name))
                    .collect(),
                spec: into_spec(spec),
            });
        }
        self.probes.append(&mut probes);
    }
}

pub(super) fn into_spec(value: Value) -> Spec {
    match value {
        Value::Object(fields) => fields,
        _ => Spec::new(),
    }
}

/// Finds something of another owner without looking at all pairs.
struct Others {
    first: Option<(Value, Value)>,
    second: Option<Value>,
}

impl Others {
    fn new(bindings: &[Binding], capability: &str, thing: &str, owner: &str) -> Self {
        let mut all = bindings
            .iter()
            .filter(|binding| binding.capability.as_str() == capability)
            .filter_map(|binding| {
                Some((
                    binding.facts.get(owner)?.clone(),
                    binding.facts.get(thing)?.clone(),
                ))
            });
        let first = all.next();
        let second = first
            .as_ref()
            .and_then(|(owner, _)| all.find(|(other, _)| other != owner))
            .map(|(_, thing)| thing);
        Self { first, second }
    }

    fn beside(&self, owner: &Value) -> Option<&Value> {
        match &self.first {
            Some((first, thing)) if first != owner => Some(thing),
            _ => self.second.as_ref(),
        }
    }
}
