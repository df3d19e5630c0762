//! The types of `component.yaml`.

use std::collections::BTreeMap;

use mlops_core::platform::{Model, ModelProbe, Port, Size};
use mlops_core::process::{Program, Ready, Stop};
use mlops_core::{
    BucketName, CapabilityName, ComponentName, DatabaseName, RoleName, ServiceName, Spec,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One product of the catalogue: what it is, provides and needs, and how it runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Component {
    /// Its name, the same as that of its folder.
    pub name: ComponentName,
    /// Its name as its makers write it.
    pub title: String,
    /// What it is, in a sentence or two.
    pub description: String,
    /// The version that is installed, where the component decides it.
    #[serde(default)]
    pub version: Option<String>,
    /// Whether it takes the place of a component of the same name that was there before.
    #[serde(default)]
    pub replaces: bool,
    /// What stays when it is removed.
    pub keeps: String,
    /// The addresses that it listens at.
    #[serde(default)]
    #[schemars(extend("x-keys" = "ServiceName"))]
    pub services: BTreeMap<ServiceName, ServiceRule>,
    /// The capabilities that it provides.
    #[serde(default)]
    pub provides: Vec<Provides>,
    /// What it uses of others, by names of its own.
    #[serde(default)]
    pub bindings: BTreeMap<String, Need>,
    /// Secrets that are made for it, once.
    #[serde(default)]
    pub secrets: BTreeMap<String, SecretRule>,
    /// What users may set.
    #[serde(default)]
    pub settings: BTreeMap<String, Setting>,
    /// What the sizes mean for it.
    #[serde(default)]
    pub sizes: BTreeMap<Size, Spec>,
    /// How it runs on the local target; nothing runs when it is left out.
    #[serde(default)]
    pub local: Option<LocalRun>,
    /// How it runs on the cluster target, beside the templates in its folder `objects`; nothing runs when it is left
    /// out.
    #[serde(default)]
    pub cluster: Option<ClusterRun>,
    /// Checks that prove that it works, beside those of its bindings.
    #[serde(default)]
    pub probes: Vec<ProbeRule>,
}

/// An address of a component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceRule {
    /// The scheme of its URL: `http`, `https`, `postgresql`, `grpc`.
    pub scheme: String,
    /// The port at which it is reached in a cluster, and at which its containers listen.
    #[serde(default)]
    pub cluster_port: Option<Port>,
}

/// A capability that a component provides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Provides {
    /// The capability.
    pub capability: CapabilityName,
    /// The service at which it is used.
    pub service: ServiceName,
    /// The account by which consumers' own accounts are made.
    #[serde(default)]
    pub admin: Option<Admin>,
    /// What consumers see of it as well, such as the region of an S3 server.
    #[serde(default)]
    pub facts: Spec,
}

/// The account by which consumers' own accounts are made: user and password, or a key of two halves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    /// The user.
    #[serde(default)]
    pub user: Option<String>,
    /// Which secret of the component is the password.
    #[serde(default)]
    pub password: Option<String>,
    /// The database to sign in to.
    #[serde(default)]
    pub database: Option<String>,
    /// Whether nobody else may enter that database, which then serves to prove that roles are kept apart.
    #[serde(default)]
    pub closed: bool,
    /// The name of the key.
    #[serde(default)]
    pub access_key: Option<String>,
    /// Which secret of the component is the key's secret half.
    #[serde(default)]
    pub secret_key: Option<String>,
}

/// One use of a capability. Of the fields below `capability`, `postgres` needs `database` and `s3` needs `bucket`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Need {
    /// The capability.
    pub capability: CapabilityName,
    /// What it is used for.
    #[serde(default)]
    pub description: Option<String>,
    /// Whether the component starts without it and waits or asks for it by itself.
    #[serde(default)]
    pub starts_without: bool,
    /// The database that is made (`postgres`).
    #[serde(default)]
    pub database: Option<DatabaseName>,
    /// The role that owns it (`postgres`); by default the component's name, with underscores.
    #[serde(default)]
    pub role: Option<RoleName>,
    /// The extensions that the database has (`postgres`).
    #[serde(default)]
    pub extensions: Vec<String>,
    /// The bucket that is made (`s3`).
    #[serde(default)]
    pub bucket: Option<BucketName>,
    /// The key that owns it (`s3`); by default the component's name.
    #[serde(default)]
    pub access_key: Option<String>,
    /// The user that is made (`tracking`); by default the component's name.
    #[serde(default)]
    pub user: Option<String>,
}

