//! `supervisor/local`: the supervisor and the ports.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use mlops_core::plan::Rules;
use mlops_core::{
    Action, Context, Found, Observed, Provider, Resource, ResourceId, Result, ServiceName, to_spec,
};
use serde::{Deserialize, Serialize};

use super::{observed, rules};
use crate::storage::StorageApi;
use crate::supervisor::{PROTOCOL, SupervisorApi};

/// The kind of the supervisor.
pub const SUPERVISOR: &str = "supervisor";

/// What the supervisor shall be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SupervisorSpec {
    /// The platform's own services with the ports they were given; `None` has one chosen and kept.
    pub services: BTreeMap<ServiceName, Option<u16>>,
}

/// Starts and ends the supervisor, and keeps the ports.
#[derive(Clone)]
pub struct SupervisorProvider {
    supervisor: Arc<dyn SupervisorApi>,
    storage: Arc<dyn StorageApi>,
}

impl std::fmt::Debug for SupervisorProvider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SupervisorProvider").finish_non_exhaustive()
    }
}

impl SupervisorProvider {
    /// A provider for one platform's supervisor and disk.
    pub fn new(supervisor: Arc<dyn SupervisorApi>, storage: Arc<dyn StorageApi>) -> Self {
        Self {
            supervisor,
            storage,
        }
    }

    async fn find(&self, resource: &Resource) -> Result<Option<Found>> {
        let spec: SupervisorSpec = resource.typed()?;
        match self.supervisor.find().await? {
            // One that speaks another language is replaced, so it counts for nothing.
            Some(info) if info.protocol == PROTOCOL => {}
            _ => return Ok(None),
        }
        let ports = self.storage.ports().await?;
        let services: BTreeMap<&ServiceName, serde_json::Value> = spec
            .services
            .iter()
            .map(|(name, wanted)| {
                let found = match (ports.get(name), wanted) {
                    (Some(_), None) => serde_json::Value::Null,
                    (Some(port), Some(_)) => (*port).into(),
                    // Null would mean that a port was chosen.
                    (None, _) => "no port yet".into(),
                };
                (name, found)
            })
            .collect();
        to_spec(&serde_json::json!({ "services": services }))
            .map(|fields| Some(Found::ours(fields)))
    }
}

#[async_trait]
impl Provider for SupervisorProvider {
    fn rules(&self) -> Rules {
        rules(SUPERVISOR, &[])
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
            cx.events.progress(&resource.id, "stopping every process");
            self.supervisor.shutdown().await?;
            return self.storage.clean_up().await;
        }
        let spec: SupervisorSpec = resource.typed()?;
        self.storage.ensure_ports(&spec.services).await?;
        self.supervisor.ensure().await.map(drop)
    }
}
