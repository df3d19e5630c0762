//! Checks that a thing really works, as data, and what they found.

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Failure, Result};
use crate::name::ComponentName;
use crate::resource::{ResourceId, Spec};

/// A check to be made: data, carried out by the prober that knows its kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// Its name, unique in the platform, such as `mlflow/artifacts`.
    pub name: String,
    /// What kind of check, such as `postgres-binding`.
    pub kind: String,
    /// The component whose work it proves.
    pub component: ComponentName,
    /// What must be ready for it to make sense.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub needs: BTreeSet<ResourceId>,
    /// What the prober needs to know.
    #[serde(default, skip_serializing_if = "Spec::is_empty")]
    pub spec: Spec,
}

impl Probe {
    /// The spec as the type that its prober knows.
    ///
    /// # Errors
    ///
    /// When the spec is not of that type.
    pub fn typed<T: DeserializeOwned>(&self) -> Result<T> {
        T::deserialize(serde_json::Value::Object(self.spec.clone())).map_err(|error| {
            Error::new(
                ErrorKind::InvalidInput,
                format!("understand the probe `{}`", self.name),
            )
            .with_source(error)
        })
    }
}

/// One thing that a probe looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What must hold, as a sentence without a full stop, such as "the role cannot connect to another database".
    pub claim: String,
    /// Why it does not hold; `None` when it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

impl Finding {
    /// The claim holds.
    pub fn holds(claim: impl Into<String>) -> Self {
        Self {
            claim: claim.into(),
            failure: None,
        }
    }

    /// The claim does not hold.
    pub fn fails(claim: impl Into<String>, error: &Error) -> Self {
        Self {
            claim: claim.into(),
            failure: Some(error.into()),
        }
    }

    /// From an attempt that must succeed.
    pub fn expect_done<T>(claim: impl Into<String>, result: &Result<T>) -> Self {
        match result {
            Ok(_) => Self::holds(claim),
            Err(error) => Self::fails(claim, error),
        }
    }

    /// From an attempt that must be refused: success is a failure, and so is any error but a refusal.
    pub fn expect_refused<T>(claim: impl Into<String>, result: &Result<T>) -> Self {
        match result {
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::PermissionDenied | ErrorKind::Unauthenticated
                ) =>
            {
                Self::holds(claim)
            }
            Err(error) => Self::fails(claim, error),
            Ok(_) => {
                let error = Error::new(ErrorKind::Failed, "be refused")
                    .with_source("it was allowed, and must not be");
                Self::fails(claim, &error)
            }
        }
    }
}
