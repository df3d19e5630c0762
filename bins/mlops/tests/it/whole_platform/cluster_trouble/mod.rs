//! Platforms on a cluster where something goes wrong: the same end state as ever, or a clear word.
//!
//! All of them are on one node, with an API server, a store and an audit log of its own.

mod broken;
mod faults;
mod hostile;
mod kills;
mod quiet;

use std::collections::BTreeMap;
use std::sync::{OnceLock, RwLock, RwLockReadGuard, RwLockWriteGuard};

use mlops_testkit::kubernetes::{BUSYBOX, TestNode};
use serde_json::Value;

use super::home::{Home, Said};

/// Held by those that break the node for writing, by all others for reading.
static CALM: RwLock<()> = RwLock::new(());

fn calm() -> RwLockReadGuard<'static, ()> {
    CALM.read()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn alone() -> RwLockWriteGuard<'static, ()> {
    CALM.write()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The node of these tests, with the images of PostgreSQL and S3.
fn node() -> &'static TestNode {
    static NODE: OnceLock<TestNode> = OnceLock::new();
    NODE.get_or_init(|| {
        let environment = mlops_testkit::python::python();
        let environment = environment.ancestors().nth(2).unwrap();
        let node = TestNode::start();
        node.import_storage(environment);
        node
    })
}

/// A platform on the node: PostgreSQL, S3, and a component that uses both.
struct Site {
    name: String,
    home: Home,
}

/// The whole: servers and their bindings.
const WHOLE: &str = "components: { mlflow: { enabled: false }, model-server: { enabled: false }, notes: {} }\nmodels: []\n";
/// Objects and a pod only.
const LIGHT: &str = "components: { postgres: { enabled: false }, s3: { enabled: false }, mlflow: { enabled: false }, model-server: { enabled: false }, leaves: {} }\nmodels: []\n";

const NOTES: &str = "
name: notes
title: Notes
description: Keeps notes in a database and attachments in a bucket.
keeps: Its database and its bucket.
services:
  notes: { scheme: http, cluster_port: 8000 }
bindings:
  store: { capability: postgres, description: The notes., database: notes, starts_without: true }
  files: { capability: s3, description: The attachments., bucket: NAME-files, starts_without: true }
secrets:
  session-key: { description: Signs the cookies., length: 64, alphabet: hex }
cluster:
  images:
    server: IMAGE
  secrets:
    notes:
      SESSION_KEY: \"{{ secret('notes/session-key') }}\"
      PASSWORD: \"{{ secret(bindings.store.password) }}\"
";

const LEAVES: &str = "
name: leaves
title: Leaves
description: Keeps nothing.
keeps: Nothing.
services:
  leaves: { scheme: http, cluster_port: 8000 }
secrets:
  one: { description: The first., length: 40 }
  two: { description: The second., length: 40 }
cluster:
  images:
    server: IMAGE
  secrets:
    leaves:
      ONE: \"{{ secret('leaves/one') }}\"
      TWO: \"{{ secret('leaves/two') }}\"
";

/// A pod that answers over HTTP with a file of a `ConfigMap`.
const SERVER: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: { name: COMPONENT }
spec:
  replicas: 1
  template:
    spec:
      terminationGracePeriodSeconds: 0
      containers:
        - name: server
          image: {{ image('server') }}
          command: [httpd, -f, -p, "8000", -h, /pages]
          ports: [{ name: http, containerPort: 8000 }]
          readinessProbe: { httpGet: { path: /index.html, port: 8000 }, periodSeconds: 1 }
          resources:
            requests: { cpu: 1m, memory: 8Mi }
            limits: { cpu: 500m, memory: 32Mi }
          envFrom: [{ secretRef: { name: COMPONENT } }]
          volumeMounts: [{ name: pages, mountPath: /pages }]
      volumes: [{ name: pages, configMap: { name: COMPONENT } }]
"#;

const PAGES: &str =
    "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: COMPONENT }\ndata: { index.html: hello }\n";

impl Site {
    /// A platform that is not there yet, in a namespace of its own.
    fn new(name: &str, kubeconfig: &str, content: &str) -> Self {
        let home = Home::of_cluster(node());
        let site = Self {
            name: name.to_owned(),
            home,
        };
        let text = format!(
            "name: {name}\ntarget: cluster\ncluster: {{ kubeconfig: kubeconfig }}\n{content}"
        );
        site.write("platform.yaml", &text);
        site.write("kubeconfig", kubeconfig);
        for (component, text) in [("notes", NOTES), ("leaves", LEAVES)] {
            let (image, tag) = BUSYBOX.rsplit_once(':').unwrap();
            let image = format!("{{ name: {image}, tag: \"{tag}\" }}");
            let text = text.replace("IMAGE", &image).replace("NAME", name);
            site.write(&format!("catalog/{component}/component.yaml"), &text);
            for (file, text) in [("server", SERVER), ("pages", PAGES)] {
                let text = text.replace("COMPONENT", component);
                site.write(&format!("catalog/{component}/objects/{file}.yaml"), &text);
            }
        }
        site
    }

