//! `python-environment/local`: the locked Python environment, shared by platforms.

use std::sync::Arc;

use async_trait::async_trait;
use mlops_core::plan::{KindRules, Rules};
use mlops_core::{
    Action, Context, Error, ErrorKind, Found, Kind, Observed, Provider, Resource, ResourceId,
    Result, to_spec,
};
use serde::{Deserialize, Serialize};

use super::observed;
use crate::programs::PythonApi;

/// The kind of the Python environment.
pub const PYTHON_ENVIRONMENT: &str = "python-environment";

/// What the Python environment shall be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PythonEnvironmentSpec {
    /// The short digest of the lock file; `default` is the one that this program brings.
    pub lock: String,
}

/// Makes the Python environment. It is never removed, because other platforms may use it.
#[derive(Clone)]
pub struct PythonEnvironmentProvider {
    python: Arc<dyn PythonApi>,
}

impl std::fmt::Debug for PythonEnvironmentProvider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PythonEnvironmentProvider")
            .finish_non_exhaustive()
    }
}

impl PythonEnvironmentProvider {
    /// A provider for one environment.
    pub fn new(python: Arc<dyn PythonApi>) -> Self {
        Self { python }
    }

    async fn find(&self, resource: &Resource) -> Result<Option<Found>> {
        let spec: PythonEnvironmentSpec = resource.typed()?;
        self.check(&spec)?;
        let fields = to_spec(&spec)?;
        Ok(self.python.find().await?.map(|_| Found::ours(fields)))
    }

    fn check(&self, spec: &PythonEnvironmentSpec) -> Result<()> {
        let ours = self.python.lock();
        match spec.lock.as_str() {
            lock if lock != ours && lock != "default" => Err(Error::new(
                ErrorKind::Unsupported,
                format!("make the Python environment of lock `{lock}`"),
            )
            .with_source(format!("this program brings lock `{ours}`"))
            .with_hint("make the plan with the program that carries it out")),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Provider for PythonEnvironmentProvider {
    fn rules(&self) -> Rules {
        let rules = KindRules {
            shared: true,
            ..KindRules::default()
        };
        Rules::from([(Kind::new(PYTHON_ENVIRONMENT), rules)])
    }

    async fn observe(&self, wanted: &[&Resource], _cx: &Context) -> Vec<(ResourceId, Observed)> {
        let mut all = Vec::new();
        for resource in wanted {
            all.push((resource.id.clone(), observed(self.find(resource).await)));
        }
        all
    }

    async fn apply(&self, resource: &Resource, action: &Action, cx: &Context) -> Result<()> {
        if *action == Action::Remove {
            return Ok(());
        }
        self.check(&resource.typed()?)?;
        let events = cx.events.clone();
        let id = resource.id.clone();
        let news = move |text: &str| events.progress(&id, text);
        self.python.ensure(&news).await.map(drop)
    }
}
