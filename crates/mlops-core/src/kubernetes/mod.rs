//! Objects of a Kubernetes cluster, as data: the specs of the kinds `kubernetes-object` and `kubernetes-secret`.

pub mod egress;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use url::Url;

use crate::error::Result;
use crate::name::{SecretName, ServiceName};
use crate::resource::Spec;
use crate::secret::SecretText;
use crate::service::Endpoint;
use crate::template::{Scope, render};

/// The kind of resources that are objects.
pub const OBJECT: &str = "kubernetes-object";

/// The kind of resources that are Secrets.
pub const SECRET: &str = "kubernetes-secret";

/// The label with the platform's name that everything of a platform bears.
pub const PLATFORM_LABEL: &str = "mlops.dev/platform";

/// An object as it is sent, but for what marks whose it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectSpec {
    /// The object, with `apiVersion`, `kind` and `metadata`.
    pub object: serde_json::Value,
}

/// A Secret whose text is filled in when it is written.
///
/// ```
/// use mlops_core::SecretText;
/// use mlops_core::kubernetes::SecretSpec;
///
/// let spec: SecretSpec = serde_json::from_value(serde_json::json!({
///     "namespace": "demo", "name": "mlflow", "secrets": ["mlflow/key"],
///     "data": { "KEY": "{{ secret('mlflow/key') }}" },
/// }))?;
/// let secrets = [("mlflow/key".parse()?, SecretText::new("abc"))];
/// assert_eq!(spec.render(secrets.into())?["KEY"].expose(), "abc");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretSpec {
    /// The namespace it is in.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its type; `Opaque` by default.
    #[serde(default = "opaque")]
    pub r#type: String,
    /// Its labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Template by key (see [`crate::template`]).
    pub data: BTreeMap<String, String>,
    /// What the templates mention beside secrets and services.
    #[serde(default, skip_serializing_if = "Spec::is_empty")]
    pub vars: Spec,
    /// The secrets that the templates mention.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub secrets: BTreeSet<SecretName>,
    /// The services that the templates mention, with their addresses inside the cluster.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub services: BTreeMap<ServiceName, Url>,
}

fn opaque() -> String {
    "Opaque".to_owned()
}

impl SecretSpec {
    /// The text of each key, with the texts of the secrets that it mentions.
    ///
    /// # Errors
    ///
    /// When a template mentions something that is not there. The error never holds text of a secret.
    pub fn render(
        &self,
        secrets: BTreeMap<SecretName, SecretText>,
    ) -> Result<BTreeMap<String, SecretText>> {
        let mut services = BTreeMap::new();
        for (name, url) in &self.services {
            services.insert(name.clone(), Endpoint::new(url.clone())?);
        }
        let scope = Scope {
            vars: self.vars.clone(),
            secrets,
            services,
            folders: BTreeMap::new(),
        };
        let texts = self.data.iter();
        texts
            .map(|(key, template)| Ok((key.clone(), render(template, &scope)?)))
            .collect()
    }
}
