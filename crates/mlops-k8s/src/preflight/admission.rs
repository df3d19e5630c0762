//! Whether a namespace takes a pod: a dry run, which asks quota, limits, Pod Security and webhooks.

use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, PostParams};
use serde_json::{Value, json};

use super::cluster::refused;
use super::{Check, PodSecurity, State};
use crate::explain::ObjectRef;
use crate::explain::failure::is_status;

pub(super) async fn check(client: &Client, namespace: &str, level: PodSecurity) -> Check {
    let name = format!("admission of a pod in {namespace}");
    let pod: Pod = match serde_json::from_value(pod(level)) {
        Ok(pod) => pod,
        Err(error) => return Check::new(name, State::Unknown, error.to_string()),
    };
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    match api.create(&dry_run, &pod).await {
        Ok(_) => Check::passed(name, "a dry run was taken"),
        Err(error) if is_status(&error, 404) => {
            Check::new(name, State::Skipped, "the namespace is not there yet")
                .with_remedy("create it, and ask again")
        }
        Err(error) => refused(
            &name,
            &error,
            &ObjectRef::new("v1", "Pod", Some(namespace), "mlops-preflight"),
        ),
    }
}

/// A pod that is just allowed under a level.
fn pod(level: PodSecurity) -> Value {
    let container = match level {
        PodSecurity::Restricted => restricted_container(),
        PodSecurity::Baseline => json!({}),
        PodSecurity::Privileged => json!({ "privileged": true }),
    };
    let mut pod = pod_with("mlops-preflight", "registry.k8s.io/pause:3.10");
    if let Some(first) = pod.pointer_mut("/spec/containers/0/securityContext") {
        *first = container;
    }
    pod
}

fn restricted_container() -> Value {
    json!({
        "allowPrivilegeEscalation": false,
        "runAsNonRoot": true,
        "runAsUser": 65534,
        "capabilities": { "drop": ["ALL"] },
        "seccompProfile": { "type": "RuntimeDefault" },
    })
}

/// A small pod that keeps the rules of every level.
pub(super) fn pod_with(name: &str, image: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name, "labels": { super::volume::LABEL: "pod" } },
        "spec": {
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 0,
            "containers": [{
                "name": "preflight",
                "image": image,
                "imagePullPolicy": "IfNotPresent",
                "resources": {
                    "requests": { "cpu": "1m", "memory": "4Mi" },
                    "limits": { "cpu": "10m", "memory": "16Mi" },
                },
                "securityContext": restricted_container(),
            }],
        },
    })
}
