//! Which components are part of the platform: the user's choices over those of the profile.

use std::collections::BTreeSet;

use mlops_core::platform::{Choice, Port, Problem, Size, Target};
use mlops_core::{ComponentName, Service};

use super::work::{Member, Work};
use crate::component::Profile;

/// Names that the toolkit itself uses where components' names stand.
const RESERVED: [&str; 3] = ["local", "cluster", "external"];

impl<'a> Work<'a> {
    /// The components of the platform, by name.
    pub(super) fn members(&mut self) -> Vec<Member<'a>> {
        let profile = self.profile();
        let mut names: BTreeSet<&ComponentName> = profile
            .iter()
            .flat_map(|profile| &profile.components)
            .filter(|name| !self.is_replaced(name))
            .collect();
        for (name, choice) in &self.platform.components {
            match choice {
                Some(Choice {
                    enabled: Some(false),
                    ..
                }) => {
                    names.remove(name);
                    self.find(name);
                }
                _ => {
                    names.insert(name);
                }
            }
        }
        self.catalog
            .read_ahead(names.iter().map(|name| name.as_str()));
        let size = self
            .platform
            .size
            .or(profile.map(|profile| profile.size))
            .unwrap_or_default();
        let members: Vec<Member<'a>> = names
            .into_iter()
            .filter_map(|name| self.member(name, size))
            .collect();
        self.choose_models(profile, &members);
        members
    }

    fn profile(&mut self) -> Option<&'a Profile> {
        let name = self.platform.profile_name();
        match self.catalog.profile(name) {
            Ok(Some(profile)) => return Some(profile),
            Ok(None) => self.problems.add(
                Problem::at(
                    ["profile"],
                    format!("unknown profile `{}`", name.escape_debug()),
                )
                .with_nearest(name, self.catalog.profile_names()),
            ),
            Err(wrong) => self.broken = std::mem::take(&mut self.broken).and(wrong),
        }
        None
    }

    /// Whether a component of the profile, of which the user says nothing, is replaced by servers from outside.
    fn is_replaced(&self, name: &ComponentName) -> bool {
        let external = &self.platform.external;
        !external.is_empty()
            && !self.platform.components.contains_key(name)
            && self
                .catalog
                .component(name.as_str())
                .ok()
                .flatten()
                .is_some_and(|component| {
                    !component.provides.is_empty()
                        && component
                            .provides
                            .iter()
                            .all(|provided| external.contains_key(&provided.capability))
                })
    }

    fn find(&mut self, name: &ComponentName) -> Option<&'a crate::component::Component> {
        match self.catalog.component(name.as_str()) {
            Ok(Some(component)) => return Some(component),
            Ok(None) => self.problems.add(
                Problem::at(
                    ["components", name.as_str()],
                    format!("the catalogue has no component `{name}`"),
                )
                .with_nearest(name.as_str(), self.catalog.component_names()),
            ),
            Err(wrong) => self.broken = std::mem::take(&mut self.broken).and(wrong),
        }
        None
    }

    fn member(&mut self, name: &ComponentName, size: Size) -> Option<Member<'a>> {
        let component = self.find(name)?;
        if RESERVED.contains(&name.as_str()) {
            self.problems.add(Problem::at(
                ["components", name.as_str()],
                format!("the name `{name}` is the toolkit's own"),
            ));
            return None;
        }
        let choice = self.platform.choice(name);
        self.check_runs(component);
        Some(Member {
            component,
            target: self.platform.target,
            source: self.catalog.source(name.as_str()),
            choice,
            size: choice.and_then(|choice| choice.size).unwrap_or(size),
        })
    }

    /// A component that runs on one target only cannot be part of a platform on another.
    fn check_runs(&mut self, component: &crate::component::Component) {
        let (here, elsewhere) = match self.platform.target {
            Target::Local => (component.local.is_some(), component.cluster.is_some()),
            Target::Cluster => (component.cluster.is_some(), component.local.is_some()),
        };
        if elsewhere && !here {
            let (name, target) = (&component.name, self.platform.target.as_str());
            self.problems.add(
                Problem::at(
                    ["components", name.as_str()],
                    format!("`{name}` does not run on the target `{target}`"),
                )
                .with_hint(format!("its `component.yaml` says no `{target}`")),
            );
        }
    }

    /// The user's models, or the profile's when something serves models.
    fn choose_models(&mut self, profile: Option<&'a Profile>, members: &[Member<'a>]) {
        if let Some(models) = &self.platform.models {
            self.models = models
                .iter()
                .enumerate()
                .map(|(index, model)| (Some(index), model.clone()))
                .collect();
            return;
        }
        let is_served = members.iter().any(|member| {
            let mut provided = member.component.provides.iter();
            provided.any(|provided| provided.capability.as_str() == "serving")
        });
        if is_served && let Some(profile) = profile {
            self.models = profile
                .models
                .iter()
                .map(|model| (None, model.clone()))
                .collect();
        }
    }

    /// The addresses of a component.
    pub(super) fn add_services(&mut self, member: &Member<'_>) {
        for (name, rule) in &member.component.services {
            let service = Service {
                name: name.clone(),
                component: Some(member.name().clone()),
                scheme: rule.scheme.clone(),
                port: match member.target {
                    Target::Local => self.platform.ports.get(name).copied().map(Port::get),
                    Target::Cluster => rule.cluster_port.map(Port::get),
                },
                external: None,
            };
            let Some(first) = self.services.insert(name.clone(), service) else {
                continue;
            };
            let mut provided = member.component.provides.iter();
            let is_provided = first.component.is_none()
                && provided.any(|provided| provided.capability.as_str() == name.as_str());
            // Then both provide the capability, which was complained about before.
            if !is_provided {
                let other = first
                    .component
                    .map_or_else(|| "a server from outside".to_owned(), |c| format!("`{c}`"));
                let message = format!(
                    "{other} and `{}` both have a service `{name}`",
                    member.name()
                );
                self.problems.add(Problem::at(member.path(&[]), message));
            }
        }
    }
}
