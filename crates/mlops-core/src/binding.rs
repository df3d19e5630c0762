//! One component's use of a capability.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::name::{CapabilityName, ComponentName, SecretName, ServiceName};
use crate::resource::Spec;

/// One component's use of a capability: *this* bucket with *this* key, *this* database with *this* role.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Binding {
    /// Its name, unique among the bindings of its consumer, such as `artifacts`.
    pub name: String,
    /// Who uses it.
    pub consumer: ComponentName,
    /// What is used.
    pub capability: CapabilityName,
    /// Where it is reached.
    pub service: ServiceName,
    /// The facts that are not secret: `database` and `role`, `bucket` and `region` …
    #[serde(default)]
    pub facts: Spec,
    /// The secrets by their part: `password`, `access-key`, `secret-key` …
    #[serde(default)]
    pub secrets: BTreeMap<String, SecretName>,
}

impl Binding {
    /// `consumer/name`, unique in the platform.
    pub fn id(&self) -> String {
        format!("{}/{}", self.consumer, self.name)
    }

    /// A fact that is a text.
    pub fn fact(&self, name: &str) -> Option<&str> {
        self.facts.get(name).and_then(serde_json::Value::as_str)
    }
}
