//! Preflight against a real API server and a real node.

use std::time::Duration;

use State::{Failed, Passed, Skipped, Unknown};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::Client;
use kube::api::{Api, ListParams};
use mlops_k8s::preflight::{
    PodSecurity, Preflight, PreflightReport, Right, Room, State, VolumeTrial,
};
use mlops_testkit::kubernetes::{TestCluster, TestNode};
use serde_json::json;

use crate::explain_stage::{Stage, client_of, unique};

async fn cluster() -> Stage {
    let kubeconfig = tokio::task::spawn_blocking(|| TestCluster::shared().kubeconfig())
        .await
        .unwrap();
    Stage::on(&kubeconfig).await
}

fn states(report: &PreflightReport) -> Vec<State> {
    report.checks.iter().map(|check| check.state).collect()
}

#[tokio::test]
async fn a_server_without_nodes_fails_what_needs_nodes() {
    let stage = cluster().await;
    let namespace = unique("flight");
    let restricted = json!({ "pod-security.kubernetes.io/enforce": "restricted" });
    stage
        .create_namespace(&namespace, restricted.as_object().unwrap())
        .await;
    let report = Preflight::new()
        .with_versions((1, 33), (1, 35))
        .with_namespace(&namespace)
        .with_namespace("not-there-yet")
        .with_right(Right::new("create", "apps", "deployments").in_namespace(&namespace))
        .with_admission(&namespace, PodSecurity::Restricted)
        .with_admission(&namespace, PodSecurity::Baseline)
        .with_admission("not-there-yet", PodSecurity::Restricted)
        .with_volume(VolumeTrial::new(&namespace))
        .with_ingress_class(None)
        .with_dns()
        .with_room(Room {
            cpu: 100,
            memory: 1 << 20,
        })
        .with_cert_manager(&namespace)
        .run(&stage.client)
        .await;
    assert_eq!(
        states(&report),
        [
            Passed, Passed, Passed, Passed, // version, namespaces, right
            Passed, Failed, Skipped, // a restricted pod, another, and no namespace for one
            Failed, Skipped, // no storage class, so none to try
            Failed, Failed, Failed, Failed, // ingress class, DNS, room, cert-manager
        ],
        "{report}"
    );
    assert!(
        report.checks[5].reason.contains("pod-security-violated"),
        "{report}"
    );
    assert!(
        report
            .checks
            .iter()
            .filter(|check| check.state == Failed)
            .all(|check| check.remedy.is_some())
    );
    assert_eq!(report.worst(), Failed);
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(
        serde_json::from_str::<PreflightReport>(&json).unwrap(),
        report
    );
}

#[tokio::test]
async fn what_a_visitor_may_not_ask_is_unknown_and_rights_are_answered_exactly() {
    let stage = cluster().await;
    let namespace = unique("visit");
    stage
        .create_namespace(&namespace, &serde_json::Map::new())
        .await;
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": { "name": "r", "namespace": namespace },
        "rules": [{ "apiGroups": [""], "resources": ["configmaps", "secrets"], "verbs": ["get", "create"] }],
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": { "name": "r", "namespace": namespace },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r" },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": namespace }],
    });
    stage.create(&role, &namespace).await;
    stage.create(&binding, &namespace).await;
    let visitor = client_of(&TestCluster::shared().kubeconfig(), Some(&namespace)).await;
    let right =
        |verb: &str, resource: &str| Right::new(verb, "", resource).in_namespace(&namespace);
    // Few rights are asked one by one, many by the rules of the namespace: the answers are the same.
    let few = [right("get", "configmaps"), right("delete", "configmaps")];
    let many = ["get", "create", "delete"]
        .map(|verb| [right(verb, "secrets"), right(verb, "configmaps")])
        .concat();
    let check = |rights: Vec<Right>| {
        let wanted = rights
            .into_iter()
            .fold(Preflight::new(), Preflight::with_right);
        let visitor = visitor.clone();
        async move { wanted.run(&visitor).await }
    };
    // Rights come into force some moments after they were given.
    while states(&check(vec![right("get", "configmaps")]).await) != [Passed] {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(states(&check(few.to_vec()).await), [Passed, Failed]);
    assert_eq!(
        states(&check(many).await),
        [Passed, Passed, Passed, Passed, Failed, Failed]
    );
    let blind = Preflight::new()
        .with_namespace(&namespace)
        .with_ingress_class(Some("nginx"))
        .with_dns()
        .with_room(Room { cpu: 1, memory: 1 })
        .with_admission(&namespace, PodSecurity::Restricted)
        .run(&visitor)
        .await;
    assert_eq!(states(&blind), [Unknown; 5], "{blind}");
}

async fn left_over(client: &Client, namespace: &str) -> usize {
    let ours = ListParams::default().labels("mlops-k8s.preflight");
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let deleted = |meta: &kube::api::ObjectMeta| meta.deletion_timestamp.is_some();
    let claims = claims.list(&ours).await.unwrap().items;
    let pods = pods.list(&ours).await.unwrap().items;
    claims
        .iter()
        .filter(|claim| !deleted(&claim.metadata))
        .count()
        + pods.iter().filter(|pod| !deleted(&pod.metadata)).count()
}

#[tokio::test]
async fn on_a_node_a_volume_binds_and_nothing_is_left_over() {
    let (node, own) = tokio::task::spawn_blocking(|| {
        let node = TestNode::shared();
        (node, node.own_namespace("volume"))
    })
    .await
    .unwrap();
    let stage = Stage::on(&node.kubeconfig()).await;
    let namespace = own.name().to_owned();
    let silent = json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": { "name": namespace },
        "provisioner": "silent.example.com",
    });
    stage.create(&silent, &namespace).await;
    let trial = || VolumeTrial::new(&namespace).with_image("localhost/busybox:1");
    let wanted = Preflight::new()
        .with_volume(trial())
        .with_volume(
            trial()
                .with_class(&namespace)
                .with_patience(Duration::from_secs(2)),
        )
        .with_volume(trial().with_class("nowhere"))
        .with_room(Room {
            cpu: 10,
            memory: 1 << 20,
        })
        .with_dns();
    let report = wanted.run(&stage.client).await;
    let expected = [Passed, Passed, Passed, Failed, Failed, Skipped, Passed];
    assert_eq!(states(&report)[..7], expected, "{report}");
    assert!(
        report.checks[3].reason.contains("not bound after 2 s"),
        "{report}"
    );
    assert_eq!(left_over(&stage.client, &namespace).await, 0);
    // A trial that is given up in the middle clears up behind itself.
    let given_up = trial().with_class(&namespace);
    let run = Preflight::new().with_volume(given_up);
    let unfinished = tokio::time::timeout(Duration::from_secs(1), run.run(&stage.client)).await;
    assert!(unfinished.is_err());
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while left_over(&stage.client, &namespace).await > 0 {
        assert!(
            std::time::Instant::now() < deadline,
            "something is left over"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let classes: Api<k8s_openapi::api::storage::v1::StorageClass> = Api::all(stage.client.clone());
    classes
        .delete(&namespace, &kube::api::DeleteParams::default())
        .await
        .unwrap();
}
