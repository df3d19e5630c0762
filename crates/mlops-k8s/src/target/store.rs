//! Secrets of a platform as Secrets of its namespace: one each, written once and never changed.

use async_trait::async_trait;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, ListParams, ObjectMeta, PostParams};
use kube::{Api, ResourceExt as _};
use mlops_core::kubernetes::PLATFORM_LABEL;
use mlops_core::{Error, ErrorKind, PlatformName, Result, SecretName, SecretStore, SecretText};

use super::Connection;
use crate::error::wrap;

/// The type of our Secrets, by which they are told from those that pods read.
pub(super) const TYPE: &str = "mlops.dev/secret";

/// The only key of each.
const KEY: &str = "text";

/// Keeps each secret `COMPONENT/NAME` as the Secret `COMPONENT.NAME`, immutable and labelled with the platform.
#[derive(Clone)]
pub struct ClusterSecrets {
    connection: Connection,
    platform: PlatformName,
    namespace: String,
}

impl std::fmt::Debug for ClusterSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClusterSecrets")
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

/// What a Secret holds for us; an error when it is not ours.
fn text_of(secret: &Secret, platform: &PlatformName, name: &SecretName) -> Result<SecretText> {
    let wrong = |cause: &str| {
        Error::new(ErrorKind::Conflict, format!("read secret `{name}`"))
            .with_source(format!("the Secret `{}` {cause}", secret.name_any()))
    };
    if secret.labels().get(PLATFORM_LABEL).map(String::as_str) != Some(platform.as_str()) {
        return Err(wrong("is not this platform's"));
    }
    let bytes = secret.data.as_ref().and_then(|data| data.get(KEY));
    let bytes = bytes.ok_or_else(|| wrong("has no text"))?;
    let text = String::from_utf8(bytes.0.clone());
    text.map(SecretText::new)
        .map_err(|_| wrong("holds bytes that are no text"))
}

pub(super) fn object_name(name: &SecretName) -> String {
    name.as_str().replace('/', ".")
}

impl ClusterSecrets {
    pub(super) fn new(connection: Connection, platform: &PlatformName, namespace: &str) -> Self {
        Self {
            connection,
            platform: platform.clone(),
            namespace: namespace.to_owned(),
        }
    }

    async fn api(&self) -> Result<Api<Secret>> {
        let client = self.connection.client().await?;
        Ok(Api::namespaced(client, &self.namespace))
    }
}

#[async_trait]
impl SecretStore for ClusterSecrets {
    async fn find(&self, name: &SecretName) -> Result<Option<SecretText>> {
        let found = self.api().await?.get_opt(&object_name(name)).await;
        let found = found.map_err(|error| wrap(error, format!("read secret `{name}`")))?;
        found
            .map(|secret| text_of(&secret, &self.platform, name))
            .transpose()
    }

    async fn create(&self, name: &SecretName, text: SecretText) -> Result<SecretText> {
        let labels = [
            (PLATFORM_LABEL, self.platform.as_str()),
            ("app.kubernetes.io/managed-by", "mlops"),
        ];
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some(object_name(name)),
                labels: Some(
                    labels
                        .map(|(label, value)| (label.to_owned(), value.to_owned()))
                        .into(),
                ),
                ..ObjectMeta::default()
            },
            type_: Some(TYPE.to_owned()),
            immutable: Some(true),
            data: Some(
                [(
                    KEY.to_owned(),
                    ByteString(text.expose().as_bytes().to_vec()),
                )]
                .into(),
            ),
            ..Secret::default()
        };
        let api = self.api().await?;
        let error = match api.create(&PostParams::default(), &secret).await {
            Ok(_) => return Ok(text),
            Err(error) => wrap(error, format!("keep secret `{name}`")),
        };
        if error.kind() != ErrorKind::AlreadyExists {
            return Err(error);
        }
        // Somebody was faster, or we were and never heard of it: what is there counts.
        self.find(name).await?.ok_or(error)
    }

    async fn remove(&self, name: &SecretName) -> Result<()> {
        if self.find(name).await?.is_none() {
            return Ok(());
        }
        let api = self.api().await?;
        let removed = api
            .delete(&object_name(name), &DeleteParams::default())
            .await;
        match removed.map_err(|error| wrap(error, format!("remove secret `{name}`"))) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    async fn list(&self) -> Result<Vec<SecretName>> {
        let wanted = ListParams::default()
            .labels(&format!("{PLATFORM_LABEL}={}", self.platform))
            .fields(&format!("type={TYPE}"));
        let found = self.api().await?.list_metadata(&wanted).await;
        let found = found.map_err(|error| wrap(error, "list the platform's secrets"))?;
        Ok(found
            .items
            .iter()
            .filter_map(|secret| secret.name_any().replacen('.', "/", 1).parse().ok())
            .collect())
    }
}
