//! The target `cluster`: the objects of each component, completed, checked and put in order.

mod complete;
mod images;
mod mentions;
mod network;
mod objects;
mod secrets;

use std::collections::{BTreeMap, BTreeSet};

use mlops_core::kubernetes::{OBJECT, PLATFORM_LABEL, SECRET};
use mlops_core::platform::{Diagnostics, Model, ModelProbe, Problem, Problems, Source, Target};
use mlops_core::{Digest, Resource, ResourceId, SecretName, Service, ServiceName, Spec, to_spec};
use serde_json::{Value, json};

pub(super) use images::Images;
pub use images::{TOOLS_IMAGE, UsedImage, images, tools_image};
pub(super) use objects::Stencil;

use super::binding::own_secrets;
use super::work::{Bound, Member, Work};
use crate::component::ClusterRun;
use complete::Frame;
use mentions::Mention;

/// The annotation by which pods are replaced when a `ConfigMap` or Secret that they mention changes.
const CONFIGURATION: &str = "mlops.dev/configuration";

/// The identity of an object: kind and name, in lower case.
pub(super) fn object_id(kind: &str, name: &str) -> ResourceId {
    ResourceId::new(OBJECT, format!("{}.{name}", kind.to_lowercase()))
}

/// An object of a component, with the text it came from.
struct Made {
    source: Source,
    object: Value,
}

impl Made {
    fn text(&self, pointer: &str) -> &str {
        let value = self.object.pointer(pointer);
        value.and_then(Value::as_str).unwrap_or_default()
    }

    fn kind(&self) -> &str {
        self.text("/kind")
    }

    fn name(&self) -> &str {
        self.text("/metadata/name")
    }

    fn id(&self) -> ResourceId {
        object_id(self.kind(), self.name())
    }

    fn is_workload(&self) -> bool {
        complete::pod_template(self.kind()).is_some()
    }
}

