//! The cluster itself is in trouble, or others are at work in it.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{LIGHT, Site, WHOLE, alone, calm, node};

/// A finalizer that nobody works off is told while `remove` waits for it; without it the removal ends well.
#[test]
fn a_finalizer_that_holds_a_removal_is_told() {
    let _calm = calm();
    let begun = Instant::now();
    let site = Site::of_admin("held", LIGHT);
    site.run(&["up"]).expect(0);
    let held = site.path("configmaps/leaves");
    node().patch(
        &held,
        r#"{"metadata":{"finalizers":["example.org/nobody"]}}"#,
    );
    let mut child = site.start(&["remove", "--yes", "--all-data"]);
    let deadline = Instant::now() + Duration::from_secs(30);
    while !site
        .home
        .started_log()
        .contains("held by the finalizer example.org/nobody")
    {
        let log = site.home.started_log();
        assert!(Instant::now() < deadline, "{log}");
        assert_eq!(child.try_wait().unwrap(), None, "{log}");
        std::thread::sleep(Duration::from_millis(100));
    }
    node().patch(&held, r#"{"metadata":{"finalizers":null}}"#);
    let ended = child.wait().unwrap();
    assert!(ended.success(), "{}", site.home.started_log());
    site.assert_gone();
    site.seconds(begun);
}

/// A user who signs in by a program that prints the token in a file.
struct Signed {
    site: Site,
}

impl Signed {
    fn new(name: &str, content: &str) -> Self {
        let admin: Value =
            serde_json::from_str(&std::fs::read_to_string(node().kubeconfig()).unwrap()).unwrap();
        let site = Site::new(name, "", content);
        let script = site.home.path("sign in.sh");
        let token = site.home.path("token");
        // It looks whether it was announced.
        let text = format!(
            "echo ran >> '{0}.runs'\ngrep -q 'has a program run' '{1}' || echo unsaid >> '{0}.runs'\nprintf '{{\"apiVersion\":\"client.authentication.k8s.io/v1\",\"kind\":\"ExecCredential\",\"status\":{{\"token\":\"%s\"}}}}' \"$(cat '{0}')\"\n",
            token.display(),
            site.home.path("started.log").display()
        );
        std::fs::write(&script, text).unwrap();
        let mut config = admin;
        config["users"][0]["user"] = json!({"exec": {
            "apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never",
            "command": "sh", "args": [script, "\u{1b}[2Jwiped"],
        }});
        site.write("kubeconfig", &config.to_string());
        Self { site }
    }

    /// How often the program ran, each time announced.
    #[track_caller]
    fn runs(&self) -> usize {
        let text = std::fs::read_to_string(self.site.home.path("token.runs")).unwrap();
        assert!(!text.contains("unsaid"), "{text}");
        text.lines().count()
    }

    /// Makes a token that is valid until the Secret `word` goes.
    fn token(&self, word: &str) -> String {
        let account = format!("{}-{word}", self.site.name);
        let secret = json!({"metadata": {"name": account}});
        let spaces = "/api/v1/namespaces/default";
        let made = |path: &str, body: &Value| -> Value {
            let (code, text) = node().request("POST", path, Some(&body.to_string()));
            assert!(code == 201, "{text}");
            serde_json::from_str(&text).unwrap()
        };
        made(&format!("{spaces}/secrets"), &secret);
        made(&format!("{spaces}/serviceaccounts"), &secret);
        let binding = json!({
            "metadata": {"name": account},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": "default"}],
        });
        made(
            "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
            &binding,
        );
        let wish = json!({"spec": {
            "audiences": ["https://kubernetes.default.svc"],
            "boundObjectRef": {"apiVersion": "v1", "kind": "Secret", "name": account},
        }});
        let token = made(&format!("{spaces}/serviceaccounts/{account}/token"), &wish);
        token["status"]["token"].as_str().unwrap().to_owned()
    }

    fn end_token(&self, word: &str) {
        let path = format!(
            "/api/v1/namespaces/default/secrets/{}-{word}",
            self.site.name
        );
        let (code, text) = node().request("DELETE", &path, None);
        assert_eq!(code, 200, "{text}");
    }
}

fn until(what: &str, is_true: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !is_true() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(30));
    }
}

fn is_there(path: &str) -> bool {
    node().request("GET", path, None).0 == 200
}

