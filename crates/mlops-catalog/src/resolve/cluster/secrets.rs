//! Secrets of the cluster: their templates, and what these mention. No text of a secret is ever here.

use std::collections::{BTreeMap, BTreeSet};

use minijinja::Environment;
use mlops_core::kubernetes::{SECRET, SecretSpec};
use mlops_core::platform::{Problem, Problems};
use mlops_core::{Resource, ResourceId, SecretName, Service, ServiceName, Spec};
use serde_json::{Value, json};
use url::Url;

use super::complete::{Frame, is_name};
use super::{object_id, spec_of};
use crate::component::ClusterRun;
use crate::resolve::render::Sight;
use crate::resolve::work::{Member, Work};

/// Where a service is, seen from inside the cluster.
pub(super) fn url(service: &Service, namespace: &str) -> Option<Url> {
    if let Some(url) = &service.external {
        return Some(url.clone());
    }
    let (scheme, name) = (&service.scheme, &service.name);
    let text = format!("{scheme}://{name}.{namespace}.svc:{}", service.port?);
    text.parse().ok()
}

impl Work<'_> {
    /// The Secrets of a component by name, each with what makes a difference to who reads it.
    pub(super) fn add_cluster_secrets(
        &mut self,
        member: &Member<'_>,
        run: &ClusterRun,
        vars: &Spec,
        secrets: &BTreeSet<SecretName>,
        services: &BTreeMap<ServiceName, Service>,
    ) -> BTreeMap<String, Value> {
        let namespace = self.platform.namespace();
        let mut kept = BTreeMap::new();
        let mut wrong = Problems::new();
        for (name, data) in &run.secrets {
            if !is_name(name) {
                let message = format!("`{}` cannot be the name of a Secret", name.escape_debug());
                wrong.add(
                    Problem::at(["cluster", "secrets", name.as_str()], message)
                        .of_key()
                        .with_hint("use lower-case letters, digits and hyphens"),
                );
                continue;
            }
            check_keys(name, data, &mut wrong);
            let sight = Sight::new(secrets, services, Vec::new());
            self.trial.look(sight);
            let mentions = self.trial.secret(name, data, vars, &mut wrong);
            let places = mentions.services.iter();
            let spec = SecretSpec {
                namespace: namespace.to_owned(),
                name: name.clone(),
                r#type: "Opaque".to_owned(),
                labels: Frame {
                    namespace,
                    platform: self.platform.name.as_str(),
                    component: member.name().as_str(),
                    pull_secrets: &self.platform.cluster.image_pull_secrets,
                }
                .labels("server"),
                data: data.clone(),
                vars: mentioned(data, vars),
                services: places
                    .filter_map(|name| Some((name.clone(), url(services.get(name)?, namespace)?)))
                    .collect(),
                secrets: mentions.secrets,
            };
            kept.insert(
                name.clone(),
                json!([spec.data, spec.vars, spec.services, spec.secrets]),
            );
            let id = ResourceId::new(SECRET, name);
            let mut resource = Resource::new(id, member.name().clone())
                .with_need(object_id("Namespace", namespace));
            let made = spec.secrets.iter().filter_map(|name| self.secret_id(name));
            resource.needs.extend(made);
            self.add(resource, spec_of(&spec));
        }
        self.blame(member, wrong);
        kept
    }
}

fn check_keys(name: &str, data: &BTreeMap<String, String>, wrong: &mut Problems) {
    for key in data.keys() {
        let is_right = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if key.is_empty() || key.len() > 253 || !key.bytes().all(is_right) {
            let message = format!("`{}` cannot be the key of a Secret", key.escape_debug());
            wrong.add(
                Problem::at(["cluster", "secrets", name, key], message)
                    .of_key()
                    .with_hint("use letters, digits, `-`, `_` and `.`"),
            );
        }
    }
}

/// The variables that templates mention: what they do not mention may change without them.
fn mentioned(data: &BTreeMap<String, String>, vars: &Spec) -> Spec {
    let environment = Environment::new();
    let mut names = BTreeSet::new();
    for text in data.values().filter(|text| text.contains('{')) {
        if let Ok(template) = environment.template_from_str(text) {
            names.extend(template.undeclared_variables(true));
        }
    }
    let mut kept = Spec::new();
    for name in names {
        keep(&mut kept, vars, &name);
    }
    kept
}

/// Copies what is at a path such as `bindings.store.role`; all of it, where the path ends before a value does.
fn keep(kept: &mut Spec, vars: &Spec, path: &str) {
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    let Some(value) = vars.get(first) else {
        return;
    };
    match value {
        Value::Object(below) if !rest.is_empty() => {
            let entry = kept.entry(first).or_insert_with(|| json!({}));
            if let Some(kept) = entry.as_object_mut() {
                keep(kept, below, rest);
            }
        }
        value => {
            kept.insert(first.to_owned(), value.clone());
        }
    }
}