impl Work<'_> {
    /// The namespace that everything else lives in.
    pub(super) fn add_namespace(&mut self) {
        let Some(component) = self.name_of_target() else {
            return;
        };
        let name = self.platform.namespace();
        let mut labels = json!({
            "app.kubernetes.io/managed-by": "mlops",
            "app.kubernetes.io/instance": self.platform.name,
            PLATFORM_LABEL: self.platform.name,
        });
        for mode in ["enforce", "warn"] {
            if let Some(labels) = labels.as_object_mut() {
                let key = format!("pod-security.kubernetes.io/{mode}");
                labels.insert(key, json!("restricted"));
            }
        }
        let object = json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name, "labels": labels },
        });
        let resource = Resource::new(object_id("Namespace", name), component);
        self.add(resource, json!({ "object": object }));
    }

    /// Whether what a file says of a target belongs to the one that is chosen.
    pub(super) fn check_target(&mut self) {
        let platform = self.platform;
        let sections = [
            ("ports", !platform.ports.is_empty(), Target::Local),
            ("local", !platform.local.is_empty(), Target::Local),
            ("cluster", !platform.cluster.is_empty(), Target::Cluster),
            ("images", !platform.images.is_empty(), Target::Cluster),
        ];
        for (section, is_said, target) in sections {
            if is_said && target != platform.target {
                let message = format!(
                    "`{section}` is of use on the target `{}` only",
                    target.as_str()
                );
                let hint = format!(
                    "take it out, or write `target: {}`; this is the target `{}`",
                    target.as_str(),
                    platform.target.as_str()
                );
                self.problems
                    .add(Problem::at([section], message).of_key().with_hint(hint));
            }
        }
    }

    /// Everything that one component has in the cluster.
    pub(super) fn add_objects(
        &mut self,
        member: &Member<'_>,
        run: &ClusterRun,
        mut vars: Spec,
        secrets: &BTreeSet<SecretName>,
        bound: &[(bool, Bound)],
    ) {
        let namespace = self.platform.namespace();
        vars.insert("namespace".to_owned(), json!(namespace));
        let services = self.services_in_sight(member, bound);
        let kept = self.add_cluster_secrets(member, run, &vars, secrets, &services);
        vars.insert(
            "storage_class".to_owned(),
            json!(self.platform.cluster.storage_class),
        );
        if provides_serving(member) {
            vars.insert("models".to_owned(), self.models_to_serve());
        }
        let images = self.images.of(self.platform, run);
        let images = match images {
            Ok(images) => images,
            Err(problem) => return self.blame_one(member, problem),
        };
        let stencil = self.stencil.get_or_init(Stencil::new);
        stencil.look(objects::View {
            places: self.places(&services),
            images,
            files: self.catalog.files(member.name().as_str()).cloned(),
            secrets: secrets.iter().map(ToString::to_string).collect(),
        });
        let mut made = Vec::new();
        let mut wrong = Diagnostics::default();
        let catalog = self.catalog;
        for (_, source) in catalog.objects(member.name().as_str()) {
            match stencil.object(source, &vars) {
                Ok(Some((source, object))) => made.push(Made { source, object }),
                Ok(None) => {}
                Err(more) => wrong = wrong.and(more),
            }
        }
        let frame = Frame {
            namespace,
            platform: self.platform.name.as_str(),
            component: member.name().as_str(),
            pull_secrets: &self.platform.cluster.image_pull_secrets,
        };
        for one in &mut made {
            if let Err(problem) = frame.complete(&mut one.object) {
                wrong = wrong.and(at(&one.source, problem));
            }
        }
        if !wrong.is_empty() {
            self.broken = std::mem::take(&mut self.broken).and(wrong);
            return;
        }
        made.extend(self.own_objects(member, &frame, &made));
        self.add_made(member, run, made, &kept, bound);
    }

    /// What every component has and none must write: a `ServiceAccount` for its pods, and a Service for each address.
    fn own_objects(&mut self, member: &Member<'_>, frame: &Frame<'_>, made: &[Made]) -> Vec<Made> {
        let mut own = Vec::new();
        if made.iter().any(Made::is_workload) {
            own.push(frame.service_account());
            self.in_cluster.insert(member.name().clone());
        }
        for (name, rule) in &member.component.services {
            let Some(port) = rule.cluster_port else {
                let problem = Problem::at(
                    ["services", name.as_str()],
                    "this service needs a `cluster_port`",
                )
                .with_hint("in a cluster every service has a fixed port, from 1024");
                self.blame_one(member, problem);
                continue;
            };
            own.push(frame.service(name.as_str(), &rule.scheme, port.get()));
        }
        let said: BTreeSet<ResourceId> = made.iter().map(Made::id).collect();
        own.into_iter()
            .map(|object| Made {
                source: Source::new(member.name().as_str(), ""),
                object,
            })
            .filter(|one| !said.contains(&one.id()))
            .collect()
    }

    /// Puts the objects of a component into the graph, each with what it needs.
    fn add_made(
        &mut self,
        member: &Member<'_>,
        run: &ClusterRun,
        mut made: Vec<Made>,
        kept: &BTreeMap<String, Value>,
        bound: &[(bool, Bound)],
    ) {
        let configuration = configuration(&made);
        let mut needs: Vec<Vec<ResourceId>> = Vec::new();
        let mut wrong = Diagnostics::default();
        for one in &mut made {
            let mentions = mentions::of(&one.object);
            let found = check_mentions(&mentions, &configuration, kept);
            let found = found.map_err(|problem| at(&one.source, problem));
            match found {
                Ok((ids, texts)) => {
                    needs.push(ids);
                    complete::mark(&mut one.object, CONFIGURATION, texts.as_deref());
                }
                Err(more) => {
                    needs.push(Vec::new());
                    wrong = wrong.and(more);
                }
            }
            complete::name_job(&mut one.object);
        }
        if !wrong.is_empty() {
            self.broken = std::mem::take(&mut self.broken).and(wrong);
            return;
        }
        self.check_server(member, run, &made);
        let of = |kind: &str| -> Vec<ResourceId> {
            let all = made.iter().filter(|one| one.kind() == kind);
            all.map(Made::id).collect()
        };
        // Its addresses come before a server and go after it: while it runs, what lives in it can be reached.
        let (jobs, addresses) = (of("Job"), of("Service"));
        let namespace = object_id("Namespace", self.platform.namespace());
        for (one, needs) in made.into_iter().zip(needs) {
            let mut resource =
                Resource::new(one.id(), member.name().clone()).with_need(namespace.clone());
            resource.needs.extend(needs);
            if one.is_workload() {
                for (starts_without, bound) in bound {
                    let ids = bound.needs.iter().cloned();
                    if *starts_without {
                        resource.awaits.extend(ids);
                    } else {
                        resource.needs.extend(ids);
                    }
                }
                // A component's Jobs run before its servers.
                if !matches!(one.kind(), "Job" | "CronJob") {
                    resource.needs.extend(jobs.iter().cloned());
                    resource.needs.extend(addresses.iter().cloned());
                }
            }
            resource.holds_data = complete::holds_data(&one.object);
            // What a volume keeps may be of use only with the component's secrets, such as its superuser's password.
            if resource.holds_data {
                let own = own_secrets(member);
                let own = own.iter().filter_map(|name| self.secret_id(name));
                resource.needs.extend(own);
            }
            self.add(resource, json!({ "object": one.object }));
        }
    }

    /// The workload that the file names as the server must be there: things are made inside it.
    fn check_server(&mut self, member: &Member<'_>, run: &ClusterRun, made: &[Made]) {
        let Some(id) = member.host_id() else {
            return;
        };
        let ids: Vec<ResourceId> = made
            .iter()
            .filter(|one| one.is_workload())
            .map(Made::id)
            .collect();
        if ids.contains(&id) || ids.is_empty() && run.server.is_none() {
            return;
        }
        let known: Vec<&str> = ids.iter().map(ResourceId::name).collect();
        let message = format!("there is no workload `{}` among the objects", id.name());
        let problem = Problem::at(["cluster", "server"], message).with_nearest(id.name(), known);
        self.blame_one(member, problem);
    }

    /// Where services are, seen from inside the cluster.
    fn places(
        &self,
        services: &BTreeMap<ServiceName, Service>,
    ) -> BTreeMap<String, objects::Place> {
        let namespace = self.platform.namespace();
        services
            .iter()
            .filter_map(|(name, service)| {
                let url = secrets::url(service, namespace)?;
                Some((name.to_string(), objects::Place::of(url)?))
            })
            .collect()
    }

    fn models_to_serve(&self) -> Value {
        let mut names = BTreeSet::new();
        let models = self.models.iter().map(|(_, model)| model);
        // Two of one name are complained about elsewhere.
        models
            .filter(|model| names.insert(model.name.clone()))
            .map(|model| json!({ "name": model.name, "uri": model.uri, "probe": self.probe_of(model) }))
            .collect()
    }

    /// The test request of a model: its own, or its sample's. A sample that cannot be had is complained about elsewhere.
    fn probe_of(&self, model: &Model) -> Option<ModelProbe> {
        let sample = || {
            Some(
                self.catalog
                    .sample(model.sample.as_ref()?)
                    .ok()??
                    .probe
                    .clone(),
            )
        };
        model.probe.clone().or_else(sample)
    }
}

