//! Real clients.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Region, RequestChecksumCalculation, ResponseChecksumValidation,
    SharedHttpClient,
};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use mlops_core::{Endpoint, Error, ErrorKind, Result};

use super::admin::RealAdmin;
use super::admin_api::AdminApi;
use super::model::{Connect, Credentials, S3Admin, S3Session};
use super::session::RealSession;

/// Talks to real S3 servers. Never repeats a call by itself; cloning shares the connections.
///
/// Servers on this machine are reached directly. Proxies that the environment names are used by the HTTP libraries for
/// all others.
#[derive(Clone)]
pub struct S3Client {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    connect_timeout: Option<Duration>,
    call_timeout: Option<Duration>,
    /// Clients that go past any proxy, and the plain one for others. Loading certificates is the slow part.
    direct: OnceLock<SharedHttpClient>,
    direct_http: OnceLock<reqwest::Client>,
    http: OnceLock<reqwest::Client>,
}

impl fmt::Debug for S3Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Client").finish_non_exhaustive()
    }
}

impl Default for S3Client {
    fn default() -> Self {
        Self::new()
    }
}

impl S3Client {
    /// 10 s for a connection, 60 s for a call.
    pub fn new() -> Self {
        Self::with_timeouts(Duration::from_secs(10), Duration::from_mins(1))
    }

    /// With other limits for a connection and for a whole call.
    pub fn with_timeouts(connect: Duration, call: Duration) -> Self {
        Self {
            inner: Arc::new(Inner {
                connect_timeout: Some(connect),
                call_timeout: Some(call),
                ..Inner::default()
            }),
        }
    }

    fn sdk(&self, endpoint: &Endpoint, region: &str, key: &Credentials) -> Client {
        let mut timeouts = TimeoutConfig::builder();
        timeouts.set_connect_timeout(self.inner.connect_timeout);
        timeouts.set_operation_timeout(self.inner.call_timeout);
        let mut config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(endpoint.url().as_str().trim_end_matches('/'))
            .force_path_style(true)
            .region(Region::new(region.to_owned()))
            .credentials_provider(aws_credential_types::Credentials::new(
                &key.access_key,
                key.secret_key.expose(),
                None,
                None,
                "mlops",
            ))
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts.build());
        if endpoint.is_loopback() {
            let direct = self.inner.direct.get_or_init(|| {
                aws_smithy_http_client::Builder::new()
                    .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
                    .build_https()
            });
            config = config.http_client(direct.clone());
        }
        Client::from_conf(config.build())
    }

    fn http(&self, endpoint: &Endpoint) -> Result<reqwest::Client> {
        let (place, direct) = if endpoint.is_loopback() {
            (&self.inner.direct_http, true)
        } else {
            (&self.inner.http, false)
        };
        if let Some(client) = place.get() {
            return Ok(client.clone());
        }
        let mut builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        if let Some(limit) = self.inner.connect_timeout {
            builder = builder.connect_timeout(limit);
        }
        if let Some(limit) = self.inner.call_timeout {
            builder = builder.timeout(limit);
        }
        if direct {
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|error| {
            Error::new(ErrorKind::Failed, "prepare an HTTP client").with_source(error)
        })?;
        Ok(place.get_or_init(|| client).clone())
    }
}

#[async_trait]
impl Connect for S3Client {
    async fn admin(
        &self,
        endpoint: &Endpoint,
        region: &str,
        key: &Credentials,
    ) -> Result<Arc<dyn S3Admin>> {
        let api = AdminApi::new(self.http(endpoint)?, endpoint, region, key.clone());
        Ok(Arc::new(RealAdmin::new(
            self.sdk(endpoint, region, key),
            api,
            region,
        )))
    }

    async fn session(
        &self,
        endpoint: &Endpoint,
        region: &str,
        key: &Credentials,
    ) -> Result<Arc<dyn S3Session>> {
        Ok(Arc::new(RealSession::new(self.sdk(endpoint, region, key))))
    }
}
