//! The models to serve: registered from a sample, served from the registry, proven by an inference.

use std::collections::BTreeSet;

use mlops_core::platform::{Model, ModelProbe, Problem, Target};
use mlops_core::{ComponentName, ModelName, Probe, Resource, ResourceId};
use serde_json::{Value, json};

use super::probes::into_spec;
use super::work::{Member, Provider, Providers, Work};

/// Who serves models, and how it reads the registry.
struct Serving<'p> {
    component: ComponentName,
    provider: &'p Provider,
    registry: &'p Provider,
    user: Value,
    user_id: ResourceId,
    password: Value,
}

impl Work<'_> {
    /// All models.
    pub(super) fn add_models(&mut self, members: &[Member<'_>], providers: &Providers) {
        if self.models.is_empty() {
            return;
        }
        let Some(serving) = self.serving(members, providers) else {
            return;
        };
        let models = std::mem::take(&mut self.models);
        let mut served: BTreeSet<&ModelName> = BTreeSet::new();
        let mut sampled: BTreeSet<&ModelName> = BTreeSet::new();
        for (index, model) in &models {
            let at = At(*index);
            if !served.insert(&model.name) {
                self.problems.add(
                    Problem::at(
                        at.field("name"),
                        format!("two models are served as `{}`", model.name),
                    )
                    .with_hint("give one of them another name"),
                );
                continue;
            }
            let probe = self.sample_probe(model, at);
            if model.sample.is_some()
                && let Some(alias) = model.uri.alias()
            {
                if sampled.insert(model.uri.model()) {
                    self.add_registered(&serving, model, alias.as_str());
                } else {
                    let message = format!(
                        "`{}` is registered from a sample already",
                        model.uri.model()
                    );
                    self.problems.add(Problem::at(at.field("sample"), message));
                }
            }
            self.add_served(&serving, model, probe.as_ref());
        }
    }

    fn serving<'p>(
        &mut self,
        members: &[Member<'_>],
        providers: &'p Providers,
    ) -> Option<Serving<'p>> {
        let find = |name: &str| {
            let mut all = providers.iter();
            all.find(|(capability, _)| capability.as_str() == name)
                .map(|(_, provider)| provider)
        };
        let is_serving = |member: &&Member<'_>| {
            let mut provided = member.component.provides.iter();
            provided.any(|provided| provided.capability.as_str() == "serving")
        };
        let Some(member) = members.iter().find(is_serving) else {
            self.problems.add(
                Problem::at(
                    ["models"],
                    "models need a component that provides `serving`",
                )
                .with_hint("enable `model-server` under `components`"),
            );
            return None;
        };
        let (Some(provider), Some(registry)) = (find("serving"), find("tracking")) else {
            // Its binding was complained about before.
            return None;
        };
        let binding = self.bindings.iter().find(|binding| {
            binding.consumer == *member.name() && binding.capability.as_str() == "tracking"
        })?;
        let user = binding.facts.get("user")?.clone();
        Some(Serving {
            component: member.name().clone(),
            provider,
            registry,
            user_id: ResourceId::new("mlflow-user", user.as_str()?),
            password: json!(binding.secrets.get("password")?),
            user,
        })
    }

    /// The model's own probe, or that of its sample.
    fn sample_probe(&mut self, model: &Model, at: At) -> Option<ModelProbe> {
        let Some(name) = &model.sample else {
            return model.probe.clone();
        };
        if model.uri.alias().is_none() {
            self.problems.add(
                Problem::at(at.field("uri"), "a sample is registered under an alias")
                    .with_hint(format!("write `models:/{}@champion`", model.uri.model())),
            );
        }
        match self.catalog.sample(name) {
            Ok(Some(sample)) => Some(model.probe.clone().unwrap_or_else(|| sample.probe.clone())),
            Ok(None) => {
                self.problems.add(
                    Problem::at(
                        at.field("sample"),
                        format!("unknown sample `{}`", name.escape_debug()),
                    )
                    .with_nearest(name, self.catalog.sample_names()),
                );
                None
            }
            Err(wrong) => {
                self.broken = std::mem::take(&mut self.broken).and(wrong);
                None
            }
        }
    }

    fn add_registered(&mut self, serving: &Serving<'_>, model: &Model, alias: &str) {
        let registry = serving.registry;
        let (Some(user), Some(password)) = (&registry.admin.user, &registry.admin.password) else {
            return;
        };
        let owner = registry.component.as_ref().unwrap_or(&serving.component);
        let id = ResourceId::new("registered-model", model.uri.model().as_str());
        let mut resource = self.hosted(id, owner, registry, &[password]);
        resource.holds_data = true;
        self.add(
            resource,
            json!({
                "server": registry.service,
                "credentials": { "user": user, "password": password },
                "model": model.uri.model(), "sample": model.sample, "alias": alias,
            }),
        );
    }

    fn add_served(&mut self, serving: &Serving<'_>, model: &Model, probe: Option<&ModelProbe>) {
        let id = ResourceId::new("served-model", model.name.as_str());
        let component = &serving.component;
        let mut resource: Resource = self
            .hosted(id.clone(), component, serving.provider, &[])
            .with_need(serving.user_id.clone());
        if let Some(host) = &serving.registry.host {
            resource = resource.with_need(host.clone());
        }
        resource.needs.extend(self.behind(serving.registry));
        if model.sample.is_some() && model.uri.alias().is_some() {
            let registered = ResourceId::new("registered-model", model.uri.model().as_str());
            self.await_model(serving, &registered);
            resource = resource.with_need(registered);
        }
        let server = &serving.provider.service;
        let grpc = serving.provider.facts.get("grpc");
        self.add(
            resource,
            json!({
                "server": server, "grpc": grpc,
                "registry": {
                    "server": serving.registry.service, "user": serving.user, "password": serving.password,
                },
                "model": model.name, "uri": model.uri, "probe": probe, "current": true,
            }),
        );
        self.probes.push(Probe {
            name: format!("model/{}", model.name),
            kind: "model".to_owned(),
            component: component.clone(),
            needs: [id].into(),
            spec: into_spec(
                json!({ "server": server, "grpc": grpc, "model": model.name, "probe": probe }),
            ),
        });
    }
}

impl Work<'_> {
    /// In a cluster a model server is ready when it has its models, and so waits for their registration.
    fn await_model(&mut self, serving: &Serving<'_>, registered: &ResourceId) {
        if self.platform.target != Target::Cluster {
            return;
        }
        let host = serving.provider.host.as_ref();
        let mut resources = self.resources.iter_mut();
        if let Some(server) = resources.find(|resource| Some(&resource.id) == host) {
            server.awaits.insert(registered.clone());
            server.awaits.extend(serving.registry.host.clone());
        }
    }
}

/// The place of a model in the platform file; none for one of the profile.
#[derive(Clone, Copy)]
struct At(Option<usize>);

impl At {
    fn field(self, field: &str) -> Vec<String> {
        match self.0 {
            Some(index) => vec!["models".to_owned(), index.to_string(), field.to_owned()],
            None => vec!["profile".to_owned()],
        }
    }
}
