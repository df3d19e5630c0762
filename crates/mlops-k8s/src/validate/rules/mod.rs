//! Rules that no schema has. Each names the code of Kubernetes, or the page, that it follows where that is not plain.

mod container;
mod data;
mod definition;
mod identity;
mod labels;
mod network;
mod pod;
mod rights;
mod workload;

use mlops_core::platform::tree::Node;

use super::check::Visit;
use super::finds::{Finds, Look as _};
use super::set::Object;

pub(super) use identity::check as identity;
pub(super) use labels::{selects, selects_by_map};

/// Goes over an object and over everything in it that has rules.
pub(super) fn check<'a>(object: &Object<'a>, visits: &[Visit<'a>], finds: &mut Finds<'a>) {
    for visit in visits {
        let node = visit.node;
        match visit.name {
            "ObjectMeta" => labels::metadata(node, finds),
            "LabelSelector" => labels::selector(node, finds),
            "PodSpec" => pod::check(object, node, finds),
            "Container" | "EphemeralContainer" => container::check(node, finds),
            "ResourceRequirements" | "VolumeResourceRequirements" => {
                container::resources(node, finds);
            }
            "ContainerPort" => {
                network::number(node.get("containerPort"), finds);
                network::number(node.get("hostPort"), finds);
            }
            "ServiceSpec" => network::service(node, finds),
            "IngressSpec" => network::ingress(node, finds),
            "ServiceBackendPort" => network::backend_port(node, finds),
            "NetworkPolicyPort" => network::policy_port(node, finds),
            "CronJobSpec" => workload::schedule(node, finds),
            "HorizontalPodAutoscalerSpec" => workload::autoscaler(node, finds),
            "PodDisruptionBudgetSpec" => workload::budget(node, finds),
            "PolicyRule" => rights::rule(node, finds),
            "Subject" => rights::subject(object, node, finds),
            _ => {}
        }
    }
    workload::check(object, finds);
    data::check(object, finds);
    definition::check(object, finds);
}

/// A path below a node, when all of it is there.
fn texts<'a>(nodes: &'a [Node], key: &'a str) -> impl Iterator<Item = &'a str> {
    nodes.iter().filter_map(move |node| node.text_of(key))
}
