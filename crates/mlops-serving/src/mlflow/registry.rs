//! Logged models, registered models, versions and aliases.

use http::Method;
use mlops_core::{ErrorKind, Result};
use serde::Deserialize;
use serde_json::json;

use super::tracking::token;
use super::types::{LoggedModel, ModelVersion, RegisteredModel, Tags, list};
use super::{Ignored, Mlflow, found};
use crate::http::escape;

#[derive(Deserialize)]
struct OneLogged {
    model: LoggedOuter,
}

#[derive(Deserialize)]
struct LoggedOuter {
    info: LoggedModel,
}

#[derive(Deserialize)]
struct OneRegistered {
    registered_model: RegisteredModel,
}

#[derive(Deserialize)]
struct OneVersion {
    model_version: ModelVersion,
}

const LOGGED: &str = "/api/2.0/mlflow/logged-models";
const REGISTERED: &str = "/api/2.0/mlflow/registered-models";
const VERSIONS: &str = "/api/2.0/mlflow/model-versions";

impl Mlflow {
    /// Makes a logged model whose files are still to come.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] when there is no such experiment.
    pub async fn create_logged_model(
        &self,
        experiment_id: &str,
        name: &str,
        source_run_id: Option<&str>,
        tags: &Tags,
    ) -> Result<LoggedModel> {
        let one: OneLogged = self
            .post(
                LOGGED,
                &json!({
                    "experiment_id": experiment_id,
                    "name": name,
                    "source_run_id": source_run_id,
                    "tags": list(tags),
                }),
                &format!("create logged model `{name}`"),
            )
            .await?;
        Ok(one.model.info)
    }

    /// Says that the files of a logged model are complete.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] when there is none.
    pub async fn finalize_logged_model(&self, model_id: &str) -> Result<LoggedModel> {
        let one: OneLogged = self
            .call(
                Method::PATCH,
                &format!("{LOGGED}/{}", escape(model_id)),
                // A body with the status alone is refused.
                &json!({"model_id": model_id, "status": "LOGGED_MODEL_READY"}),
                &format!("complete logged model `{model_id}`"),
            )
            .await?;
        Ok(one.model.info)
    }

    /// The logged model.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] when there is none.
    pub async fn get_logged_model(&self, model_id: &str) -> Result<LoggedModel> {
        let one: OneLogged = self
            .get(
                &format!("{LOGGED}/{}", escape(model_id)),
                &[],
                &format!("read logged model `{model_id}`"),
            )
            .await?;
        Ok(one.model.info)
    }

    /// All logged models of some experiments that match a filter such as ``tags.`a` = 'b'``.
    ///
    /// # Errors
    ///
    /// When they cannot be asked for, or the filter is wrong.
    pub async fn search_logged_models(
        &self,
        experiment_ids: &[&str],
        filter: &str,
    ) -> Result<Vec<LoggedModel>> {
        #[derive(Deserialize)]
        struct Page {
            #[serde(default)]
            models: Vec<LoggedOuter>,
            next_page_token: Option<String>,
        }
        let (mut all, mut page) = (Vec::new(), None::<String>);
        loop {
            let answer: Page = self
                .post(
                    &format!("{LOGGED}/search"),
                    &json!({
                        "experiment_ids": experiment_ids,
                        "filter": filter,
                        "max_results": 50,
                        "page_token": page,
                    }),
                    "search logged models",
                )
                .await?;
            all.extend(answer.models.into_iter().map(|model| model.info));
            page = token(answer.next_page_token);
            if page.is_none() {
                return Ok(all);
            }
        }
    }

    /// Deletes a logged model; fine when there is none.
    ///
    /// # Errors
    ///
    /// When the server refuses.
    pub async fn remove_logged_model(&self, model_id: &str) -> Result<()> {
        let done: Result<Ignored> = self
            .call(
                Method::DELETE,
                &format!("{LOGGED}/{}", escape(model_id)),
                &json!({}),
                &format!("delete logged model `{model_id}`"),
            )
            .await;
        found(done).map(drop)
    }

