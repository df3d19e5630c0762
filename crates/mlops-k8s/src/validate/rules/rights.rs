//! Roles and their bindings.

use mlops_core::platform::tree::{Node, Tree};

use super::super::finds::{Finds, Look as _, quoted};
use super::super::set::Object;

/// `ValidatePolicyRule` in `pkg/apis/rbac/validation`.
pub(super) fn rule<'a>(rule: &'a Node, finds: &mut Finds<'a>) {
    if let Some(verbs) = rule.get("verbs")
        && verbs.items().is_empty()
        && matches!(verbs.tree, Tree::List(_))
    {
        finds.error(verbs, "a rule needs a verb");
    }
    let has = |key: &str| !rule.list(key).is_empty();
    if has("nonResourceURLs") {
        if has("apiGroups") || has("resources") || has("resourceNames") {
            finds.error(
                rule,
                "a rule is for resources or for URLs, and this is for both",
            );
        }
        return;
    }
    if !has("apiGroups") {
        finds
            .error(rule, "the rule does not say which API groups it is for")
            .hint("write `apiGroups`; the group of pods and services is `\"\"`");
    }
    if !has("resources") {
        finds.error(rule, "the rule does not say which resources it is for");
    }
    if has("resourceNames") {
        // https://kubernetes.io/docs/reference/access-authn-authz/rbac/#referring-to-resources
        for verb in rule.list("verbs") {
            if matches!(verb.text(), Some("create" | "deletecollection")) {
                let message = format!(
                    "{} cannot be limited to names: the rule never allows it",
                    quoted(verb.text().unwrap_or_default())
                );
                finds
                    .warning(verb, message)
                    .hint("write a rule without `resourceNames` for it");
            }
        }
    }
}

/// `ValidateRoleBindingSubject` in `pkg/apis/rbac/validation`.
pub(super) fn subject<'a>(object: &Object<'a>, subject: &'a Node, finds: &mut Finds<'a>) {
    if object.group != "rbac.authorization.k8s.io" {
        return;
    }
    let (Some(kind), Some(name)) = (subject.get("kind"), subject.get("name")) else {
        return;
    };
    match kind.text() {
        Some("ServiceAccount") => {
            if subject.get("namespace").is_none() {
                finds
                    .error(
                        subject,
                        "the subject does not say the namespace of the service account",
                    )
                    .hint("write `namespace`");
            }
        }
        Some("User" | "Group") => {}
        Some(other) => {
            let message = format!("{} cannot be bound to a role", quoted(other));
            finds
                .error(kind, message)
                .nearest(other, ["User", "Group", "ServiceAccount"]);
        }
        None => {}
    }
    if name.text() == Some("") {
        finds.error(name, "the subject has no name");
    }
}
