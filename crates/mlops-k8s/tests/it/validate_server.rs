//! Agreement with the real API server: what is right here is taken there, and what is wrong here is refused there.

use std::collections::HashMap;

use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::discovery::{ApiResource, Discovery, Scope};
use mlops_k8s::validate::{Presence, Validator, Version};
use mlops_testkit::kubernetes::{TEST_LABEL, TestCluster};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::validate_corpus::{files, header};

/// A client for a user of the cluster that all tests share.
pub(crate) async fn client_of(user: &str, group: Option<&str>) -> Client {
    let text = TestCluster::shared().kubeconfig_of(user, group);
    let kubeconfig = Kubeconfig::from_yaml(&text).unwrap();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .unwrap();
    Client::try_from(config).unwrap()
}

pub(crate) async fn administrator() -> Client {
    client_of("admin", Some("system:masters")).await
}

/// The objects of a text as the API server is to get them.
pub(crate) fn objects(text: &str) -> Vec<Value> {
    let options = serde_saphyr::options! { legacy_octal_numbers: true };
    let all: Vec<Value> = serde_saphyr::from_multiple_with_options(text, options).unwrap();
    all.into_iter()
        .flat_map(|value| match value.get("items") {
            Some(Value::Array(items)) => items.clone(),
            _ => vec![value],
        })
        .filter(|value| !value.is_null())
        .collect()
}

/// The resources that the server has, by their version and kind.
struct Resources(HashMap<(String, String), (ApiResource, Scope)>);

impl Resources {
    async fn read(client: &Client) -> Self {
        // Another test may take a group away between the two questions of a discovery.
        let mut tries = 0;
        let discovery = loop {
            tries += 1;
            match Discovery::new(client.clone()).run().await {
                Ok(discovery) => break discovery,
                Err(error) => assert!(tries < 20, "{error}"),
            }
            tokio::time::sleep(std::time::Duration::from_millis(250)).await;
        };
        let mut found = HashMap::new();
        for group in discovery.groups() {
            for version in group.versions() {
                for (resource, capabilities) in group.versioned_resources(version) {
                    let key = (resource.api_version.clone(), resource.kind.clone());
                    found.insert(key, (resource, capabilities.scope));
                }
            }
        }
        Self(found)
    }

    /// The URL of all objects of the kind in the namespace of an object, if the server has the kind.
    fn url(&self, object: &Value) -> Option<String> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let key = (text(&object["apiVersion"]), text(&object["kind"]));
        let (resource, scope) = self.0.get(&key)?;
        let namespace = object["metadata"]["namespace"]
            .as_str()
            .unwrap_or("default");
        let root = if resource.group.is_empty() {
            "api"
        } else {
            "apis"
        };
        let place = match scope {
            Scope::Namespaced => format!("namespaces/{namespace}/"),
            Scope::Cluster => String::new(),
        };
        Some(format!(
            "/{root}/{}/{place}{}",
            resource.api_version, resource.plural
        ))
    }
}

/// Sends a request and returns the status and the message of the answer.
pub(crate) async fn send(
    client: &Client,
    method: &str,
    url: &str,
    content_type: &str,
    body: &Value,
) -> (u16, String) {
    let request = http::Request::builder()
        .method(method)
        .uri(url)
        .header("content-type", content_type)
        .body(serde_json::to_vec(body).unwrap().into())
        .unwrap();
    let response = client.send(request).await.unwrap();
    let status = response.status().as_u16();
    let bytes = http_body_util::BodyExt::collect(response.into_body())
        .await
        .unwrap()
        .to_bytes();
    let answer: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    (
        status,
        answer["message"].as_str().unwrap_or_default().to_owned(),
    )
}

const CHECK: &str = "dryRun=All&fieldValidation=Strict&fieldManager=mlops-test";

/// Asks the server what it would do, by creation and by server-side apply: `None` when it takes the object.
async fn refusal(client: &Client, resources: &Resources, object: &Value) -> Option<(u16, String)> {
    let Some(url) = resources.url(object) else {
        return Some((404, "no such kind".to_owned()));
    };
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let query = format!("{url}?{CHECK}");
    let answer = send(client, "POST", &query, "application/json", object).await;
    // What was made for the test is there already, and has been checked before that.
    if !(200..300).contains(&answer.0) && answer.0 != 409 {
        return Some(answer);
    }
    if name.is_empty() {
        return None;
    }
    let query = format!("{url}/{name}?{CHECK}&force=true");
    let answer = send(
        client,
        "PATCH",
        &query,
        "application/apply-patch+yaml",
        object,
    )
    .await;
    (!(200..300).contains(&answer.0)).then_some(answer)
}

async fn make(client: &Client, resources: &Resources, object: &Value) {
    let name = object["metadata"]["name"].as_str().unwrap();
    let url = resources.url(object).unwrap();
    let url = format!("{url}/{name}?fieldManager=mlops-test-setup&force=true");
    let (status, message) = send(
        client,
        "PATCH",
        &url,
        "application/apply-patch+yaml",
        object,
    )
    .await;
    assert!(
        (200..300).contains(&status),
        "{status}: {message}\n{object:#}"
    );
}

