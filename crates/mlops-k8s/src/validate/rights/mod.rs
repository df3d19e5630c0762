//! The rights that bringing a set of objects to a cluster takes, and no more.

mod objects;
mod options;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::rbac::v1::PolicyRule;
use mlops_core::platform::tree::Node;
use mlops_core::{Error, ErrorKind};
use serde_json::Value;

use super::documents;
use super::finds::{Look as _, quoted};
use super::set::{Meaning, Object, Set};

pub use objects::RightsObjects;
pub use options::RightsOptions;
use options::Scope;

const RBAC: &str = "rbac.authorization.k8s.io";

/// Rights, by where they hold.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rights {
    /// In the whole cluster.
    pub cluster: Vec<PolicyRule>,
    /// In one namespace, by its name.
    pub namespaces: BTreeMap<String, Vec<PolicyRule>>,
}

/// Derives the rights that it takes to read, watch, apply and remove objects by name.
///
/// No rule has a wildcard. `get`, `patch` and `delete` are limited to the names of the objects; `create`, `list` and
/// `watch` cannot be, but for a Lease, which is watched by its name alone
/// (<https://kubernetes.io/docs/reference/access-authn-authz/rbac/#referring-to-resources>). Whoever
/// writes a role must hold what it grants
/// (<https://kubernetes.io/docs/reference/access-authn-authz/rbac/#privilege-escalation-prevention-and-bootstrapping>):
/// the rules of the set's own roles are therefore among the rights, and `bind` is given for each role that is bound and
/// not in the set.
///
/// When objects are pruned, hand over those of the last run as well, or the rights do not reach kinds that are gone
/// from the set.
///
/// ```
/// use mlops_k8s::validate::{RightsOptions, rbac_for};
///
/// let objects = [serde_json::json!({
///     "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": "demo"}
/// })];
/// let rights = rbac_for(&objects, &RightsOptions::new())?;
/// assert!(rights.cluster.is_empty());
/// let rules = &rights.namespaces["demo"];
/// assert_eq!(rules[0].verbs, ["create", "list", "watch"]);
/// assert_eq!(rules[1].resource_names.as_deref(), Some(&["settings".to_owned()][..]));
/// # Ok::<(), mlops_core::Error>(())
/// ```
///
/// # Errors
///
/// When an object has no kind or no name, is of a kind whose resource nobody names, or is a role with a wildcard, whose
/// rights this would have to hold.
pub fn rbac_for(objects: &[Value], options: &RightsOptions) -> Result<Rights, Error> {
    let documents = documents::of_values(objects);
    let set = Set::new(&documents, options.default_namespace());
    let mut needs = Needs::default();
    for object in &set.objects {
        needs.object(&set, object, options)?;
    }
    needs.extras(options);
    Ok(needs.into_rights())
}

/// Where, which group, which resource.
type Place = (Option<String>, String, String);

/// Where, which group, which verbs.
type Shared<'v> = (Option<String>, String, Vec<&'v str>);

/// What is needed of one resource in one place.
#[derive(Debug, Default)]
struct Need {
    /// Verbs for all names.
    all: BTreeSet<&'static str>,
    /// Verbs by name.
    named: BTreeMap<String, BTreeSet<&'static str>>,
}

#[derive(Debug, Default)]
struct Needs {
    by_place: BTreeMap<Place, Need>,
    /// Rules that the roles of the set grant, by where they hold.
    granted: BTreeMap<Option<String>, Vec<PolicyRule>>,
}

impl Needs {
    fn of(&mut self, namespace: Option<&str>, group: &str, resource: &str) -> &mut Need {
        let place = (
            namespace.map(str::to_owned),
            group.to_owned(),
            resource.to_owned(),
        );
        self.by_place.entry(place).or_default()
    }

