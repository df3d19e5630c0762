//! Models to serve.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, ErrorKind, Result};
use crate::name::{ModelAlias, ModelName};
use crate::resource::Spec;

/// A model to be served.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// The name it is served under, such as `iris`.
    pub name: ModelName,
    /// Which registered version is served: `models:/NAME@ALIAS`, which follows the alias, or `models:/NAME/VERSION`.
    pub uri: ModelUri,
    /// A sample of the catalogue that is registered as version 1 when there is no such registered model yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<String>,
    /// An inference that proves that the model works; a sample brings its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<ModelProbe>,
}

/// An inference and what must come out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelProbe {
    /// The input tensors, as in the Open Inference Protocol
    /// (<https://github.com/open-inference/open-inference-protocol>).
    pub inputs: Vec<ProbeInput>,
    /// Parameters of the whole request, such as `content_type: pd` for a data frame made of the inputs.
    #[serde(default, skip_serializing_if = "Spec::is_empty")]
    pub parameters: Spec,
    /// The elements that the first output must hold.
    pub expected: Vec<Value>,
}

/// One input tensor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProbeInput {
    /// Its name.
    pub name: String,
    /// Its element type, such as `FP64`.
    pub datatype: String,
    /// Its dimensions.
    pub shape: Vec<u64>,
    /// Its elements, flat.
    pub data: Vec<Value>,
    /// Its parameters.
    #[serde(default, skip_serializing_if = "Spec::is_empty")]
    pub parameters: Spec,
}

/// Which version of a registered model is meant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ModelPick {
    /// The one that an alias names at the time.
    Alias(ModelAlias),
    /// A fixed one.
    Version(u64),
}

/// A registered model and which version of it: `models:/NAME@ALIAS` or `models:/NAME/VERSION`.
///
/// ```
/// use mlops_core::platform::{ModelPick, ModelUri};
///
/// let uri: ModelUri = "models:/iris@champion".parse()?;
/// assert_eq!(uri.model().as_str(), "iris");
/// assert_eq!(uri.pick(), &ModelPick::Alias("champion".parse()?));
/// assert!("models:/iris".parse::<ModelUri>().is_err());
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelUri {
    model: ModelName,
    pick: ModelPick,
}

impl ModelUri {
    /// The registered model.
    pub fn model(&self) -> &ModelName {
        &self.model
    }

    /// Which version of it.
    pub fn pick(&self) -> &ModelPick {
        &self.pick
    }

    /// The alias, if it is one that picks.
    pub fn alias(&self) -> Option<&ModelAlias> {
        match &self.pick {
            ModelPick::Alias(alias) => Some(alias),
            ModelPick::Version(_) => None,
        }
    }
}

impl fmt::Display for ModelUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.pick {
            ModelPick::Alias(alias) => write!(f, "models:/{}@{alias}", self.model),
            ModelPick::Version(version) => write!(f, "models:/{}/{version}", self.model),
        }
    }
}

impl FromStr for ModelUri {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let doing = || format!("use `{}` as a model URI", text.escape_debug());
        let wrong = |cause: String| {
            Error::new(ErrorKind::InvalidInput, doing())
                .with_source(cause)
                .with_hint(
                    "write `models:/NAME@ALIAS`, which follows the alias, or `models:/NAME/VERSION`",
                )
        };
        let part = |error: &Error| wrong(error.causes().first().cloned().unwrap_or_default());
        let Some(rest) = text.strip_prefix("models:/") else {
            return Err(wrong("a model URI begins with `models:/`".to_owned()));
        };
        let (model, pick) = if let Some((model, alias)) = rest.split_once('@') {
            let alias = alias.parse().map_err(|error| part(&error))?;
            (model, ModelPick::Alias(alias))
        } else if let Some((model, version)) = rest.split_once('/') {
            let number = version
                .parse::<u64>()
                .ok()
                .filter(|number| *number > 0 && !version.starts_with(['0', '+']))
                .ok_or_else(|| wrong("a version is a whole number from 1".to_owned()))?;
            (model, ModelPick::Version(number))
        } else {
            return Err(wrong(
                "a model URI says which version: by an alias or by a number".to_owned(),
            ));
        };
        let model = model.parse().map_err(|error| part(&error))?;
        Ok(Self { model, pick })
    }
}

text_type!(
    ModelUri,
    "A registered model and which version of it: `models:/NAME@ALIAS`, which follows the alias, or `models:/NAME/VERSION`.",
    "^models:/[^@/]+(@.+|/[1-9][0-9]*)$"
);
