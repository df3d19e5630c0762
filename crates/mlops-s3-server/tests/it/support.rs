use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials as AwsCredentials;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{BehaviorVersion, Region};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sigv4::http_request::{
    PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use mlops_s3_server::{Config, Credentials, Server};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub(crate) const ADMIN: &str = "admin";
pub(crate) const SECRET: &str = "an-admin-secret";

/// A running server with a folder of its own.
pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    pub(crate) root: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    running: Option<JoinHandle<mlops_s3_server::Result<()>>>,
    /// Removed with the server.
    folder: Option<TempDir>,
}

impl TestServer {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut server = Self::start_in(folder.path().join("s3")).await;
        server.folder = Some(folder);
        server
    }

    pub(crate) async fn start_in(root: PathBuf) -> Self {
        let config = Config::new(&root, Credentials::new(ADMIN, SECRET));
        let server = Server::bind(config, ([127, 0, 0, 1], 0).into())
            .await
            .unwrap();
        let address = server.local_addr();
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(server.run(async move { drop(stopped.await) }));
        Self {
            address,
            root,
            stop: Some(stop),
            running: Some(running),
            folder: None,
        }
    }

    pub(crate) async fn stop(mut self) {
        drop(self.stop.take());
        self.running.take().unwrap().await.unwrap().unwrap();
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn admin(&self) -> Client {
        client(self.address, ADMIN, SECRET)
    }

    /// A client with a key that owns the bucket `name`.
    pub(crate) async fn owner_of(&self, name: &str) -> Client {
        let key = format!("key-of-{name}");
        self.create_user(&key, "secret", "user").await;
        self.admin()
            .create_bucket()
            .bucket(name)
            .send()
            .await
            .unwrap();
        let path = format!("/change-bucket-owner?bucket={name}&owner={key}");
        assert_eq!(self.call("PATCH", &path, "").await.0, 200);
        client(self.address, &key, "secret")
    }

    pub(crate) async fn create_user(&self, access: &str, secret: &str, role: &str) {
        let body = format!(
            "<Account><Access>{access}</Access><Secret>{secret}</Secret><Role>{role}</Role></Account>"
        );
        assert_eq!(self.call("PATCH", "/create-user", &body).await.0, 201);
    }

    /// A request signed by the admin: status and body.
    pub(crate) async fn call(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        self.call_as(ADMIN, SECRET, method, path, body, &[]).await
    }

    pub(crate) async fn call_as(
        &self,
        access: &str,
        secret: &str,
        method: &str,
        path: &str,
        body: &str,
        headers: &[(&str, &str)],
    ) -> (u16, String) {
        let url = self.url(path);
        let identity = AwsCredentials::new(access, secret, None, None, "test").into();
        let mut settings = SigningSettings::default();
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region("us-east-1")
            .name("s3")
            .time(SystemTime::now())
            .settings(settings)
            .build()
            .unwrap()
            .into();
        let signable = SignableRequest::new(
            method,
            &url,
            headers.iter().copied(),
            SignableBody::Bytes(body.as_bytes()),
        )
        .unwrap();
        let (instructions, _) = sign(signable, &params).unwrap().into_parts();
        let mut request = http_client()
            .request(method.parse().unwrap(), &url)
            .body(body.to_owned());
        for (name, value) in headers.iter().copied().chain(instructions.headers()) {
            request = request.header(name, value);
        }
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }
}

pub(crate) fn http_client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

pub(crate) fn client(address: SocketAddr, access: &str, secret: &str) -> Client {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(format!("http://{address}"))
        .region(Region::new("us-east-1"))
        .credentials_provider(AwsCredentials::new(access, secret, None, None, "test"))
        .retry_config(RetryConfig::disabled())
        .force_path_style(true)
        .build();
    Client::from_conf(config)
}

/// Status and code of a refused call.
pub(crate) fn refused<T, E>(result: Result<T, SdkError<E>>) -> (u16, String)
where
    T: std::fmt::Debug,
    E: ProvideErrorMetadata + std::fmt::Debug,
{
    match result {
        Ok(answer) => panic!("should be refused, but got {answer:?}"),
        Err(SdkError::ServiceError(e)) => (
            e.raw().status().as_u16(),
            e.err().code().unwrap_or_default().to_owned(),
        ),
        Err(e) => panic!("no answer: {e:?}"),
    }
}

pub(crate) fn is(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

/// Waits for what another thread does; false after ten seconds.
pub(crate) async fn eventually(mut holds: impl FnMut() -> bool) -> bool {
    for _ in 0..1000 {
        if holds() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    false
}

/// Names in a folder.
pub(crate) fn names(folder: &std::path::Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Bytes that do not repeat within a megabyte.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_u32;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state.to_le_bytes()[0]
        })
        .collect()
}
