//! How much cpu and memory no pod has requested.

use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::Client;
use kube::api::{Api, ListParams};
use std::collections::BTreeMap;

use super::quantity::thousandths;
use super::{Check, State};

/// An amount of cpu and memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Cpu, in thousandths of a core.
    pub cpu: u64,
    /// Memory, in bytes.
    pub memory: u64,
}

pub(super) async fn check(client: &Client, wanted: Room) -> Check {
    let name = "free cpu and memory";
    let (nodes, pods) = match all(client).await {
        Ok(found) => found,
        Err(error) => return Check::unknown(name, &error),
    };
    judge(name, wanted, &nodes, &pods)
}

async fn all(client: &Client) -> kube::Result<(Vec<Node>, Vec<Pod>)> {
    // Pods that have ended hold nothing.
    let alive = ListParams::default().fields("status.phase!=Succeeded,status.phase!=Failed");
    let (nodes, pods) = (
        Api::<Node>::all(client.clone()),
        Api::<Pod>::all(client.clone()),
    );
    let everything = ListParams::default();
    let (nodes, pods) =
        futures::future::try_join(nodes.list(&everything), pods.list(&alive)).await?;
    Ok((nodes.items, pods.items))
}

fn judge(name: &str, wanted: Room, nodes: &[Node], pods: &[Pod]) -> Check {
    let open: Vec<&Node> = nodes.iter().filter(|node| takes_pods(node)).collect();
    if open.is_empty() {
        return Check::failed(name, "no node takes pods", "add a node, or uncordon one");
    }
    let (mut cpu, mut memory) = (0, 0);
    for node in open {
        let allocatable = node
            .status
            .as_ref()
            .and_then(|status| status.allocatable.as_ref());
        let on_node = pods.iter().filter(|pod| {
            let node_name = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
            node_name.is_some() && node_name == node.metadata.name.as_deref()
        });
        let Some(used) = on_node
            .map(requests)
            .try_fold((0, 0), |sum, one| Some((sum.0 + one?.0, sum.1 + one?.1)))
        else {
            return Check::new(
                name,
                State::Unknown,
                "a pod has requests that cannot be read",
            );
        };
        let (Some(has_cpu), Some(has_memory)) =
            (amount(allocatable, "cpu"), amount(allocatable, "memory"))
        else {
            return Check::new(
                name,
                State::Unknown,
                "a node says nothing readable of its size",
            );
        };
        cpu += (has_cpu - used.0).max(0);
        memory += (has_memory - used.1).max(0);
    }
    // Both are in thousandths.
    let memory = memory / 1_000;
    let mebi = |bytes: i128| bytes / (1 << 20);
    let free = format!("{cpu}m cpu and {} MiB are free", mebi(memory));
    let asked = format!(
        "{}m cpu and {} MiB are asked for",
        wanted.cpu,
        mebi(i128::from(wanted.memory))
    );
    if cpu >= i128::from(wanted.cpu) && memory >= i128::from(wanted.memory) {
        return Check::passed(name, format!("{free}; {asked}"));
    }
    Check::failed(
        name,
        format!("{free}; {asked}"),
        "take a smaller size, remove what is not needed, or add a node",
    )
}

/// Whether a node takes any pod: ready, not cordoned, without a taint that keeps all out.
fn takes_pods(node: &Node) -> bool {
    let conditions = node
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    let ready = conditions
        .into_iter()
        .flatten()
        .any(|one| one.type_ == "Ready" && one.status == "True");
    let spec = node.spec.as_ref();
    let cordoned = spec.and_then(|spec| spec.unschedulable) == Some(true);
    let taints = spec.and_then(|spec| spec.taints.as_ref());
    let tainted = taints
        .into_iter()
        .flatten()
        .any(|taint| taint.effect != "PreferNoSchedule");
    ready && !cordoned && !tainted
}

type Amounts = BTreeMap<String, Quantity>;

fn amount(amounts: Option<&Amounts>, name: &str) -> Option<i128> {
    thousandths(&amounts?.get(name)?.0)
}

/// What a pod requests, as the scheduler counts: its containers together with the sidecars, or its largest preparing one
/// if that is more, and its overhead; both in thousandths. None when a quantity cannot be read.
pub(super) fn requests(pod: &Pod) -> Option<(i128, i128)> {
    Some((request(pod, "cpu")?, request(pod, "memory")?))
}

fn request(pod: &Pod, name: &str) -> Option<i128> {
    let Some(spec) = &pod.spec else {
        return Some(0);
    };
    let of = |amounts: Option<&Amounts>| match amounts.and_then(|amounts| amounts.get(name)) {
        Some(quantity) => thousandths(&quantity.0),
        None => Some(0),
    };
    let requested = |container: &k8s_openapi::api::core::v1::Container| {
        of(container
            .resources
            .as_ref()
            .and_then(|resources| resources.requests.as_ref()))
    };
    let mut together = 0;
    for container in &spec.containers {
        together += requested(container)?;
    }
    let (mut sidecars, mut largest) = (0, 0);
    for container in spec.init_containers.iter().flatten() {
        let wants = requested(container)?;
        if container.restart_policy.as_deref() == Some("Always") {
            sidecars += wants;
            largest = largest.max(sidecars);
        } else {
            largest = largest.max(sidecars + wants);
        }
    }
    let of_pod = spec
        .resources
        .as_ref()
        .and_then(|resources| resources.requests.as_ref());
    let whole = match of_pod.and_then(|amounts| amounts.get(name)) {
        Some(quantity) => thousandths(&quantity.0)?,
        None => (together + sidecars).max(largest),
    };
    Some(whole + of(spec.overhead.as_ref())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[expect(clippy::needless_pass_by_value, reason = "json! makes values")]
    fn node(name: &str, taints: serde_json::Value) -> Node {
        serde_json::from_value(json!({
            "metadata": { "name": name },
            "spec": { "taints": taints },
            "status": {
                "allocatable": { "cpu": "2", "memory": "1Gi" },
                "conditions": [{ "type": "Ready", "status": "True" }],
            },
        }))
        .unwrap()
    }

    fn pod(node: &str, cpu: &str, init: &str) -> Pod {
        let resources = |cpu: &str| json!({ "requests": { "cpu": cpu, "memory": "256Mi" } });
        serde_json::from_value(json!({
            "spec": {
                "nodeName": node,
                "containers": [{ "name": "a", "resources": resources(cpu) }],
                "initContainers": [{ "name": "b", "resources": resources(init) }],
            },
        }))
        .unwrap()
    }

    #[test]
    fn what_pods_request_is_not_free() {
        let nodes = [
            node("a", json!([])),
            node("b", json!([{ "key": "gpu", "effect": "NoSchedule" }])),
        ];
        let pods = [
            pod("a", "500m", "100m"),
            pod("b", "2", "1"),
            pod("a", "250m", "1"),
        ];
        let wants = |cpu, memory| judge("room", Room { cpu, memory }, &nodes, &pods).state;
        assert_eq!(wants(500, 512 << 20), State::Passed);
        assert_eq!(wants(501, 1), State::Failed);
        assert_eq!(wants(1, (512 << 20) + 1), State::Failed);
        assert_eq!(
            judge("room", Room { cpu: 1, memory: 1 }, &[], &pods).state,
            State::Failed
        );
    }
}
