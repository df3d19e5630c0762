//! Secrets with which images are pulled.

use base64::Engine as _;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::Api;
use serde_json::Value;

use super::Check;

/// The types that pods can name in `imagePullSecrets`, each with its key
/// (<https://kubernetes.io/docs/concepts/configuration/secret/#docker-config-secrets>).
const TYPES: [(&str, &str); 2] = [
    ("kubernetes.io/dockerconfigjson", ".dockerconfigjson"),
    ("kubernetes.io/dockercfg", ".dockercfg"),
];

const REMEDY: &str =
    "make it with `kubectl create secret docker-registry`, which gives it the right type and key";

/// Whether it is there and can be used. Of what it holds only the names of registries are told.
pub(super) async fn check(client: &Client, namespace: &str, secret: &str) -> Check {
    let name = format!("pull secret {secret} in {namespace}");
    let found = Api::<Secret>::namespaced(client.clone(), namespace);
    match found.get_opt(secret).await {
        Ok(Some(found)) => judge(name, &found),
        Ok(None) => Check::failed(
            name,
            "it is not there, so pods that name it pull without an account",
            REMEDY,
        ),
        Err(error) => Check::unknown(name, &error),
    }
}

fn judge(name: String, secret: &Secret) -> Check {
    let given = secret.type_.as_deref().unwrap_or_default();
    let Some((_, key)) = TYPES.iter().find(|(known, _)| *known == given) else {
        let reason = format!("it is of type {given}, which pods do not use for that");
        return Check::failed(name, reason, REMEDY);
    };
    let text = secret.data.as_ref().and_then(|data| data.get(*key));
    let json: Option<Value> = text.and_then(|text| serde_json::from_slice(&text.0).ok());
    let Some(json) = json else {
        return Check::failed(name, format!("its key {key} holds no JSON"), REMEDY);
    };
    // The older form has the registries at its top.
    let registries = json.get("auths").unwrap_or(&json).as_object();
    let registries: Vec<&str> = registries
        .into_iter()
        .flatten()
        .filter(|(_, account)| has_account(account))
        .map(|(registry, _)| registry.as_str())
        .collect();
    if registries.is_empty() {
        return Check::failed(name, "it has no account of any registry", REMEDY);
    }
    Check::passed(name, format!("it is for {}", registries.join(", ")))
}

/// Whether an entry has a user and a password, in one text or in two.
fn has_account(account: &Value) -> bool {
    let text = |key: &str| account.get(key).and_then(Value::as_str).unwrap_or_default();
    let base64 = base64::engine::general_purpose::STANDARD;
    let is_pair = |bytes: Vec<u8>| bytes.contains(&b':');
    base64.decode(text("auth")).is_ok_and(is_pair)
        || (!text("username").is_empty() && !text("password").is_empty())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;

    use super::super::State;
    use super::*;

    fn state(given: &str, key: &str, text: &str) -> (State, String) {
        let secret = Secret {
            type_: Some(given.to_owned()),
            data: Some([(key.to_owned(), ByteString(text.into()))].into()),
            ..Secret::default()
        };
        let check = judge("x".to_owned(), &secret);
        (check.state, check.reason)
    }

    #[test]
    fn what_pods_can_use_passes_and_tells_no_account() {
        let (new, key) = TYPES[0];
        // `user:hunter2`
        let text = r#"{"auths": {"registry.example.org": {"auth": "dXNlcjpodW50ZXIy"}}}"#;
        let passed = (State::Passed, "it is for registry.example.org".to_owned());
        assert_eq!(state(new, key, text), passed);
        let two = r#"{"registry.example.org": {"username": "user", "password": "hunter2"}}"#;
        let (old, old_key) = TYPES[1];
        assert_eq!(state(old, old_key, two), passed);
        for wrong in ["", "{}", r#"{"auths": {"a": {"auth": "eA=="}}}"#, "no JSON"] {
            let (state, reason) = state(new, key, wrong);
            assert_eq!(state, State::Failed, "{wrong}: {reason}");
        }
        assert_eq!(state("Opaque", key, text).0, State::Failed);
        assert_eq!(state(new, "text", text).0, State::Failed);
    }
}
