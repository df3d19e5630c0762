//! What MLflow answers, as far as this client reads it.
//!
//! Fields that are not set and empty lists are left out by the server; fields that are not known here are ignored.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

/// A key with a value, the form of tags and parameters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag {
    /// The key.
    pub key: String,
    /// The value.
    #[serde(default)]
    pub value: String,
}

impl Tag {
    /// `key` with `value`.
    pub fn new(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            value: value.into(),
        }
    }
}

/// Tags by key.
pub type Tags = BTreeMap<String, String>;

/// Reads a list of pairs, null or nothing as a map.
fn pairs<'de, D: Deserializer<'de>>(d: D) -> Result<Tags, D::Error> {
    let list = Option::<Vec<Tag>>::deserialize(d)?.unwrap_or_default();
    Ok(list.into_iter().map(|tag| (tag.key, tag.value)).collect())
}

/// Tags as the list that requests hold.
pub(super) fn list(tags: &Tags) -> Vec<Tag> {
    tags.iter()
        .map(|(key, value)| Tag::new(key, value))
        .collect()
}

/// An experiment.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Experiment {
    /// Its id.
    pub experiment_id: String,
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Where its artifacts are.
    #[serde(default)]
    pub artifact_location: String,
    /// `active` or `deleted`.
    #[serde(default)]
    pub lifecycle_stage: String,
    /// Its tags.
    #[serde(default, deserialize_with = "pairs")]
    pub tags: Tags,
}

/// A measured value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// Its name.
    pub key: String,
    /// The value.
    pub value: f64,
    /// When, in milliseconds since 1970.
    #[serde(default)]
    pub timestamp: i64,
    /// The step of the training.
    #[serde(default)]
    pub step: i64,
}

/// The state of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RunStatus {
    /// It works.
    Running,
    /// It was asked for.
    Scheduled,
    /// It ended well.
    Finished,
    /// It ended badly.
    Failed,
    /// It was stopped.
    Killed,
}

/// What identifies a run.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RunInfo {
    /// Its id.
    pub run_id: String,
    /// Its name.
    #[serde(default)]
    pub run_name: String,
    /// Its experiment.
    #[serde(default)]
    pub experiment_id: String,
    /// Its state.
    pub status: RunStatus,
    /// When it began, in milliseconds since 1970.
    #[serde(default)]
    pub start_time: Option<i64>,
    /// When it ended, in milliseconds since 1970.
    #[serde(default)]
    pub end_time: Option<i64>,
    /// Where its artifacts are.
    #[serde(default)]
    pub artifact_uri: String,
    /// `active` or `deleted`.
    #[serde(default)]
    pub lifecycle_stage: String,
}

/// What was logged to a run.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub struct RunData {
    /// The latest value of each metric.
    #[serde(default)]
    pub metrics: Vec<Metric>,
    /// Its parameters.
    #[serde(default, deserialize_with = "pairs")]
    pub params: Tags,
    /// Its tags.
    #[serde(default, deserialize_with = "pairs")]
    pub tags: Tags,
}

/// A run.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Run {
    /// What identifies it.
    pub info: RunInfo,
    /// What was logged.
    #[serde(default)]
    pub data: RunData,
}

/// A model of MLflow 3, registered or not: `models:/m-…`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct LoggedModel {
    /// Its id, `m-…`.
    pub model_id: String,
    /// Its experiment.
    #[serde(default)]
    pub experiment_id: String,
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Where its files are, such as `mlflow-artifacts:/0/models/m-…/artifacts`.
    #[serde(default)]
    pub artifact_uri: String,
    /// Whether its files are complete.
    #[serde(default)]
    pub status: String,
    /// Its tags.
    #[serde(default, deserialize_with = "pairs")]
    pub tags: Tags,
}

impl LoggedModel {
    /// Whether its files are complete.
    pub fn is_ready(&self) -> bool {
        self.status == "LOGGED_MODEL_READY"
    }
}

/// An alias of a version.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Alias {
    /// The alias.
    pub alias: String,
    /// The version it names.
    pub version: String,
}

/// A model of the registry.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RegisteredModel {
    /// Its name.
    pub name: String,
    /// Its tags.
    #[serde(default, deserialize_with = "pairs")]
    pub tags: Tags,
    /// Its aliases.
    #[serde(default)]
    pub aliases: Vec<Alias>,
}

impl RegisteredModel {
    /// The version that an alias names.
    pub fn alias(&self, alias: &str) -> Option<&str> {
        self.aliases
            .iter()
            .find(|known| known.alias == alias)
            .map(|known| known.version.as_str())
    }
}

/// A version of a registered model.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ModelVersion {
    /// The registered model.
    pub name: String,
    /// The version: a number, as text.
    pub version: String,
    /// When it was made, in milliseconds since 1970.
    #[serde(default)]
    pub creation_timestamp: i64,
    /// What it was made from: `models:/m-…` or a place.
    #[serde(default)]
    pub source: String,
    /// The run that made it, or empty.
    #[serde(default)]
    pub run_id: String,
    /// `READY`, or why it is not.
    #[serde(default)]
    pub status: String,
    /// Its tags.
    #[serde(default, deserialize_with = "pairs")]
    pub tags: Tags,
    /// The aliases that name it.
    #[serde(default)]
    pub aliases: Vec<String>,
}

/// A file or folder among artifacts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct FileInfo {
    /// Its path, below the one that was asked for.
    pub path: String,
    /// Whether it is a folder.
    #[serde(default)]
    pub is_dir: bool,
    /// Its size in bytes, when it is a file and the server says so.
    #[serde(default)]
    pub file_size: Option<u64>,
}

/// A right that a role gives.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// On what: `registered_model`, `experiment` …
    pub resource: String,
    /// On which: a name or id, or `*`.
    pub pattern: String,
    /// What: `READ`, `USE`, `EDIT`, `MANAGE`.
    pub permission: String,
}

/// A role: rights under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Its id.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Its rights.
    pub grants: Vec<Grant>,
}

impl<'de> Deserialize<'de> for Role {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Permission {
            resource_type: String,
            resource_pattern: String,
            #[serde(rename = "permission")]
            level: String,
        }
        #[derive(Deserialize)]
        struct Wire {
            id: i64,
            name: String,
            #[serde(default)]
            permissions: Option<Vec<Permission>>,
        }
        let wire = Wire::deserialize(d)?;
        Ok(Self {
            id: wire.id,
            name: wire.name,
            grants: wire
                .permissions
                .unwrap_or_default()
                .into_iter()
                .map(|p| Grant {
                    resource: p.resource_type,
                    pattern: p.resource_pattern,
                    permission: p.level,
                })
                .collect(),
        })
    }
}

/// A user of MLflow's basic authentication.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct User {
    /// The name.
    pub username: String,
    /// Whether the user may do everything.
    #[serde(default)]
    pub is_admin: bool,
    /// The user's roles, when the server was asked for all users.
    #[serde(default)]
    pub roles: Vec<Role>,
}
