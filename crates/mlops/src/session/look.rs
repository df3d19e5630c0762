//! What a platform says of itself: who may use what, and what a client needs. Never secret text.

use std::collections::BTreeMap;

use mlops_core::{Error, ErrorKind, Result, SecretName, SecretText, ServiceName, Spec};
use serde::Serialize;

use super::Session;

/// One way to use something of the platform: a binding of a component, or a sign-in for people.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Credential {
    /// `consumer/name`, such as `mlflow/artifacts` or `mlflow/login`.
    pub name: String,
    /// What is used: `postgres`, `s3`, `tracking`.
    pub capability: String,
    /// Where; `None` while the platform has no ports yet.
    pub url: Option<String>,
    /// The facts that are not secret: role, database, bucket, access key, user.
    pub facts: Spec,
    /// The secrets by their part. Their text comes from [`Session::secret`] by name only.
    pub secrets: BTreeMap<String, SecretName>,
}

/// A value of a client's environment.
#[derive(Debug, Clone)]
pub enum ClientValue {
    /// Anybody may see it.
    Plain(String),
    /// Only the client may see it.
    Secret(SecretText),
}

/// The sign-in of the tracking server, as its probe uses it.
#[derive(Debug, Clone, serde::Deserialize)]
pub(super) struct Login {
    pub(super) server: ServiceName,
    pub(super) user: String,
    pub(super) password: SecretName,
}

impl Session {
    /// Every binding and every sign-in of the platform, without secret text.
    ///
    /// # Errors
    ///
    /// When the recorded ports cannot be read.
    pub async fn credentials(&self) -> Result<Vec<Credential>> {
        let mut credentials = Vec::new();
        for binding in &self.graph.bindings {
            credentials.push(Credential {
                name: binding.id(),
                capability: binding.capability.to_string(),
                url: self.place(&binding.service).await?,
                facts: binding.facts.clone(),
                secrets: binding.secrets.clone(),
            });
        }
        if let Some(login) = self.login()? {
            credentials.push(Credential {
                name: format!("{}/login", login.server),
                capability: "tracking".to_owned(),
                url: self.place(&login.server).await?,
                facts: Spec::from_iter([("user".to_owned(), login.user.into())]),
                secrets: BTreeMap::from([("password".to_owned(), login.password)]),
            });
        }
        Ok(credentials)
    }

    /// The text of one secret, which the caller asked for by name.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] when there is none of that name; the hint lists those there are.
    pub async fn secret(&self, name: &SecretName) -> Result<SecretText> {
        let secrets = self.secrets();
        if let Some(text) = secrets.find(name).await? {
            return Ok(text);
        }
        let known: Vec<String> = secrets
            .list()
            .await?
            .iter()
            .map(|name| format!("`{name}`"))
            .collect();
        let hint = if known.is_empty() {
            "this platform has no secrets yet: `mlops up` makes them".to_owned()
        } else {
            format!("there are {}", known.join(", "))
        };
        Err(
            Error::new(ErrorKind::NotFound, format!("find secret `{name}`"))
                .with_source("there is no secret of that name")
                .with_hint(hint),
        )
    }

    /// What a stock MLflow client needs in its environment. Artefacts go through the server, so no S3 key is part
    /// of it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] when the platform has no tracking server, or was never started.
    pub async fn client_env(&self) -> Result<Vec<(String, ClientValue)>> {
        let login = self.login()?.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "find the tracking server")
                .with_source("no component of this platform is one")
        })?;
        let url = if let Some(url) = self.inside(&login.server) {
            url
        } else {
            let endpoint = self.endpoints().get(&login.server).await?;
            endpoint.url().as_str().trim_end_matches('/').to_owned()
        };
        Ok(vec![
            ("MLFLOW_TRACKING_URI".to_owned(), ClientValue::Plain(url)),
            (
                "MLFLOW_TRACKING_USERNAME".to_owned(),
                ClientValue::Plain(login.user),
            ),
            (
                "MLFLOW_TRACKING_PASSWORD".to_owned(),
                ClientValue::Secret(self.secret(&login.password).await?),
            ),
        ])
    }

    /// The address of a service or of the first service of a component.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] with the known names, or when the platform was never started.
    pub async fn url(&self, name: &str) -> Result<String> {
        let service = self
            .graph
            .services
            .values()
            .find(|service| service.name.as_str() == name)
            .or_else(|| {
                self.graph.services.values().find(|service| {
                    service
                        .component
                        .as_ref()
                        .is_some_and(|component| component.as_str() == name)
                })
            })
            .ok_or_else(|| {
                let names: Vec<&str> = self
                    .graph
                    .services
                    .keys()
                    .map(ServiceName::as_str)
                    .collect();
                let near = mlops_core::nearest(name, names.iter().copied())
                    .map(|near| format!("did you mean `{near}`? "))
                    .unwrap_or_default();
                Error::new(ErrorKind::InvalidInput, format!("find service `{name}`"))
                    .with_source("the platform has no service or component of that name")
                    .with_hint(format!("{near}there are `{}`", names.join("`, `")))
            })?;
        let endpoint = self.endpoints().get(&service.name).await?;
        Ok(endpoint.url().as_str().trim_end_matches('/').to_owned())
    }

    /// The sign-in of the tracking server, if the platform has one.
    pub(super) fn login(&self) -> Result<Option<Login>> {
        self.graph
            .probes
            .iter()
            .find(|probe| probe.kind == "mlflow")
            .map(mlops_core::Probe::typed)
            .transpose()
    }

    /// A service's address, or `None` while it has none.
    pub(super) async fn place(&self, name: &ServiceName) -> Result<Option<String>> {
        if let Some(url) = self.inside(name) {
            return Ok(Some(url));
        }
        match self.endpoints().get(name).await {
            Ok(endpoint) => Ok(Some(
                endpoint.url().as_str().trim_end_matches('/').to_owned(),
            )),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A service's address for those inside the cluster, of a platform that is in one. A port of this machine that leads
    /// there lives no longer than this program.
    fn inside(&self, name: &ServiceName) -> Option<String> {
        let cluster = self.cluster.as_ref()?;
        let service = self.graph.services.get(name)?;
        if let Some(url) = &service.external {
            return Some(url.as_str().trim_end_matches('/').to_owned());
        }
        let (scheme, host) = (&service.scheme, cluster.host_of(name));
        let port = service.port?;
        Some(format!("{scheme}://{host}:{port}"))
    }
}
