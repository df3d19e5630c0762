//! What the user wants: the parsed and validated `platform.yaml`.

/// `Serialize`, `Deserialize` and `JsonSchema` for a type whose door is `FromStr`.
macro_rules! text_type {
    ($type:ident, $description:literal, $pattern:literal) => {
        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(|error: Error| {
                    serde::de::Error::custom(error.causes().first().cloned().unwrap_or_default())
                })
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "description": $description, "pattern": $pattern })
            }
        }
    };
}

mod cluster;
mod diagnostic;
mod example;
mod external;
mod model;
mod problems;
mod source;
pub mod tree;
mod validate;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use cluster::{Cluster, ImageName, NamespaceName, PullSecretName, StorageClassName};
pub use diagnostic::{Diagnostic, Diagnostics, Snippet};
pub use external::{Address, External, Keys};
pub use model::{Model, ModelPick, ModelProbe, ModelUri, ProbeInput};
pub use problems::{Problem, Problems};
pub use source::{MAX_BYTES, MAX_DEPTH, Source};

use crate::name::{
    BucketName, CapabilityName, ComponentName, DatabaseName, PlatformName, ServiceName,
};
use crate::resource::{ResourceId, Spec};
use crate::service::SecretSource;

/// What the user wants, as it was written: what is not said comes from the profile when it is resolved.
///
/// ```
/// use mlops_core::Platform;
///
/// // The shortest file: the `local` profile under a name.
/// let platform = Platform::parse("platform.yaml", "name: demo")?;
/// assert_eq!(platform.name.as_str(), "demo");
/// assert_eq!(platform.profile_name(), "local");
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "platform.yaml")]
pub struct Platform {
    /// The platform's name, such as `demo`: its data, its mark on what it owns and its socket bear it.
    pub name: PlatformName,
    /// Where it runs.
    #[serde(default)]
    pub target: Target,
    /// The starting platform over which this file is laid; `local` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// How large its servers are; `small` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
    /// The components, by their name in the catalogue. Those of the profile are on unless `enabled: false`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("x-keys" = "ComponentName"))]
    pub components: BTreeMap<ComponentName, Option<Choice>>,
    /// Capabilities that a server outside the platform provides, in place of a component.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("x-keys" = "CapabilityName"))]
    pub external: BTreeMap<CapabilityName, External>,
    /// The models to serve. A list here takes the place of the profile's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<Model>>,
    /// Ports of services on the `local` target, where the ones that are chosen do not suit.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("x-keys" = "ServiceName"))]
    pub ports: BTreeMap<ServiceName, Port>,
    /// Resources that may be taken over when they exist and are not ours, written `KIND/NAME`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(with = "Vec<ResourceIdText>")]
    pub adopt: BTreeSet<ResourceId>,
    /// Programs of the machine that the `local` target uses.
    #[serde(default, skip_serializing_if = "Local::is_empty")]
    pub local: Local,
    /// Where in which cluster it runs, on the `cluster` target.
    #[serde(default, skip_serializing_if = "Cluster::is_empty")]
    pub cluster: Cluster,
    /// Images in place of those of the catalogue, on the `cluster` target. An image without a tag stands for all tags
    /// of it, and a replacement without one keeps the tag.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, ImageName>", extend("x-keys" = "ImageName"))]
    pub images: BTreeMap<ImageName, ImageName>,
    /// The file it was read from, for messages.
    #[serde(skip)]
    pub source: Option<Source>,
}

/// Where a platform runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// Processes of this machine.
    #[default]
    Local,
    /// Objects of a Kubernetes cluster.
    Cluster,
}

impl Target {
    /// The word in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Cluster => "cluster",
        }
    }
}

/// How large servers are. Each component says in the catalogue what that means for it.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Size {
    /// For one person on a laptop: the least memory.
    #[default]
    Small,
    /// For a small team: about 4 GB of memory in all.
    Medium,
    /// For a team on a large server: about 16 GB of memory in all.
    Large,
}

