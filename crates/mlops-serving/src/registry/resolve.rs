//! From the address of a model to its files.

use std::fmt;
use std::str::FromStr;

use mlops_core::{Digest, Error, ErrorKind, ModelAlias, ModelName, Result};
use serde::{Deserialize, Serialize};

use super::{PROBE_TAG, Registry};
use crate::serve::InferenceProbe;

/// The address of a model in MLflow's words.
///
/// ```
/// use mlops_serving::registry::ModelUri;
///
/// let uri: ModelUri = "models:/iris@champion".parse()?;
/// assert!(matches!(&uri, ModelUri::Alias { alias, .. } if alias.as_str() == "champion"));
/// assert_eq!(uri.to_string(), "models:/iris@champion");
/// assert!("runs:/abc/model".parse::<ModelUri>().is_err());
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelUri {
    /// `models:/NAME@ALIAS`: the version that the alias names now.
    Alias {
        /// The registered model.
        name: ModelName,
        /// The alias.
        alias: ModelAlias,
    },
    /// `models:/NAME/VERSION`.
    Version {
        /// The registered model.
        name: ModelName,
        /// The version.
        version: u64,
    },
    /// `models:/m-ID`: a logged model, registered or not.
    Logged(String),
}

impl FromStr for ModelUri {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            Error::new(
                ErrorKind::InvalidInput,
                format!("use `{}` as the address of a model", text.escape_debug()),
            )
            .with_hint("it is written models:/NAME@ALIAS, models:/NAME/VERSION or models:/m-ID")
        };
        let rest = text.strip_prefix("models:/").ok_or_else(wrong)?;
        if let Some((name, alias)) = rest.split_once('@') {
            return Ok(Self::Alias {
                name: name
                    .parse()
                    .map_err(|error: Error| wrong().with_source(error))?,
                alias: alias
                    .parse()
                    .map_err(|error: Error| wrong().with_source(error))?,
            });
        }
        if let Some((name, version)) = rest.split_once('/') {
            return Ok(Self::Version {
                name: name
                    .parse()
                    .map_err(|error: Error| wrong().with_source(error))?,
                version: version
                    .parse()
                    .map_err(|error| wrong().with_source(error))?,
            });
        }
        let id = rest.strip_prefix("m-").ok_or_else(wrong)?;
        if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(wrong());
        }
        Ok(Self::Logged(rest.to_owned()))
    }
}

impl fmt::Display for ModelUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alias { name, alias } => write!(f, "models:/{name}@{alias}"),
            Self::Version { name, version } => write!(f, "models:/{name}/{version}"),
            Self::Logged(id) => write!(f, "models:/{id}"),
        }
    }
}

impl Serialize for ModelUri {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ModelUri {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?
            .parse()
            .map_err(|error: Error| serde::de::Error::custom(error))
    }
}

/// What an address named at the moment it was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    /// The version, or the id of a logged model.
    pub version: String,
    /// The same content under an address that does not move.
    pub uri: String,
    /// Where the files are, such as `mlflow-artifacts:/0/models/m-…/artifacts`.
    pub files: String,
    /// The version with a digest of what it was made from: a version 1 of a registry that was emptied and filled again
    /// has another key than the version 1 before.
    pub key: String,
    /// The version's own test request.
    pub probe: Option<InferenceProbe>,
}

/// Asks what an address names now.
///
/// # Errors
///
/// [`ErrorKind::NotFound`] when it names nothing.
pub async fn resolve(registry: &dyn Registry, uri: &ModelUri) -> Result<Resolved> {
    let missing = |cause: String| {
        Error::new(ErrorKind::NotFound, format!("resolve `{uri}`")).with_source(cause)
    };
    let version = match uri {
        ModelUri::Logged(id) => {
            let model = registry.get_logged_model(id).await?;
            return Ok(Resolved {
                version: id.clone(),
                uri: uri.to_string(),
                files: model.artifact_uri,
                key: id.clone(),
                probe: probe_in(model.tags.get(PROBE_TAG), uri)?,
            });
        }
        ModelUri::Alias { name, alias } => registry
            .find_by_alias(name.as_str(), alias.as_str())
            .await?
            .ok_or_else(|| {
                missing(format!("`{name}` has no version with alias `{alias}`"))
                    .with_hint("set the alias in MLflow, or serve a version by number")
            })?,
        ModelUri::Version { name, version } => registry
            .find_model_version(name.as_str(), &version.to_string())
            .await?
            .ok_or_else(|| missing(format!("`{name}` has no version {version}")))?,
    };
    let files = registry
        .download_uri(&version.name, &version.version)
        .await?;
    let content = Digest::of(&(&version.source, &files, version.creation_timestamp));
    Ok(Resolved {
        uri: format!("models:/{}/{}", version.name, version.version),
        key: format!(
            "{}-{}",
            version.version,
            content.as_str().get(..8).unwrap_or_default()
        ),
        probe: probe_in(version.tags.get(PROBE_TAG), uri)?,
        version: version.version,
        files,
    })
}

fn probe_in(tag: Option<&String>, uri: &ModelUri) -> Result<Option<InferenceProbe>> {
    tag.map(|text| serde_json::from_str(text))
        .transpose()
        .map_err(|error| {
            Error::new(
                ErrorKind::InvalidInput,
                format!("read the test request of `{uri}`"),
            )
            .with_source(error)
            .with_hint(format!("correct or delete its tag `{PROBE_TAG}`"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn three_forms_and_nothing_else() {
        for text in ["models:/iris@champion", "models:/iris/3", "models:/m-0a1b"] {
            assert_eq!(text.parse::<ModelUri>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "iris",
            "models:/",
            "models:/iris",
            "models:/iris@",
            "models:/iris@v1",
            "models:/iris@latest",
            "models:/iris/x",
            "models:/../x@y",
            "models:/m-",
            "models:/m-../x",
            "s3://b/k",
            "models:/iris/1/2",
        ] {
            let error = text.parse::<ModelUri>().unwrap_err();
            assert!(
                error.hint().unwrap().contains("models:/NAME@ALIAS"),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn what_parses_prints_the_same(text in "models:/[a-z.@/0-9-]{0,12}") {
            if let Ok(uri) = text.parse::<ModelUri>() {
                prop_assert_eq!(uri.to_string().parse::<ModelUri>().unwrap(), uri);
            }
        }
    }
}
