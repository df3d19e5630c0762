//! Real connections.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use mlops_core::{Endpoint, Error, ErrorKind, Result, SecretText};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::Mutex;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::admin::RealAdmin;
use super::error::wrap;
use super::model::{Connect, Login, PostgresAdmin, PostgresSession};
use super::session::RealSession;

/// When connections are encrypted. An encrypted one always has its server's certificate verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tls {
    /// Except to this machine itself, and to [hosts that are named](PostgresClient::with_plain_hosts).
    #[default]
    ExceptLoopback,
    /// Always.
    Always,
}

/// Connects to real PostgreSQL servers, and keeps one administrator's connection for each server and login.
///
/// Certificates are verified against those that the machine trusts, and those added by
/// [`with_root_certificates`](Self::with_root_certificates). Cloning shares the connections.
#[derive(Clone)]
pub struct PostgresClient {
    inner: Arc<Inner>,
}

type Key = (String, String, String);
type Kept = Arc<Mutex<Option<(SecretText, Arc<Client>)>>>;

struct Inner {
    tls: Tls,
    plain_hosts: BTreeSet<String>,
    roots: Vec<CertificateDer<'static>>,
    connect_timeout: Duration,
    statement_timeout: Duration,
    connector: OnceLock<MakeRustlsConnect>,
    kept: Mutex<HashMap<Key, Kept>>,
}

impl fmt::Debug for PostgresClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresClient")
            .field("tls", &self.inner.tls)
            .field("connect_timeout", &self.inner.connect_timeout)
            .field("statement_timeout", &self.inner.statement_timeout)
            .finish_non_exhaustive()
    }
}

impl Default for PostgresClient {
    fn default() -> Self {
        Self::new()
    }
}

impl PostgresClient {
    /// Encrypts except to this machine; 10 s for a connection, 60 s for a statement.
    pub fn new() -> Self {
        Self {
            inner: Arc::new(Inner {
                tls: Tls::default(),
                plain_hosts: BTreeSet::new(),
                roots: Vec::new(),
                connect_timeout: Duration::from_secs(10),
                statement_timeout: Duration::from_mins(1),
                connector: OnceLock::new(),
                kept: Mutex::default(),
            }),
        }
    }

    /// Says when connections are encrypted. Drops connections that are kept.
    #[must_use]
    pub fn with_tls(self, tls: Tls) -> Self {
        self.rebuild(|inner| inner.tls = tls)
    }

    /// Does not encrypt connections to these hosts either, unless always is said: servers without certificates that are
    /// reached inside one cluster only. Drops connections that are kept.
    #[must_use]
    pub fn with_plain_hosts(self, hosts: impl IntoIterator<Item = String>) -> Self {
        self.rebuild(|inner| inner.plain_hosts.extend(hosts))
    }

    /// How long a connection may take, and how long a statement. Drops connections that are kept.
    #[must_use]
    pub fn with_timeouts(self, connect: Duration, statement: Duration) -> Self {
        self.rebuild(|inner| {
            inner.connect_timeout = connect;
            inner.statement_timeout = statement;
        })
    }

    /// Trusts the certificates of a PEM text as well. Drops connections that are kept.
    ///
    /// # Errors
    ///
    /// When the text holds no certificate, or a broken one.
    pub fn with_root_certificates(self, pem: &str) -> Result<Self> {
        let wrong = || Error::new(ErrorKind::InvalidInput, "read the trusted certificates");
        let added = CertificateDer::pem_slice_iter(pem.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| wrong().with_source(error.to_string()))?;
        if added.is_empty() {
            return Err(wrong().with_source("there is no certificate in the text"));
        }
        Ok(self.rebuild(|inner| inner.roots.extend(added)))
    }

    fn rebuild(self, change: impl FnOnce(&mut Inner)) -> Self {
        let mut inner = Inner {
            tls: self.inner.tls,
            plain_hosts: self.inner.plain_hosts.clone(),
            roots: self.inner.roots.clone(),
            connect_timeout: self.inner.connect_timeout,
            statement_timeout: self.inner.statement_timeout,
            connector: OnceLock::new(),
            kept: Mutex::default(),
        };
        change(&mut inner);
        Self {
            inner: Arc::new(inner),
        }
    }