impl Size {
    /// The word in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Medium => "medium",
            Self::Large => "large",
        }
    }
}

/// What a platform says about one component.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// Whether it is part of the platform; true by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// How large it is, when not as large as the rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
    /// Its settings; its page in the catalogue tells which there are.
    #[serde(default, skip_serializing_if = "Spec::is_empty")]
    pub settings: Spec,
    /// Secrets of it that come from outside instead of being made.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, SecretSource>,
    /// Names of databases and buckets, by binding, where those of the catalogue do not suit.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub bindings: BTreeMap<String, BindingNames>,
}

/// Names in place of those that the catalogue gives to what a binding uses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BindingNames {
    /// The database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseName>,
    /// The bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket: Option<BucketName>,
}

/// Programs of the machine, where the ones that are found do not suit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Local {
    /// The Python interpreter of which the locked environment is made, 3.10 to 3.13.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub python: Option<PathBuf>,
    /// The folder that holds `initdb` and `postgres`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgres: Option<PathBuf>,
}

impl Local {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A port that a user may ask for: 1024 to 65535, because nothing here runs with the right to take a lower one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u16")]
pub struct Port(u16);

impl Port {
    /// The number.
    pub fn get(self) -> u16 {
        self.0
    }
}

impl TryFrom<u16> for Port {
    type Error = String;

    fn try_from(number: u16) -> Result<Self, String> {
        if number >= 1024 {
            Ok(Self(number))
        } else {
            Err(format!("a port is from 1024 to 65535, not {number}"))
        }
    }
}

impl JsonSchema for Port {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Port".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "integer",
            "description": "A port, from 1024.",
            "minimum": 1024,
            "maximum": 65535,
        })
    }
}

/// The schema of a [`ResourceId`] written as text.
struct ResourceIdText;

impl JsonSchema for ResourceIdText {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ResourceId".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A resource, written KIND/NAME, such as `postgres-database/mlflow`.",
            "pattern": "^[^/]+/.+$",
        })
    }
}

impl Platform {
    /// A platform of which only the name is said.
    pub fn new(name: PlatformName) -> Self {
        Self {
            name,
            target: Target::Local,
            profile: None,
            size: None,
            components: BTreeMap::new(),
            external: BTreeMap::new(),
            models: None,
            ports: BTreeMap::new(),
            adopt: BTreeSet::new(),
            local: Local::default(),
            cluster: Cluster::default(),
            images: BTreeMap::new(),
            source: None,
        }
    }

    /// Reads a file's text; `path` is for messages only.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the file, each with its place and, where one is near, the name that was meant.
    pub fn parse(path: &str, text: &str) -> Result<Self, Diagnostics> {
        match Self::parse_partly(path, text) {
            (Some(platform), wrong) => wrong.or(platform),
            (None, wrong) => Err(wrong),
        }
    }

    /// Reads what can be read of a file's text, so that later checks can report together with these: the platform
    /// without its wrong parts, if that is still one, and what is wrong.
    pub fn parse_partly(path: &str, text: &str) -> (Option<Self>, Diagnostics) {
        let source = Source::new(path, text);
        let (platform, wrong) = source.read_partly::<Self>();
        let platform = platform.map(|platform| Self {
            source: Some(source),
            ..platform
        });
        (platform, wrong)
    }

    /// The JSON Schema of the file, made from the types.
    pub fn schema() -> Value {
        schemars::schema_for!(Self).to_value()
    }

    /// The profile's name: the one that is said, or `local`.
    pub fn profile_name(&self) -> &str {
        self.profile.as_deref().unwrap_or("local")
    }

    /// The namespace of its objects in a cluster: the one that is said, or its own name.
    pub fn namespace(&self) -> &str {
        let said = self.cluster.namespace.as_ref();
        said.map_or(self.name.as_str(), NamespaceName::as_str)
    }

    /// What is said about a component, if anything.
    pub fn choice(&self, component: &ComponentName) -> Option<&Choice> {
        self.components.get(component).and_then(Option::as_ref)
    }
}
