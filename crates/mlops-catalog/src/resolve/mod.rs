//! From what the user wants to everything that shall exist.

mod binding;
mod cluster;
mod members;
mod models;
mod probes;
mod process;
mod providers;
mod render;
mod settings;
mod work;

use mlops_core::platform::{Diagnostics, Problem, Problems, Target};
use mlops_core::{Graph, Platform, Resource, ResourceId, Service};
use serde_json::json;

use crate::Catalog;
pub use cluster::{TOOLS_IMAGE, UsedImage, images, tools_image};
use work::Work;

/// Works out everything that a platform needs: which component provides what, every binding with its names, every
/// resource with its needs, and how it is proven. Pure: no server, no network, and the same input gives the same
/// graph.
///
/// ```
/// use mlops_catalog::{Catalog, resolve};
/// use mlops_core::Platform;
///
/// let platform = Platform::parse("platform.yaml", "name: demo")?;
/// let graph = resolve(&platform, &Catalog::embedded())?;
/// assert!(graph.find(&"postgres-database/mlflow".parse().unwrap()).is_some());
/// # Ok::<(), mlops_core::Diagnostics>(())
/// ```
///
/// # Errors
///
/// Everything that can be known to be wrong without a server, with its place in the platform file or in the
/// catalogue's.
pub fn resolve(platform: &Platform, catalog: &Catalog) -> Result<Graph, Diagnostics> {
    let mut work = Work::new(platform, catalog);
    work.check_target();
    let members = work.members();
    let providers = work.providers(&members);
    for member in &members {
        work.add_services(member);
        work.add_own_secrets(member);
        if let Some(host) = member.host_id() {
            work.hosts.insert(host, member.name().clone());
        }
    }
    for member in &members {
        work.add_component(member, &providers);
    }
    work.add_binding_probes();
    work.add_models(&members, &providers);
    match platform.target {
        Target::Local => {
            work.add_local(&members);
            work.check_ports();
        }
        Target::Cluster => {
            work.add_namespace();
            work.add_network_policies(&members);
            work.images.check(platform, &mut work.problems);
        }
    }
    work.adopt();
    work.finish()
}

/// Reads a platform's file and resolves it, with everything that is wrong reported at once: what can be read is
/// resolved although other parts cannot.
///
/// # Errors
///
/// As for [`Platform::parse`] and [`resolve`] together.
pub fn load(path: &str, text: &str, catalog: &Catalog) -> Result<(Platform, Graph), Diagnostics> {
    let (platform, wrong) = Platform::parse_partly(path, text);
    let Some(platform) = platform else {
        return Err(wrong);
    };
    match resolve(&platform, catalog) {
        Ok(graph) => wrong.or((platform, graph)),
        Err(more) => Err(wrong.and(more)),
    }
}

impl Work<'_> {
    /// The resources of the target itself.
    fn add_local(&mut self, members: &[work::Member<'_>]) {
        let Some(local) = self.name_of_target() else {
            return;
        };
        let ports: serde_json::Map<String, serde_json::Value> = self
            .services
            .values()
            .filter(|service| service.external.is_none())
            .map(|service| (service.name.to_string(), json!(service.port)))
            .collect();
        let supervisor = Resource::new(ResourceId::new("supervisor", "local"), local.clone());
        self.add(supervisor, json!({ "services": ports }));
        if members.iter().any(|member| process::needs_python(member)) {
            let lock = self.catalog.python_lock().unwrap_or("default");
            let id = ResourceId::new("python-environment", "local");
            self.add(Resource::new(id, local), json!({ "lock": lock }));
        }
    }

    fn check_ports(&mut self) {
        let mut taken = std::collections::BTreeMap::new();
        for (service, port) in &self.platform.ports {
            let at = ["ports", service.as_str()];
            let own = |one: &&Service| one.external.is_none();
            if !self.services.get(service).as_ref().is_some_and(own) {
                let known = self.services.values().filter(own);
                let known: Vec<&str> = known.map(|service| service.name.as_str()).collect();
                self.problems.add(
                    Problem::at(at, format!("no component listens as `{service}`"))
                        .of_key()
                        .with_nearest(service.as_str(), known),
                );
            }
            if let Some(first) = taken.insert(port, service) {
                self.problems.add(
                    Problem::at(
                        at,
                        format!("port {} is asked for by `{first}` as well", port.get()),
                    )
                    .with_hint("give each service a port of its own"),
                );
            }
        }
    }

    fn adopt(&mut self) {
        let wanted = &self.platform.adopt;
        if wanted.is_empty() {
            return;
        }
        for resource in &mut self.resources {
            resource.adopt = wanted.contains(&resource.id);
        }
        let known: Vec<String> = self
            .resources
            .iter()
            .map(|one| one.id.to_string())
            .collect();
        let ids: std::collections::BTreeSet<&str> = known.iter().map(String::as_str).collect();
        for (index, id) in wanted.iter().enumerate() {
            if !ids.contains(id.to_string().as_str()) {
                self.problems.add(
                    Problem::at(
                        ["adopt".to_owned(), index.to_string()],
                        format!("the platform has no resource `{id}`"),
                    )
                    .with_nearest(&id.to_string(), known.iter().map(String::as_str)),
                );
            }
        }
    }

    /// What lives in a server needs what the server gets later: then it is taken away while the server still has it.
    fn order_inside(&mut self) {
        for resource in &mut self.resources {
            let host = resource.within.as_ref();
            let component = host.and_then(|host| self.hosts.get(host));
            let later = component.and_then(|component| self.later.get(component));
            if let Some(later) = later {
                let others = later.iter().filter(|id| **id != resource.id);
                resource.needs.extend(others.cloned());
            }
        }
    }

    /// What messages name when there is no file.
    fn instead(&self) -> String {
        format!("profile `{}`", self.platform.profile_name())
    }

    /// Everything that is wrong.
    fn wrong(self) -> Diagnostics {
        let (instead, source) = (self.instead(), self.platform.source.as_ref());
        self.problems.locate(source, &instead).and(self.broken)
    }

    fn finish(mut self) -> Result<Graph, Diagnostics> {
        self.order_inside();
        let instead = self.instead();
        let source = self.platform.source.as_ref();
        let wrong = self.problems.locate(source, &instead).and(self.broken);
        let mut graph = match wrong.or(Graph::new(self.platform.name.clone(), self.resources))? {
            Ok(graph) => graph,
            Err(error) => {
                let mut problems = Problems::new();
                let causes = error.causes();
                problems.add(Problem::of_file(
                    causes
                        .first()
                        .map_or_else(|| error.to_string(), Clone::clone),
                ));
                return Err(problems.locate(source, &instead));
            }
        };
        self.bindings.sort_by_key(mlops_core::Binding::id);
        self.probes.sort_by(|a, b| a.name.cmp(&b.name));
        graph.services = self.services;
        graph.secret_sources = self.secret_sources;
        graph.bindings = self.bindings;
        graph.probes = self.probes;
        Ok(graph)
    }
}