    fn object(
        &mut self,
        set: &Set<'_>,
        object: &Object<'_>,
        options: &RightsOptions,
    ) -> Result<(), Error> {
        let doing = || format!("derive the rights for {}", quoted(&object.title()));
        if object.kind.is_empty() || object.name.is_empty() {
            return Err(Error::new(ErrorKind::InvalidInput, doing())
                .with_hint("an object needs `apiVersion`, `kind` and `metadata.name`"));
        }
        let (resource, namespace) = resource(object, options).ok_or_else(|| {
            Error::new(ErrorKind::InvalidInput, doing())
                .with_hint("add the definition of its kind to the objects, or name its resource")
        })?;
        let prune = options.prune;
        let need = self.of(namespace, object.group, &resource);
        need.all.extend(["create", "list", "watch"]);
        if prune {
            need.all.insert("delete");
        }
        let verbs = need.named.entry(object.name.to_owned()).or_default();
        verbs.extend(["get", "patch"]);
        if !prune {
            verbs.insert("delete");
        }
        if object.group == RBAC {
            self.role(set, object)
                .map_err(|error| Error::new(ErrorKind::InvalidInput, doing()).with_source(error))?;
        }
        Ok(())
    }

    /// What writing a role or a binding takes besides.
    fn role(&mut self, set: &Set<'_>, object: &Object<'_>) -> Result<(), String> {
        let namespace = object.namespace.map(str::to_owned);
        match object.kind {
            "Role" | "ClusterRole" => {
                let rules = object.node.list("rules").iter().map(policy_rule);
                let rules = rules.collect::<Result<Vec<_>, _>>()?;
                self.granted.entry(namespace).or_default().extend(rules);
            }
            "RoleBinding" | "ClusterRoleBinding" => {
                let Some(reference) = object.node.get("roleRef") else {
                    return Ok(());
                };
                let kind = reference.text_of("kind").unwrap_or_default();
                let name = reference.text_of("name").unwrap_or_default();
                let place = if kind == "Role" {
                    object.namespace
                } else {
                    None
                };
                // The rules of a role of the set are held already.
                if set.find(RBAC, kind, place, name).is_none() && !name.is_empty() {
                    let resource = if kind == "Role" {
                        "roles"
                    } else {
                        "clusterroles"
                    };
                    let need = self.of(object.namespace, RBAC, resource);
                    need.named
                        .entry(name.to_owned())
                        .or_default()
                        .insert("bind");
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn extras(&mut self, options: &RightsOptions) {
        let namespaces: BTreeSet<String> = self
            .by_place
            .keys()
            .filter_map(|(namespace, _, _)| namespace.clone())
            .collect();
        for namespace in &namespaces {
            if options.explain {
                let read = [
                    ("", "pods"),
                    ("", "events"),
                    ("", "persistentvolumeclaims"),
                    ("", "resourcequotas"),
                    ("", "limitranges"),
                    ("apps", "replicasets"),
                    ("discovery.k8s.io", "endpointslices"),
                ];
                for (group, resource) in read {
                    let need = self.of(Some(namespace), group, resource);
                    need.all.extend(["get", "list", "watch"]);
                }
                for (group, resource) in crate::explain::read_in_namespace() {
                    let need = self.of(Some(namespace), group, resource);
                    need.all.insert("list");
                }
                self.of(Some(namespace), "", "pods/log").all.insert("get");
            }
            if options.port_forward {
                self.of(Some(namespace), "", "pods")
                    .all
                    .extend(["get", "list"]);
                let need = self.of(Some(namespace), "", "pods/portforward");
                need.all.extend(["create", "get"]);
                let need = self.of(Some(namespace), "discovery.k8s.io", "endpointslices");
                need.all.insert("list");
            }
        }
        for (group, resource) in &options.strays {
            let need = self.of(Some(options.default_namespace()), group, resource);
            need.all.extend(["get", "list", "watch", "delete"]);
        }
        if let Some(parent) = &options.parent {
            let need = self.of(parent.namespace.as_deref(), &parent.group, &parent.resource);
            need.all.insert("create");
            let verbs = need.named.entry(parent.name.clone()).or_default();
            verbs.extend(["get", "patch", "delete"]);
        }
        if let Some((namespace, name)) = &options.lease {
            let need = self.of(Some(namespace), "coordination.k8s.io", "leases");
            need.all.insert("create");
            let verbs = need.named.entry(name.clone()).or_default();
            // A list or watch of one object by its name is allowed by that name: so another holder is waited for.
            verbs.extend(["get", "list", "watch", "patch", "update", "delete"]);
        }
    }

    fn into_rights(self) -> Rights {
        let mut rights = Rights::default();
        // Resources of one group with the same verbs share a rule.
        let mut shared: BTreeMap<Shared<'_>, Vec<String>> = BTreeMap::new();
        let mut named: Vec<(Option<String>, PolicyRule)> = Vec::new();
        for ((namespace, group, resource), need) in &self.by_place {
            let all: Vec<&str> = need.all.iter().copied().collect();
            if !all.is_empty() {
                let key = (namespace.clone(), group.clone(), all);
                shared.entry(key).or_default().push(resource.clone());
            }
            let mut by_verbs: BTreeMap<Vec<&str>, Vec<String>> = BTreeMap::new();
            for (name, verbs) in &need.named {
                let verbs: Vec<&str> = verbs.difference(&need.all).copied().collect();
                if !verbs.is_empty() {
                    by_verbs.entry(verbs).or_default().push(name.clone());
                }
            }
            for (verbs, names) in by_verbs {
                let rule = rule(group, vec![resource.clone()], &verbs, Some(names));
                named.push((namespace.clone(), rule));
            }
        }
        for ((namespace, group, verbs), resources) in shared {
            rights.add(namespace, rule(&group, resources, &verbs, None));
        }
        for (namespace, rule) in named {
            rights.add(namespace, rule);
        }
        for (namespace, rules) in self.granted {
            for rule in rules {
                rights.add(namespace.clone(), rule);
            }
        }
        rights
    }
}

/// The resource of a kind, and the namespace that the object is in.
fn resource<'o>(
    object: &Object<'o>,
    options: &'o RightsOptions,
) -> Option<(String, Option<&'o str>)> {
    let default = options.default_namespace();
    match object.meaning {
        Meaning::BuiltIn(known) => Some((known.resource.clone(), object.namespace)),
        Meaning::Custom { spec, .. } | Meaning::OtherVersion { spec } => {
            let plural = spec.at(&["names", "plural"]).and_then(Node::text)?;
            Some((plural.to_owned(), object.namespace))
        }
        Meaning::Foreign | Meaning::Unknown => {
            let key = (object.group.to_owned(), object.kind.to_owned());
            let (resource, scope) = options.resources.get(&key)?;
            let namespace = match scope {
                Scope::Namespace => object.namespace.or(Some(default)),
                Scope::Cluster => None,
            };
            Some((resource.clone(), namespace))
        }
    }
}

fn rule(
    group: &str,
    resources: Vec<String>,
    verbs: &[&str],
    names: Option<Vec<String>>,
) -> PolicyRule {
    PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(resources),
        resource_names: names,
        verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
        non_resource_urls: None,
    }
}

/// A rule of a role of the set, as it is.
fn policy_rule(node: &Node) -> Result<PolicyRule, String> {
    let texts = |key: &str| -> Vec<String> {
        let items = node.list(key).iter();
        items
            .filter_map(|item| item.text().map(str::to_owned))
            .collect()
    };
    // A URL may end with `*`, which is narrower than it looks, and is as far as such rules go.
    let is_wide = |field: &str| {
        let is_url = field == "nonResourceURLs";
        let mut texts = texts(field).into_iter();
        texts.any(|text| {
            if is_url {
                text == "*"
            } else {
                text.contains('*')
            }
        })
    };
    if ["apiGroups", "resources", "verbs", "nonResourceURLs"]
        .into_iter()
        .any(is_wide)
    {
        return Err(
            "the role has a wildcard, and who writes it must hold all of that: name what it needs, or let an administrator apply it"
                .to_owned(),
        );
    }
    let given = |key: &str| Some(texts(key)).filter(|texts| !texts.is_empty());
    Ok(PolicyRule {
        api_groups: given("apiGroups"),
        resources: given("resources"),
        resource_names: given("resourceNames"),
        verbs: texts("verbs"),
        non_resource_urls: given("nonResourceURLs"),
    })
}

impl Rights {
    fn add(&mut self, namespace: Option<String>, rule: PolicyRule) {
        let rules = match namespace {
            Some(namespace) => self.namespaces.entry(namespace).or_default(),
            None => &mut self.cluster,
        };
        if !rules.contains(&rule) {
            rules.push(rule);
        }
    }
}
