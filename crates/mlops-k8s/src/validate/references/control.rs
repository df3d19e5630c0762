//! Bindings of roles, autoscalers, and what else points to one object.

use super::super::check::Visit;
use super::super::finds::{Finds, Look as _};
use super::super::set::Object;
use super::Resolver;
use super::data::one;

const RBAC: &str = "rbac.authorization.k8s.io";

pub(super) fn check<'a>(
    resolver: &mut Resolver<'_, 'a>,
    object: &Object<'a>,
    visit: &Visit<'a>,
    finds: &mut Finds<'a>,
) {
    let node = visit.node;
    match visit.name {
        "RoleRef" => {
            let (kind, namespace) = match node.text_of("kind") {
                Some("Role") => ("Role", object.namespace),
                Some("ClusterRole") => ("ClusterRole", None),
                _ => return,
            };
            one(resolver, (RBAC, kind), namespace, node.get("name"), finds);
        }
        "Subject" if object.group == RBAC => {
            let namespace = node.text_of("namespace");
            if node.text_of("kind") == Some("ServiceAccount") && namespace.is_some() {
                one(
                    resolver,
                    ("", "ServiceAccount"),
                    namespace,
                    node.get("name"),
                    finds,
                );
            }
        }
        "IngressSpec" => {
            let class = ("networking.k8s.io", "IngressClass");
            one(resolver, class, None, node.get("ingressClassName"), finds);
        }
        _ => {}
    }
}

/// References that only one kind has.
pub(super) fn object<'a>(
    resolver: &mut Resolver<'_, 'a>,
    object: &Object<'a>,
    finds: &mut Finds<'a>,
) {
    let spec = object.node.get("spec");
    match (object.group, object.kind) {
        ("autoscaling", "HorizontalPodAutoscaler") => {
            let Some(target) = spec.and_then(|spec| spec.get("scaleTargetRef")) else {
                return;
            };
            let api_version = target.text_of("apiVersion").unwrap_or_default();
            let group = api_version.split_once('/').map_or("", |(group, _)| group);
            if let Some(kind) = target.text_of("kind") {
                one(
                    resolver,
                    (group, kind),
                    object.namespace,
                    target.get("name"),
                    finds,
                );
            }
        }
        ("apps", "StatefulSet") => {
            let name = spec.and_then(|spec| spec.get("serviceName"));
            one(resolver, ("", "Service"), object.namespace, name, finds);
        }
        (
            "admissionregistration.k8s.io",
            "ValidatingAdmissionPolicyBinding" | "MutatingAdmissionPolicyBinding",
        ) => {
            let kind = object.kind.trim_end_matches("Binding");
            let name = spec.and_then(|spec| spec.get("policyName"));
            one(resolver, (object.group, kind), None, name, finds);
        }
        ("", "ServiceAccount") => {
            let secrets = ["secrets", "imagePullSecrets"]
                .iter()
                .flat_map(|list| object.node.list(list));
            for secret in secrets {
                one(
                    resolver,
                    ("", "Secret"),
                    object.namespace,
                    secret.get("name"),
                    finds,
                );
            }
        }
        _ => {}
    }
}
