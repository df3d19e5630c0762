//! How the servers of a control plane are started. All flags are those that were needed, no more.

use std::path::{Path, PathBuf};

use super::certificates::{Authority, key_pair};
use super::programs::Programs;

/// The addresses of the control plane.
pub(super) struct Addresses {
    /// Where the API server is reached, and listens at.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) etcd: u16,
    pub(super) etcd_peers: u16,
}

/// A program with its arguments.
#[derive(Debug, Clone)]
pub(super) struct Start {
    pub(super) program: PathBuf,
    pub(super) args: Vec<String>,
}

/// The names under which pods reach the API server.
const INSIDE: [&str; 4] = [
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
];

/// The address of the API server's Service: the first of `SERVICES`.
const SERVICE: &str = "10.96.0.1";

/// Who the API server is for API servers behind it.
const FRONT: &str = "front-proxy-client";

pub(super) const SERVICES: &str = "10.96.0.0/16";

/// Writes keys and certificates into `folder`.
pub(super) fn write_keys(
    folder: &Path,
    authority: &Authority,
    hosts: &[&str],
) -> std::io::Result<()> {
    std::fs::write(folder.join("ca.crt"), authority.certificate())?;
    std::fs::write(folder.join("ca.key"), authority.key())?;
    let names = [&INSIDE[..], &["localhost", "127.0.0.1", SERVICE], hosts].concat();
    authority.server(&names).write(folder, "apiserver");
    authority
        .client("kube-apiserver", Some("system:masters"))
        .write(folder, "kubelet-client");
    authority.client(FRONT, None).write(folder, "front-proxy");
    let (private, public) = key_pair();
    std::fs::write(folder.join("accounts.key"), private)?;
    std::fs::write(folder.join("accounts.pub"), public)?;
    // Every write is logged with its sender: so tests can count them.
    std::fs::write(folder.join("audit.yaml"), AUDIT)
}

const AUDIT: &str = "apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules: [{ level: Metadata }]
";

fn words(parts: &[(&str, String)]) -> Vec<String> {
    parts
        .iter()
        .map(|(flag, value)| format!("--{flag}={value}"))
        .collect()
}

pub(super) fn etcd(programs: &Programs, folder: &Path, at: &Addresses) -> Start {
    let url = |port: u16| format!("http://127.0.0.1:{port}");
    let mut args = words(&[
        ("data-dir", folder.join("etcd").display().to_string()),
        ("listen-client-urls", url(at.etcd)),
        ("advertise-client-urls", url(at.etcd)),
        ("listen-peer-urls", url(at.etcd_peers)),
        ("initial-advertise-peer-urls", url(at.etcd_peers)),
        ("initial-cluster", format!("default={}", url(at.etcd_peers))),
        ("log-level", "warn".to_owned()),
    ]);
    // Nobody loses anything when the machine stops in a test.
    args.push("--unsafe-no-fsync".to_owned());
    Start {
        program: programs.server("etcd"),
        args,
    }
}

pub(super) fn apiserver(programs: &Programs, folder: &Path, at: &Addresses) -> Start {
    let file = |name: &str| folder.join(name).display().to_string();
    let listens = if at.host == "127.0.0.1" {
        "127.0.0.1"
    } else {
        "0.0.0.0"
    };
    let mut args = words(&[
        ("etcd-servers", format!("http://127.0.0.1:{}", at.etcd)),
        ("secure-port", at.port.to_string()),
        ("bind-address", listens.to_owned()),
        ("advertise-address", at.host.clone()),
        ("tls-cert-file", file("apiserver.crt")),
        ("tls-private-key-file", file("apiserver.key")),
        ("client-ca-file", file("ca.crt")),
        ("authorization-mode", "Node,RBAC".to_owned()),
        (
            "service-account-issuer",
            "https://kubernetes.default.svc".to_owned(),
        ),
        ("service-account-key-file", file("accounts.pub")),
        ("service-account-signing-key-file", file("accounts.key")),
        ("service-cluster-ip-range", SERVICES.to_owned()),
        ("kubelet-client-certificate", file("kubelet-client.crt")),
        ("kubelet-client-key", file("kubelet-client.key")),
        ("kubelet-certificate-authority", file("ca.crt")),
        ("kubelet-preferred-address-types", "InternalIP".to_owned()),
        ("requestheader-client-ca-file", file("ca.crt")),
        ("requestheader-allowed-names", FRONT.to_owned()),
        ("requestheader-username-headers", "X-Remote-User".to_owned()),
        ("requestheader-group-headers", "X-Remote-Group".to_owned()),
        (
            "requestheader-extra-headers-prefix",
            "X-Remote-Extra-".to_owned(),
        ),
        ("proxy-client-cert-file", file("front-proxy.crt")),
        ("proxy-client-key-file", file("front-proxy.key")),
        ("audit-policy-file", file("audit.yaml")),
        ("audit-log-path", file("audit.log")),
        ("audit-log-maxsize", "1000".to_owned()),
        ("audit-log-mode", "batch".to_owned()),
        ("audit-log-batch-max-wait", "100ms".to_owned()),
        ("shutdown-watch-termination-grace-period", "0s".to_owned()),
    ]);
    args.push("--allow-privileged".to_owned());
    if at.host == "127.0.0.1" {
        // The address of a service must not be a loopback; the object of the API server's own Service is made all
        // the same, only nothing can reach it, and without a node nothing asks.
        args.push("--endpoint-reconciler-type=none".to_owned());
    }
    Start {
        program: programs.server("kube-apiserver"),
        args,
    }
}
