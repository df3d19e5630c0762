//! A stage for faults: cases as data, brought to a server, and taken away again.

use std::time::Duration;

use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::discovery::{Discovery, Scope};
use kube::{Client, Config};
use mlops_k8s::explain::ObjectRef;
use serde::Deserialize;
use serde_json::Value;

use crate::support::TEST_LABEL;

/// One fault: what brings it about, and how it must be explained.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Case {
    /// The code that must be among the causes.
    pub(crate) code: String,
    /// The code of the first cause, where that is another one.
    #[serde(default)]
    pub(crate) first: Option<String>,
    /// The object that is asked about.
    pub(crate) subject: Subject,
    /// A text that the cause must show before the explanation counts as complete.
    #[serde(default)]
    pub(crate) shows: Vec<String>,
    /// As whom to ask, in place of an administrator.
    #[serde(default, rename = "as")]
    pub(crate) who: Option<String>,
    /// Labels of the namespace.
    #[serde(default)]
    pub(crate) labels: serde_json::Map<String, Value>,
    /// What is created, in order. `NS` and `RUN` stand for the namespace and a name of this run.
    #[serde(default)]
    pub(crate) objects: Vec<Value>,
    /// Whether the objects before the last must first have come into force, so that no pod is taken any more.
    #[serde(default)]
    pub(crate) pods: Pods,
    /// What is removed after that.
    #[serde(default)]
    pub(crate) removed: Option<Subject>,
}

/// Whether pods are taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Pods {
    #[default]
    Taken,
    Refused,
}

/// An object by its names, in the namespace of its case.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Subject {
    pub(crate) api_version: String,
    pub(crate) kind: String,
    pub(crate) name: String,
}

/// Cases on a server.
pub(crate) struct Stage {
    pub(crate) client: Client,
    discovery: Discovery,
    run: String,
}

pub(crate) async fn client_of(kubeconfig: &std::path::Path, who: Option<&str>) -> Client {
    // Another test may have chosen it already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .unwrap();
    config.auth_info.impersonate = who.map(str::to_owned);
    Client::try_from(config).unwrap()
}

/// A name that no other test of this server has.
pub(crate) fn unique(prefix: &str) -> String {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    format!("{prefix}-{:x}", now.as_nanos() & 0xff_ffff_ffff)
}

impl Stage {
    pub(crate) async fn on(kubeconfig: &std::path::Path) -> Self {
        let client = client_of(kubeconfig, None).await;
        let discovery = Discovery::new(client.clone()).run().await.unwrap();
        Self {
            client,
            discovery,
            run: unique("why"),
        }
    }

    pub(crate) fn namespace(&self, case: &Case) -> String {
        format!("{}-{}", self.run, case.code)
    }

    /// The object a case asks about.
    pub(crate) fn subject(&self, case: &Case) -> ObjectRef {
        let namespace = self.namespace(case);
        let subject = &case.subject;
        let name = self.fill(&subject.name, &namespace);
        ObjectRef::new(&subject.api_version, &subject.kind, Some(&namespace), &name)
    }

    fn fill(&self, text: &str, namespace: &str) -> String {
        text.replace("NS", namespace).replace("RUN", &self.run)
    }

    /// Makes a case's namespace and all that is in it.
    pub(crate) async fn set(&self, case: &Case) {
        let namespace = self.namespace(case);
        let mut labels = case.labels.clone();
        labels.insert("why".to_owned(), namespace.clone().into());
        self.create_namespace(&namespace, &labels).await;
        for (index, object) in case.objects.iter().enumerate() {
            if case.pods == Pods::Refused && index + 1 == case.objects.len() {
                self.wait_until_pods_are_refused(&namespace).await;
            }
            self.create(object, &namespace).await;
        }
        if let Some(removed) = &case.removed {
            let name = self.fill(&removed.name, &namespace);
            let (api, _) = self.api(&removed.api_version, &removed.kind, &namespace);
            api.delete(&name, &DeleteParams::default()).await.unwrap();
        }
    }