#[test]
fn the_api_server_restarts_the_token_ends_and_the_store_is_slow() {
    let _alone = alone();
    let signed = Signed::new("restarted", WHOLE);
    let site = &signed.site;
    let begun = Instant::now();
    let (first, second) = (signed.token("first"), signed.token("second"));
    site.write("token", &first);
    let mut up = site.start(&["up"]);
    until("the first claim was never made", || {
        is_there(&site.path("persistentvolumeclaims/s3"))
    });
    // From now on only the second token is good; a server that starts anew has not seen the first.
    site.write("token", &second);
    signed.end_token("first");
    node().stop_api_server();
    std::thread::sleep(Duration::from_secs(1));
    node().start_api_server();
    // Its store does not answer now and then.
    let store = node().etcd_pid().to_string();
    let signal = |name: &str| {
        let sent = Command::new("kill").args([name, &store]).status().unwrap();
        assert!(sent.success());
    };
    for _ in 0..6 {
        signal("-STOP");
        std::thread::sleep(Duration::from_millis(400));
        signal("-CONT");
        std::thread::sleep(Duration::from_millis(300));
    }
    let ended = up.wait().unwrap();
    let log = site.home.started_log();
    assert_eq!(ended.code(), Some(0), "{log}");
    // What will run is said before it runs, and cannot wipe it away.
    assert!(
        log.contains("has a program run for the credentials: sh"),
        "{log}"
    );
    assert!(!log.contains('\u{1b}'), "{log}");
    assert!(signed.runs() >= 2, "{}", signed.runs());
    site.assert_whole();

    // A token that nobody renews ends the run with a word; the next run goes on.
    site.write("token", &first);
    let refused = site.run(&["up"]).expect(1);
    assert!(refused.err.contains("401 Unauthorized"), "{}", refused.err);
    assert!(refused.err.contains("credentials"), "{}", refused.err);
    site.write("token", &second);
    site.run(&["up"]).expect(0);
    site.remove();
    site.seconds(begun);
}

#[test]
fn a_namespace_that_somebody_removes_is_told_and_made_again() {
    let _calm = calm();
    let site = Site::of_admin("taken-away", LIGHT);
    let begun = Instant::now();
    // Its pod never becomes ready, so that the run waits for it.
    let server = site.home.path("catalog/leaves/objects/server.yaml");
    let right = std::fs::read_to_string(&server).unwrap();
    let wrong = right.replace("path: /index.html", "path: /nowhere.html");
    site.write("catalog/leaves/objects/server.yaml", &wrong);
    let mut up = site.start(&["up"]);
    until("the workload was never made", || {
        is_there("/apis/apps/v1/namespaces/taken-away/deployments/leaves")
    });
    let (code, text) = node().request("DELETE", "/api/v1/namespaces/taken-away", None);
    assert_eq!(code, 200, "{text}");
    let removed = Instant::now();
    let ended = up.wait().unwrap();
    let log = site.home.started_log();
    assert_eq!(ended.code(), Some(1), "{log}");
    assert!(removed.elapsed() < Duration::from_secs(30), "{log}");
    assert!(
        log.contains("object-missing") || log.contains("is being removed"),
        "{log}"
    );
    // The next run waits until the old one is gone, and makes all again.
    site.write("catalog/leaves/objects/server.yaml", &right);
    site.run(&["up"]).expect(0);
    site.assert_whole();
    site.remove();
    site.seconds(begun);
}

#[test]
fn two_versions_of_the_tool_take_turns() {
    let _calm = calm();
    let site = Site::of_admin("turns", LIGHT);
    let begun = Instant::now();
    // Another version has another catalogue, and here another home as well: only the cluster knows of both.
    let other = Site::of_admin("turns", LIGHT);
    let pages = other.home.path("catalog/leaves/objects/pages.yaml");
    let text = std::fs::read_to_string(&pages)
        .unwrap()
        .replace("hello", "bye");
    other.write("catalog/leaves/objects/pages.yaml", &text);
    let (mut one, mut two) = (site.start(&["up"]), other.start(&["up"]));
    let ended = [one.wait().unwrap(), two.wait().unwrap()];
    let logs = format!("{}\n{}", site.home.started_log(), other.home.started_log());
    assert!(
        ended.iter().all(std::process::ExitStatus::success),
        "{logs}"
    );
    assert!(logs.contains("another run holds the platform"), "{logs}");
    // One of them came last: all is as that one says, and the other would change just what it has in another way.
    let plans = [&site, &other].map(|site| site.run(&["plan", "--exit-code"]));
    let mut codes = plans.each_ref().map(|said| said.code);
    let late = plans.iter().find(|said| said.code == 3).unwrap();
    codes.sort_unstable();
    assert_eq!(codes, [0, 3], "{plans:?}");
    assert!(late.out.contains("configmap.leaves"), "{}", late.out);
    assert!(!late.out.contains("secret/"), "{}", late.out);
    site.run(&["check"]).expect(0);
    site.remove();
    site.seconds(begun);
}
