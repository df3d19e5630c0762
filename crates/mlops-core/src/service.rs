//! Addresses that something listens at, and secrets that come from outside.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::error::{Error, ErrorKind, Result};
use crate::name::{ComponentName, ServiceName};

/// An address of the platform by name: one of ours, whose place the target decides, or an external one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Its name, unique in the platform.
    pub name: ServiceName,
    /// The component that provides it; `None` for an external one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<ComponentName>,
    /// The scheme of its URL: `http`, `https`, `postgresql`, `grpc`.
    pub scheme: String,
    /// The port the user asked for; the target chooses one otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The full address of an external service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<Url>,
}

/// Where the text of a secret comes from when we do not make it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum SecretSource {
    /// The environment variable of that name.
    Env(String),
    /// The content of that file, without the line end at its end.
    File(PathBuf),
}

/// A place that answers: what a [`Service`] is once the target has decided.
///
/// ```
/// use mlops_core::Endpoint;
///
/// let endpoint = Endpoint::new("http://127.0.0.1:5000".parse()?)?;
/// assert_eq!(endpoint.authority(), "127.0.0.1:5000");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    url: Url,
    host: String,
    port: u16,
}

impl Endpoint {
    /// Takes a URL that has a host and a port (or a scheme with a well-known one) and no credentials.
    ///
    /// # Errors
    ///
    /// When host or port is missing, or when it holds a user name or password.
    pub fn new(url: Url) -> Result<Self> {
        let wrong = |cause: &str| {
            Err(Error::new(ErrorKind::InvalidInput, "understand an address").with_source(cause))
        };
        if !url.username().is_empty() || url.password().is_some() {
            return wrong("it holds a user name or password, which belongs in a secret");
        }
        let port = match (url.port_or_known_default(), url.scheme()) {
            (Some(port), _) => port,
            (None, "postgresql" | "postgres") => 5432,
            _ => return wrong("it has no port"),
        };
        let Some(host) = url.host_str().filter(|host| !host.is_empty()) else {
            return wrong("it has no host");
        };
        // URLs keep IPv6 addresses in brackets, sockets want them bare.
        let host = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        Ok(Self { url, host, port })
    }

    /// The URL.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The host name or address; an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Host and port as one text.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Whether it is on this machine.
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost"
            || self
                .host
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    }
}
