use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use mlops_core::hook::{Hook, NoHook};
use mlops_core::{ComponentName, Result, SecretText, ServiceName};

use crate::storage::{Layout, NewData, Size, StorageApi};

/// A platform's disk in memory.
#[derive(Clone)]
pub struct FakeStorage {
    state: Arc<Mutex<Disk>>,
    hook: Hook,
}

#[derive(Debug, Default)]
struct Disk {
    ports: BTreeMap<ServiceName, u16>,
    data: BTreeMap<String, Layout>,
    superusers: BTreeMap<String, (String, SecretText)>,
}

impl Default for FakeStorage {
    fn default() -> Self {
        Self {
            state: Arc::default(),
            hook: Arc::new(NoHook),
        }
    }
}

impl std::fmt::Debug for FakeStorage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FakeStorage")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl FakeStorage {
    /// The same disk, asking `hook` around writes.
    #[must_use]
    pub fn with_hook(mut self, hook: Hook) -> Self {
        self.hook = hook;
        self
    }

    /// The superuser that a PostgreSQL data folder was made with, and its password.
    pub fn superuser(&self, component: &str) -> Option<(String, SecretText)> {
        self.disk().superusers.get(component).cloned()
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn write(&self, what: &str, write: impl FnOnce(&mut Disk) + Send) -> Result<()> {
        self.hook.before(what).await?;
        write(&mut self.disk());
        self.hook.after(what).await
    }
}

#[async_trait]
impl StorageApi for FakeStorage {
    fn folders(&self, component: &ComponentName) -> BTreeMap<String, String> {
        ["data", "run", "tmp", "models"]
            .into_iter()
            .map(|name| (name.to_owned(), format!("/fake/{name}/{component}")))
            .collect()
    }

    async fn ports(&self) -> Result<BTreeMap<ServiceName, u16>> {
        Ok(self.disk().ports.clone())
    }

    async fn ensure_ports(&self, wanted: &BTreeMap<ServiceName, Option<u16>>) -> Result<()> {
        let mut ports = self.disk().ports.clone();
        for (name, port) in wanted {
            let next = 20_000 + u16::try_from(ports.len()).unwrap_or_default();
            match port {
                Some(port) => drop(ports.insert(name.clone(), *port)),
                None => drop(ports.entry(name.clone()).or_insert(next)),
            }
        }
        if ports == self.disk().ports {
            return Ok(());
        }
        self.write("choose ports", |disk| disk.ports = ports).await
    }

    async fn find_data(&self, component: &str) -> Result<Option<Layout>> {
        Ok(self.disk().data.get(component).copied())
    }

    async fn create_data(&self, component: &str, how: &NewData) -> Result<()> {
        if self.disk().data.contains_key(component) {
            return Ok(());
        }
        let (layout, superuser) = match how {
            NewData::Plain => (Layout::Plain, None),
            NewData::Postgres {
                program,
                superuser,
                password,
            } => {
                let superuser = (superuser.clone(), password.clone());
                (Layout::Postgres(program.major), Some(superuser))
            }
        };
        let what = format!("make data folder {component}");
        self.write(&what, |disk| {
            disk.data.insert(component.to_owned(), layout);
            let superuser = superuser.map(|superuser| (component.to_owned(), superuser));
            disk.superusers.extend(superuser);
        })
        .await
    }

    async fn remove_data(&self, component: &str) -> Result<()> {
        if !self.disk().data.contains_key(component) {
            return Ok(());
        }
        let what = format!("remove data folder {component}");
        self.write(&what, |disk| {
            disk.data.remove(component);
            disk.superusers.remove(component);
        })
        .await
    }

    async fn list_data(&self) -> Result<Vec<String>> {
        Ok(self.disk().data.keys().cloned().collect())
    }

    async fn size_of_data(&self, _component: &str) -> Result<Size> {
        Ok(Size::default())
    }

    async fn remove_run(&self, _component: &str) -> Result<()> {
        Ok(())
    }

    async fn clean_up(&self) -> Result<()> {
        if self.disk().ports.is_empty() {
            return Ok(());
        }
        self.write("forget ports", |disk| disk.ports.clear()).await
    }
}