    /// One that an administrator uses.
    fn of_admin(name: &str, content: &str) -> Self {
        let kubeconfig = std::fs::read_to_string(node().kubeconfig()).unwrap();
        Self::new(name, &kubeconfig, content)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.home.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        // Whoever reads it meanwhile finds the old text or the new.
        let draft = path.with_extension("draft");
        std::fs::write(&draft, text).unwrap();
        std::fs::rename(&draft, &path).unwrap();
    }

    fn run(&self, args: &[&str]) -> Said {
        self.home.run(&Self::args(args))
    }

    fn args<'a>(args: &[&'a str]) -> Vec<&'a str> {
        [&["--catalog", "catalog"], args].concat()
    }

    fn start(&self, args: &[&str]) -> std::process::Child {
        self.home.start(&Self::args(args))
    }

    fn path(&self, rest: &str) -> String {
        format!("/api/v1/namespaces/{}/{rest}", self.name)
    }

    /// The items of a list.
    fn items(path: &str) -> Vec<Value> {
        let text = node().get(path);
        let list: Value =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        list["items"].as_array().cloned().unwrap_or_default()
    }

    /// The names of everything of the platform that is in its namespace, by kind.
    fn objects(&self) -> Vec<String> {
        let mut names = Vec::new();
        for (api, kind) in [
            ("api/v1", "configmaps"),
            ("api/v1", "persistentvolumeclaims"),
            ("api/v1", "secrets"),
            ("api/v1", "services"),
            ("api/v1", "serviceaccounts"),
            ("apis/apps/v1", "deployments"),
            ("apis/apps/v1", "statefulsets"),
            ("apis/batch/v1", "jobs"),
            ("apis/networking.k8s.io/v1", "networkpolicies"),
            ("apis/policy/v1", "poddisruptionbudgets"),
        ] {
            for item in Self::items(&format!("/{api}/namespaces/{}/{kind}", self.name)) {
                names.push(format!(
                    "{kind}/{}",
                    item["metadata"]["name"].as_str().unwrap()
                ));
            }
        }
        names
    }

    /// The platform's secrets as they are kept, by name.
    fn secrets(&self) -> BTreeMap<String, String> {
        let ours = |item: &Value| item["type"] == "mlops.dev/secret";
        let items = Self::items(&self.path("secrets")).into_iter().filter(ours);
        items
            .map(|item| {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                (text(&item["metadata"]["name"]), text(&item["data"]["text"]))
            })
            .collect()
    }

    /// Everything is as described, and nothing is to be done.
    #[track_caller]
    fn assert_whole(&self) {
        self.run(&["plan", "--exit-code"]).expect(0);
        self.run(&["check"]).expect(0);
    }

    #[track_caller]
    fn remove(&self) {
        self.run(&["remove", "--yes", "--all-data"]).expect(0);
        self.assert_gone();
    }

    /// Nothing is left of the platform.
    #[track_caller]
    fn assert_gone(&self) {
        let (code, text) =
            node().request("GET", &format!("/api/v1/namespaces/{}", self.name), None);
        assert_eq!(code, 404, "{text}");
    }

    fn seconds(&self, begun: std::time::Instant) {
        println!("{}: {:.1} s", self.name, begun.elapsed().as_secs_f32());
    }
}

/// What a platform of [`WHOLE`] has in its namespace, with what Kubernetes puts beside it.
fn of_whole() -> Vec<String> {
    words(
        "configmaps/kube-root-ca.crt configmaps/notes configmaps/postgres
        persistentvolumeclaims/postgres persistentvolumeclaims/s3
        secrets/notes secrets/notes.postgres-password secrets/notes.s3-secret-key secrets/notes.session-key
        secrets/postgres secrets/postgres.superuser-password secrets/s3 secrets/s3.admin-secret-key
        services/notes services/postgres services/s3
        serviceaccounts/default serviceaccounts/notes serviceaccounts/postgres serviceaccounts/s3
        deployments/notes statefulsets/postgres statefulsets/s3
        networkpolicies/notes networkpolicies/notes-to-postgres networkpolicies/notes-to-s3
        networkpolicies/postgres networkpolicies/postgres-from-notes
        networkpolicies/s3 networkpolicies/s3-from-notes",
    )
}

/// The same of [`LIGHT`].
fn of_light() -> Vec<String> {
    words(
        "configmaps/kube-root-ca.crt configmaps/leaves
        secrets/leaves secrets/leaves.one secrets/leaves.two services/leaves
        serviceaccounts/default serviceaccounts/leaves deployments/leaves networkpolicies/leaves",
    )
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}
