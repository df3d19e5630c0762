//! Which objects a webhook guards, so that they are written after it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::needs::{Needs, list, text_at};
use crate::discovery::Scope;
use crate::objects::Wanted;

const ADMISSION: &str = "admissionregistration.k8s.io";

/// The label that the server gives each namespace with its name.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// The Namespaces of a set, by name.
type Namespaces<'a> = BTreeMap<&'a str, &'a Wanted>;

/// Adds to the needs of each object the webhook configurations of the set that guard it, as the server matches them
/// (<https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/>): by rules and selectors.
///
/// - What a configuration needs itself (its Service, the workload behind that, and all that those need) is not held by
///   it: nothing could ever answer. So no circle is made, whatever the rules are.
/// - A webhook with the failure policy `Ignore` guards nothing: whoever wrote it lets objects pass that it was not asked
///   about, and would not have a set stop for a program that does not become ready.
/// - Where the set does not say what a selector asks for (the labels of a namespace that is not in it), and for
///   `matchConditions`, the webhook counts as one that matches: to be written later harms no object.
pub(super) fn add_guards(wanted: &[&Wanted], needs: &mut [Needs]) {
    let namespaces: Namespaces<'_> = { wanted.iter().copied() }
        .filter(|object| object.id.is("", "Namespace"))
        .map(|object| (object.id.name.as_str(), object))
        .collect();
    for (guard, configuration) in wanted.iter().enumerate() {
        let hooks = hooks(configuration);
        if hooks.is_empty() {
            continue;
        }
        let before = all_needs(needs, guard);
        for (at, object) in wanted.iter().enumerate() {
            let is_guarded = || hooks.iter().any(|hook| matches(hook, object, &namespaces));
            if !before.contains(&at)
                && object.id.group != ADMISSION
                && is_guarded()
                && let Some(needs) = needs.get_mut(at)
            {
                needs.insert(guard);
            }
        }
    }
}

/// The webhooks of a configuration that can hold an object.
fn hooks(object: &Wanted) -> Vec<&Value> {
    let kinds = [
        "ValidatingWebhookConfiguration",
        "MutatingWebhookConfiguration",
    ];
    if !kinds.iter().any(|kind| object.id.is(ADMISSION, kind)) {
        return Vec::new();
    }
    let hooks = list(&object.json, "webhooks");
    hooks
        .filter(|hook| text_at(hook, "/failurePolicy") != Some("Ignore"))
        .collect()
}

/// An object and all that must be there before it.
fn all_needs(needs: &[Needs], of: usize) -> BTreeSet<usize> {
    let mut all = BTreeSet::from([of]);
    let mut open = vec![of];
    while let Some(at) = open.pop() {
        let more = needs.get(at).into_iter().flatten();
        open.extend(more.copied().filter(|need| all.insert(*need)));
    }
    all
}

fn matches(hook: &Value, object: &Wanted, namespaces: &Namespaces<'_>) -> bool {
    let any_version = text_at(hook, "/matchPolicy") != Some("Exact");
    list(hook, "rules").any(|rule| is_ruled(rule, object, any_version))
        && selects(hook.get("objectSelector"), &Labels::of(object))
        && in_namespaces(hook.get("namespaceSelector"), object, namespaces)
}

/// Whether a rule names the kind of an object. With the match policy `Equivalent` it does so in any of its versions.
fn is_ruled(rule: &Value, object: &Wanted, any_version: bool) -> bool {
    let has = |key: &str, wanted: &[&str]| {
        list(rule, key)
            .filter_map(Value::as_str)
            .any(|found| found == "*" || wanted.contains(&found))
    };
    let kind = &object.kind;
    let of_resource = |named: &str| {
        let (resource, part) = named.split_once('/').unwrap_or((named, ""));
        (resource == "*" || resource == kind.plural) && matches!(part, "" | "*")
    };
    // A Namespace counts as an object of the whole cluster.
    let in_scope = match text_at(rule, "/scope") {
        Some("Cluster") => kind.scope == Scope::Cluster,
        Some("Namespaced") => kind.scope == Scope::Namespaced,
        _ => true,
    };
    in_scope
        && has("operations", &["CREATE", "UPDATE"])
        && has("apiGroups", &[&kind.group])
        && (any_version || has("apiVersions", &[&kind.version]))
        && list(rule, "resources")
            .filter_map(Value::as_str)
            .any(of_resource)
}

