//! `data-folder/COMPONENT`: where a component keeps its data.

use std::sync::Arc;

use async_trait::async_trait;
use mlops_core::plan::Rules;
use mlops_core::{
    Action, Context, Error, ErrorKind, Found, Graph, Observed, Provider, Resource, ResourceId,
    Result, SecretName, Spec,
};
use serde::{Deserialize, Serialize};

use super::{observed, rules};
use crate::programs::Programs;
use crate::storage::{Layout, NewData, StorageApi};

/// The kind of data folders.
pub const DATA_FOLDER: &str = "data-folder";

/// What a data folder shall be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "layout", deny_unknown_fields)]
pub enum DataFolderSpec {
    /// A folder that its process fills as it likes.
    Plain {},
    /// The data folder of a PostgreSQL server.
    Postgres {
        /// The name of the superuser.
        superuser: String,
        /// The superuser's password, set when the folder is made.
        password: SecretName,
    },
}

/// Makes data folders, tells what they hold, and removes them when their data may go.
#[derive(Clone)]
pub struct DataFolderProvider {
    storage: Arc<dyn StorageApi>,
    programs: Arc<dyn Programs>,
}

impl std::fmt::Debug for DataFolderProvider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DataFolderProvider").finish_non_exhaustive()
    }
}

impl DataFolderProvider {
    /// A provider for one platform's disk; `programs` finds PostgreSQL.
    pub fn new(storage: Arc<dyn StorageApi>, programs: Arc<dyn Programs>) -> Self {
        Self { storage, programs }
    }

    async fn find(&self, resource: &Resource) -> Result<Option<Found>> {
        let spec: DataFolderSpec = resource.typed()?;
        let layout = self.storage.find_data(resource.id.name()).await?;
        let fields = match (layout, &spec) {
            (None, _) => return Ok(None),
            // Neither superuser nor password can be read back without signing in.
            (Some(Layout::Plain), DataFolderSpec::Plain {})
            | (Some(Layout::Postgres(_)), DataFolderSpec::Postgres { .. }) => resource.spec.clone(),
            (Some(layout), _) => layout_only(layout),
        };
        Ok(Some(Found::ours(fields)))
    }
}

fn layout_only(layout: Layout) -> Spec {
    let name = match layout {
        Layout::Plain => "plain",
        Layout::Postgres(_) => "postgres",
    };
    Spec::from_iter([("layout".to_owned(), name.into())])
}

#[async_trait]
impl Provider for DataFolderProvider {
    fn rules(&self) -> Rules {
        rules(DATA_FOLDER, &["layout", "superuser"])
    }

    async fn observe(&self, wanted: &[&Resource], _cx: &Context) -> Vec<(ResourceId, Observed)> {
        let mut all = Vec::new();
        for resource in wanted {
            all.push((resource.id.clone(), observed(self.find(resource).await)));
        }
        all
    }

    async fn find_strays(&self, graph: &Graph, _cx: &Context) -> Result<Vec<Resource>> {
        let mut strays = Vec::new();
        for name in self.storage.list_data().await? {
            let id = ResourceId::new(DATA_FOLDER, name.clone());
            let Ok(component) = name.parse() else {
                continue;
            };
            if graph.find(&id).is_some() {
                continue;
            }
            if let Some(layout) = self.storage.find_data(&name).await? {
                strays.push(
                    Resource::new(id, component)
                        .with_spec(&layout_only(layout))?
                        .with_data(),
                );
            }
        }
        Ok(strays)
    }

    async fn apply(&self, resource: &Resource, action: &Action, cx: &Context) -> Result<()> {
        let name = resource.id.name();
        match action {
            Action::Remove => return self.storage.remove_data(name).await,
            Action::Update { .. } | Action::Replace { .. } | Action::Adopt { .. } => {
                return Err(Error::new(
                    ErrorKind::Conflict,
                    format!("change `{}`", resource.id),
                )
                .with_source("a data folder cannot be changed, and making it anew would lose its data"));
            }
            _ => {}
        }
        let how = match resource.typed()? {
            DataFolderSpec::Plain {} => NewData::Plain,
            DataFolderSpec::Postgres {
                superuser,
                password,
            } => {
                cx.events.progress(&resource.id, "making a database folder");
                NewData::Postgres {
                    program: self.programs.postgres(None).await?,
                    superuser,
                    password: cx.secret(&password).await?,
                }
            }
        };
        self.storage.create_data(name, &how).await
    }

    async fn holdings(&self, resource: &Resource, _cx: &Context) -> Result<Option<String>> {
        let name = resource.id.name();
        if self.storage.find_data(name).await?.is_none() {
            return Ok(None);
        }
        let size = self.storage.size_of_data(name).await?;
        Ok(Some(format!(
            "{} files, {}",
            size.files,
            megabytes(size.bytes)
        )))
    }
}

fn megabytes(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} bytes"),
        10_000..10_000_000 => format!("{} KB", bytes / 1000),
        10_000_000..10_000_000_000 => format!("{} MB", bytes / 1_000_000),
        _ => format!("{} GB", bytes / 1_000_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mlops_core::to_spec;

    #[test]
    fn the_spec_is_the_agreed_json() {
        let plain = to_spec(&DataFolderSpec::Plain {}).unwrap();
        assert_eq!(
            serde_json::Value::Object(plain),
            serde_json::json!({"layout": "plain"})
        );
        let text = r#"{"layout":"postgres","superuser":"postgres","password":"postgres/superuser-password"}"#;
        let spec: DataFolderSpec = serde_json::from_str(text).unwrap();
        assert_eq!(
            serde_json::to_value(&spec).unwrap(),
            serde_json::from_str::<serde_json::Value>(text).unwrap()
        );
        assert!(serde_json::from_str::<DataFolderSpec>(r#"{"layout":"plain","x":1}"#).is_err());
        assert_eq!(megabytes(38_123_456), "38 MB");
    }
}
