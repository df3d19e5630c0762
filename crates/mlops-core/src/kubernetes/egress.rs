//! Egress rules of `NetworkPolicies` (<https://kubernetes.io/docs/concepts/services-networking/network-policies/>).

use std::net::IpAddr;

use serde_json::{Value, json};

use crate::service::{Endpoint, Service};

/// Asking for names: of any pod of the cluster, and of a node's own cache, which listens at a link-local address.
pub fn names() -> Value {
    json!({
        "to": [
            { "namespaceSelector": {} },
            { "ipBlock": { "cidr": "169.254.0.0/16" } },
        ],
        "ports": [{ "port": 53, "protocol": "UDP" }, { "port": 53, "protocol": "TCP" }],
    })
}

/// A server outside of the platform. Policies know addresses and no names: one that is reached by name is allowed by
/// its port alone.
pub fn outside(service: &Service) -> Value {
    let url = service.external.clone();
    let endpoint = url.and_then(|url| Endpoint::new(url).ok());
    let port = endpoint.as_ref().map(Endpoint::port);
    let address = endpoint.and_then(|endpoint| endpoint.host().parse().ok());
    match address {
        Some(address) => to_addresses(&[address], &[port.unwrap_or_default().into()]),
        None => json!({ "ports": [{ "port": port, "protocol": "TCP" }] }),
    }
}

/// TCP to these addresses at these ports.
///
/// ```
/// use mlops_core::kubernetes::egress::to_addresses;
///
/// let rule = to_addresses(&["10.1.2.3".parse().unwrap()], &[9000]);
/// assert_eq!(rule["to"][0]["ipBlock"]["cidr"], "10.1.2.3/32");
/// ```
pub fn to_addresses(addresses: &[IpAddr], ports: &[i32]) -> Value {
    let blocks = addresses.iter().map(|address| {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        json!({ "ipBlock": { "cidr": format!("{address}/{bits}") } })
    });
    let ports = ports
        .iter()
        .map(|port| json!({ "port": port, "protocol": "TCP" }));
    json!({ "to": blocks.collect::<Vec<_>>(), "ports": ports.collect::<Vec<_>>() })
}