/// A secret that is made once and kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretRule {
    /// What it is for.
    pub description: String,
    /// How many characters it has.
    #[serde(default = "default_length")]
    pub length: u32,
    /// Of which characters it is made.
    #[serde(default)]
    pub alphabet: Alphabet,
    /// The fewest characters that its consumer accepts.
    #[serde(default)]
    pub at_least: Option<u32>,
}

fn default_length() -> u32 {
    32
}

/// The characters of a secret that is made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Alphabet {
    /// ASCII letters and digits, which need no escaping anywhere.
    #[default]
    Alphanumeric,
    /// Hexadecimal digits.
    Hex,
}

/// Something that users may set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    /// Its type.
    pub r#type: SettingType,
    /// Its value when nothing is set; `null` stands for "not set", and then users may say `null` as well.
    #[serde(default)]
    pub default: Value,
    /// What it does, its unit, and what is good to know.
    pub description: String,
    /// The least number, or the fewest characters of a text.
    #[serde(default)]
    pub minimum: Option<i64>,
    /// The largest number, or the most characters of a text.
    #[serde(default)]
    pub maximum: Option<i64>,
    /// The only values that are allowed.
    #[serde(default)]
    pub choices: Vec<Value>,
}

/// The type of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SettingType {
    /// A text of one line.
    String,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// True or false.
    Boolean,
}

/// How a component runs as a process of one machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LocalRun {
    /// The folder that keeps its data, if it has any.
    #[serde(default)]
    pub data: Option<DataFolder>,
    /// The process.
    pub process: Process,
}

/// A folder that keeps data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DataFolder {
    /// What is in it at first.
    pub layout: Layout,
    /// The superuser of the cluster (`postgres`).
    #[serde(default)]
    pub superuser: Option<String>,
    /// Which secret of the component is that user's password (`postgres`).
    #[serde(default)]
    pub password: Option<String>,
}

/// What is in a data folder at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// Nothing.
    Plain,
    /// A PostgreSQL cluster, made by `initdb`.
    Postgres,
}

/// A program that is kept running. The texts of `args`, `env` and `files` are templates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// What is run.
    pub program: Program,
    /// Its arguments; they may not use secrets.
    #[serde(default)]
    pub args: Vec<String>,
    /// Its environment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Files written into its folder before it starts, mode 0600: relative path to content.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// The services it listens at.
    #[serde(default)]
    pub listens: Vec<ServiceName>,
    /// When it is ready.
    pub ready: Ready,
    /// How it is stopped.
    #[serde(default)]
    pub stop: Stop,
}

/// How a component runs as objects of a cluster.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClusterRun {
    /// The workload that answers at its services, as KIND.NAME in lower case; `deployment.COMPONENT` by default.
    #[serde(default)]
    pub server: Option<String>,
    /// The images that its objects use, by names of its own.
    #[serde(default)]
    pub images: BTreeMap<String, ImageRule>,
    /// Secrets of the cluster: name, key and template of the text. They are filled in only when they are written.
    #[serde(default)]
    pub secrets: BTreeMap<String, BTreeMap<String, String>>,
    /// What users may set on this target besides.
    #[serde(default)]
    pub settings: BTreeMap<String, Setting>,
    /// What the sizes mean on this target besides.
    #[serde(default)]
    pub sizes: BTreeMap<Size, Spec>,
}

/// A container image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageRule {
    /// Its name without the tag, such as `registry.example.org/team/notes`.
    pub name: String,
    /// Its tag.
    pub tag: String,
}

/// A check that proves that a component works.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProbeRule {
    /// The part of its name behind `COMPONENT/`; without it the component's name alone is the probe's.
    #[serde(default)]
    pub name: Option<String>,
    /// The kind of check, such as `mlflow`.
    pub kind: String,
    /// What the prober needs to know; texts are templates over settings, sizes and bindings, without secrets.
    #[serde(default)]
    pub spec: Spec,
}

/// A named starting platform.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// What it is for.
    pub description: String,
    /// How large its servers are.
    #[serde(default)]
    pub size: Size,
    /// The components that are on.
    #[serde(default)]
    pub components: Vec<ComponentName>,
    /// The models that are served, when something serves models.
    #[serde(default)]
    pub models: Vec<Model>,
}

/// A model that can be registered without training one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// What it does and where it comes from.
    pub description: String,
    /// An inference that proves that it works.
    pub probe: ModelProbe,
}
