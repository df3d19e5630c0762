//! Experiments and runs.

use mlops_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::types::{Experiment, Metric, Run, RunStatus, Tag, Tags, list};
use super::{Ignored, Mlflow, PAGE, found};

/// A run to begin.
#[derive(Debug, Clone, Default)]
pub struct NewRun {
    /// Its experiment.
    pub experiment_id: String,
    /// Its name; MLflow makes one up otherwise.
    pub name: Option<String>,
    /// When it begins, in milliseconds since 1970.
    pub start_time: i64,
    /// Its tags.
    pub tags: Tags,
}

/// What to log to a run in one call: at most 1000 metrics, 100 parameters and 100 tags, 1000 in all and 1 MB.
#[derive(Debug, Clone, Default, Serialize)]
pub struct LogBatch {
    /// Metrics.
    pub metrics: Vec<Metric>,
    /// Parameters; one that was logged before cannot be changed.
    pub params: Vec<Tag>,
    /// Tags.
    pub tags: Vec<Tag>,
}

#[derive(Deserialize)]
struct Experiments {
    #[serde(default)]
    experiments: Vec<Experiment>,
    next_page_token: Option<String>,
}

#[derive(Deserialize)]
struct Runs {
    #[serde(default)]
    runs: Vec<Run>,
    next_page_token: Option<String>,
}

#[derive(Deserialize)]
struct OneRun {
    run: Run,
}

impl Mlflow {
    /// Makes an experiment and returns its id.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::AlreadyExists`] when there is one of that name.
    pub async fn create_experiment(&self, name: &str, tags: &Tags) -> Result<String> {
        #[derive(Deserialize)]
        struct Created {
            experiment_id: String,
        }
        let created: Created = self
            .post(
                "/api/2.0/mlflow/experiments/create",
                &json!({"name": name, "tags": list(tags)}),
                &format!("create experiment `{name}`"),
            )
            .await?;
        Ok(created.experiment_id)
    }

    /// The experiment of that name, if there is one; it may be deleted.
    ///
    /// # Errors
    ///
    /// When it cannot be asked for.
    pub async fn find_experiment(&self, name: &str) -> Result<Option<Experiment>> {
        #[derive(Deserialize)]
        struct One {
            experiment: Experiment,
        }
        let one: Result<One> = self
            .get(
                "/api/2.0/mlflow/experiments/get-by-name",
                &[("experiment_name", name)],
                &format!("find experiment `{name}`"),
            )
            .await;
        Ok(found(one)?.map(|one| one.experiment))
    }

    /// One page of experiments, and the token of the next.
    ///
    /// # Errors
    ///
    /// When they cannot be asked for, or the filter is wrong.
    pub async fn search_experiments_page(
        &self,
        filter: Option<&str>,
        most: u32,
        page: Option<&str>,
    ) -> Result<(Vec<Experiment>, Option<String>)> {
        let answer: Experiments = self
            .post(
                "/api/2.0/mlflow/experiments/search",
                &json!({"max_results": most, "filter": filter, "page_token": page}),
                "search experiments",
            )
            .await?;
        Ok((answer.experiments, token(answer.next_page_token)))
    }

    /// All experiments that match a filter such as ``tags.`team` = 'a'``.
    ///
    /// # Errors
    ///
    /// When they cannot be asked for, or the filter is wrong.
    pub async fn search_experiments(&self, filter: Option<&str>) -> Result<Vec<Experiment>> {
        let (mut all, mut page) = (Vec::new(), None);
        loop {
            let (mut some, next) = self
                .search_experiments_page(filter, PAGE, page.as_deref())
                .await?;
            all.append(&mut some);
            page = next;
            if page.is_none() {
                return Ok(all);
            }
        }
    }

    /// Begins a run.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] when there is no such experiment.
    pub async fn create_run(&self, run: &NewRun) -> Result<Run> {
        let one: OneRun = self
            .post(
                "/api/2.0/mlflow/runs/create",
                &json!({
                    "experiment_id": run.experiment_id,
                    "run_name": run.name,
                    "start_time": run.start_time,
                    "tags": list(&run.tags),
                }),
                &format!("begin a run in experiment `{}`", run.experiment_id),
            )
            .await?;
        Ok(one.run)
    }

    /// The run, with what was logged.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] when there is none.
    pub async fn get_run(&self, run_id: &str) -> Result<Run> {
        let one: OneRun = self
            .get(
                "/api/2.0/mlflow/runs/get",
                &[("run_id", run_id)],
                &format!("read run `{run_id}`"),
            )
            .await?;
        Ok(one.run)
    }

    /// Sets the state of a run, and its end in milliseconds since 1970.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] when there is none.
    pub async fn update_run(
        &self,
        run_id: &str,
        status: RunStatus,
        end_time: Option<i64>,
    ) -> Result<()> {
        let _: Ignored = self
            .post(
                "/api/2.0/mlflow/runs/update",
                &json!({"run_id": run_id, "status": status, "end_time": end_time}),
                &format!("set the state of run `{run_id}`"),
            )
            .await?;
        Ok(())
    }

    /// Logs metrics, parameters and tags in one call, which costs about what one of them does.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] when there are too many, or a parameter would change.
    pub async fn log_batch(&self, run_id: &str, batch: &LogBatch) -> Result<()> {
        #[derive(Serialize)]
        struct Arguments<'a> {
            run_id: &'a str,
            #[serde(flatten)]
            batch: &'a LogBatch,
        }
        // JSON would turn them into null, which the server takes for "not set".
        if batch.metrics.iter().any(|metric| !metric.value.is_finite()) {
            return Err(
                Error::new(ErrorKind::InvalidInput, format!("log to run `{run_id}`"))
                    .with_source("a metric is infinite or not a number"),
            );
        }
        let _: Ignored = self
            .post(
                "/api/2.0/mlflow/runs/log-batch",
                &Arguments { run_id, batch },
                &format!("log to run `{run_id}`"),
            )
            .await?;
        Ok(())
    }

    /// All runs of some experiments that match a filter such as `metrics.acc > 0.5`.
    ///
    /// # Errors
    ///
    /// When they cannot be asked for, or the filter is wrong.
    pub async fn search_runs(
        &self,
        experiment_ids: &[&str],
        filter: Option<&str>,
    ) -> Result<Vec<Run>> {
        let (mut all, mut page) = (Vec::new(), None::<String>);
        loop {
            let mut answer: Runs = self
                .post(
                    "/api/2.0/mlflow/runs/search",
                    &json!({
                        "experiment_ids": experiment_ids,
                        "filter": filter,
                        "max_results": PAGE,
                        "page_token": page,
                    }),
                    "search runs",
                )
                .await?;
            all.append(&mut answer.runs);
            page = token(answer.next_page_token);
            if page.is_none() {
                return Ok(all);
            }
        }
    }

    /// Marks a run as deleted; fine when it is not there.
    ///
    /// # Errors
    ///
    /// When the server refuses.
    pub async fn remove_run(&self, run_id: &str) -> Result<()> {
        let done: Result<Ignored> = self
            .post(
                "/api/2.0/mlflow/runs/delete",
                &json!({"run_id": run_id}),
                &format!("delete run `{run_id}`"),
            )
            .await;
        found(done).map(drop)
    }
}

/// A token of the next page; an empty one means the same as none.
pub(super) fn token(token: Option<String>) -> Option<String> {
    token.filter(|token| !token.is_empty())
}
