//! `process/COMPONENT`: a program that the supervisor keeps running.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use mlops_core::plan::{Rules, compare};
use mlops_core::process::{ProcessSpec, Program};
use mlops_core::{
    Action, Context, ErrorKind, Found, Graph, Observed, Owner, Provider, Resource, ResourceId,
    Result, Spec, to_spec,
};

use super::{all_unknown, observed, render, rules};
use crate::programs::Programs;
use crate::storage::StorageApi;
use crate::supervisor::{ProcessStatus, Runs, State, SupervisorApi};

/// The kind of processes.
pub const PROCESS: &str = "process";

/// What a process is given beyond the time in which it shall be ready, for the stop of an older one and for
/// restarts.
const GRACE: Duration = Duration::from_mins(1);

/// Has processes kept running by the supervisor.
#[derive(Clone)]
pub struct ProcessProvider {
    supervisor: Arc<dyn SupervisorApi>,
    storage: Arc<dyn StorageApi>,
    programs: Arc<dyn Programs>,
}

impl std::fmt::Debug for ProcessProvider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProcessProvider").finish_non_exhaustive()
    }
}

impl ProcessProvider {
    /// A provider for one platform's supervisor and disk; `programs` finds what is run.
    pub fn new(
        supervisor: Arc<dyn SupervisorApi>,
        storage: Arc<dyn StorageApi>,
        programs: Arc<dyn Programs>,
    ) -> Self {
        Self {
            supervisor,
            storage,
            programs,
        }
    }

    async fn is_of_old_python(&self, spec: &ProcessSpec, status: &ProcessStatus) -> Result<bool> {
        let Runs::Program { path, .. } = &status.runs else {
            return Ok(false);
        };
        if spec.program != Program::Python {
            return Ok(false);
        }
        match self.programs.python().await {
            Ok(python) => Ok(python != *path),
            // It is about to be made anew, in another place.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
            Err(error) => Err(error),
        }
    }

    async fn found(
        &self,
        resource: &Resource,
        status: &ProcessStatus,
        cx: &Context,
    ) -> Result<Found> {
        let spec: ProcessSpec = resource.typed()?;
        let mut fields = to_spec(&status.spec)?;
        // A plan compares what is wanted; something that is there in addition shows as a difference here.
        if spec != status.spec && compare(&resource.spec, &fields).is_empty() {
            tell(&mut fields, "it has settings that are not wanted any more");
        }
        let places = render::addresses(&spec, cx).await?;
        if render::urls(&places) != status.addresses {
            tell(&mut fields, "it uses addresses of before");
        }
        if self.is_of_old_python(&spec, status).await? {
            tell(&mut fields, "of an older Python environment");
        }
        Ok(Found {
            fields,
            owner: Owner::Ours,
            ready: status.is_ready(),
        })
    }
}

/// Makes a difference where the fields alone show none.
fn tell(fields: &mut Spec, what: &str) {
    let program = fields.get("program").cloned().unwrap_or_default();
    let program = program
        .as_str()
        .map_or_else(|| program.to_string(), str::to_owned);
    fields.insert("program".to_owned(), format!("{program} ({what})").into());
}

/// What to say of a process that is waited for.
fn news(status: &ProcessStatus) -> String {
    let line = status.last_line.as_deref().unwrap_or_default();
    match (status.state, &status.last_exit) {
        (State::Waiting, Some(exit)) => format!("ended with {exit}, starting it again: {line}"),
        (state, _) if line.is_empty() => state.to_string(),
        (state, _) => format!("{state}: {line}"),
    }
}

#[async_trait]
impl Provider for ProcessProvider {
    fn rules(&self) -> Rules {
        rules(PROCESS, &[])
    }

    async fn observe(&self, wanted: &[&Resource], cx: &Context) -> Vec<(ResourceId, Observed)> {
        let statuses = match self.supervisor.status().await {
            Ok(statuses) => statuses,
            Err(error) => return all_unknown(wanted, &error),
        };
        let mut all = Vec::new();
        for resource in wanted {
            let found = match statuses.get(resource.id.name()) {
                Some(status) => self.found(resource, status, cx).await.map(Some),
                None => Ok(None),
            };
            all.push((resource.id.clone(), observed(found)));
        }
        all
    }

    async fn find_strays(&self, graph: &Graph, _cx: &Context) -> Result<Vec<Resource>> {
        let statuses: BTreeMap<String, ProcessStatus> = self.supervisor.status().await?;
        let mut strays = Vec::new();
        for (name, status) in statuses {
            let id = ResourceId::new(PROCESS, name.clone());
            if graph.find(&id).is_some() {
                continue;
            }
            if let Ok(component) = name.parse() {
                strays.push(Resource::new(id, component).with_spec(&status.spec)?);
            }
        }
        Ok(strays)
    }

    async fn apply(&self, resource: &Resource, action: &Action, cx: &Context) -> Result<()> {
        let name = resource.id.name();
        if *action == Action::Remove {
            self.supervisor.stop(name).await?;
            return self.storage.remove_run(name).await;
        }
        let spec: ProcessSpec = resource.typed()?;
        let rendered = render::process(
            resource,
            &spec,
            self.storage.as_ref(),
            self.programs.as_ref(),
            cx,
        )
        .await?;
        self.supervisor.start(name, &rendered).await?;
        let within = Duration::from_secs(spec.ready.within_seconds()) + GRACE;
        let said = Mutex::new(String::new());
        let tell = |status: &ProcessStatus| {
            let text = news(status);
            let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
            if *said != text {
                cx.events.progress(&resource.id, text.clone());
                *said = text;
            }
        };
        self.supervisor.wait_until_ready(name, within, &tell).await
    }
}
