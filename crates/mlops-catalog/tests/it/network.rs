//! Who may speak with whom, as a judge of network policies says it for each pair of pods.

use std::collections::BTreeSet;

use mlops_core::Graph;
use mlops_testkit::kubernetes::cyclonus::judge;
use serde_json::{Value, json};

use crate::cluster::{EXTERNAL, default, graph, object, objects};

/// A pod that may send or receive, or an address outside of the cluster.
#[derive(Debug, Clone)]
struct Peer {
    /// What it is called here.
    name: String,
    /// The component that it belongs to; none of the platform's when it is somebody else.
    component: Option<String>,
    /// Namespace and labels; `None` outside of the cluster.
    pod: Option<(String, Value)>,
    /// Protocol and number of what it listens at.
    ports: Vec<(&'static str, u64)>,
}

impl Peer {
    fn stranger(name: &str, namespace: &str, labels: Value) -> Self {
        Self {
            name: name.to_owned(),
            component: None,
            pod: Some((namespace.to_owned(), labels)),
            ports: Vec::new(),
        }
    }

    fn outside(address: &str, port: u64) -> Self {
        Self {
            name: address.to_owned(),
            component: None,
            pod: None,
            ports: vec![("TCP", port)],
        }
    }

    fn to_json(&self, at: usize) -> Value {
        let Some((namespace, labels)) = &self.pod else {
            return json!({ "IP": self.name });
        };
        json!({
            "IP": format!("10.66.0.{}", at + 10),
            "Internal": {
                "Namespace": namespace, "PodLabels": labels,
                "NamespaceLabels": { "kubernetes.io/metadata.name": namespace },
            },
        })
    }
}

/// The pods of a platform, by the templates of its workloads and jobs.
fn pods_of(graph: &Graph) -> Vec<Peer> {
    let mut pods = Vec::new();
    for object in objects(graph) {
        let template = &object["spec"]["template"];
        let Some(containers) = template["spec"]["containers"].as_array() else {
            continue;
        };
        let labels = &template["metadata"]["labels"];
        let ports = containers.iter().filter_map(|one| one["ports"].as_array());
        let ports = ports
            .flatten()
            .map(|port| ("TCP", port["containerPort"].as_u64().unwrap()));
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        pods.push(Peer {
            name: text(&object["metadata"]["name"]),
            component: Some(text(&labels["app.kubernetes.io/name"])),
            pod: Some((text(&object["metadata"]["namespace"]), labels.clone())),
            ports: ports.collect(),
        });
    }
    pods
}

/// The platform's pods, and everybody else who could be there: a pod without labels beside them, one of another
/// namespace that looks like each of them, the servers of names, and the world.
fn everybody(graph: &Graph) -> Vec<Peer> {
    let mut all = pods_of(graph);
    let namespace = all[0].pod.clone().unwrap().0;
    let doubles: Vec<Peer> = all
        .iter()
        .map(|pod| Peer {
            name: format!("double of {}", pod.name),
            component: None,
            pod: Some(("elsewhere".to_owned(), pod.pod.clone().unwrap().1)),
            ports: pod.ports.clone(),
        })
        .collect();
    all.extend(doubles);
    all.push(Peer::stranger(
        "stranger",
        &namespace,
        json!({ "app": "stranger" }),
    ));
    all.push(Peer {
        ports: vec![("UDP", 53), ("TCP", 53), ("TCP", 9153)],
        ..Peer::stranger("names", "kube-system", json!({ "k8s-app": "kube-dns" }))
    });
    all.push(Peer::outside("198.51.100.1", 443));
    all.push(Peer::outside("198.51.100.2", 6432));
    all.push(Peer::outside("192.0.2.7", 9000));
    // Whoever listens at nothing is tried at a port of everybody, so that a rule without ports is seen.
    let ports: BTreeSet<_> = all.iter().flat_map(|one| one.ports.clone()).collect();
    for one in all.iter_mut().filter(|one| one.ports.is_empty()) {
        one.ports = ports.iter().copied().chain([("TCP", 22)]).collect();
    }
    all
}

/// A connection: who, to whom, protocol and port.
pub(crate) type Connection = (String, String, &'static str, u64);

/// Every connection that could be tried, and which of them the judge allows.
fn judged(policies: &[Value], all: &[Peer]) -> (usize, BTreeSet<Connection>) {
    let mut connections: Vec<Connection> = Vec::new();
    let mut traffic = Vec::new();
    for (from, source) in all.iter().enumerate() {
        for (to, target) in all.iter().enumerate() {
            if from == to || source.component.is_none() && target.component.is_none() {
                continue;
            }
            for (protocol, port) in &target.ports {
                connections.push((source.name.clone(), target.name.clone(), protocol, *port));
                traffic.push(json!({
                    "Source": source.to_json(from), "Destination": target.to_json(to),
                    "Protocol": protocol, "ResolvedPort": port, "ResolvedPortName": "",
                }));
            }
        }
    }
    let policies = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicyList", "items": policies,
    });
    let verdicts = judge(&policies.to_string(), &Value::from(traffic).to_string());
    assert_eq!(verdicts.len(), connections.len(), "one verdict each");
    let tried = connections.len();
    let allowed = connections.into_iter().zip(verdicts);
    (
        tried,
        allowed
            .filter(|(_, allowed)| *allowed)
            .map(|(one, _)| one)
            .collect(),
    )
}

