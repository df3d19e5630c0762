//! Definitions of custom resources, webhooks, and storage.

use mlops_core::platform::tree::{Node, Tree};

use super::super::finds::{Finds, Look as _, quoted};
use super::super::forms::names::is_subdomain;
use super::super::set::Object;
use super::identity::name_spot;

pub(super) fn check<'a>(object: &Object<'a>, finds: &mut Finds<'a>) {
    match (object.group, object.kind) {
        ("apiextensions.k8s.io", "CustomResourceDefinition") => definition(object, finds),
        (
            "admissionregistration.k8s.io",
            "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration",
        ) => {
            webhooks(object, finds);
        }
        ("apiregistration.k8s.io", "APIService") => {
            if let Some(spec) = object.node.get("spec")
                && let (Some(group), Some(version)) =
                    (spec.text_of("group"), spec.text_of("version"))
            {
                named(object, &format!("{version}.{group}"), finds);
            }
        }
        ("", "PersistentVolumeClaim") => {
            if let Some(spec) = object.node.get("spec") {
                claim(spec, finds);
            }
        }
        ("apps", "StatefulSet") => {
            let claims = object.node.at(&["spec", "volumeClaimTemplates"]);
            for template in claims.map(Node::items).unwrap_or_default() {
                if let Some(spec) = template.get("spec") {
                    claim(spec, finds);
                }
            }
        }
        _ => {}
    }
}

fn named<'a>(object: &Object<'a>, expected: &str, finds: &mut Finds<'a>) {
    if object.name != expected && !object.name.is_empty() {
        let message = format!(
            "this {} must be called {}",
            quoted(object.kind),
            quoted(expected)
        );
        finds.error(name_spot(object), message);
    }
}

/// <https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/>.
fn definition<'a>(object: &Object<'a>, finds: &mut Finds<'a>) {
    let Some(spec) = object.node.get("spec") else {
        return;
    };
    let plural = spec.at(&["names", "plural"]).and_then(Node::text);
    if let (Some(plural), Some(group)) = (plural, spec.text_of("group")) {
        named(object, &format!("{plural}.{group}"), finds);
    }
    let versions = spec.list("versions");
    let stored = versions
        .iter()
        .filter(|version| version.is_true("storage"))
        .count();
    if stored != 1
        && let Some(node) = spec.get("versions")
    {
        let message = format!("exactly one version has `storage: true`, and here it is {stored}");
        finds.error(node, message);
    }
    for version in versions {
        match version.at(&["schema", "openAPIV3Schema"]) {
            None => {
                finds.error(version, "the version has no `schema.openAPIV3Schema`");
            }
            Some(schema) => {
                if schema.text_of("type") != Some("object") {
                    finds
                        .error(schema, "the schema of a kind is that of an object")
                        .hint("write `type: object`");
                }
                structural(schema, finds);
            }
        }
    }
}

/// Each property says its type: <https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema>.
fn structural<'a>(schema: &'a Node, finds: &mut Finds<'a>) {
    let additional = schema
        .get("additionalProperties")
        .filter(|schema| matches!(schema.tree, Tree::Map(_)));
    let inner = schema
        .map("properties")
        .iter()
        .map(|(_, inner)| inner)
        .chain(schema.get("items"))
        .chain(additional);
    for inner in inner {
        let is_typed = inner.get("type").is_some()
            || inner.is_true("x-kubernetes-int-or-string")
            || inner.is_true("x-kubernetes-preserve-unknown-fields");
        if !is_typed {
            finds
                .error(inner, "the schema does not say the type")
                .hint("write `type`, or `x-kubernetes-preserve-unknown-fields: true` for anything");
        }
        structural(inner, finds);
    }
}

fn webhooks<'a>(object: &Object<'a>, finds: &mut Finds<'a>) {
    for webhook in object.node.list("webhooks") {
        if let Some(name) = webhook.get("name")
            && let Some(text) = name.text()
            && (!is_subdomain(text) || text.split('.').count() < 3)
        {
            finds
                .error(
                    name,
                    format!("{} cannot be the name of a webhook", quoted(text)),
                )
                .hint("write a DNS name of three parts or more, such as `check.models.example`");
        }
        if let Some(config) = webhook.get("clientConfig") {
            let count = ["service", "url"]
                .iter()
                .filter(|key| config.get(key).is_some())
                .count();
            if count != 1 {
                finds.error(config, "a webhook is reached by `service` or by `url`");
            }
        }
        if let Some(effects) = webhook.get("sideEffects")
            && matches!(effects.text(), Some("Some" | "Unknown"))
        {
            finds
                .error(
                    effects,
                    "a webhook must be without side effects in dry runs",
                )
                .hint("write `None` or `NoneOnDryRun`");
        }
        if let Some(seconds) = webhook.get("timeoutSeconds")
            && seconds
                .integer()
                .is_some_and(|seconds| !(1..=30).contains(&seconds))
        {
            finds.error(seconds, "the time-out of a webhook is from 1 to 30 seconds");
        }
    }
}

/// `ValidatePersistentVolumeClaimSpec` in `pkg/apis/core/validation`.
fn claim<'a>(spec: &'a Node, finds: &mut Finds<'a>) {
    match spec.get("accessModes") {
        Some(modes) if modes.items().is_empty() => {
            finds.error(modes, "a claim needs an access mode");
        }
        Some(_) => {}
        None => {
            finds
                .error(spec, "the field `accessModes` is missing")
                .hint("such as `accessModes: [ReadWriteOnce]`");
        }
    }
    if spec.at(&["resources", "requests", "storage"]).is_none() {
        finds
            .error(spec, "the claim does not say how much storage it needs")
            .hint("write `resources.requests.storage`");
    }
}
