//! The real registry.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use mlops_core::{Endpoint, Result, SecretText};

use super::{ConnectRegistry, Registry};
use crate::mlflow::{
    FileInfo, Grant, LogBatch, LoggedModel, Mlflow, ModelVersion, NewRun, RegisteredModel, Role,
    Run, Tags, User,
};

/// The experiment that every server has.
const DEFAULT_EXPERIMENT: &str = "0";

/// Opens MLflow servers.
#[derive(Debug, Clone, Copy, Default)]
pub struct ConnectMlflow;

impl ConnectRegistry for ConnectMlflow {
    fn connect(
        &self,
        endpoint: &Endpoint,
        user: &str,
        password: &SecretText,
    ) -> Result<Arc<dyn Registry>> {
        Ok(Arc::new(
            Mlflow::new(endpoint)?.with_basic_auth(user, password)?,
        ))
    }
}

/// A filter for one tag. Keys are ours; values are quoted.
fn tag_is(tag: &str, value: &str) -> String {
    format!("tags.`{tag}` = '{}'", value.replace('\'', "''"))
}

fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_millis()).ok())
        .unwrap_or(0)
}

#[async_trait]
impl Registry for Mlflow {
    async fn current_user(&self) -> Result<User> {
        self.current_user().await
    }
    async fn list_users(&self) -> Result<Vec<User>> {
        self.list_users().await
    }
    async fn create_user(&self, user: &str, password: &SecretText) -> Result<()> {
        self.create_user(user, password).await
    }
    async fn set_password(&self, user: &str, password: &SecretText) -> Result<()> {
        self.set_password(user, password).await
    }
    async fn remove_user(&self, user: &str) -> Result<()> {
        self.remove_user(user).await
    }
    async fn list_roles(&self) -> Result<Vec<Role>> {
        self.list_roles().await
    }
    async fn create_role(&self, name: &str) -> Result<i64> {
        self.create_role(name).await
    }
    async fn add_grant(&self, role: i64, grant: &Grant) -> Result<()> {
        self.add_grant(role, grant).await
    }
    async fn assign_role(&self, user: &str, role: i64) -> Result<()> {
        self.assign_role(user, role).await
    }
    async fn remove_role(&self, role: i64) -> Result<()> {
        self.remove_role(role).await
    }
    async fn find_registered_model(&self, name: &str) -> Result<Option<RegisteredModel>> {
        self.find_registered_model(name).await
    }
    async fn create_registered_model(&self, name: &str, tags: &Tags) -> Result<()> {
        self.create_registered_model(name, tags).await.map(drop)
    }
    async fn remove_registered_model(&self, name: &str) -> Result<()> {
        self.remove_registered_model(name).await
    }
    async fn remove_registered_model_tag(&self, name: &str, key: &str) -> Result<()> {
        self.remove_registered_model_tag(name, key).await
    }
    async fn list_model_versions(&self, name: &str) -> Result<Vec<ModelVersion>> {
        self.list_model_versions(name).await
    }
    async fn find_model_version(&self, name: &str, version: &str) -> Result<Option<ModelVersion>> {
        self.find_model_version(name, version).await
    }
    async fn find_by_alias(&self, name: &str, alias: &str) -> Result<Option<ModelVersion>> {
        self.find_by_alias(name, alias).await
    }
    async fn create_model_version(
        &self,
        name: &str,
        model_id: &str,
        tags: &Tags,
    ) -> Result<ModelVersion> {
        self.create_model_version(name, model_id, None, tags).await
    }
    async fn set_alias(&self, name: &str, alias: &str, version: &str) -> Result<()> {
        self.set_alias(name, alias, version).await
    }
    async fn download_uri(&self, name: &str, version: &str) -> Result<String> {
        self.download_uri(name, version).await
    }
    async fn find_logged_models(&self, tag: &str, value: &str) -> Result<Vec<LoggedModel>> {
        self.search_logged_models(&[DEFAULT_EXPERIMENT], &tag_is(tag, value))
            .await
    }
    async fn get_logged_model(&self, model_id: &str) -> Result<LoggedModel> {
        self.get_logged_model(model_id).await
    }
    async fn create_logged_model(&self, name: &str, tags: &Tags) -> Result<LoggedModel> {
        self.create_logged_model(DEFAULT_EXPERIMENT, name, None, tags)
            .await
    }
    async fn finalize_logged_model(&self, model_id: &str) -> Result<()> {
        self.finalize_logged_model(model_id).await.map(drop)
    }
    async fn remove_logged_model(&self, model_id: &str) -> Result<()> {
        self.remove_logged_model(model_id).await
    }
    async fn put_artifact(&self, path: &str, content: Bytes) -> Result<()> {
        self.put_artifact(path, content).await
    }
    async fn list_artifacts(&self, path: &str) -> Result<Vec<FileInfo>> {
        self.list_artifacts(path).await
    }
    async fn get_artifact_stream(&self, path: &str) -> Result<BoxStream<'static, Result<Bytes>>> {
        self.get_artifact_stream(path).await
    }
    async fn create_run(&self, name: &str, tags: &Tags) -> Result<Run> {
        let run = NewRun {
            experiment_id: DEFAULT_EXPERIMENT.to_owned(),
            name: Some(name.to_owned()),
            start_time: now(),
            tags: tags.clone(),
        };
        self.create_run(&run).await
    }
    async fn find_runs(&self, tag: &str, value: &str) -> Result<Vec<Run>> {
        self.search_runs(&[DEFAULT_EXPERIMENT], Some(&tag_is(tag, value)))
            .await
    }
    async fn get_run(&self, run_id: &str) -> Result<Run> {
        self.get_run(run_id).await
    }
    async fn log_batch(&self, run_id: &str, batch: &LogBatch) -> Result<()> {
        self.log_batch(run_id, batch).await
    }
    async fn remove_run(&self, run_id: &str) -> Result<()> {
        self.remove_run(run_id).await
    }
}