    fn connector(&self) -> Result<MakeRustlsConnect> {
        if let Some(connector) = self.inner.connector.get() {
            return Ok(connector.clone());
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        roots.add_parsable_certificates(self.inner.roots.iter().cloned());
        let config = ClientConfig::builder_with_provider(Arc::new(
            rustls::crypto::aws_lc_rs::default_provider(),
        ))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::new(ErrorKind::Failed, "prepare TLS").with_source(error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
        Ok(self
            .inner
            .connector
            .get_or_init(|| MakeRustlsConnect::new(config))
            .clone())
    }

    /// Opens a new connection; it ends when the client is dropped.
    pub(super) async fn open(&self, endpoint: &Endpoint, login: &Login) -> Result<Client> {
        let doing = || {
            format!(
                "sign in to database `{}` at {} as `{}`",
                login.database,
                endpoint.authority(),
                login.user
            )
        };
        let limit = self.inner.connect_timeout;
        let Ok(opened) = tokio::time::timeout(limit, self.open_any(endpoint, login)).await else {
            return Err(Error::new(ErrorKind::Timeout, doing())
                .with_source(format!("no answer within {limit:?}")));
        };
        let client = opened?.map_err(|error| wrap(error, doing()))?;
        let limit = self.inner.statement_timeout.as_millis();
        let settings = format!("SET statement_timeout = {limit}; SET lock_timeout = {limit}");
        client
            .batch_execute(&settings)
            .await
            .map_err(|error| wrap(error, doing()))?;
        Ok(client)
    }

    async fn open_any(
        &self,
        endpoint: &Endpoint,
        login: &Login,
    ) -> Result<Result<Client, tokio_postgres::Error>> {
        let mut config = Config::new();
        config
            .host(endpoint.host())
            .port(endpoint.port())
            .user(&login.user)
            .password(login.password.expose())
            .dbname(&login.database)
            .application_name("mlops");
        let is_plain = endpoint.is_loopback() || self.inner.plain_hosts.contains(endpoint.host());
        if self.inner.tls == Tls::ExceptLoopback && is_plain {
            config.ssl_mode(SslMode::Disable);
            return Ok(config.connect(NoTls).await.map(|(client, connection)| {
                keep(connection);
                client
            }));
        }
        config.ssl_mode(SslMode::Require);
        let connector = self.connector()?;
        Ok(config.connect(connector).await.map(|(client, connection)| {
            keep(connection);
            client
        }))
    }

    /// The kept connection of that login, or a new one when there is none or it has ended.
    pub(super) async fn shared(&self, endpoint: &Endpoint, login: &Login) -> Result<Arc<Client>> {
        let key = (
            endpoint.authority(),
            login.user.clone(),
            login.database.clone(),
        );
        let place = Arc::clone(self.inner.kept.lock().await.entry(key).or_default());
        let mut kept = place.lock().await;
        if let Some((password, client)) = kept.as_ref()
            && password.is_same(&login.password)
            && !client.is_closed()
        {
            return Ok(Arc::clone(client));
        }
        let client = Arc::new(self.open(endpoint, login).await?);
        *kept = Some((login.password.clone(), Arc::clone(&client)));
        Ok(client)
    }
}

fn keep<S, T>(connection: tokio_postgres::Connection<S, T>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to PostgreSQL ended");
        }
    });
}

#[async_trait]
impl Connect for PostgresClient {
    async fn admin(&self, endpoint: &Endpoint, login: &Login) -> Result<Arc<dyn PostgresAdmin>> {
        let client = self.shared(endpoint, login).await?;
        Ok(Arc::new(RealAdmin::new(
            self.clone(),
            endpoint.clone(),
            login.clone(),
            client,
        )))
    }

    async fn session(
        &self,
        endpoint: &Endpoint,
        login: &Login,
    ) -> Result<Arc<dyn PostgresSession>> {
        let client = self.open(endpoint, login).await?;
        Ok(Arc::new(RealSession::new(client)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_without_certificates_is_refused() {
        for text in [
            "",
            "nothing",
            "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
        ] {
            let error = PostgresClient::new()
                .with_root_certificates(text)
                .unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text}");
        }
    }

    #[tokio::test]
    async fn nobody_there_is_unavailable() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let endpoint = Endpoint::new(format!("postgresql://{address}").parse().unwrap()).unwrap();
        let login = Login::new("a", SecretText::new("b"), "c");
        let error = PostgresClient::new()
            .open(&endpoint, &login)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{:?}", error.causes());
    }

    #[tokio::test]
    async fn a_silent_server_is_a_timeout() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let endpoint = Endpoint::new(format!("postgresql://{address}").parse().unwrap()).unwrap();
        let login = Login::new("a", SecretText::new("b"), "c");
        let client =
            PostgresClient::new().with_timeouts(Duration::from_millis(100), Duration::from_secs(1));
        let error = client.open(&endpoint, &login).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert!(error.to_string().contains(&address.to_string()));
    }
}
