//! Somebody who may do on a cluster just what the tool says that it needs, and what they asked of it.

use std::path::PathBuf;
use std::process::Child;
use std::time::Instant;

use mlops_testkit::kubernetes::TestNode;
use serde_json::{Value, json};

use super::home::{Home, Said};

/// The context that leads to the node; the current one leads nowhere.
const CONTEXT: &str = "node";

/// The least rights for a platform, in the hands of a `ServiceAccount` of its name.
pub(super) struct Account<'a> {
    home: &'a Home,
    node: &'static TestNode,
    name: String,
    kubeconfig: PathBuf,
    /// What is outside of the platform's namespace.
    made: Vec<String>,
}

impl<'a> Account<'a> {
    /// The command says which rights the platform takes, and an administrator gives them.
    pub(super) fn new(home: &'a Home, node: &'static TestNode, name: &str) -> Self {
        let mut account = Self {
            home,
            node,
            name: name.to_owned(),
            kubeconfig: home.path("kubeconfig"),
            made: Vec::new(),
        };
        // The rights are derived without asking anybody: there are no credentials yet.
        account.write(&json!({}));
        let named = format!("default/{name}");
        let said = account
            .run(&["rights", "--account", &named, "--output", "json"])
            .expect(0);
        assert!(!said.out.contains("\"*\""), "{}", said.out);
        // A role in a namespace needs the namespace, which comes first, with the platform's labels.
        for object in said.json()["items"].as_array().unwrap() {
            let text = |path: &str| object.pointer(path).and_then(Value::as_str);
            let kind = text("/kind").unwrap().to_lowercase();
            let place = match text("/metadata/namespace") {
                Some(namespace) => format!("namespaces/{namespace}/{kind}s"),
                None => format!("{kind}s"),
            };
            let path = match text("/apiVersion").unwrap() {
                "v1" => format!("/api/v1/{place}"),
                version => format!("/apis/{version}/{place}"),
            };
            account.make(&path, object);
            if kind.starts_with("cluster") {
                let own = text("/metadata/name").unwrap();
                account.made.push(format!("{path}/{own}"));
            }
        }
        let accounts = "/api/v1/namespaces/default/serviceaccounts";
        account.make(accounts, &json!({ "metadata": { "name": name } }));
        account.made.push(format!("{accounts}/{name}"));
        let wish = json!({ "spec": { "audiences": ["https://kubernetes.default.svc"] } });
        let token = account.make(&format!("{accounts}/{name}/token"), &wish);
        account.write(&json!({ "token": token["status"]["token"] }));
        account
    }

    /// As an administrator; what a run before this one left is taken as it is.
    fn make(&self, path: &str, object: &Value) -> Value {
        let (code, text) = self.node.request("POST", path, Some(&object.to_string()));
        assert!(matches!(code, 201 | 409), "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// A kubeconfig of two contexts, of which the current one leads nowhere.
    fn write(&self, user: &Value) {
        let text = std::fs::read_to_string(self.node.kubeconfig()).unwrap();
        let admin: Value = serde_json::from_str(&text).unwrap();
        let cluster = &admin["clusters"][0]["cluster"];
        let mut nowhere = cluster.clone();
        nowhere["server"] = json!("https://127.0.0.1:1");
        let context = |cluster: &str| json!({ "cluster": cluster, "user": "least" });
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "nowhere",
            "clusters": [
                { "name": "nowhere", "cluster": nowhere },
                { "name": "there", "cluster": cluster },
            ],
            "contexts": [
                { "name": "nowhere", "context": context("nowhere") },
                { "name": CONTEXT, "context": context("there") },
            ],
            "users": [{ "name": "least", "user": user }],
        });
        std::fs::write(&self.kubeconfig, config.to_string()).unwrap();
    }

    /// Arguments, behind those that lead to the cluster with these rights.
    pub(super) fn given<'b>(&'b self, args: &[&'b str]) -> Vec<&'b str> {
        let kubeconfig = self.kubeconfig.to_str().unwrap();
        [&["--kubeconfig", kubeconfig, "--context", CONTEXT], args].concat()
    }

    /// Starts the command with these rights and does not wait.
    pub(super) fn start(&self, args: &[&str]) -> Child {
        self.home.start(&self.given(args))
    }

    /// What the last started command wrote.
    pub(super) fn started_log(&self) -> String {
        self.home.started_log()
    }

    /// The command with these rights.
    pub(super) fn run(&self, args: &[&str]) -> Said {
        let begun = Instant::now();
        let said = self.home.run(&self.given(args));
        println!("{args:?}: {:.1} s", begun.elapsed().as_secs_f32());
        said
    }

    /// Runs something that has nothing to do, and asserts that nothing was written: the Lease of a run included.
    #[track_caller]
    pub(super) fn run_without_a_write(&self, args: &[&str]) -> Said {
        let known = self.node.audit_log().len();
        let said = self.run(args).expect(0);
        let log = self.node.audit_log();
        let user = format!("system:serviceaccount:default:{}", self.name);
        let requests = requests(&log[known..], &user);
        assert!(requests.len() > 5, "{requests:?}");
        let is_read = |(verb, resource, _): &&Asked| {
            // A port that leads to a pod is a connection and no write.
            matches!(verb.as_str(), "get" | "list" | "watch") || resource == "pods/portforward"
        };
        let writes: Vec<_> = requests.iter().filter(|one| !is_read(one)).collect();
        assert!(writes.is_empty(), "{args:?}: {writes:?}");
        println!("{args:?}: {} requests", requests.len());
        said
    }

    /// Takes the rights away again; those in the platform's namespace have gone with it.
    pub(super) fn end(self) {
        for path in &self.made {
            self.node.remove(path);
        }
    }
}

/// A request: verb, resource, name.
type Asked = (String, String, String);

/// What a user asked of the API server, by lines of its audit log.
fn requests(log: &str, user: &str) -> Vec<Asked> {
    let mut requests = Vec::new();
    for line in log.lines() {
        let entry: Value = serde_json::from_str(line).unwrap();
        let text = |path: &str| {
            let found = entry.pointer(path).and_then(Value::as_str);
            found.unwrap_or_default()
        };
        if text("/user/username") != user || text("/stage") != "ResponseComplete" {
            continue;
        }
        let resource = match (text("/objectRef/resource"), text("/objectRef/subresource")) {
            ("", _) => text("/requestURI").to_owned(),
            (resource, "") => resource.to_owned(),
            (resource, sub) => format!("{resource}/{sub}"),
        };
        let name = text("/objectRef/name").to_owned();
        requests.push((text("/verb").to_owned(), resource, name));
    }
    requests
}