/// A Namespace is asked for its own labels; other objects of the whole cluster are in any.
fn in_namespaces(selector: Option<&Value>, object: &Wanted, namespaces: &Namespaces<'_>) -> bool {
    if object.id.is("", "Namespace") {
        let labels = Labels::of(object);
        return selects(selector, &labels.named(&object.id.name));
    }
    let Some(namespace) = &object.id.namespace else {
        return true;
    };
    let labels = match namespaces.get(namespace.as_str()) {
        Some(namespace) => Labels::of(namespace),
        None => Labels::unknown(),
    };
    selects(selector, &labels.named(namespace))
}

/// Labels as far as they are known.
struct Labels<'a> {
    given: Option<&'a Map<String, Value>>,
    name: Option<&'a str>,
    are_all: bool,
}

/// What is known of one label.
#[derive(Clone, Copy)]
enum Label<'a> {
    Is(&'a str),
    Absent,
    Unknown,
}

impl<'a> Labels<'a> {
    fn of(object: &'a Wanted) -> Self {
        let labels = object.json.pointer("/metadata/labels");
        Self {
            given: labels.and_then(Value::as_object),
            name: None,
            are_all: true,
        }
    }

    fn unknown() -> Self {
        Self {
            given: None,
            name: None,
            are_all: false,
        }
    }

    fn named(self, name: &'a str) -> Self {
        Self {
            name: Some(name),
            ..self
        }
    }

    fn get(&self, key: &str) -> Label<'a> {
        if let (NAME_LABEL, Some(name)) = (key, self.name) {
            return Label::Is(name);
        }
        match self.given.and_then(|labels| labels.get(key)) {
            Some(value) => Label::Is(value.as_str().unwrap_or_default()),
            None if self.are_all => Label::Absent,
            None => Label::Unknown,
        }
    }
}

/// Whether a selector takes labels; what is not known of them is taken as it asks.
fn selects(selector: Option<&Value>, labels: &Labels<'_>) -> bool {
    let Some(selector) = selector else {
        return true;
    };
    let exact = selector.get("matchLabels").and_then(Value::as_object);
    let exact = exact
        .into_iter()
        .flatten()
        .all(|(key, value)| match labels.get(key) {
            Label::Is(found) => value.as_str() == Some(found),
            Label::Absent => false,
            Label::Unknown => true,
        });
    exact && list(selector, "matchExpressions").all(|expression| expresses(expression, labels))
}

fn expresses(expression: &Value, labels: &Labels<'_>) -> bool {
    let found = labels.get(text_at(expression, "/key").unwrap_or_default());
    let is_among = |found: &str| {
        let mut values = list(expression, "values").filter_map(Value::as_str);
        values.any(|value| value == found)
    };
    match (text_at(expression, "/operator"), found) {
        (_, Label::Unknown) | (Some("NotIn"), Label::Absent) => true,
        (Some("In"), Label::Is(found)) => is_among(found),
        (Some("NotIn"), Label::Is(found)) => !is_among(found),
        (Some("Exists"), found) => matches!(found, Label::Is(_)),
        (Some("DoesNotExist"), found) => matches!(found, Label::Absent),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::needs::needs;
    use super::super::needs::tests::wanted_of;
    use super::*;

    /// The names of what needs the configuration `gate`, of which these are the fields of its only webhook but for the
    /// Service behind it; with all needs, which must be no circle.
    fn guarded(hook: &str) -> Vec<String> {
        let text = OBJECTS.replace("HOOK", hook);
        let wanted = wanted_of(&text);
        let wanted: Vec<&Wanted> = wanted.iter().collect();
        let needs = needs(&wanted);
        for (at, own) in needs.iter().enumerate() {
            let circle = own
                .iter()
                .any(|need| all_needs(&needs, *need).contains(&at));
            assert!(!circle, "{} is in a circle: {needs:?}", wanted[at].id);
        }
        let gate = wanted.iter().position(|object| object.id.name == "gate");
        let gate = gate.unwrap();
        let guarded = (0..wanted.len()).filter(|at| needs[*at].contains(&gate));
        guarded.map(|at| wanted[at].id.name.clone()).collect()
    }

    const OBJECTS: &str = r"
{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, labels: {app: web}}, spec: {template: {}}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: one, labels: {tier: low}}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: two, namespace: made}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: made, labels: {checked: 'no'}}}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: role}}
---
{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingWebhookConfiguration, metadata: {name: gate},
  webhooks: [{clientConfig: {service: {namespace: back, name: service}}, HOOK}]}
