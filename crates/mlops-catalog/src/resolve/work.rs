//! What a resolution gathers.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use mlops_core::SecretSource;
use mlops_core::kubernetes::OBJECT;
use mlops_core::platform::{BindingNames, Choice, Diagnostics, Problem, Problems, Size, Source};
use mlops_core::platform::{Model, Target};
use mlops_core::{
    Binding, CapabilityName, ComponentName, Platform, Probe, Resource, ResourceId, SecretName,
    Service, ServiceName, Spec,
};
use serde_json::{Value, json};

use super::cluster::{Images, Stencil, object_id};
use super::render::Trial;
use crate::Catalog;
use crate::component::{Alphabet, Component};

/// A component that is part of the platform.
pub(super) struct Member<'a> {
    pub(super) component: &'a Component,
    pub(super) source: Option<&'a Source>,
    pub(super) choice: Option<&'a Choice>,
    pub(super) size: Size,
    pub(super) target: Target,
}

impl<'a> Member<'a> {
    pub(super) fn name(&self) -> &'a ComponentName {
        &self.component.name
    }

    /// What runs the component on the target, if anything does: its process, or its workload in the cluster.
    pub(super) fn host_id(&self) -> Option<ResourceId> {
        let name = self.name().as_str();
        match self.target {
            Target::Local => {
                self.component.local.as_ref()?;
                Some(ResourceId::new("process", name))
            }
            Target::Cluster => Some(match &self.component.cluster.as_ref()?.server {
                Some(server) => ResourceId::new(OBJECT, server),
                None => object_id("Deployment", name),
            }),
        }
    }

    /// The names that the user chose for what a binding uses.
    pub(super) fn names(&self, binding: &str) -> Option<&'a BindingNames> {
        self.choice?.bindings.get(binding)
    }

    /// Where the platform file speaks of the component.
    pub(super) fn path<'s>(&'s self, rest: &[&'s str]) -> Vec<&'s str> {
        [&["components", self.name().as_str()], rest].concat()
    }
}

/// An account at a provider: user and password, or a key of two halves.
#[derive(Debug, Clone, Default)]
pub(super) struct Account {
    pub(super) user: Option<String>,
    pub(super) password: Option<SecretName>,
    pub(super) database: Option<String>,
    pub(super) access_key: Option<String>,
    pub(super) secret_key: Option<SecretName>,
}

/// Who provides a capability.
#[derive(Debug, Clone)]
pub(super) struct Provider {
    pub(super) service: ServiceName,
    /// The component; `None` for one from outside.
    pub(super) component: Option<ComponentName>,
    /// The process or workload in which what is made there lives.
    pub(super) host: Option<ResourceId>,
    pub(super) admin: Account,
    pub(super) facts: Spec,
    /// Whether keys can be made there.
    pub(super) makes_keys: bool,
}

pub(super) type Providers = BTreeMap<CapabilityName, Provider>;

/// A binding with what others need to know of it.
pub(super) struct Bound {
    pub(super) binding: Binding,
    /// What must be ready for it to be used.
    pub(super) needs: Vec<ResourceId>,
    /// What templates see of it.
    pub(super) vars: Spec,
}

/// What a resolution gathers.
pub(super) struct Work<'a> {
    pub(super) platform: &'a Platform,
    pub(super) catalog: &'a Catalog,
    /// Problems of the platform's file.
    pub(super) problems: Problems,
    /// Problems of the catalogue's files.
    pub(super) broken: Diagnostics,
    /// The models to serve, the profile's when the user says none.
    pub(super) models: Vec<(Option<usize>, Model)>,
    pub(super) resources: Vec<Resource>,
    pub(super) services: BTreeMap<ServiceName, Service>,
    pub(super) secret_sources: BTreeMap<SecretName, SecretSource>,
    pub(super) bindings: Vec<Binding>,
    pub(super) probes: Vec<Probe>,
    /// What each component starts without, and yet needs before it can do all its work.
    pub(super) later: BTreeMap<ComponentName, Vec<ResourceId>>,
    /// Which component each process or workload is the server of.
    pub(super) hosts: BTreeMap<ResourceId, ComponentName>,
    /// Services whose administrator's database nobody else may enter.
    pub(super) closed: BTreeSet<ServiceName>,
    /// Where templates are tried.
    pub(super) trial: Trial,
    /// Where templates of objects are filled in, once there are any.
    pub(super) stencil: OnceCell<Stencil>,
    /// The images of the platform.
    pub(super) images: Images,
    /// The components that run pods.
    pub(super) in_cluster: BTreeSet<ComponentName>,
    /// What was complained about already.
    pub(super) complaints: BTreeSet<String>,
    /// Secrets that are resources.
    made: BTreeSet<SecretName>,
    /// Who has which identity.
    owners: BTreeMap<ResourceId, ComponentName>,
}