    /// A node that was just made counts as not ready until a controller has looked at it.
    pub(crate) async fn wait_until_nodes_count(&self) {
        let nodes: Api<k8s_openapi::api::core::v1::Node> = Api::all(self.client.clone());
        let made = kube::api::ListParams::default().labels(&format!("why-run={}", self.run));
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            let value = serde_json::to_value(nodes.list(&made).await.unwrap().items).unwrap();
            let waits = |node: &Value| {
                let ready = &node["status"]["conditions"][0]["status"] == "True";
                ready
                    && node["spec"]["taints"]
                        .to_string()
                        .contains("node.kubernetes.io/not-ready")
            };
            if !value.as_array().unwrap().iter().any(waits) {
                return;
            }
            assert!(
                std::time::Instant::now() < deadline,
                "nodes stay not ready: {value}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Policies, webhooks and quotas come into force some moments after they were made.
    async fn wait_until_pods_are_refused(&self, namespace: &str) {
        let pod = serde_json::json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "try" },
            "spec": { "containers": [{ "name": "try", "image": "localhost/busybox:1" }] },
        });
        let (pod, api) = self.read(&pod, namespace);
        let dry_run = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        let deadline = std::time::Instant::now() + PATIENCE;
        while api.create(&dry_run, &pod).await.is_ok() {
            assert!(
                std::time::Instant::now() < deadline,
                "pods are still taken in {namespace}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) async fn create_namespace(
        &self,
        name: &str,
        labels: &serde_json::Map<String, Value>,
    ) {
        let mut labels = labels.clone();
        labels.insert(TEST_LABEL.to_owned(), self.run.clone().into());
        let object = serde_json::json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name, "labels": labels },
        });
        self.create(&object, name).await;
        // Without a controller nobody makes the account that every pod has.
        let account = serde_json::json!({
            "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "default", "namespace": name },
        });
        self.apply(&account, name).await;
    }

    fn api(&self, api_version: &str, kind: &str, namespace: &str) -> (Api<DynamicObject>, Scope) {
        let id = ObjectRef::new(api_version, kind, None, "");
        let gvk = kube::core::GroupVersionKind::gvk(&id.group, &id.version, kind);
        let found = self.discovery.resolve_gvk(&gvk);
        let (resource, capabilities) =
            found.unwrap_or_else(|| panic!("no kind {api_version} {kind}"));
        match capabilities.scope {
            Scope::Namespaced => (
                Api::namespaced_with(self.client.clone(), namespace, &resource),
                Scope::Namespaced,
            ),
            Scope::Cluster => (
                Api::all_with(self.client.clone(), &resource),
                Scope::Cluster,
            ),
        }
    }

    fn read(&self, object: &Value, namespace: &str) -> (DynamicObject, Api<DynamicObject>) {
        let text = self.fill(&object.to_string(), namespace);
        let mut object: DynamicObject = serde_json::from_str(&text).unwrap();
        let labels = object.metadata.labels.get_or_insert_default();
        labels.insert("why-run".to_owned(), self.run.clone());
        let types = object.types.clone().unwrap();
        let (api, _) = self.api(&types.api_version, &types.kind, namespace);
        (object, api)
    }

    /// Creates an object, and its status if it has one.
    pub(crate) async fn create(&self, object: &Value, namespace: &str) {
        let (object, api) = self.read(object, namespace);
        let name = object.metadata.name.clone().unwrap();
        if let Err(error) = api.create(&PostParams::default(), &object).await {
            panic!("{name} of {namespace} was refused: {error}");
        }
        if let Some(status) = object.data.get("status") {
            let patch = serde_json::json!({ "status": status });
            api.patch_status(&name, &PatchParams::default(), &Patch::Merge(patch))
                .await
                .unwrap();
        }
    }

    async fn apply(&self, object: &Value, namespace: &str) {
        let (object, api) = self.read(object, namespace);
        let name = object.metadata.name.clone().unwrap();
        let params = PatchParams::apply("explain-tests").force();
        api.patch(&name, &params, &Patch::Apply(&object))
            .await
            .unwrap();
    }

    /// Removes what the cases made: first what is of the whole cluster and may be in the way of the rest.
    pub(crate) async fn clear(&self, cases: &[Case]) {
        for case in cases {
            let namespace = self.namespace(case);
            for object in &case.objects {
                let (object, api) = self.read(object, &namespace);
                let name = object.metadata.name.clone().unwrap();
                let held = object.metadata.finalizers.is_some();
                if held {
                    let free = serde_json::json!({ "metadata": { "finalizers": null } });
                    gone(
                        api.patch(&name, &PatchParams::default(), &Patch::Merge(free))
                            .await
                            .map(drop),
                    );
                }
                if held || object.metadata.namespace.is_none() {
                    gone(api.delete(&name, &DeleteParams::default()).await.map(drop));
                }
            }
            let (api, _) = self.api("v1", "Namespace", &namespace);
            gone(
                api.delete(&namespace, &DeleteParams::default())
                    .await
                    .map(drop),
            );
        }
    }
}

/// What is to be removed may be gone, or be in the middle of going.
fn gone(result: kube::Result<()>) {
    match result {
        Err(kube::Error::Api(status)) if !matches!(status.code, 404 | 409) => {
            panic!("not removed: {status:?}")
        }
        _ => {}
    }
}

/// How long one fault may take from its objects to its explanation.
pub(crate) const PATIENCE: Duration = Duration::from_secs(150);
