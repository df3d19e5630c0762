//! A model registry as the rest of this crate needs it: what is written one call at a time, what is read, and how a
//! model is resolved and a sample registered through it.

mod mlflow;
mod mlmodel;
mod resolve;
mod sample;

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use mlops_core::{Endpoint, Result, SecretText};

pub use mlflow::ConnectMlflow;
pub use mlmodel::MlModel;
pub use resolve::{ModelUri, Resolved, resolve};
pub(crate) use sample::logged_of_samples;
pub use sample::{Sample, Tagged, register_sample, remove_registered};

use crate::mlflow::{
    FileInfo, Grant, LogBatch, LoggedModel, ModelVersion, RegisteredModel, Role, Run, Tags, User,
};

/// The tag of everything that this toolkit makes in a registry; its value is the platform.
pub const PLATFORM_TAG: &str = "mlops.platform";

/// The tag of what is not complete yet, and of the logged model behind it; its value says of which sample.
pub const REGISTERING_TAG: &str = "mlops.registering";

/// The tag of a version that holds its own test request, an [`InferenceProbe`](crate::serve::InferenceProbe) as JSON.
pub const PROBE_TAG: &str = "mlops.probe";

/// A model registry with its tracking server and users. Every method that writes makes one write.
///
/// [`Mlflow`](crate::mlflow::Mlflow) is the real one, `FakeMlflow` one in memory; the
/// methods are described at the former.
#[async_trait]
#[expect(missing_docs, reason = "they are described where they are implemented")]
pub trait Registry: Send + Sync + Debug {
    async fn current_user(&self) -> Result<User>;
    async fn list_users(&self) -> Result<Vec<User>>;
    async fn create_user(&self, user: &str, password: &SecretText) -> Result<()>;
    async fn set_password(&self, user: &str, password: &SecretText) -> Result<()>;
    async fn remove_user(&self, user: &str) -> Result<()>;
    async fn list_roles(&self) -> Result<Vec<Role>>;
    async fn create_role(&self, name: &str) -> Result<i64>;
    async fn add_grant(&self, role: i64, grant: &Grant) -> Result<()>;
    async fn assign_role(&self, user: &str, role: i64) -> Result<()>;
    async fn remove_role(&self, role: i64) -> Result<()>;

    async fn find_registered_model(&self, name: &str) -> Result<Option<RegisteredModel>>;
    async fn create_registered_model(&self, name: &str, tags: &Tags) -> Result<()>;
    async fn remove_registered_model(&self, name: &str) -> Result<()>;
    async fn remove_registered_model_tag(&self, name: &str, key: &str) -> Result<()>;
    async fn list_model_versions(&self, name: &str) -> Result<Vec<ModelVersion>>;
    async fn find_model_version(&self, name: &str, version: &str) -> Result<Option<ModelVersion>>;
    async fn find_by_alias(&self, name: &str, alias: &str) -> Result<Option<ModelVersion>>;
    async fn create_model_version(
        &self,
        name: &str,
        model_id: &str,
        tags: &Tags,
    ) -> Result<ModelVersion>;
    async fn set_alias(&self, name: &str, alias: &str, version: &str) -> Result<()>;
    async fn download_uri(&self, name: &str, version: &str) -> Result<String>;

    /// The logged models of the default experiment that have this tag.
    async fn find_logged_models(&self, tag: &str, value: &str) -> Result<Vec<LoggedModel>>;
    async fn get_logged_model(&self, model_id: &str) -> Result<LoggedModel>;
    async fn create_logged_model(&self, name: &str, tags: &Tags) -> Result<LoggedModel>;
    async fn finalize_logged_model(&self, model_id: &str) -> Result<()>;
    async fn remove_logged_model(&self, model_id: &str) -> Result<()>;

    async fn put_artifact(&self, path: &str, content: Bytes) -> Result<()>;
    async fn list_artifacts(&self, path: &str) -> Result<Vec<FileInfo>>;
    async fn get_artifact_stream(&self, path: &str) -> Result<BoxStream<'static, Result<Bytes>>>;

    /// Begins a run in the default experiment and returns it.
    async fn create_run(&self, name: &str, tags: &Tags) -> Result<Run>;
    /// The runs of the default experiment that have this tag.
    async fn find_runs(&self, tag: &str, value: &str) -> Result<Vec<Run>>;
    async fn get_run(&self, run_id: &str) -> Result<Run>;
    async fn log_batch(&self, run_id: &str, batch: &LogBatch) -> Result<()>;
    async fn remove_run(&self, run_id: &str) -> Result<()>;
}

/// Opens registries.
pub trait ConnectRegistry: Send + Sync {
    /// The registry at `endpoint` with these credentials. Nothing needs to be asked yet.
    ///
    /// # Errors
    ///
    /// When address or credentials cannot be used at all.
    fn connect(
        &self,
        endpoint: &Endpoint,
        user: &str,
        password: &SecretText,
    ) -> Result<Arc<dyn Registry>>;
}

/// A file among artifacts: its path below the folder that was asked for, with `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactFile {
    /// The path.
    pub path: String,
    /// Its size in bytes, when the registry says so.
    pub size: Option<u64>,
}

/// All files below a folder of artifacts, however deep.
///
/// # Errors
///
/// When the registry cannot be asked, or names a path that would leave the folder.
pub async fn list_files(registry: &dyn Registry, folder: &str) -> Result<Vec<ArtifactFile>> {
    let (mut files, mut open) = (Vec::new(), vec![String::new()]);
    while let Some(below) = open.pop() {
        for entry in registry.list_artifacts(&join(folder, &below)).await? {
            let path = join(&below, &entry.path);
            if !is_inside(&path) {
                return Err(mlops_core::Error::new(
                    mlops_core::ErrorKind::Protocol,
                    format!("list the files below `{folder}`"),
                )
                .with_source(format!("`{}` leads out of it", path.escape_debug())));
            }
            if entry.is_dir {
                open.push(path);
            } else {
                files.push(ArtifactFile {
                    path,
                    size: entry.file_size,
                });
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

pub(crate) fn join(folder: &str, below: &str) -> String {
    match (folder.is_empty(), below.is_empty()) {
        (_, true) => folder.to_owned(),
        (true, _) => below.to_owned(),
        _ => format!("{folder}/{below}"),
    }
}

/// Whether a path with `/` stays below where it starts.
fn is_inside(path: &str) -> bool {
    !path.is_empty()
        && !path.contains(['\\', '\0'])
        && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_leave_are_known() {
        for path in ["", "/etc/passwd", "a/../b", "..", "a//b", "a\\b", "./a"] {
            assert!(!is_inside(path), "{path}");
        }
        assert!(is_inside("a/b.c"));
        assert!(is_inside("..a/b"));
    }
}
