use serde_json::{Value, json};

use crate::objects::GroupKind;
use crate::wait::{ReadyRules, status_of};

fn seen(kind: &str, json: &Value) -> String {
    let kind: GroupKind = kind.parse().unwrap();
    status_of(&kind, json, &ReadyRules::default()).to_string()
}

#[test]
fn deployments() {
    let status = |spec: Value, status: Value| {
        seen(
            "Deployment.apps",
            &json!({"metadata": {"generation": 2}, "spec": spec, "status": status}),
        )
    };
    let ready = json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2});
    assert_eq!(status(json!({"replicas": 2}), ready), "ready");
    assert_eq!(
        status(json!({}), json!({})),
        "in progress: its controller has not seen it"
    );
    let old = json!({"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1});
    assert_eq!(
        status(json!({}), old),
        "in progress: its controller has not seen the last change"
    );
    let rolling = json!({"observedGeneration": 2, "replicas": 3, "updatedReplicas": 2, "availableReplicas": 3});
    assert_eq!(
        status(json!({"replicas": 2}), rolling),
        "in progress: 1 replicas of the old version are still there"
    );
    let late = json!({"observedGeneration": 2, "conditions": [
        {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "m"}]});
    assert_eq!(
        status(json!({}), late),
        "failed: ProgressDeadlineExceeded: m"
    );
    let scaled_down = json!({"observedGeneration": 2});
    assert_eq!(status(json!({"replicas": 0}), scaled_down), "ready");
}

#[test]
fn the_other_workloads() {
    let set = |status: Value| {
        seen(
            "StatefulSet.apps",
            &json!({"spec": {"replicas": 2}, "status": status}),
        )
    };
    assert_eq!(
        set(json!({"observedGeneration": 1, "replicas": 2, "readyReplicas": 1})),
        "in progress: 1 of 2 replicas are ready"
    );
    let rolled = json!({"observedGeneration": 1, "replicas": 2, "readyReplicas": 2, "updatedReplicas": 1,
        "currentRevision": "a", "updateRevision": "b"});
    assert_eq!(
        set(rolled),
        "in progress: 1 of 2 replicas are of the new version"
    );
    let daemons = |status: Value| seen("DaemonSet.apps", &json!({"status": status}));
    let some = json!({"observedGeneration": 1, "desiredNumberScheduled": 3, "currentNumberScheduled": 3,
        "updatedNumberScheduled": 3, "numberAvailable": 2});
    assert_eq!(
        daemons(some),
        "in progress: 2 of 3 nodes have a pod that is available"
    );
    assert_eq!(daemons(json!({"observedGeneration": 1})), "ready");
    let job = |status: Value| seen("Job.batch", &json!({"status": status}));
    assert_eq!(
        job(json!({"active": 1})),
        "in progress: 1 pods run, 0 have failed"
    );
    assert_eq!(
        job(json!({"conditions": [{"type": "Complete", "status": "True"}]})),
        "ready"
    );
    let pod = |status: Value| seen("Pod", &json!({"status": status}));
    assert_eq!(
        pod(
            json!({"phase": "Pending", "containerStatuses": [{"name": "c", "state": {"waiting": {"reason": "ImagePullBackOff"}}}]})
        ),
        "in progress: container c: ImagePullBackOff"
    );
    assert_eq!(
        pod(json!({"phase": "Failed", "reason": "Evicted"})),
        "failed: Evicted"
    );
    assert_eq!(pod(json!({"phase": "Succeeded"})), "ready");
}

#[test]
fn what_has_phases_and_conditions() {
    assert_eq!(
        seen(
            "PersistentVolumeClaim",
            &json!({"status": {"phase": "Pending"}})
        ),
        "in progress: its phase is Pending"
    );
    assert_eq!(
        seen(
            "PersistentVolumeClaim",
            &json!({"status": {"phase": "Lost"}})
        ),
        "failed: its phase is Lost"
    );
    assert_eq!(
        seen("Service", &json!({"spec": {"type": "LoadBalancer"}})),
        "in progress: its load balancer has no address"
    );
    assert_eq!(
        seen("Service", &json!({"spec": {"type": "ClusterIP"}})),
        "ready"
    );
    let names = json!({"status": {"conditions": [{"type": "NamesAccepted", "status": "False", "reason": "MultipleNamesNotAllowed"}]}});
    assert_eq!(
        seen("CustomResourceDefinition.apiextensions.k8s.io", &names),
        "failed: MultipleNamesNotAllowed"
    );
    assert_eq!(
        seen(
            "PodDisruptionBudget.policy",
            &json!({"status": {"observedGeneration": 1, "currentHealthy": 1, "desiredHealthy": 2}})
        ),
        "in progress: 1 of 2 pods are healthy"
    );
    assert_eq!(seen("ConfigMap", &json!({})), "ready");
}

#[test]
fn custom_kinds_by_their_conditions() {
    let with = |kind: &str, status: &str| {
        let conditions = json!([{"type": kind, "status": status, "message": "m\u{1b}[2J"}]);
        seen("Thing.x.io", &json!({"status": {"conditions": conditions}}))
    };
    assert_eq!(with("Ready", "True"), "ready");
    assert_eq!(with("Ready", "Unknown"), "in progress: m\u{fffd}[2J");
    assert_eq!(with("Stalled", "True"), "failed: m\u{fffd}[2J");
    assert_eq!(with("Reconciling", "True"), "in progress: m\u{fffd}[2J");
    let leaving = json!({"metadata": {"deletionTimestamp": "now", "finalizers": ["x.io/hold"]}});
    assert_eq!(
        seen("Thing.x.io", &leaving),
        "being removed: held by the finalizer x.io/hold"
    );
}
