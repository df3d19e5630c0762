//! What the pods of a platform run, as their nodes say it.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Pod, PodSpec};
use kube::Api;
use kube::api::ListParams;
use mlops_core::Result;
use mlops_core::kubernetes::PLATFORM_LABEL;

use super::ClusterTarget;
use crate::error::wrap;

impl ClusterTarget {
    /// By each image that pods of the platform name, what their nodes run under that name (`imageID`): more than one
    /// when a tag was moved between two starts. A container that has not started yet says nothing.
    ///
    /// # Errors
    ///
    /// When the API server cannot be asked.
    pub async fn image_ids(&self) -> Result<BTreeMap<String, BTreeSet<String>>> {
        let pods: Api<Pod> = Api::namespaced(self.client().await?, self.namespace());
        let ours = ListParams::default().labels(&format!("{PLATFORM_LABEL}={}", self.platform));
        let found = pods.list(&ours).await;
        let found = found.map_err(|error| wrap(error, "look which images the pods run"))?;
        let mut ids: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for pod in &found.items {
            for (image, id) in of_pod(pod) {
                ids.entry(image).or_default().insert(id);
            }
        }
        Ok(ids)
    }
}

/// The images that a pod names, each with what its node says to run.
fn of_pod(pod: &Pod) -> Vec<(String, String)> {
    let images: BTreeMap<&str, &str> = pod.spec.iter().flat_map(named).collect();
    let status = pod.status.iter().flat_map(|status| {
        let init = status.init_container_statuses.iter().flatten();
        init.chain(status.container_statuses.iter().flatten())
    });
    status
        .filter(|status| !status.image_id.is_empty())
        .filter_map(|status| {
            // What the pod names, and not what the node calls it, is what the platform knows.
            let image = images.get(status.name.as_str())?;
            Some(((*image).to_owned(), status.image_id.clone()))
        })
        .collect()
}

fn named(spec: &PodSpec) -> impl Iterator<Item = (&str, &str)> {
    let init = spec.init_containers.iter().flatten();
    let all = init.chain(&spec.containers);
    all.filter_map(|container| Some((container.name.as_str(), container.image.as_deref()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pod_says_what_it_runs_under_the_names_of_its_description() {
        let pod: Pod = serde_json::from_value(json!({
            "spec": {
                "initContainers": [{ "name": "first", "image": "busybox" }],
                "containers": [{ "name": "a", "image": "web:1" }, { "name": "b", "image": "web:2" }],
            },
            "status": {
                "initContainerStatuses": [status("first", "docker.io/library/busybox@sha256:1")],
                "containerStatuses": [status("a", "sha256:2"), status("b", "")],
            },
        }))
        .unwrap();
        let ids = of_pod(&pod);
        let pair = |image: &str, id: &str| (image.to_owned(), id.to_owned());
        assert_eq!(
            ids,
            [
                pair("busybox", "docker.io/library/busybox@sha256:1"),
                pair("web:1", "sha256:2")
            ]
        );
    }

    fn status(name: &str, id: &str) -> serde_json::Value {
        json!({
            "name": name, "image": "some/other:name", "imageID": id, "ready": true, "restartCount": 0,
        })
    }
}
