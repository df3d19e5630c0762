//! Secrets that the user gives by reference, in front of those that we keep.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use mlops_core::{Error, ErrorKind, Result, SecretName, SecretSource, SecretStore, SecretText};

/// Reads the text behind a reference. Libraries do not read the environment, so programs hand this in.
pub type SecretReader = Arc<dyn Fn(&SecretSource) -> Result<SecretText> + Send + Sync>;

/// A store in which some names are read from where the user keeps them.
pub(super) struct LayeredSecrets {
    pub(super) ours: Arc<dyn SecretStore>,
    pub(super) sources: BTreeMap<SecretName, SecretSource>,
    pub(super) reader: SecretReader,
}

impl LayeredSecrets {
    fn read(&self, name: &SecretName, source: &SecretSource) -> Result<SecretText> {
        (self.reader)(source).map_err(|error| {
            let place = match source {
                SecretSource::Env(variable) => format!("the environment variable `{variable}`"),
                SecretSource::File(path) => format!("the file `{}`", path.display()),
            };
            Error::new(error.kind(), format!("read secret `{name}` from {place}"))
                .with_source(error)
                .with_hint("the platform file says where this secret comes from, under `external`")
        })
    }
}

#[async_trait]
impl SecretStore for LayeredSecrets {
    async fn find(&self, name: &SecretName) -> Result<Option<SecretText>> {
        match self.sources.get(name) {
            Some(source) => self.read(name, source).map(Some),
            None => self.ours.find(name).await,
        }
    }

    async fn create(&self, name: &SecretName, text: SecretText) -> Result<SecretText> {
        match self.sources.get(name) {
            Some(_) => Err(
                Error::new(ErrorKind::Conflict, format!("keep secret `{name}`"))
                    .with_source("it is the user's, who gave a reference to it"),
            ),
            None => self.ours.create(name, text).await,
        }
    }

    async fn remove(&self, name: &SecretName) -> Result<()> {
        if self.sources.contains_key(name) {
            // Not ours to take away.
            return Ok(());
        }
        self.ours.remove(name).await
    }

    async fn list(&self) -> Result<Vec<SecretName>> {
        let mut names = self.ours.list().await?;
        names.extend(self.sources.keys().cloned());
        Ok(names)
    }
}
