//! What resources and probes say, as types.

use mlops_core::{DatabaseName, RoleName, SecretName, ServiceName};
use serde::{Deserialize, Serialize};

/// The kind of [`RoleSpec`].
pub const ROLE: &str = "postgres-role";
/// The kind of [`DatabaseSpec`].
pub const DATABASE: &str = "postgres-database";

/// The administrator's login.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdminSpec {
    /// Its role.
    pub user: String,
    /// Where its password is kept.
    pub password: SecretName,
    /// The database it signs in to.
    pub database: String,
}

/// A role that may sign in and owns what is given to it.
///
/// When looked at, `role` is null when it has rights beyond that, and `password` when it does not open the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleSpec {
    /// The server.
    pub server: ServiceName,
    /// The administrator's login.
    pub admin: AdminSpec,
    /// The role.
    pub role: RoleName,
    /// Where its password is kept; only a role that shall be removed has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretName>,
}

/// A database that only its owner may enter.
///
/// When looked at, `database` is null when it is not finished or open to others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseSpec {
    /// The server.
    pub server: ServiceName,
    /// The administrator's login.
    pub admin: AdminSpec,
    /// The database.
    pub database: DatabaseName,
    /// The role that owns it.
    pub owner: RoleName,
    /// Its encoding; cannot be changed later. Default `UTF8`.
    #[serde(default = "utf8")]
    pub encoding: String,
    /// The extensions it has. Others are left alone.
    #[serde(default)]
    pub extensions: Vec<String>,
}

fn utf8() -> String {
    "UTF8".to_owned()
}

/// What the probe `postgres-binding` needs to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BindingProbeSpec {
    /// The server.
    pub server: ServiceName,
    /// The consumer's database.
    pub database: DatabaseName,
    /// The consumer's role.
    pub role: RoleName,
    /// Where its password is kept.
    pub password: SecretName,
    /// A database that it must not get into: another one of the platform, or the administrator's on a server that the
    /// platform made.
    #[serde(default)]
    pub other_database: Option<String>,
}
