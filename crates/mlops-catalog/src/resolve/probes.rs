//! How bindings are proven.

use std::collections::{BTreeMap, BTreeSet};

use mlops_core::{Binding, Probe, Resource, ResourceId, ServiceName, Spec};
use serde_json::{Value, json};

use super::work::Work;

impl Work<'_> {
    /// A probe for each database and bucket that is used: it works, and another consumer's does not. On servers of our
    /// own it is tried on something of the administrator's when there is no other consumer.
    pub(super) fn add_binding_probes(&mut self) {
        let databases = Others::new(&self.bindings, "postgres", "database", "role");
        let buckets = Others::new(&self.bindings, "s3", "bucket", "access-key");
        let ours = OurServers::new(&self.resources, &self.closed);
        let mut probes = Vec::new();
        for binding in &self.bindings {
            let fact = |name: &str| binding.facts.get(name).cloned().unwrap_or_default();
            let (kind, resource, other, spec) = match binding.capability.as_str() {
                "postgres" => {
                    let other = databases.beside(&fact("role"));
                    let tried = other.or_else(|| ours.closed_database(&fact("database")));
                    let spec = json!({
                        "server": binding.service, "database": fact("database"), "role": fact("role"),
                        "password": binding.secrets.get("password"), "other_database": tried,
                    });
                    ("postgres-binding", "postgres-database", other, spec)
                }
                "s3" => {
                    let other = buckets.beside(&fact("access-key"));
                    let spec = json!({
                        "server": binding.service, "region": fact("region"),
                        "access_key": fact("access-key"), "secret_key": binding.secrets.get("secret-key"),
                        "bucket": fact("bucket"), "other_bucket": other,
                        "admin": ours.bucket_admin(&fact("bucket")),
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

/// What the administrators have on the servers that the platform runs itself.
struct OurServers<'a> {
    resources: BTreeMap<&'a ResourceId, &'a Resource>,
    closed: &'a BTreeSet<ServiceName>,
}

impl<'a> OurServers<'a> {
    fn new(resources: &'a [Resource], closed: &'a BTreeSet<ServiceName>) -> Self {
        let kinds = ["s3-bucket", "postgres-database", "data-folder"];
        let resources = resources
            .iter()
            .filter(|resource| kinds.contains(&resource.id.kind().as_str()))
            .map(|resource| (&resource.id, resource));
        Self {
            resources: resources.collect(),
            closed,
        }
    }

    /// The resource, with the component whose process it lives in.
    fn hosted(&self, kind: &str, name: &Value) -> Option<(&'a Resource, &'a ResourceId)> {
        let id = ResourceId::new(kind, name.as_str()?);
        let resource = *self.resources.get(&id)?;
        Some((resource, resource.within.as_ref()?))
    }

    /// The administrator's own database, where it is closed to everybody else: in data folders that we make, and where
    /// the component says so.
    fn closed_database(&self, database: &Value) -> Option<&'a Value> {
        let (resource, host) = self.hosted("postgres-database", database)?;
        let closed = resource.spec.get("admin")?.get("database")?;
        let server = resource.spec.get("server")?.as_str()?;
        let folder = ResourceId::new("data-folder", host.name());
        let folder = self.resources.get(&folder);
        let layout = folder.and_then(|folder| folder.spec.get("layout"));
        let is_ours = layout.is_some_and(|layout| layout == "postgres") && closed == "postgres";
        let is_closed = is_ours || self.closed.iter().any(|name| name.as_str() == server);
        (is_closed && closed != database).then_some(closed)
    }

    /// Who can make a bucket that the consumer must be kept out of.
    fn bucket_admin(&self, bucket: &Value) -> Option<&'a Value> {
        self.hosted("s3-bucket", bucket)?.0.spec.get("admin")
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