/// What the bindings of the graph ask for, and no more: each consumer to its provider's port, everybody to names.
fn wanted(graph: &Graph, all: &[Peer]) -> BTreeSet<Connection> {
    let mut wanted = BTreeSet::new();
    for source in all.iter().filter(|one| one.component.is_some()) {
        for target in all {
            for (protocol, port) in &target.ports {
                let is_bound = graph.bindings.iter().any(|binding| {
                    let service = &graph.services[&binding.service];
                    Some(binding.consumer.as_str()) == source.component.as_deref()
                        && match (&service.component, &service.external) {
                            (Some(provider), _) => {
                                target.component.as_deref() == Some(provider.as_str())
                                    && service.port.map(u64::from) == Some(*port)
                                    && *protocol == "TCP"
                            }
                            (None, Some(url)) => {
                                // Policies know no names: a server that has one is allowed by its port alone.
                                let host = url.host_str().unwrap();
                                let is_named = host.parse::<std::net::IpAddr>().is_err();
                                url.port().map(u64::from) == Some(*port)
                                    && *protocol == "TCP"
                                    && target.component.is_none()
                                    && (is_named || host == target.name)
                            }
                            (None, None) => false,
                        }
                });
                let is_names = target.pod.is_some() && target.component.is_none() && *port == 53;
                if source.name != target.name && (is_bound || is_names) {
                    wanted.insert((source.name.clone(), target.name.clone(), *protocol, *port));
                }
            }
        }
    }
    wanted
}

fn policies_of(graph: &Graph) -> Vec<Value> {
    let mut all = objects(graph);
    all.retain(|object| object["kind"] == "NetworkPolicy");
    all
}

/// What the judge allows among the pods of a platform and everybody else: what the bindings ask for, and nothing else.
pub(crate) fn judged_by_bindings(graph: &Graph) -> BTreeSet<Connection> {
    let all = everybody(graph);
    let (tried, allowed) = judged(&policies_of(graph), &all);
    assert!(tried > 200, "{tried}");
    assert_eq!(allowed, wanted(graph, &all));
    allowed
}

#[test]
fn network_policies_allow_the_bindings_and_nothing_else() {
    let graph = default();
    let (all, policies) = (everybody(&graph), policies_of(&graph));
    let allowed = judged_by_bindings(&graph);
    for (from, to, port) in [
        ("mlflow", "postgres", 5432),
        ("mlflow", "s3", 7070),
        ("model-server", "mlflow", 5000),
    ] {
        let pair = |one: &Connection| one.0 == from && one.1 == to && one.2 == "TCP";
        let ports: Vec<u64> = allowed
            .iter()
            .filter(|one| pair(one))
            .map(|one| one.3)
            .collect();
        assert_eq!(ports, [port], "{from} to {to}");
    }

    // The judge is awake: every policy is needed, and none may be wider.
    for at in 0..policies.len() {
        let (name, mut fewer) = (&policies[at]["metadata"]["name"], policies.clone());
        fewer.remove(at);
        assert_ne!(judged(&fewer, &all).1, allowed, "without {name}");
        let mut wider = policies.clone();
        for (rules, peers) in [("ingress", "from"), ("egress", "to")] {
            if let Some(rule) = wider[at]["spec"][rules].get_mut(0) {
                rule[peers] = json!([]);
                rule["ports"] = json!([]);
            }
        }
        assert_ne!(judged(&wider, &all).1, allowed, "with a wider {name}");
    }
}

#[test]
fn servers_from_outside_are_reached_and_nothing_else() {
    let graph = graph(EXTERNAL);
    let allowed = judged_by_bindings(&graph);
    for (target, port) in [("198.51.100.2", 6432), ("192.0.2.7", 9000)] {
        assert!(allowed.contains(&("mlflow".to_owned(), target.to_owned(), "TCP", port)));
    }
    let egress =
        |name: &str| object(&graph, &format!("networkpolicy.{name}"))["spec"]["egress"].clone();
    assert_eq!(
        egress("mlflow-to-postgres"),
        json!([{ "ports": [{ "port": 6432, "protocol": "TCP" }] }])
    );
}
