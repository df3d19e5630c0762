//! Whether we may do what we are going to do: for each right the server's own answer.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, ResourceRule, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
    SelfSubjectRulesReview, SelfSubjectRulesReviewSpec,
};
use kube::Client;
use kube::api::{Api, PostParams};
use mlops_core::Result;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Check;
use crate::apply::SetName;
use crate::objects::ObjectSet;
use crate::validate::{RightsOptions, rbac_for};

/// From how many rights in one namespace on one question for all its rules is cheaper.
const MANY: usize = 5;

/// The rights that bringing a set of objects to a cluster takes, for [`super::Preflight::with_right`].
///
/// # Errors
///
/// As [`rbac_for`].
pub fn rights_for(set: &ObjectSet, namespace: &str) -> Result<Vec<Right>> {
    rights(set, RightsOptions::new().with_namespace(namespace))
}

/// The same for objects that are applied as members of a set, with those for its parent, its Lease, and what is wanted
/// no more.
///
/// # Errors
///
/// As [`rbac_for`].
pub fn rights_for_members(set: &ObjectSet, name: &SetName) -> Result<Vec<Right>> {
    let namespace = name.namespace();
    let options = RightsOptions::new()
        .with_namespace(namespace)
        .with_parent("", "configmaps", Some(namespace), name.name())
        .with_lease(namespace, name.lease())
        .with_prune();
    rights(set, options)
}

/// The kinds of cert-manager, which are looked for without their definitions:
/// <https://cert-manager.io/docs/reference/api-docs/>.
fn with_cert_manager(options: RightsOptions) -> RightsOptions {
    let group = "cert-manager.io";
    options
        .with_namespaced_resource(group, "Certificate", "certificates")
        .with_namespaced_resource(group, "CertificateRequest", "certificaterequests")
        .with_namespaced_resource(group, "Issuer", "issuers")
        .with_cluster_resource(group, "ClusterIssuer", "clusterissuers")
}

fn rights(set: &ObjectSet, options: RightsOptions) -> Result<Vec<Right>> {
    let values: Vec<Value> = set.iter().map(|object| object.json().clone()).collect();
    let rights = rbac_for(&values, &with_cert_manager(options))?;
    let spaces = rights.namespaces.iter();
    let spaces = spaces.flat_map(|(name, rules)| rules.iter().map(move |rule| (Some(name), rule)));
    let everywhere = rights.cluster.iter().map(|rule| (None, rule));
    let mut all = BTreeSet::new();
    for (namespace, rule) in everywhere.chain(spaces) {
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                for verb in &rule.verbs {
                    let mut right = Right::new(verb, group, resource);
                    right.namespace = namespace.cloned();
                    match &rule.resource_names {
                        Some(names) => {
                            all.extend(names.iter().map(|name| right.clone().named(name)));
                        }
                        None => {
                            all.insert(right);
                        }
                    }
                }
            }
        }
    }
    Ok(all.into_iter().collect())
}

/// A verb on a resource.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Right {
    /// The verb: `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`.
    pub verb: String,
    /// The API group; empty for the core group.
    pub group: String,
    /// The resource in the plural, with a subresource after a slash: `deployments`, `pods/log`.
    pub resource: String,
    /// The namespace; none for the whole cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The only object that is meant; none for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
}

impl Right {
    /// A right in the whole cluster.
    pub fn new(
        verb: impl Into<String>,
        group: impl Into<String>,
        resource: impl Into<String>,
    ) -> Self {
        Self {
            verb: verb.into(),
            group: group.into(),
            resource: resource.into(),
            namespace: None,
            object: None,
        }
    }

    /// The right for one object only. Nobody can create, list or watch by name
    /// (<https://kubernetes.io/docs/reference/access-authn-authz/rbac/#referring-to-resources>).
    #[must_use]
    pub fn named(mut self, object: impl Into<String>) -> Self {
        self.object = Some(object.into());
        self
    }

    /// The right in one namespace.
    #[must_use]
    pub fn in_namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    fn name(&self) -> String {
        let dot = if self.group.is_empty() { "" } else { "." };
        let place = match &self.namespace {
            Some(namespace) => format!("in {namespace}"),
            None => "in the whole cluster".to_owned(),
        };
        let object = self.object.iter().map(|name| format!(" {name}"));
        let object: String = object.collect();
        format!(
            "right to {} {}{dot}{}{object} {place}",
            self.verb, self.resource, self.group
        )
    }

    fn is_given_by(&self, rule: &ResourceRule) -> bool {
        let has = |list: &[String], word: &str| list.iter().any(|item| item == "*" || item == word);
        let any_sub = self
            .resource
            .split_once('/')
            .map(|(_, sub)| format!("*/{sub}"));
        let resources = rule.resources.as_deref().unwrap_or_default();
        has(&rule.verbs, &self.verb)
            && has(rule.api_groups.as_deref().unwrap_or_default(), &self.group)
            && (has(resources, &self.resource) || any_sub.is_some_and(|any| resources.contains(&any)))
            // A rule for some names does not give the right for all.
            && match rule.resource_names.as_deref() {
                None | Some([]) => true,
                Some(names) => self.object.as_ref().is_some_and(|own| names.contains(own)),
            }
    }
}