impl<'a> Work<'a> {
    pub(super) fn new(platform: &'a Platform, catalog: &'a Catalog) -> Self {
        Self {
            platform,
            catalog,
            problems: Problems::new(),
            broken: Diagnostics::default(),
            models: Vec::new(),
            resources: Vec::new(),
            services: BTreeMap::new(),
            secret_sources: BTreeMap::new(),
            bindings: Vec::new(),
            probes: Vec::new(),
            later: BTreeMap::new(),
            hosts: BTreeMap::new(),
            closed: BTreeSet::new(),
            trial: Trial::new(),
            stencil: OnceCell::new(),
            images: Images::default(),
            in_cluster: BTreeSet::new(),
            complaints: BTreeSet::new(),
            made: BTreeSet::new(),
            owners: BTreeMap::new(),
        }
    }

    /// Keeps the problems of a component's file.
    pub(super) fn blame(&mut self, member: &Member<'_>, problems: Problems) {
        if !problems.is_empty() {
            let wrong = problems.locate(member.source, member.name().as_str());
            self.broken = std::mem::take(&mut self.broken).and(wrong);
        }
    }

    /// Keeps one problem of a component's file.
    pub(super) fn blame_one(&mut self, member: &Member<'_>, problem: Problem) {
        let mut problems = Problems::new();
        problems.add(problem);
        self.blame(member, problems);
    }

    /// Adds a resource with its spec; one of an identity that is there already is a problem.
    pub(super) fn add(&mut self, mut resource: Resource, spec: Value) {
        if let Value::Object(fields) = spec {
            resource.spec = fields;
        }
        if let Some(first) = self.owners.get(&resource.id) {
            let (second, id) = (&resource.component, &resource.id);
            let what = format!("{} `{}`", id.kind().as_str().replace('-', " "), id.name());
            let message = if first == second {
                format!("two bindings of `{first}` want the {what}")
            } else {
                format!("`{first}` and `{second}` both want the {what}")
            };
            let is_in_file = self.platform.components.contains_key(second);
            let at = if is_in_file { second } else { first };
            self.problems.add(
                Problem::at(["components", at.as_str()], message)
                    .with_hint("give one of them another name"),
            );
            return;
        }
        self.owners
            .insert(resource.id.clone(), resource.component.clone());
        self.resources.push(resource);
    }

    /// Has a secret made, or takes it from where the user says.
    pub(super) fn add_secret(
        &mut self,
        member: &Member<'_>,
        label: &str,
        length: u32,
        alphabet: Alphabet,
    ) -> Option<SecretName> {
        let name = SecretName::of(member.name(), label).ok()?;
        if self.made.contains(&name) || self.secret_sources.contains_key(&name) {
            return Some(name);
        }
        if let Some(source) = member.choice.and_then(|choice| choice.secrets.get(label)) {
            self.secret_sources.insert(name.clone(), source.clone());
        } else {
            self.made.insert(name.clone());
            let id = ResourceId::new("secret", name.as_str());
            let mut resource = Resource::new(id, member.name().clone());
            // There it is kept in the platform's namespace, which goes after the last of them.
            if self.platform.target == Target::Cluster {
                let namespace = object_id("Namespace", self.platform.namespace());
                resource = resource.with_need(namespace);
            }
            self.add(resource, json!({ "length": length, "alphabet": alphabet }));
        }
        Some(name)
    }

    /// The resource of a secret that is made; `None` for one that comes from outside.
    pub(super) fn secret_id(&self, name: &SecretName) -> Option<ResourceId> {
        self.made
            .contains(name)
            .then(|| ResourceId::new("secret", name.as_str()))
    }

    /// A resource that lives at a provider and needs secrets.
    pub(super) fn hosted(
        &self,
        id: ResourceId,
        component: &ComponentName,
        provider: &Provider,
        secrets: &[&SecretName],
    ) -> Resource {
        let mut resource = Resource::new(id, component.clone());
        if let Some(host) = &provider.host {
            resource = resource.with_within(host.clone());
        }
        for id in secrets.iter().filter_map(|name| self.secret_id(name)) {
            resource = resource.with_need(id);
        }
        resource
    }

    /// What must be there before all of a provider's work can be done, beside its process.
    pub(super) fn behind(&self, provider: &Provider) -> Vec<ResourceId> {
        let component = provider.component.as_ref();
        let later = component.and_then(|component| self.later.get(component));
        later.cloned().unwrap_or_default()
    }

    /// The name under which the target's own resources stand.
    pub(super) fn name_of_target(&self) -> Option<ComponentName> {
        self.platform.target.as_str().parse().ok()
    }
}
