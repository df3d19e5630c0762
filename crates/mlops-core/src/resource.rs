//! One thing to exist in one system, as data.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::name::ComponentName;

/// The fields of a resource: what it shall be, in the words of its provider. Never holds secret text.
pub type Spec = serde_json::Map<String, serde_json::Value>;

/// The kind of a resource, such as `postgres-role`: what decides which provider is responsible.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind(Arc<str>);

impl Kind {
    /// Takes a kind's name as it is.
    pub fn new(name: impl AsRef<str>) -> Self {
        Self(name.as_ref().into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Serialize for Kind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The identity of a resource in a graph, written `kind/name`, such as `process/mlflow`.
///
/// ```
/// use mlops_core::ResourceId;
///
/// let id: ResourceId = "process/mlflow".parse()?;
/// assert_eq!(id.kind().as_str(), "process");
/// assert_eq!(id.name(), "mlflow");
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceId {
    kind: Kind,
    name: Arc<str>,
}

impl ResourceId {
    /// The resource `name` of `kind`.
    pub fn new(kind: impl AsRef<str>, name: impl AsRef<str>) -> Self {
        Self {
            kind: Kind::new(kind),
            name: name.as_ref().into(),
        }
    }

    /// The kind.
    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// The name, unique among the resources of its kind.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// As it is written: `kind/name`.
    fn text(&self) -> String {
        [self.kind.as_str(), "/", &self.name].concat()
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text())
    }
}

impl FromStr for ResourceId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.split_once('/') {
            Some((kind, name)) if !kind.is_empty() && !name.is_empty() => Ok(Self::new(kind, name)),
            _ => Err(Error::new(
                ErrorKind::InvalidInput,
                format!("use `{}` as a resource", text.escape_debug()),
            )
            .with_hint("a resource is written KIND/NAME, such as `process/mlflow`")),
        }
    }
}

impl Serialize for ResourceId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text())
    }
}

impl<'de> Deserialize<'de> for ResourceId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(|error: Error| serde::de::Error::custom(error))
    }
}

/// One thing to exist in one system.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// Its identity in the graph.
    pub id: ResourceId,
    /// The component it belongs to.
    pub component: ComponentName,
    /// What must be ready before work on it starts.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub needs: BTreeSet<ResourceId>,
    /// What it waits for by itself after it was started: work on it begins without these, and is given up when one of
    /// them fails.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub awaits: BTreeSet<ResourceId>,
    /// The resource it lives in, if that is one of ours: while that one is not there, this one cannot be.
    /// Always one of `needs` as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<ResourceId>,
    /// What it shall be.
    #[serde(default, skip_serializing_if = "Spec::is_empty")]
    pub spec: Spec,
    /// Whether it holds a user's data: then it is removed by name only, and never replaced.
    #[serde(default, skip_serializing_if = "is_false")]
    pub holds_data: bool,
    /// Whether one that exists and is not ours may be taken over.
    #[serde(default, skip_serializing_if = "is_false")]
    pub adopt: bool,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
fn is_false(value: &bool) -> bool {
    !value
}

impl Resource {
    /// A resource of `component` with no needs and an empty spec.
    pub fn new(id: ResourceId, component: ComponentName) -> Self {
        Self {
            id,
            component,
            needs: BTreeSet::new(),
            awaits: BTreeSet::new(),
            within: None,
            spec: Spec::new(),
            holds_data: false,
            adopt: false,
        }
    }

    /// Adds something that must be ready first.
    #[must_use]
    pub fn with_need(mut self, id: ResourceId) -> Self {
        self.needs.insert(id);
        self
    }

    /// Says which resource it lives in; that one is a need as well.
    #[must_use]
    pub fn with_within(mut self, id: ResourceId) -> Self {
        self.needs.insert(id.clone());
        self.within = Some(id);
        self
    }

    /// Sets the spec from a typed value that serialises to an object.
    ///
    /// # Errors
    ///
    /// When the value does not serialise to a JSON object.
    pub fn with_spec<T: Serialize>(mut self, spec: &T) -> Result<Self> {
        self.spec = to_spec(spec)?;
        Ok(self)
    }

    /// Marks it as holding a user's data.
    #[must_use]
    pub fn with_data(mut self) -> Self {
        self.holds_data = true;
        self
    }

    /// The spec as the type that its provider knows.
    ///
    /// # Errors
    ///
    /// When the spec is not of that type.
    pub fn typed<T: DeserializeOwned>(&self) -> Result<T> {
        T::deserialize(serde_json::Value::Object(self.spec.clone())).map_err(|error| {
            Error::new(
                ErrorKind::InvalidInput,
                format!("understand the description of `{}`", self.id),
            )
            .with_source(error)
        })
    }
}

/// A typed value as a [`Spec`].
///
/// # Errors
///
/// When the value does not serialise to a JSON object.
pub fn to_spec<T: Serialize>(value: &T) -> Result<Spec> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(Error::new(
            ErrorKind::InvalidInput,
            "describe a resource by a value that is not an object",
        )),
        Err(error) => {
            Err(Error::new(ErrorKind::InvalidInput, "describe a resource").with_source(error))
        }
    }
}
