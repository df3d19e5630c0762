//! What resources and probes say, as types.

use mlops_core::{BucketName, SecretName, ServiceName};
use serde::{Deserialize, Serialize};

/// The kind of [`KeySpec`].
pub const KEY: &str = "s3-key";
/// The kind of [`BucketSpec`].
pub const BUCKET: &str = "s3-bucket";

/// The administrator's key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdminSpec {
    /// The access key.
    pub access_key: String,
    /// Where its secret is kept.
    pub secret_key: SecretName,
}

/// A key that may use the buckets it owns.
///
/// When looked at, `secret_key` is null when the secret does not open the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeySpec {
    /// The server.
    pub server: ServiceName,
    /// The region that requests are signed for.
    pub region: String,
    /// The administrator's key; a given key needs none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin: Option<AdminSpec>,
    /// The access key.
    pub access_key: String,
    /// Where its secret is kept; only a key that shall be removed has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key: Option<SecretName>,
    /// Whether somebody gave it to us: then it is tried, never made, changed or removed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub given: bool,
}

/// A bucket.
///
/// When looked at, `bucket` is null when it is not finished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BucketSpec {
    /// The server.
    pub server: ServiceName,
    /// The region that requests are signed for.
    pub region: String,
    /// The administrator's key.
    pub admin: AdminSpec,
    /// The bucket.
    pub bucket: BucketName,
    /// The access key that owns it; `None` leaves it with the administrator's key and needs no admin interface.
    #[serde(default)]
    pub owner: Option<String>,
}

/// What the probe `s3-binding` needs to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BindingProbeSpec {
    /// The server.
    pub server: ServiceName,
    /// The region that requests are signed for.
    pub region: String,
    /// The consumer's access key.
    pub access_key: String,
    /// Where its secret is kept.
    pub secret_key: SecretName,
    /// The consumer's bucket.
    pub bucket: BucketName,
    /// A bucket that it must not get into.
    #[serde(default)]
    pub other_bucket: Option<BucketName>,
    /// The administrator's key. With it and without `other_bucket`, a bucket to be kept out of is made for the probe, and
    /// removed after it.
    #[serde(default)]
    pub admin: Option<AdminSpec>,
}