    /// Makes a registered model without versions.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::AlreadyExists`] when there is one of that name.
    pub async fn create_registered_model(
        &self,
        name: &str,
        tags: &Tags,
    ) -> Result<RegisteredModel> {
        let one: OneRegistered = self
            .post(
                &format!("{REGISTERED}/create"),
                &json!({"name": name, "tags": list(tags)}),
                &format!("create registered model `{name}`"),
            )
            .await?;
        Ok(one.registered_model)
    }

    /// The registered model of that name, if there is one.
    ///
    /// # Errors
    ///
    /// When it cannot be asked for.
    pub async fn find_registered_model(&self, name: &str) -> Result<Option<RegisteredModel>> {
        let one: Result<OneRegistered> = self
            .get(
                &format!("{REGISTERED}/get"),
                &[("name", name)],
                &format!("find registered model `{name}`"),
            )
            .await;
        Ok(found(one)?.map(|one| one.registered_model))
    }

    /// All registered models that match a filter such as `name LIKE 'a%'`.
    ///
    /// # Errors
    ///
    /// When they cannot be asked for, or the filter is wrong.
    pub async fn search_registered_models(
        &self,
        filter: Option<&str>,
    ) -> Result<Vec<RegisteredModel>> {
        #[derive(Deserialize)]
        struct Page {
            #[serde(default)]
            registered_models: Vec<RegisteredModel>,
            next_page_token: Option<String>,
        }
        let (mut all, mut page) = (Vec::new(), None::<String>);
        loop {
            let mut query = vec![("max_results", "1000")];
            query.extend(filter.map(|filter| ("filter", filter)));
            query.extend(page.as_deref().map(|page| ("page_token", page)));
            let mut answer: Page = self
                .get(
                    &format!("{REGISTERED}/search"),
                    &query,
                    "search registered models",
                )
                .await?;
            all.append(&mut answer.registered_models);
            page = token(answer.next_page_token);
            if page.is_none() {
                return Ok(all);
            }
        }
    }

    /// Deletes a registered model with all its versions; fine when there is none.
    ///
    /// # Errors
    ///
    /// When the server refuses.
    pub async fn remove_registered_model(&self, name: &str) -> Result<()> {
        let done: Result<Ignored> = self
            .call(
                Method::DELETE,
                &format!("{REGISTERED}/delete"),
                &json!({"name": name}),
                &format!("delete registered model `{name}`"),
            )
            .await;
        found(done).map(drop)
    }

    /// Sets a tag of a registered model.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] when there is no such model.
    pub async fn set_registered_model_tag(&self, name: &str, key: &str, value: &str) -> Result<()> {
        let _: Ignored = self
            .post(
                &format!("{REGISTERED}/set-tag"),
                &json!({"name": name, "key": key, "value": value}),
                &format!("set tag `{key}` of registered model `{name}`"),
            )
            .await?;
        Ok(())
    }

    /// Deletes a tag of a registered model; fine when it has no such tag.
    ///
    /// # Errors
    ///
    /// When the server refuses.
    pub async fn remove_registered_model_tag(&self, name: &str, key: &str) -> Result<()> {
        let done: Result<Ignored> = self
            .call(
                Method::DELETE,
                &format!("{REGISTERED}/delete-tag"),
                &json!({"name": name, "key": key}),
                &format!("delete tag `{key}` of registered model `{name}`"),
            )
            .await;
        found(done).map(drop)
    }

    /// Makes the next version of a registered model from a logged model.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] when there is no such registered model.
    pub async fn create_model_version(
        &self,
        name: &str,
        model_id: &str,
        run_id: Option<&str>,
        tags: &Tags,
    ) -> Result<ModelVersion> {
        let one: OneVersion = self
            .post(
                &format!("{VERSIONS}/create"),
                &json!({
                    "name": name,
                    "source": format!("models:/{model_id}"),
                    "model_id": model_id,
                    "run_id": run_id,
                    "tags": list(tags),
                }),
                &format!("create a version of registered model `{name}`"),
            )
            .await?;
        Ok(one.model_version)
    }

