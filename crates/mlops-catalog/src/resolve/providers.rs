//! Who provides which capability.

use std::collections::{BTreeMap, BTreeSet};

use mlops_core::platform::{External, Keys, Problem};
use mlops_core::{CapabilityName, SecretName, SecretSource, Service, Spec};
use serde_json::json;

use super::work::{Account, Member, Provider, Providers, Work};
use crate::component::{Admin, Provides};

/// What a capability from outside must say.
struct Rule {
    schemes: &'static [&'static str],
    needs: &'static [&'static str],
    takes: &'static [&'static str],
}

fn rule(capability: &str) -> Option<Rule> {
    Some(match capability {
        "postgres" => Rule {
            schemes: &["postgresql", "postgres"],
            needs: &["user", "password"],
            takes: &["database"],
        },
        "s3" => Rule {
            schemes: &["https", "http"],
            needs: &["access_key", "secret_key"],
            takes: &["region", "keys"],
        },
        "tracking" => Rule {
            schemes: &["https", "http"],
            needs: &["user", "password"],
            takes: &[],
        },
        _ => return None,
    })
}

impl Work<'_> {
    /// The one provider of each capability: a component or a server from outside.
    pub(super) fn providers(&mut self, members: &[Member<'_>]) -> Providers {
        let mut providers = Providers::new();
        for (capability, external) in &self.platform.external {
            if let Some(provider) = self.external(capability, external, members) {
                providers.insert(capability.clone(), provider);
            }
        }
        let mut seen: BTreeMap<&CapabilityName, String> = self
            .platform
            .external
            .keys()
            .map(|capability| (capability, "a server from outside".to_owned()))
            .collect();
        for member in members {
            for provided in &member.component.provides {
                let who = format!("`{}`", member.name());
                if let Some(first) = seen.insert(&provided.capability, who.clone()) {
                    self.problems.add(
                        Problem::at(
                            member.path(&[]),
                            format!("{first} and {who} both provide `{}`", provided.capability),
                        )
                        .with_hint("leave one of them out: `enabled: false`"),
                    );
                    continue;
                }
                let provider = self.provider(member, provided);
                providers.insert(provided.capability.clone(), provider);
            }
        }
        providers
    }

    fn provider(&mut self, member: &Member<'_>, provided: &Provides) -> Provider {
        if !member.component.services.contains_key(&provided.service) {
            let known = member.component.services.keys();
            self.blame_one(
                member,
                Problem::at(
                    ["provides"],
                    format!("there is no service `{}` here", provided.service),
                )
                .with_nearest(provided.service.as_str(), known.map(AsRef::as_ref)),
            );
        }
        let admin = provided.admin.clone().unwrap_or_default();
        if admin.closed {
            self.closed.insert(provided.service.clone());
        }
        Provider {
            service: provided.service.clone(),
            component: Some(member.name().clone()),
            host: member.host_id(),
            admin: self.admin(member, admin),
            facts: provided.facts.clone(),
            makes_keys: true,
        }
    }

    fn admin(&mut self, member: &Member<'_>, admin: Admin) -> Account {
        let mut secret = |label: Option<String>| -> Option<SecretName> {
            let label = label?;
            if member.component.secrets.contains_key(&label) {
                return SecretName::of(member.name(), &label).ok();
            }
            let known = member.component.secrets.keys();
            self.blame_one(
                member,
                Problem::at(["provides"], format!("there is no secret `{label}` here"))
                    .with_nearest(&label, known.map(String::as_str)),
            );
            None
        };
        Account {
            password: secret(admin.password),
            secret_key: secret(admin.secret_key),
            user: admin.user,
            database: admin.database,
            access_key: admin.access_key,
        }
    }

    fn external(
        &mut self,
        capability: &CapabilityName,
        external: &External,
        members: &[Member<'_>],
    ) -> Option<Provider> {
        self.check_needed(capability, members);
        self.check_fields(capability, external);
        let service: mlops_core::ServiceName = capability.as_str().parse().ok()?;
        let url = external.url.url();
        let entry = Service {
            name: service.clone(),
            component: None,
            scheme: url.scheme().to_owned(),
            port: None,
            external: Some(url.clone()),
        };
        self.services.insert(service.clone(), entry);
        let mut facts = Spec::new();
        if capability.as_str() == "s3" {
            let region = external.region.as_deref().unwrap_or("us-east-1");
            facts.insert("region".to_owned(), json!(region));
        }
        Some(Provider {
            service,
            component: None,
            host: None,
            admin: Account {
                user: external.user.clone(),
                password: self.outside(capability, "password", external.password.as_ref()),
                database: external.database.clone(),
                access_key: external.access_key.clone(),
                secret_key: self.outside(capability, "secret-key", external.secret_key.as_ref()),
            },
            facts,
            makes_keys: external.keys.unwrap_or_default() == Keys::Made,
        })
    }

    fn outside(
        &mut self,
        capability: &CapabilityName,
        part: &str,
        source: Option<&SecretSource>,
    ) -> Option<SecretName> {
        let name: SecretName = format!("external/{capability}-{part}").parse().ok()?;
        self.secret_sources.insert(name.clone(), source?.clone());
        Some(name)
    }

    fn check_needed(&mut self, capability: &CapabilityName, members: &[Member<'_>]) {
        let mut needed: BTreeSet<&str> = members
            .iter()
            .flat_map(|member| member.component.bindings.values())
            .map(|need| need.capability.as_str())
            .collect();
        if !self.models.is_empty() {
            needed.insert("tracking");
        }
        if !needed.contains(capability.as_str()) {
            self.problems.add(
                Problem::at(
                    ["external", capability.as_str()],
                    format!("no component of this platform needs `{capability}`"),
                )
                .with_nearest(capability.as_str(), needed),
            );
        }
    }

    fn check_fields(&mut self, capability: &CapabilityName, external: &External) {
        let Some(rule) = rule(capability.as_str()) else {
            return;
        };
        let at = |field: &'static str| ["external", capability.as_str(), field];
        let scheme = external.url.url().scheme();
        if !rule.schemes.contains(&scheme) {
            let first = rule.schemes.first().copied().unwrap_or_default();
            self.problems.add(
                Problem::at(
                    at("url"),
                    format!("`{capability}` is not reached by `{scheme}`"),
                )
                .with_hint(format!("the address begins with `{first}://`")),
            );
        }
        let said = [
            ("user", external.user.is_some()),
            ("password", external.password.is_some()),
            ("database", external.database.is_some()),
            ("access_key", external.access_key.is_some()),
            ("secret_key", external.secret_key.is_some()),
            ("region", external.region.is_some()),
            ("keys", external.keys.is_some()),
        ];
        for (field, is_said) in said {
            if !is_said && rule.needs.contains(&field) {
                self.problems.add(Problem::at(
                    ["external", capability.as_str()],
                    format!("an external `{capability}` needs `{field}`"),
                ));
            }
            if is_said && !rule.needs.contains(&field) && !rule.takes.contains(&field) {
                let known = rule.needs.iter().chain(rule.takes).copied();
                self.problems.add(
                    Problem::at(
                        at(field),
                        format!("an external `{capability}` has no `{field}`"),
                    )
                    .with_nearest(field, known),
                );
            }
        }
    }
}