---
{apiVersion: admissionregistration.k8s.io/v1, kind: MutatingWebhookConfiguration, metadata: {name: other},
  webhooks: [{clientConfig: {url: 'https://example.com'}, rules: [{apiGroups: ['*'], apiVersions: ['*'], operations: ['*'], resources: ['*']}]}]}
---
{apiVersion: v1, kind: Service, metadata: {name: service, namespace: back}, spec: {selector: {app: back}}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: answers, namespace: back}, spec: {template: {metadata: {labels: {app: back}},
  spec: {serviceAccountName: account, volumes: [{name: v, configMap: {name: settings}}]}}}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: settings, namespace: back}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: account, namespace: back}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: back}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: beside, namespace: back}}
---
{apiVersion: example.com/v1, kind: Thing, metadata: {name: thing}}
---
{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: things.example.com},
  spec: {group: example.com, scope: Namespaced, names: {kind: Thing, plural: things}, versions: [{name: v1, served: true}]}}
";

    const MAPS: &str = "rules: [{apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [configmaps]}]";

    #[test]
    fn all_but_what_answers_for_it_is_after_a_webhook_that_asks_for_all() {
        let all = guarded(
            "rules: [{apiGroups: ['*'], apiVersions: ['*'], operations: ['*'], resources: ['*/*']}]",
        );
        let expected = [
            "web",
            "one",
            "two",
            "made",
            "role",
            "beside",
            "thing",
            "things.example.com",
        ];
        assert_eq!(all, expected);
    }

    #[test]
    fn rules_name_group_version_resource_operation_and_scope() {
        assert_eq!(guarded(MAPS), ["one", "two", "beside"]);
        let rule = |rule: &str| guarded(&format!("rules: [{{{rule}}}]"));
        let things = "apiGroups: [example.com], resources: [things], apiVersions: [v1]";
        assert_eq!(rule(&format!("{things}, operations: [UPDATE]")), ["thing"]);
        assert!(rule(&format!("{things}, operations: [DELETE, CONNECT]")).is_empty());
        let all = "apiGroups: ['*'], apiVersions: ['*'], operations: ['*'], resources: ['*']";
        let cluster = ["made", "role", "things.example.com"];
        assert_eq!(rule(&format!("{all}, scope: Cluster")), cluster);
        let within = ["web", "one", "two", "beside", "thing"];
        assert_eq!(rule(&format!("{all}, scope: Namespaced")), within);
        let scales = "apiGroups: [apps], apiVersions: [v1], operations: ['*'], resources: [deployments/scale]";
        assert!(rule(scales).is_empty());
        let old = "rules: [{apiGroups: [apps], apiVersions: [v1beta1], operations: ['*'], resources: [deployments]}]";
        assert_eq!(guarded(old), ["web"]);
        assert!(guarded(&format!("matchPolicy: Exact, {old}")).is_empty());
    }

    #[test]
    fn selectors_are_judged_as_far_as_the_set_says() {
        let maps = |more: &str| guarded(&format!("{MAPS}, {more}"));
        // Of the namespace `n` only the name is known.
        assert_eq!(
            maps("namespaceSelector: {matchLabels: {checked: 'yes'}}"),
            ["one"]
        );
        assert_eq!(
            maps("namespaceSelector: {matchLabels: {checked: 'no'}}"),
            ["one", "two"]
        );
        let named = "namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: made}}";
        assert_eq!(maps(named), ["two"]);
        let not = "namespaceSelector: {matchExpressions: [{key: checked, operator: NotIn, values: ['no']}]}";
        assert_eq!(maps(not), ["one", "beside"]);
        let object = |operator: &str| {
            maps(&format!(
                "objectSelector: {{matchExpressions: [{{key: tier, operator: {operator}}}]}}"
            ))
        };
        assert_eq!(object("Exists"), ["one"]);
        assert_eq!(object("DoesNotExist"), ["two", "beside"]);
        assert_eq!(object("In, values: [low, high]"), ["one"]);
        assert!(object("In, values: [high]").is_empty());
    }

    #[test]
    fn what_may_pass_unasked_does_not_wait() {
        assert!(guarded(&format!("{MAPS}, failurePolicy: Ignore")).is_empty());
        assert_eq!(guarded(&format!("{MAPS}, failurePolicy: Fail")).len(), 3);
    }
}