/// One check for each right, in their order.
pub(super) async fn check(client: &Client, rights: &[Right]) -> Vec<Check> {
    let mut by_namespace: BTreeMap<&str, usize> = BTreeMap::new();
    for namespace in rights.iter().filter_map(|right| right.namespace.as_deref()) {
        *by_namespace.entry(namespace).or_default() += 1;
    }
    let many = by_namespace
        .into_iter()
        .filter(|(_, count)| *count >= MANY)
        .map(|(namespace, _)| namespace);
    let rules: BTreeMap<&str, Vec<ResourceRule>> =
        join_all(many.map(|namespace| rules_in(client, namespace)))
            .await
            .into_iter()
            .flatten()
            .collect();
    let rules = &rules;
    join_all(rights.iter().map(|right| async move {
        let given = right
            .namespace
            .as_deref()
            .and_then(|namespace| rules.get(namespace));
        // Rules that do not give it prove nothing: another authorizer than RBAC may, and lists no rules.
        if given.is_some_and(|rules| rules.iter().any(|rule| right.is_given_by(rule))) {
            return Check::passed(right.name(), "a role gives it");
        }
        ask(client, right).await
    }))
    .await
}

async fn rules_in<'a>(client: &Client, namespace: &'a str) -> Option<(&'a str, Vec<ResourceRule>)> {
    let review = SelfSubjectRulesReview {
        spec: SelfSubjectRulesReviewSpec {
            namespace: Some(namespace.to_owned()),
        },
        ..SelfSubjectRulesReview::default()
    };
    let answer = Api::all(client.clone())
        .create(&PostParams::default(), &review)
        .await
        .ok()?;
    Some((namespace, answer.status?.resource_rules))
}

/// What the server says about one right, and its reason.
pub(super) async fn may(client: &Client, right: &Right) -> kube::Result<(bool, String)> {
    let (resource, subresource) = match right.resource.split_once('/') {
        Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
        None => (right.resource.as_str(), None),
    };
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                verb: Some(right.verb.clone()),
                group: Some(right.group.clone()),
                resource: Some(resource.to_owned()),
                subresource,
                namespace: right.namespace.clone(),
                name: right.object.clone(),
                ..ResourceAttributes::default()
            }),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let answer = Api::all(client.clone())
        .create(&PostParams::default(), &review)
        .await?;
    let status = answer.status.unwrap_or_default();
    Ok((status.allowed, status.reason.unwrap_or_default()))
}

async fn ask(client: &Client, right: &Right) -> Check {
    match may(client, right).await {
        Ok((true, _)) => Check::passed(right.name(), "the server allows it"),
        Ok((false, reason)) => {
            let reason = if reason.is_empty() {
                String::new()
            } else {
                format!(": {reason}")
            };
            let dot = if right.group.is_empty() { "" } else { "." };
            Check::failed(
                right.name(),
                format!("the server does not allow it{reason}"),
                format!(
                    "bind a role that may {} {}{dot}{}",
                    right.verb, right.resource, right.group
                ),
            )
        }
        Err(error) => Check::unknown(right.name(), &error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(verbs: &[&str], groups: &[&str], resources: &[&str], names: &[&str]) -> ResourceRule {
        let owned = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        ResourceRule {
            verbs: owned(verbs),
            api_groups: Some(owned(groups)),
            resources: Some(owned(resources)),
            resource_names: Some(owned(names)),
        }
    }

    #[test]
    fn a_rule_gives_what_it_names() {
        let right = Right::new("create", "apps", "deployments").in_namespace("a");
        assert!(right.is_given_by(&rule(&["create"], &["apps"], &["deployments"], &[])));
        assert!(right.is_given_by(&rule(&["*"], &["*"], &["*"], &[])));
        assert!(!right.is_given_by(&rule(&["get"], &["apps"], &["deployments"], &[])));
        assert!(!right.is_given_by(&rule(&["create"], &[""], &["deployments"], &[])));
        assert!(!right.is_given_by(&rule(&["create"], &["apps"], &["deployments"], &["one"])));
        let one = right.clone().named("one");
        assert!(one.is_given_by(&rule(&["create"], &["apps"], &["deployments"], &["one"])));
        assert!(one.is_given_by(&rule(&["create"], &["apps"], &["deployments"], &[])));
        assert!(!one.is_given_by(&rule(&["create"], &["apps"], &["deployments"], &["two"])));
        let logs = Right::new("get", "", "pods/log").in_namespace("a");
        assert!(!logs.is_given_by(&rule(&["get"], &[""], &["pods"], &[])));
        assert!(logs.is_given_by(&rule(&["get"], &[""], &["*/log"], &[])));
    }
}