    /// A version, if there is such a one.
    ///
    /// # Errors
    ///
    /// When it cannot be asked for.
    pub async fn find_model_version(
        &self,
        name: &str,
        version: &str,
    ) -> Result<Option<ModelVersion>> {
        let one: Result<OneVersion> = self
            .get(
                &format!("{VERSIONS}/get"),
                &[("name", name), ("version", version)],
                &format!("find version {version} of registered model `{name}`"),
            )
            .await;
        Ok(found(one)?.map(|one| one.model_version))
    }

    /// All versions of a registered model.
    ///
    /// # Errors
    ///
    /// When they cannot be asked for.
    pub async fn list_model_versions(&self, name: &str) -> Result<Vec<ModelVersion>> {
        #[derive(Deserialize)]
        struct Page {
            #[serde(default)]
            model_versions: Vec<ModelVersion>,
            next_page_token: Option<String>,
        }
        let filter = format!("name='{}'", name.replace('\'', "''"));
        let (mut all, mut page) = (Vec::new(), None::<String>);
        loop {
            let mut query = vec![("filter", filter.as_str()), ("max_results", "1000")];
            query.extend(page.as_deref().map(|page| ("page_token", page)));
            let mut answer: Page = self
                .get(
                    &format!("{VERSIONS}/search"),
                    &query,
                    &format!("list the versions of registered model `{name}`"),
                )
                .await?;
            all.append(&mut answer.model_versions);
            page = token(answer.next_page_token);
            if page.is_none() {
                return Ok(all);
            }
        }
    }

    /// Where the files of a version are, such as `mlflow-artifacts:/0/models/m-…/artifacts`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] when there is no such version.
    pub async fn download_uri(&self, name: &str, version: &str) -> Result<String> {
        #[derive(Deserialize)]
        struct Uri {
            #[serde(default)]
            artifact_uri: String,
        }
        let uri: Uri = self
            .get(
                &format!("{VERSIONS}/get-download-uri"),
                &[("name", name), ("version", version)],
                &format!("find the files of version {version} of registered model `{name}`"),
            )
            .await?;
        Ok(uri.artifact_uri)
    }

    /// Lets an alias name a version, whatever it named before.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] when there is no such version.
    pub async fn set_alias(&self, name: &str, alias: &str, version: &str) -> Result<()> {
        let _: Ignored = self
            .post(
                &format!("{REGISTERED}/alias"),
                &json!({"name": name, "alias": alias, "version": version}),
                &format!("let alias `{alias}` of `{name}` name version {version}"),
            )
            .await?;
        Ok(())
    }

    /// The version that an alias names; `None` when there is no such model or alias.
    ///
    /// # Errors
    ///
    /// When it cannot be asked for.
    pub async fn find_by_alias(&self, name: &str, alias: &str) -> Result<Option<ModelVersion>> {
        let one: Result<OneVersion> = self
            .get(
                &format!("{REGISTERED}/alias"),
                &[("name", name), ("alias", alias)],
                &format!("find alias `{alias}` of registered model `{name}`"),
            )
            .await;
        match one {
            // For an unknown alias the server says INVALID_PARAMETER_VALUE, "Registered model alias … not found".
            Err(error)
                if error.kind() == ErrorKind::InvalidInput
                    && error
                        .causes()
                        .iter()
                        .any(|cause| cause.contains("not found")) =>
            {
                Ok(None)
            }
            other => Ok(found(other)?.map(|one| one.model_version)),
        }
    }

    /// Deletes an alias; fine when there is none.
    ///
    /// # Errors
    ///
    /// When the server refuses.
    pub async fn remove_alias(&self, name: &str, alias: &str) -> Result<()> {
        let done: Result<Ignored> = self
            .call(
                Method::DELETE,
                &format!("{REGISTERED}/alias"),
                &json!({"name": name, "alias": alias}),
                &format!("delete alias `{alias}` of registered model `{name}`"),
            )
            .await;
        found(done).map(drop)
    }
}
