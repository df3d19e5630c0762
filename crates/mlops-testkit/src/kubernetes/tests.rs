use super::*;

/// The whole life of one, because starting it is what costs.
#[test]
fn an_api_server_answers_is_stopped_and_comes_again() {
    let cluster = TestCluster::start();
    let folder = cluster.kubeconfig();
    let folder = folder.parent().unwrap().to_owned();
    let ask = |path: &str, user: Option<&Credentials>| {
        let mut curl = std::process::Command::new("curl");
        curl.args(["--silent", "--show-error", "--max-time", "10", "--cacert"])
            .arg(folder.join("ca.crt"));
        if let Some(user) = user {
            let [certificate, key] = user.write(&folder, "test-user");
            curl.arg("--cert").arg(certificate).arg("--key").arg(key);
        }
        let output = curl
            .arg(format!("{}{path}", cluster.url()))
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let admin = cluster.client("admin", Some("system:masters"));
    let version = ask("/version", Some(&admin));
    assert!(version.contains(&format!("v{VERSION}")), "{version}");
    let stranger = cluster.client("somebody", None);
    let refused = ask("/api/v1/namespaces", Some(&stranger));
    assert!(refused.contains("Forbidden"), "{refused}");
    assert!(cluster.audit_log().contains("somebody"));

    cluster.stop_api_server();
    assert_eq!(ask("/version", Some(&admin)), "");
    cluster.start_api_server();
    assert!(ask("/version", Some(&admin)).contains(VERSION));

    drop(cluster);
    assert!(!folder.exists(), "{} is left", folder.display());
}
