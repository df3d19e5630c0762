//! What was found in the world.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::Failure;
use crate::resource::{Resource, ResourceId, Spec};

/// Who a found thing belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Owner {
    /// It bears this platform's mark.
    Ours,
    /// It bears another mark or none; the text says what is known.
    Other(String),
}

/// A thing as it was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// Its fields in the shape of the spec. A field that the provider cannot read back is left out of
    /// comparison by repeating the wanted value.
    pub fields: Spec,
    /// Who it belongs to.
    pub owner: Owner,
    /// Whether it can be used now: a process answers, a model is loaded.
    pub ready: bool,
}

impl Found {
    /// Ours, ready, with these fields.
    pub fn ours(fields: Spec) -> Self {
        Self {
            fields,
            owner: Owner::Ours,
            ready: true,
        }
    }
}

/// What is known of one resource. "Could not ask" is an answer of its own, never "absent".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Observed {
    /// It is there.
    Found(Found),
    /// It is not there.
    Absent,
    /// What it lives in is not running yet, so it is looked at later.
    Hidden {
        /// The resource that must be ready first.
        behind: ResourceId,
    },
    /// It could not be asked for: an error.
    Unknown(Failure),
}

/// What was found in the world for the resources of a graph.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// What is known of each resource of the graph.
    pub entries: BTreeMap<ResourceId, Observed>,
    /// What is ours in the world and no longer in the graph, with the needs that order its removal.
    pub strays: Vec<Resource>,
}

impl Observation {
    /// What is known of a resource; one that nobody looked at is absent.
    pub fn get(&self, id: &ResourceId) -> &Observed {
        self.entries.get(id).unwrap_or(&Observed::Absent)
    }
}
