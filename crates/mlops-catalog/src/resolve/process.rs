//! A component with its secrets, bindings, process, data folder and probes.

use std::collections::{BTreeMap, BTreeSet};

use mlops_core::platform::{Problem, Problems, Target};
use mlops_core::process::{ProcessSpec, Program};
use mlops_core::{Probe, Resource, ResourceId, SecretName, Service, ServiceName, Spec, to_spec};
use serde_json::{Value, json};

use super::render::Sight;
use super::settings;
use super::work::{Bound, Member, Providers, Work};
use crate::component::{DataFolder, Layout, LocalRun};

/// The folders that templates see; `data` only where the component has one.
const FOLDERS: [&str; 5] = ["run", "tmp", "launch", "models", "samples"];

/// Whether a component runs by the locked Python environment: PostgreSQL's programs may come from it as well.
pub(super) fn needs_python(member: &Member<'_>) -> bool {
    member.component.local.as_ref().is_some_and(|local| {
        matches!(local.process.program, Program::Python | Program::Postgres)
            || local
                .data
                .as_ref()
                .is_some_and(|data| data.layout == Layout::Postgres)
    })
}

fn python_environment() -> ResourceId {
    ResourceId::new("python-environment", "local")
}

impl Work<'_> {
    /// Everything of one component.
    pub(super) fn add_component(&mut self, member: &Member<'_>, providers: &Providers) {
        let own = member.component.secrets.keys();
        let mut secrets: BTreeSet<SecretName> = own
            .filter_map(|label| SecretName::of(member.name(), label).ok())
            .collect();
        let mut bound: Vec<(bool, Bound)> = Vec::new();
        for (name, need) in &member.component.bindings {
            if let Some(one) = self.bind(member, name, need, providers) {
                secrets.extend(one.binding.secrets.values().cloned());
                bound.push((need.starts_without, one));
            }
        }
        self.check_choice(member, &secrets);
        let later = bound.iter().filter(|(starts_without, _)| *starts_without);
        let later = later.flat_map(|(_, one)| one.needs.clone()).collect();
        self.later.insert(member.name().clone(), later);
        let is_whole = bound.len() == member.component.bindings.len();
        let vars = self.vars(member, &bound);
        // What a missing binding would have given is not in scope: one message for it is enough.
        if is_whole {
            self.add_probes(member, &vars, &bound);
            match member.target {
                Target::Local => {
                    if let Some(local) = &member.component.local {
                        self.add_process(member, local, vars, &secrets, &bound);
                    }
                }
                Target::Cluster => {
                    if let Some(run) = &member.component.cluster {
                        self.add_objects(member, run, vars, &secrets, &bound);
                    }
                }
            }
        }
    }

    /// The secrets of one component. Those of all components come first, so that the users of a provider can need its
    /// administrator's.
    pub(super) fn add_own_secrets(&mut self, member: &Member<'_>) {
        for (label, rule) in &member.component.secrets {
            let least = rule.at_least.unwrap_or(0).max(8);
            if rule.length < least {
                let problem = Problem::at(
                    ["secrets", label.as_str(), "length"],
                    format!(
                        "a secret of {} characters is too short, at least {least} are needed",
                        rule.length
                    ),
                );
                self.blame_one(member, problem);
            }
            if self
                .add_secret(member, label, rule.length, rule.alphabet)
                .is_none()
            {
                let problem = Problem::at(
                    ["secrets", label.as_str()],
                    format!("`{}` cannot be the name of a secret", label.escape_debug()),
                )
                .with_hint("use lower-case letters, digits and hyphens");
                self.blame_one(member, problem);
            }
        }
    }

    /// Secrets and bindings of the user's choice must exist.
    fn check_choice(&mut self, member: &Member<'_>, secrets: &BTreeSet<SecretName>) {
        let Some(choice) = member.choice else {
            return;
        };
        let known: Vec<&str> = secrets
            .iter()
            .filter_map(|name| name.as_str().strip_prefix(member.name().as_str()))
            .filter_map(|name| name.strip_prefix('/'))
            .collect();
        for label in choice.secrets.keys() {
            if !known.contains(&label.as_str()) {
                self.problems.add(
                    Problem::at(
                        member.path(&["secrets", label]),
                        format!(
                            "`{}` has no secret `{}`",
                            member.name(),
                            label.escape_debug()
                        ),
                    )
                    .with_nearest(label, known.iter().copied()),
                );
            }
        }
        let bindings = &member.component.bindings;
        for (name, names) in &choice.bindings {
            let Some(need) = bindings.get(name) else {
                self.problems.add(
                    Problem::at(
                        member.path(&["bindings", name]),
                        format!(
                            "`{}` has no binding `{}`",
                            member.name(),
                            name.escape_debug()
                        ),
                    )
                    .with_nearest(name, bindings.keys().map(String::as_str)),
                );
                continue;
            };
            let is = |capability: &str| need.capability.as_str() == capability;
            for (field, is_said, is_right) in [
                ("database", names.database.is_some(), is("postgres")),
                ("bucket", names.bucket.is_some(), is("s3")),
            ] {
                if is_said && !is_right {
                    self.problems.add(Problem::at(
                        member.path(&["bindings", name, field]),
                        format!(
                            "the binding `{name}` is of `{}` and has no {field}",
                            need.capability
                        ),
                    ));
                }
            }
        }
    }

    fn vars(&mut self, member: &Member<'_>, bound: &[(bool, Bound)]) -> Spec {
        let mut bindings = Spec::new();
        for (_, one) in bound {
            let name = one.binding.name.replace('-', "_");
            bindings.insert(name, Value::Object(one.vars.clone()));
        }
        let mut vars = Spec::new();
        vars.insert("platform".to_owned(), json!(self.platform.name));
        vars.insert("component".to_owned(), json!(member.name()));
        vars.insert("settings".to_owned(), json!(self.settings(member)));
        vars.insert("size".to_owned(), json!(settings::size(member)));
        vars.insert("bindings".to_owned(), Value::Object(bindings));
        vars
    }

    fn add_process(
        &mut self,
        member: &Member<'_>,
        local: &LocalRun,
        vars: Spec,
        secrets: &BTreeSet<SecretName>,
        bound: &[(bool, Bound)],
    ) {
        let name = member.name();
        let mut wrong = Problems::new();
        check_services(member, local, &mut wrong);
        let services = self.services_in_sight(member, bound);
        let mut folders: Vec<&'static str> = FOLDERS.to_vec();
        if local.data.is_some() {
            folders.push("data");
        }
        self.trial.look(Sight::new(secrets, &services, folders));
        let mentions = self.trial.process(&local.process, &vars, &mut wrong);
        let data = local.data.as_ref();
        let data = data.and_then(|data| self.data_folder(member, data, &mut wrong));
        self.blame(member, wrong);

        let mut resource = Resource::new(ResourceId::new("process", name.as_str()), name.clone())
            .with_within(ResourceId::new("supervisor", "local"));
        if needs_python(member) {
            resource = resource.with_need(python_environment());
        }
        for id in mentions
            .secrets
            .iter()
            .filter_map(|name| self.secret_id(name))
        {
            resource = resource.with_need(id);
        }
        if let Some((id, folder)) = data {
            resource = resource.with_need(id);
            self.resources.push(folder);
        }
        for (starts_without, one) in bound {
            if *starts_without {
                resource.awaits.extend(one.needs.iter().cloned());
            } else {
                resource.needs.extend(one.needs.iter().cloned());
            }
        }
        let process = &local.process;
        let spec = ProcessSpec {
            program: process.program.clone(),
            args: process.args.clone(),
            env: process.env.clone(),
            files: process.files.clone(),
            listens: process.listens.clone(),
            services: mentions.services,
            secrets: mentions.secrets,
            ready: process.ready.clone(),
            stop: process.stop.clone(),
            vars,
        };
        if let Ok(spec) = to_spec(&spec) {
            self.add(resource, Value::Object(spec));
        }
    }

    /// The services that a component's templates may mention: its own and those of its bindings.
    pub(super) fn services_in_sight(
        &self,
        member: &Member<'_>,
        bound: &[(bool, Bound)],
    ) -> BTreeMap<ServiceName, Service> {
        let own = member.component.services.keys();
        let used = bound.iter().map(|(_, one)| &one.binding.service);
        // What a provider's facts name is in sight too, such as the gRPC address beside the REST one.
        let facts = bound
            .iter()
            .flat_map(|(_, one)| one.binding.facts.values())
            .filter_map(Value::as_str)
            .filter_map(|text| text.parse().ok());
        own.chain(used)
            .cloned()
            .chain(facts)
            .filter_map(|name| Some((name.clone(), self.services.get(&name)?.clone())))
            .collect()
    }

    fn data_folder(
        &self,
        member: &Member<'_>,
        data: &DataFolder,
        wrong: &mut Problems,
    ) -> Option<(ResourceId, Resource)> {
        let id = ResourceId::new("data-folder", member.name().as_str());
        let mut resource = Resource::new(id.clone(), member.name().clone());
        resource.holds_data = true;
        let at = ["local", "data"];
        resource
            .spec
            .insert("layout".to_owned(), json!(data.layout));
        match (data.layout, &data.superuser, &data.password) {
            (Layout::Plain, None, None) => {}
            (Layout::Plain, ..) => {
                wrong.add(Problem::at(
                    at,
                    "a plain folder has no superuser and no password",
                ));
                return None;
            }
            (Layout::Postgres, Some(superuser), Some(label)) => {
                if !member.component.secrets.contains_key(label) {
                    let known = member.component.secrets.keys();
                    wrong.add(
                        Problem::at(at, format!("there is no secret `{label}` here"))
                            .with_nearest(label, known.map(String::as_str)),
                    );
                    return None;
                }
                let password = SecretName::of(member.name(), label).ok()?;
                resource = resource.with_need(python_environment());
                if let Some(secret) = self.secret_id(&password) {
                    resource = resource.with_need(secret);
                }
                resource
                    .spec
                    .insert("superuser".to_owned(), json!(superuser));
                resource.spec.insert("password".to_owned(), json!(password));
            }
            (Layout::Postgres, ..) => {
                wrong.add(Problem::at(
                    at,
                    "a PostgreSQL folder needs `superuser` and `password`",
                ));
                return None;
            }
        }
        Some((id, resource))
    }

    fn add_probes(&mut self, member: &Member<'_>, vars: &Spec, bound: &[(bool, Bound)]) {
        let mut wrong = Problems::new();
        self.trial.look(Sight::default());
        for (index, rule) in member.component.probes.iter().enumerate() {
            let at = ["probes".to_owned(), index.to_string(), "spec".to_owned()];
            let name = match &rule.name {
                Some(part) => format!("{}/{part}", member.name()),
                None => member.name().to_string(),
            };
            let spec = Value::Object(rule.spec.clone());
            let spec = self.trial.fill(&spec, &at, vars, &mut wrong);
            self.probes.push(Probe {
                name,
                kind: rule.kind.clone(),
                component: member.name().clone(),
                needs: member
                    .host_id()
                    .into_iter()
                    .chain(bound.iter().flat_map(|(_, one)| one.needs.iter().cloned()))
                    .collect(),
                spec: super::probes::into_spec(spec),
            });
        }
        self.blame(member, wrong);
    }
}

/// What a process listens at and is asked by must be services of its own, and its files stay in its folder.
fn check_services(member: &Member<'_>, local: &LocalRun, wrong: &mut Problems) {
    let known = || member.component.services.keys().map(AsRef::as_ref);
    let named = local.process.listens.iter().map(|name| (name, "listens"));
    let asked = [(local.process.ready.service(), "ready")];
    for (name, part) in named.chain(asked) {
        if !member.component.services.contains_key(name) {
            wrong.add(
                Problem::at(
                    ["local", "process", part],
                    format!("there is no service `{name}` here"),
                )
                .with_nearest(name.as_str(), known()),
            );
        }
    }
    for file in local.process.files.keys() {
        let path = std::path::Path::new(file);
        let is_inside = path
            .components()
            .all(|part| matches!(part, std::path::Component::Normal(_)));
        if !is_inside || file.is_empty() {
            wrong.add(
                Problem::at(
                    ["local", "process", "files", file],
                    "a file lies in the folder of the process",
                )
                .of_key()
                .with_hint("use a relative path without `..`"),
            );
        }
    }
}
