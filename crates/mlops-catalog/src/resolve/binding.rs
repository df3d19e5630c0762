//! One component's use of a capability: its account, what it owns, and how both are proven.

use std::collections::BTreeMap;

use mlops_core::platform::Problem;
use mlops_core::{
    Binding, BucketName, DatabaseName, Resource, ResourceId, RoleName, SecretName, Spec,
};
use serde_json::{Value, json};

use super::work::{Bound, Member, Provider, Providers, Work};
use crate::component::{Alphabet, Need};

/// The secrets of a component's own. What it keeps may be of use only with them, such as the password that a server
/// wrote into its database: so its data needs them, and is never kept without.
pub(super) fn own_secrets(member: &Member<'_>) -> Vec<SecretName> {
    let own = member.component.secrets.keys();
    own.filter_map(|label| SecretName::of(member.name(), label).ok())
        .collect()
}

impl Work<'_> {
    /// The binding `name` of a component, with its resources.
    pub(super) fn bind(
        &mut self,
        member: &Member<'_>,
        name: &str,
        need: &Need,
        providers: &Providers,
    ) -> Option<Bound> {
        let Some(provider) = providers.get(&need.capability) else {
            self.nobody_provides(member, need);
            return None;
        };
        let mut parts = Parts::default();
        match need.capability.as_str() {
            "postgres" => self.bind_database(member, name, need, provider, &mut parts)?,
            "s3" => self.bind_bucket(member, name, need, provider, &mut parts)?,
            "tracking" => self.bind_user(member, name, need, provider, &mut parts)?,
            _ => parts.needs.extend(provider.host.clone()),
        }
        for (fact, value) in &provider.facts {
            parts
                .facts
                .entry(fact.clone())
                .or_insert_with(|| value.clone());
        }
        let mut vars = Spec::new();
        vars.insert("service".to_owned(), json!(provider.service));
        for (fact, value) in &parts.facts {
            vars.insert(fact.replace('-', "_"), value.clone());
        }
        for (part, secret) in &parts.secrets {
            vars.insert(part.replace('-', "_"), json!(secret));
        }
        let binding = Binding {
            name: name.to_owned(),
            consumer: member.name().clone(),
            capability: need.capability.clone(),
            service: provider.service.clone(),
            facts: parts.facts,
            secrets: parts.secrets,
        };
        self.bindings.push(binding.clone());
        Some(Bound {
            binding,
            needs: parts.needs,
            vars,
        })
    }

    fn nobody_provides(&mut self, member: &Member<'_>, need: &Need) {
        let capability = &need.capability;
        let message = format!(
            "`{}` needs `{capability}`, which nothing provides",
            member.name()
        );
        if !self.complaints.insert(message.clone()) {
            return;
        }
        let able: Vec<&str> = self
            .catalog
            .component_names()
            .filter(|name| {
                let component = self.catalog.component(name).ok().flatten();
                component.is_some_and(|component| {
                    let mut provided = component.provides.iter();
                    provided.any(|provided| provided.capability == *capability)
                })
            })
            .collect();
        let hint = if able.is_empty() {
            format!("name a server under `external`, as `{capability}`")
        } else {
            let able: Vec<String> = able.iter().map(|name| format!("`{name}`")).collect();
            format!(
                "enable {} under `components`, or name a server under `external`",
                able.join(" or ")
            )
        };
        // Where the file leaves out what would provide it, if it does.
        let is_in_file = |name: &&&str| {
            let mut named = self.platform.components.keys();
            named.any(|one| one.as_str() == **name)
        };
        let left_out = able.iter().find(is_in_file);
        let at = left_out.copied().unwrap_or(member.name().as_str());
        self.problems
            .add(Problem::at(["components", at], message).with_hint(hint));
    }

    /// The account of a component at a provider: one for each, however many bindings there are.
    fn one_account(
        &mut self,
        member: &Member<'_>,
        name: &str,
        need: &Need,
        account: &str,
        fact: &str,
    ) -> Option<bool> {
        let earlier = self
            .bindings
            .iter()
            .rev()
            .take_while(|binding| binding.consumer == *member.name())
            .find(|binding| binding.capability == need.capability)
            .and_then(|binding| binding.fact(fact));
        match earlier {
            None => Some(true),
            Some(same) if same == account => Some(false),
            Some(other) => {
                let problem = Problem::at(
                    ["bindings", name],
                    format!("`{account}` is a second {fact} beside `{other}`"),
                )
                .with_hint(format!("a component has one {fact} for all its bindings"));
                self.blame_one(member, problem);
                None
            }
        }
    }

    /// The provider's administrator, if it says all that is needed.
    fn admin_spec(
        &mut self,
        provider: &Provider,
        parts: &[(&str, Option<Value>)],
    ) -> Option<Value> {
        let mut admin = serde_json::Map::new();
        for (part, value) in parts {
            if let Some(value) = value {
                admin.insert((*part).to_owned(), value.clone());
                continue;
            }
            // An external server that says too little was complained about before.
            if let Some(component) = &provider.component {
                let mut problems = mlops_core::platform::Problems::new();
                problems.add(Problem::at(
                    ["provides"],
                    format!(
                        "the `admin` of `{}` must say its `{part}`",
                        provider.service
                    ),
                ));
                let source = self.catalog.source(component.as_str());
                let wrong = problems.locate(source, component.as_str());
                self.broken = std::mem::take(&mut self.broken).and(wrong);
            }
            return None;
        }
        Some(Value::Object(admin))
    }

    fn bind_database(
        &mut self,
        member: &Member<'_>,
        name: &str,
        need: &Need,
        provider: &Provider,
        parts: &mut Parts,
    ) -> Option<()> {
        let chosen = member.names(name).and_then(|names| names.database.clone());
        let database: DatabaseName =
            self.said(member, name, "database", chosen.or(need.database.clone()))?;
        let role = match &need.role {
            Some(role) => role.clone(),
            None => self.default_name::<RoleName>(member, name, &underscored(member))?,
        };
        let admin = &provider.admin;
        let admin_secret = admin.password.clone();
        let fields = [
            ("user", admin.user.as_ref().map(|user| json!(user))),
            ("password", admin_secret.as_ref().map(|name| json!(name))),
            (
                "database",
                Some(json!(admin.database.as_deref().unwrap_or("postgres"))),
            ),
        ];
        let admin = self.admin_spec(provider, &fields)?;
        let is_first = self.one_account(member, name, need, role.as_str(), "role")?;
        let password = self.add_secret(member, "postgres-password", 32, Alphabet::Alphanumeric)?;
        let secrets = [Some(&password), admin_secret.as_ref()];
        let secrets: Vec<&SecretName> = secrets.into_iter().flatten().collect();
        let server = &provider.service;
        let role_id = ResourceId::new("postgres-role", role.as_str());
        if is_first {
            let resource = self.hosted(role_id.clone(), member.name(), provider, &secrets);
            self.add(
                resource,
                json!({ "server": server, "admin": admin, "role": role, "password": password }),
            );
        }
        let id = ResourceId::new("postgres-database", database.as_str());
        let own = own_secrets(member);
        let secrets: Vec<&SecretName> = secrets.into_iter().chain(&own).collect();
        let mut resource: Resource = self
            .hosted(id.clone(), member.name(), provider, &secrets)
            .with_need(role_id);
        resource.holds_data = true;
        self.add(
            resource,
            json!({
                "server": server, "admin": admin, "database": database, "owner": role,
                "encoding": "UTF8", "extensions": need.extensions,
            }),
        );
        parts.needs.push(id);
        parts.facts.insert("database".to_owned(), json!(database));
        parts.facts.insert("role".to_owned(), json!(role));
        parts.secrets.insert("password".to_owned(), password);
        Some(())
    }

    fn bind_bucket(
        &mut self,
        member: &Member<'_>,
        name: &str,
        need: &Need,
        provider: &Provider,
        parts: &mut Parts,
    ) -> Option<()> {
        let chosen = member.names(name).and_then(|names| names.bucket.clone());
        let bucket: BucketName =
            self.said(member, name, "bucket", chosen.or(need.bucket.clone()))?;
        let account = &provider.admin;
        let fields = [
            (
                "access_key",
                account.access_key.as_ref().map(|key| json!(key)),
            ),
            (
                "secret_key",
                account.secret_key.as_ref().map(|name| json!(name)),
            ),
        ];
        let admin = self.admin_spec(provider, &fields)?;
        let admin_secret = account.secret_key.clone()?;
        let region = provider.facts.get("region").cloned();
        let region = region.unwrap_or_else(|| json!("us-east-1"));
        let server = &provider.service;
        let id = ResourceId::new("s3-bucket", bucket.as_str());
        let own = own_secrets(member);
        let secrets: Vec<&SecretName> = own.iter().chain([&admin_secret]).collect();
        let mut resource = self.hosted(id.clone(), member.name(), provider, &secrets);
        let (key, secret) = if provider.makes_keys {
            let own = need.access_key.clone();
            let key = own.unwrap_or_else(|| member.name().to_string());
            let is_first = self.one_account(member, name, need, &key, "access-key")?;
            let secret = self.add_secret(member, "s3-secret-key", 40, Alphabet::Alphanumeric)?;
            let key_id = ResourceId::new("s3-key", key.as_str());
            if is_first {
                let secrets = [&secret, &admin_secret];
                let resource = self.hosted(key_id.clone(), member.name(), provider, &secrets);
                self.add(
                    resource,
                    json!({
                        "server": server, "region": region, "admin": admin,
                        "access_key": key, "secret_key": secret,
                    }),
                );
            }
            resource = resource.with_need(key_id);
            (key, secret)
        } else {
            (account.access_key.clone()?, admin_secret)
        };
        resource.holds_data = true;
        self.add(
            resource,
            json!({
                "server": server, "region": region, "admin": admin, "bucket": bucket, "owner": key,
            }),
        );
        parts.needs.push(id);
        parts.facts.insert("bucket".to_owned(), json!(bucket));
        parts.facts.insert("region".to_owned(), region);
        parts.facts.insert("access-key".to_owned(), json!(key));
        parts.secrets.insert("secret-key".to_owned(), secret);
        Some(())
    }

    fn bind_user(
        &mut self,
        member: &Member<'_>,
        name: &str,
        need: &Need,
        provider: &Provider,
        parts: &mut Parts,
    ) -> Option<()> {
        let user = need
            .user
            .clone()
            .unwrap_or_else(|| member.name().to_string());
        let account = &provider.admin;
        let admin_secret = account.password.clone();
        let fields = [
            ("user", account.user.as_ref().map(|user| json!(user))),
            ("password", admin_secret.as_ref().map(|name| json!(name))),
        ];
        let admin = self.admin_spec(provider, &fields)?;
        let is_first = self.one_account(member, name, need, &user, "user")?;
        let password = self.add_secret(member, "tracking-password", 32, Alphabet::Alphanumeric)?;
        let id = ResourceId::new("mlflow-user", user.as_str());
        if is_first {
            let secrets = [Some(&password), admin_secret.as_ref()];
            let secrets: Vec<&SecretName> = secrets.into_iter().flatten().collect();
            let resource = self.hosted(id.clone(), member.name(), provider, &secrets);
            self.add(
                resource,
                json!({
                    "server": provider.service, "admin": admin, "user": user, "password": password,
                }),
            );
        }
        parts.needs.push(id);
        parts.facts.insert("user".to_owned(), json!(user));
        parts.secrets.insert("password".to_owned(), password);
        Some(())
    }

    /// What a binding must say, in the component's file.
    fn said<T>(
        &mut self,
        member: &Member<'_>,
        name: &str,
        field: &str,
        value: Option<T>,
    ) -> Option<T> {
        if value.is_none() {
            self.blame_one(
                member,
                Problem::at(
                    ["bindings", name],
                    format!("this binding must say its `{field}`"),
                ),
            );
        }
        value
    }

    fn default_name<T: std::str::FromStr<Err = mlops_core::Error>>(
        &mut self,
        member: &Member<'_>,
        binding: &str,
        name: &str,
    ) -> Option<T> {
        match name.parse() {
            Ok(name) => Some(name),
            Err(error) => {
                let causes = error.causes();
                let rule = causes.first().cloned().unwrap_or_default();
                let problem = Problem::at(["bindings", binding], format!("`{name}`: {rule}"))
                    .with_hint("say the `role`");
                self.blame_one(member, problem);
                None
            }
        }
    }
}

fn underscored(member: &Member<'_>) -> String {
    member.name().as_str().replace('-', "_")
}

/// What the kinds of binding gather.
#[derive(Default)]
struct Parts {
    facts: Spec,
    secrets: BTreeMap<String, SecretName>,
    needs: Vec<ResourceId>,
}
