//! What the pods of a platform's servers have been through, by component.

use std::collections::BTreeMap;

use mlops_core::{PlatformName, Result};
use mlops_k8s::k8s_openapi::api::core::v1::Pod;
use mlops_k8s::k8s_openapi::jiff::Timestamp;
use mlops_k8s::kube::Api;
use mlops_k8s::kube::api::ListParams;
use mlops_k8s::target::ClusterTarget;

/// The label with the component of a pod.
const COMPONENT: &str = "app.kubernetes.io/name";

/// The pods of one component.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Pods {
    /// How often a container of theirs was started again.
    pub(super) restarts: u32,
    /// Since when all of them are ready, or since when the first is not.
    pub(super) since: Option<Timestamp>,
    are_ready: bool,
}

impl Pods {
    /// Milliseconds for which they have been so; `None` when nobody knows.
    pub(super) fn since_ms(&self, now: Timestamp) -> Option<u64> {
        let passed = now.as_millisecond() - self.since?.as_millisecond();
        // The cluster's clock may be ahead of ours.
        Some(u64::try_from(passed).unwrap_or_default())
    }
}

/// Asks for the pods that are there now.
pub(super) async fn pods_of(
    cluster: &ClusterTarget,
    platform: &PlatformName,
) -> Result<BTreeMap<String, Pods>> {
    let pods: Api<Pod> = Api::namespaced(cluster.client().await?, cluster.namespace());
    let ours = format!("app.kubernetes.io/instance={platform}");
    let found = pods.list(&ListParams::default().labels(&ours)).await;
    let found =
        found.map_err(|error| mlops_k8s::wrap(error, format!("look at the pods of `{ours}`")))?;
    Ok(by_component(&found.items))
}

fn by_component(pods: &[Pod]) -> BTreeMap<String, Pods> {
    let mut found: BTreeMap<String, Pods> = BTreeMap::new();
    for pod in pods {
        let labels = pod.metadata.labels.as_ref();
        let Some(component) = labels.and_then(|labels| labels.get(COMPONENT)) else {
            continue;
        };
        if is_of_job(pod) {
            continue;
        }
        let own = of(pod);
        match found.get_mut(component) {
            Some(all) => join(all, &own),
            None => drop(found.insert(component.clone(), own)),
        }
    }
    found
}

/// Whether a pod belongs to a Job, which runs once and serves nobody.
fn is_of_job(pod: &Pod) -> bool {
    let mut owners = pod.metadata.owner_references.iter().flatten();
    owners.any(|owner| owner.kind == "Job")
}

fn of(pod: &Pod) -> Pods {
    let Some(status) = &pod.status else {
        return Pods::default();
    };
    let init = status.init_container_statuses.iter().flatten();
    let containers = init.chain(status.container_statuses.iter().flatten());
    let restarts = containers
        .filter_map(|container| u32::try_from(container.restart_count).ok())
        .sum();
    let mut conditions = status.conditions.iter().flatten();
    let ready = conditions.find(|condition| condition.type_ == "Ready");
    let changed = ready.and_then(|ready| ready.last_transition_time.as_ref());
    Pods {
        restarts,
        since: changed.map(|time| time.0),
        are_ready: ready.is_some_and(|ready| ready.status == "True"),
    }
}

/// One pod that is not ready counts for all: then since when the first is not, otherwise since when the last is ready.
fn join(all: &mut Pods, one: &Pods) {
    all.restarts += one.restarts;
    let known = [all.since, one.since].into_iter().flatten();
    all.since = match (all.are_ready, one.are_ready) {
        (true, true) => known.max(),
        (false, false) => known.min(),
        (false, true) => all.since,
        (true, false) => one.since,
    };
    all.are_ready &= one.are_ready;
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(owner: &str, component: &str, restarts: [u32; 2], ready: (&str, &str)) -> Pod {
        let container = |name: &str, restarts: u32| json!({ "name": name, "image": "", "imageID": "", "ready": true, "restartCount": restarts });
        let [first, second] = restarts;
        let mut labels = json!({});
        labels[COMPONENT] = Value::from(component);
        serde_json::from_value(json!({
            "metadata": {
                "labels": labels,
                "ownerReferences": [{ "apiVersion": "v1", "kind": owner, "name": "a", "uid": "b" }],
            },
            "status": {
                "initContainerStatuses": [container("first", first)],
                "containerStatuses": [container("second", second)],
                "conditions": [
                    { "type": "Initialized", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z" },
                    { "type": "Ready", "status": ready.0, "lastTransitionTime": ready.1 },
                ],
            },
        }))
        .unwrap()
    }

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    const EARLY: &str = "2026-01-01T10:00:00Z";
    const LATE: &str = "2026-01-01T11:00:00Z";

    #[test]
    fn restarts_are_those_of_all_containers_of_a_components_servers() {
        let pods = [
            pod("ReplicaSet", "web", [0, 1], ("True", EARLY)),
            pod("ReplicaSet", "web", [2, 4], ("True", LATE)),
            pod("Job", "web", [8, 8], ("False", LATE)),
            pod("StatefulSet", "store", [0, 0], ("False", EARLY)),
        ];
        let found = by_component(&pods);
        assert_eq!(found.keys().collect::<Vec<_>>(), ["store", "web"]);
        assert_eq!(found["web"].restarts, 7);
        assert_eq!(found["store"].restarts, 0);
        assert!(by_component(&[Pod::default()]).is_empty());
    }

    #[test]
    fn a_component_is_as_its_worst_pod_is() {
        let joined = |states: [(&str, &str); 2]| {
            let pods = states.map(|state| pod("ReplicaSet", "web", [0, 0], state));
            by_component(&pods)["web"].since
        };
        let (ready, not) = ("True", "False");
        assert_eq!(joined([(ready, EARLY), (ready, LATE)]), Some(time(LATE)));
        assert_eq!(joined([(not, EARLY), (not, LATE)]), Some(time(EARLY)));
        assert_eq!(joined([(not, LATE), (ready, EARLY)]), Some(time(LATE)));
        assert_eq!(joined([(ready, LATE), (not, EARLY)]), Some(time(EARLY)));
    }

    #[test]
    fn a_clock_that_is_ahead_is_no_negative_time() {
        let pods = Pods {
            since: Some(time(LATE)),
            ..Pods::default()
        };
        assert_eq!(pods.since_ms(time(EARLY)), Some(0));
        assert_eq!(
            Pods {
                since: Some(time(EARLY)),
                ..pods
            }
            .since_ms(time(LATE)),
            Some(3_600_000)
        );
        assert_eq!(Pods::default().since_ms(time(LATE)), None);
    }
}
