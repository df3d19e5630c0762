//! Capabilities that something outside the platform provides.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::error::{Error, ErrorKind, Result};
use crate::service::{Endpoint, SecretSource};

/// The address of a server: a URL with a host, and without a user name, password, query or fragment.
///
/// ```
/// use mlops_core::platform::Address;
///
/// let address: Address = "postgresql://db.example.org:5432".parse()?;
/// assert_eq!(address.url().host_str(), Some("db.example.org"));
/// assert!("postgresql://me:secret@db.example.org".parse::<Address>().is_err());
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address(Url);

impl Address {
    /// The URL.
    pub fn url(&self) -> &Url {
        &self.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0.as_str())
    }
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        // The text itself is left out of errors: it may hold a password.
        let wrong = |cause: String| {
            Error::new(ErrorKind::InvalidInput, "understand an address").with_source(cause)
        };
        let url: Url = text
            .parse()
            .map_err(|error: url::ParseError| wrong(format!("this is not a URL: {error}")))?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("an address has no `?` and no `#`".to_owned()));
        }
        Endpoint::new(url.clone())
            .map_err(|error| wrong(error.causes().first().cloned().unwrap_or_default()))?;
        Ok(Self(url))
    }
}

text_type!(
    Address,
    "The address of a server: a URL with a host, and without a user name, password, query or fragment.",
    "^[a-z]+://[^@?#]+$"
);

/// A server outside the platform that provides a capability, and what is needed to prepare it for its consumers.
///
/// Which of the fields are needed depends on the capability: `postgres` and `tracking` take `user` and `password`,
/// `s3` takes `access_key` and `secret_key`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct External {
    /// Where it is, such as `postgresql://db.example.org:5432` or `https://s3.example.org`.
    pub url: Address,
    /// The user that may make roles and databases (`postgres`) or users (`tracking`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Where that user's password is: `{env: NAME}` or `{file: PATH}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretSource>,
    /// The database in which roles and databases are made; `postgres` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// The name of the key (`s3`). It is no secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_key: Option<String>,
    /// Where the secret half of the key is: `{env: NAME}` or `{file: PATH}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key: Option<SecretSource>,
    /// The region of the S3 server; `us-east-1` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// How consumers get their keys (`s3`); `given` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<Keys>,
}

/// How the consumers of an external S3 server get their keys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Keys {
    /// All use the given key: the S3 protocol itself has no way to make keys.
    #[default]
    Given,
    /// One key a consumer is made by the admin interface of the Versity S3 gateway
    /// (<https://github.com/versity/versitygw>).
    Made,
}