fn provides_serving(member: &Member<'_>) -> bool {
    let mut provided = member.component.provides.iter();
    provided.any(|provided| provided.capability.as_str() == "serving")
}

/// The problem of a file, as messages.
fn at(source: &Source, problem: Problem) -> Diagnostics {
    let mut problems = Problems::new();
    problems.add(problem);
    problems.locate(Some(source), source.path())
}

/// What pods can mention of a component's objects: kind and name, with the content where it is configuration.
fn configuration(made: &[Made]) -> BTreeMap<(String, String), Value> {
    made.iter()
        .map(|one| {
            let content = match one.kind() {
                "ConfigMap" => json!([one.object.get("data"), one.object.get("binaryData")]),
                _ => Value::Null,
            };
            ((one.kind().to_owned(), one.name().to_owned()), content)
        })
        .collect()
}

/// What an object mentions, as needs, and a digest of the configuration among it.
fn check_mentions(
    mentions: &[Mention],
    objects: &BTreeMap<(String, String), Value>,
    secrets: &BTreeMap<String, Value>,
) -> Result<(Vec<ResourceId>, Option<String>), Problem> {
    let mut ids = Vec::new();
    let mut contents = Vec::new();
    for mention in mentions {
        let (kind, name) = (mention.kind.as_str(), mention.name.as_str());
        let (id, content) = if kind == "Secret" {
            (ResourceId::new(SECRET, name), secrets.get(name))
        } else {
            let key = (kind.to_owned(), name.to_owned());
            (object_id(kind, name), objects.get(&key))
        };
        let Some(content) = content else {
            if mention.is_optional {
                continue;
            }
            let known = objects.keys().filter(|(other, _)| other == kind);
            let known: Vec<&str> = match kind {
                "Secret" => secrets.keys().map(String::as_str).collect(),
                _ => known.map(|(_, name)| name.as_str()).collect(),
            };
            let message = format!("there is no {kind} `{name}` here");
            return Err(Problem::at(mention.path.clone(), message).with_nearest(name, known));
        };
        if !content.is_null() {
            contents.push(json!([kind, name, content]));
        }
        ids.push(id);
    }
    let digest = (!contents.is_empty()).then(|| short(&Digest::of(&contents), 16));
    Ok((ids, digest))
}

fn short(digest: &Digest, digits: usize) -> String {
    digest.to_string().chars().take(digits).collect()
}

/// A typed value as that of a resource.
fn spec_of<T: serde::Serialize>(value: &T) -> Value {
    to_spec(value).map(Value::Object).unwrap_or_default()
}