/// Makes a definition and waits until the server serves its kind.
pub(crate) async fn make_definition(client: &Client, object: &Value) {
    make(client, &Resources::read(client).await, object).await;
    let key = (
        format!(
            "{}/{}",
            object["spec"]["group"].as_str().unwrap(),
            object["spec"]["versions"][0]["name"].as_str().unwrap()
        ),
        object["spec"]["names"]["kind"].as_str().unwrap().to_owned(),
    );
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !Resources::read(client).await.0.contains_key(&key) {
        assert!(
            std::time::Instant::now() < deadline,
            "{key:?} is not served"
        );
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

/// A namespace with the account that pods get, which no controller makes here.
async fn make_namespace(client: &Client, resources: &Resources, name: &str) {
    let labels = json!({TEST_LABEL: "validate"});
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
    make(client, resources, &namespace).await;
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "default", "namespace": name},
    });
    make(client, resources, &account).await;
}

fn is_kind(object: &Value, kind: &str) -> bool {
    object["kind"] == kind
}

#[tokio::test]
async fn the_server_takes_every_right_manifest() {
    let client = administrator().await;
    let all: Vec<(String, Vec<Value>)> = files("validate_right")
        .into_iter()
        .map(|(name, text)| (name, objects(&text)))
        .collect();
    let every = || all.iter().flat_map(|(_, objects)| objects);
    for definition in every().filter(|object| is_kind(object, "CustomResourceDefinition")) {
        make_definition(&client, definition).await;
    }
    let resources = Resources::read(&client).await;
    for namespace in every().filter(|object| is_kind(object, "Namespace")) {
        let name = namespace["metadata"]["name"].as_str().unwrap();
        make_namespace(&client, &resources, name).await;
    }
    // Admission looks these up.
    for kind in [
        "ServiceAccount",
        "PriorityClass",
        "IngressClass",
        "RuntimeClass",
        "Role",
        "ClusterRole",
        "PriorityLevelConfiguration",
    ] {
        for object in every().filter(|object| is_kind(object, kind)) {
            make(&client, &resources, object).await;
        }
    }
    let mut refused = Vec::new();
    let mut count = 0;
    for (name, objects) in &all {
        for object in objects {
            count += 1;
            if let Some((status, message)) = refusal(&client, &resources, object).await {
                refused.push(format!(
                    "{name}: {} {}: {status} {message}",
                    object["kind"], object["metadata"]["name"]
                ));
            }
        }
    }
    assert!(count > 70, "only {count} objects");
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}

/// Every kind that the server itself can create is known, with its scope; 1.35 is the server's version.
#[tokio::test]
async fn every_kind_of_the_server_is_known() {
    let client = administrator().await;
    let discovery = Discovery::new(client).run().await.unwrap();
    let mut count = 0;
    for group in discovery.groups() {
        // Those of other tests.
        if group.name().ends_with(".example") {
            continue;
        }
        for version in group.versions() {
            for (resource, capabilities) in group.versioned_resources(version) {
                if !capabilities.supports_operation(kube::discovery::verbs::CREATE) {
                    continue;
                }
                count += 1;
                let object = json!({
                    "apiVersion": resource.api_version, "kind": resource.kind, "metadata": {"name": "a", "namespace": "b"},
                });
                let problems =
                    Validator::new(Version::V1_35).check_values(&[object], |_| Presence::Here);
                let says = |text: &str| {
                    problems
                        .iter()
                        .any(|problem| problem.message.contains(text))
                };
                assert!(
                    !says("has no kind") && !says("is not in") && !says("definition"),
                    "{problems:?}"
                );
                assert_eq!(
                    says("is in no namespace"),
                    capabilities.scope == Scope::Cluster,
                    "{problems:?}"
                );
            }
        }
    }
    assert!(count > 50, "only {count} kinds");
}

/// Those that the server takes say so in their first line, and that is checked as well.
#[tokio::test]
async fn the_server_refuses_what_is_wrong_here() {
    static DEFINITION: OnceCell<()> = OnceCell::const_new();
    let client = administrator().await;
    DEFINITION
        .get_or_init(async || {
            let text = files("validate_wrong")
                .into_iter()
                .find(|(name, _)| name == "custom_field_unknown")
                .unwrap()
                .1;
            make_definition(&client, &objects(&text)[0]).await;
        })
        .await;
    let resources = Resources::read(&client).await;
    make_namespace(&client, &resources, "default").await;
    let (mut disagreeing, mut refused) = (Vec::new(), 0);
    for (name, text) in files("validate_wrong") {
        let header = header(&text);
        if header.contains("no YAML")
            || header.contains("for 1.33")
            || name == "not_a_map"
            || name == "key_twice"
        {
            continue;
        }
        let mut answers = Vec::new();
        for object in objects(&text) {
            answers.extend(refusal(&client, &resources, &object).await);
        }
        let is_taken = header.contains("the server takes it") || name == "custom_kind_unknown";
        // 403 would mean that something else is missing, and not that the object is wrong; the merge of an apply answers
        // with 500 what it cannot merge.
        let is_refused = answers.iter().any(|(status, message)| {
            [400, 404, 413, 422].contains(status) || message.contains("duplicate entries for key")
        });
        let is_agreeing = if name.starts_with("custom_kind") {
            is_refused
        } else if is_taken {
            answers.is_empty()
        } else {
            refused += 1;
            is_refused && answers.iter().all(|(status, _)| *status != 403)
        };
        if !is_agreeing {
            disagreeing.push(format!("{name} (taken: {is_taken}): {answers:?}"));
        }
    }
    assert!(refused >= 80, "only {refused} were to be refused");
    assert!(disagreeing.is_empty(), "{}", disagreeing.join("\n"));
}
