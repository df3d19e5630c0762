//! Surroundings for programs that embed the engine without a target: secrets in memory, addresses from a list.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use mlops_core::{
    Context, Endpoint, Endpoints, Error, ErrorKind, EventSink, PlatformName, Result, SecretName,
    SecretStore, SecretText, ServiceName,
};

/// Secrets in memory, gone with the process.
///
/// ```
/// use mlops::surroundings::MemorySecrets;
/// use mlops_core::{SecretStore, SecretText};
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
/// # runtime.block_on(async {
/// let secrets = MemorySecrets::default();
/// let name = "mlflow/password".parse()?;
/// secrets.create(&name, SecretText::new("first")).await?;
/// // Create-only: what is there stays.
/// let kept = secrets.create(&name, SecretText::new("second")).await?;
/// assert_eq!(kept.expose(), "first");
/// # Ok::<(), mlops_core::Error>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct MemorySecrets(Mutex<BTreeMap<SecretName, SecretText>>);

impl MemorySecrets {
    fn entries(&self) -> MutexGuard<'_, BTreeMap<SecretName, SecretText>> {
        // A panic elsewhere cannot leave a map half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl SecretStore for MemorySecrets {
    async fn find(&self, name: &SecretName) -> Result<Option<SecretText>> {
        Ok(self.entries().get(name).cloned())
    }

    async fn create(&self, name: &SecretName, text: SecretText) -> Result<SecretText> {
        Ok(self.entries().entry(name.clone()).or_insert(text).clone())
    }

    async fn remove(&self, name: &SecretName) -> Result<()> {
        self.entries().remove(name);
        Ok(())
    }

    async fn list(&self) -> Result<Vec<SecretName>> {
        Ok(self.entries().keys().cloned().collect())
    }
}

/// Services at addresses that are known beforehand.
#[derive(Debug, Clone, Default)]
pub struct FixedEndpoints(BTreeMap<ServiceName, Endpoint>);

impl FixedEndpoints {
    /// Adds a service.
    #[must_use]
    pub fn with(mut self, name: ServiceName, endpoint: Endpoint) -> Self {
        self.0.insert(name, endpoint);
        self
    }
}

#[async_trait]
impl Endpoints for FixedEndpoints {
    async fn get(&self, name: &ServiceName) -> Result<Endpoint> {
        self.0.get(name).cloned().ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("find service `{name}`"))
                .with_source("no address is known for it")
        })
    }
}

/// A context with an empty [`MemorySecrets`] and the given addresses.
pub fn context(platform: PlatformName, endpoints: FixedEndpoints, events: EventSink) -> Context {
    Context {
        platform,
        secrets: Arc::new(MemorySecrets::default()),
        endpoints: Arc::new(endpoints),
        events,
    }
}
