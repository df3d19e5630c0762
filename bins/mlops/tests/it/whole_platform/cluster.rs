//! The whole platform on a real node: from nothing to a model that answers, and away again.

use mlops_testkit::kubernetes::{TestNode, platform};

use super::home::{Home, Said};

const NAME: &str = "on-a-node";

/// A node with the images of a platform, and a home with its file.
pub(super) fn start(text: &str) -> (Home, &'static TestNode) {
    let environment = mlops_testkit::python::python();
    let environment = environment.ancestors().nth(2).unwrap();
    let node = TestNode::shared();
    node.import_archive(&platform::archive(environment));
    let home = Home::on_node();
    std::fs::write(home.path("platform.yaml"), text).unwrap();
    (home, node)
}

#[test]
fn a_platform_on_a_node_answers_is_proven_and_goes() {
    let (home, node) = start(&format!("name: {NAME}\ntarget: cluster\n"));
    let kubeconfig = node.kubeconfig();
    let run = |args: &[&str]| -> Said {
        let kubeconfig = kubeconfig.to_str().unwrap();
        home.run(&[&["--kubeconfig", kubeconfig][..], args].concat())
    };

    let planned = run(&["plan", "--offline"]).expect(0);
    assert!(
        planned
            .out
            .contains("create kubernetes-object/deployment.mlflow"),
        "{}",
        planned.out
    );
    run(&["up"]).expect(0);
    let answer = run(&["predict", "iris", "--row", "5.1,3.5,1.4,0.2"]).expect(0);
    assert!(answer.out.contains("[0]"), "{}", answer.out);
    // After an apply the plan is empty, and a second `up` finds nothing to do.
    run(&["plan", "--exit-code"]).expect(0);
    let again = run(&["up"]).expect(0);
    assert!(
        again.out.contains("there was nothing to do"),
        "{}\n{}",
        again.out,
        again.err
    );
    run(&["check"]).expect(0);
    let status = run(&["status", "--output", "json"]).expect(0).json();
    let components = status["components"].as_array().unwrap();
    assert_eq!(components.len(), 4, "{status}");
    assert!(
        components.iter().all(|one| one["ready"] == true),
        "{status}"
    );
    let log = run(&["logs", "mlflow", "--lines", "50"]).expect(0);
    assert!(!log.out.is_empty());
    let password = || {
        let shown = run(&["credentials", "mlflow/admin-password", "--show"]);
        shown.expect(0).out
    };
    let first = password();

    assert_put_back(node, &run);

    run(&["down"]).expect(0);
    run(&["up"]).expect(0);
    assert_eq!(password(), first);
    let answer = run(&["predict", "iris", "--row", "5.1,3.5,1.4,0.2"]).expect(0);
    assert!(answer.out.contains("[0]"), "{}", answer.out);

    // Without a word about data, volumes and the secrets that open them stay; then everything goes.
    run(&["remove", "--yes"]).expect(0);
    let claims = node.get(&format!("/api/v1/namespaces/{NAME}/persistentvolumeclaims"));
    assert!(claims.contains(r#""name":"postgres""#), "{claims}");
    run(&["remove", "--yes", "--all-data"]).expect(0);
    let namespace = node.get(&format!("/api/v1/namespaces/{NAME}"));
    assert!(
        namespace.contains("NotFound") || namespace.contains("Terminating"),
        "{namespace}"
    );
    assert!(node.get("/api/v1/namespaces/default").contains("Active"));
}

/// What a person changed by hand is seen and put back.
fn assert_put_back(node: &TestNode, run: &dyn Fn(&[&str]) -> Said) {
    let deployment = format!("/apis/apps/v1/namespaces/{NAME}/deployments/mlflow");
    node.patch(&deployment, r#"{"spec":{"replicas":3}}"#);
    let planned = run(&["plan", "--exit-code"]).expect(3);
    assert!(
        planned.out.contains("object.spec.replicas"),
        "{}",
        planned.out
    );
    run(&["up"]).expect(0);
}
