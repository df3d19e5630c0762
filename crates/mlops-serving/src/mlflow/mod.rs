//! A client of MLflow's REST API: tracking, artifacts, logged models, the registry and users.
//!
//! The API is described at <https://mlflow.org/docs/latest/api_reference/rest-api.html>; what that leaves out was read
//! in the protocol files of <https://github.com/mlflow/mlflow/tree/master/mlflow/protos> and tried against 3.17.2.

mod artifacts;
mod error;
#[doc(hidden)]
pub mod fuzz;
mod registry;
mod tracking;
mod types;
mod users;

use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method};
use mlops_core::{Endpoint, Error, ErrorKind, Result, SecretText};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use artifacts::proxy_path;
pub use tracking::{LogBatch, NewRun};
pub use types::{
    Alias, Experiment, FileInfo, Grant, LoggedModel, Metric, ModelVersion, RegisteredModel, Role,
    Run, RunData, RunInfo, RunStatus, Tag, Tags, User,
};

use crate::http::{Answer, HttpClient, HttpError, Payload};

/// Answers of the API longer than this are refused: 64 MiB.
const LONGEST_ANSWER: usize = 64 << 20;

/// The most that one page of a search may hold; the registry refuses more than this for versions.
const PAGE: u32 = 1000;

/// A client of one MLflow server. Cloning is cheap and shares the connections.
///
/// Nothing is repeated by itself: the caller knows what may be.
#[derive(Debug, Clone)]
pub struct Mlflow {
    http: HttpClient,
}

/// An object of which nothing is read.
#[derive(serde::Deserialize)]
struct Ignored {}

impl Mlflow {
    /// A client for the server at `endpoint`, without signing in; nothing is connected yet.
    ///
    /// # Errors
    ///
    /// When the scheme is neither `http` nor `https`.
    pub fn new(endpoint: &Endpoint) -> Result<Self> {
        Ok(Self {
            http: HttpClient::new(endpoint)?.with_timeout(Duration::from_mins(1)),
        })
    }

    /// Signs in with every request.
    ///
    /// # Errors
    ///
    /// When the user name holds a colon.
    pub fn with_basic_auth(mut self, user: &str, password: &SecretText) -> Result<Self> {
        self.http = self.http.with_basic_auth(user, password)?;
        Ok(self)
    }

    /// Waits that long for an answer instead of 60 s. The first call after a server's start may be slow: it makes the
    /// tables.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.http = self.http.with_timeout(timeout);
        self
    }

    /// Whether the server answers `/health`. It does so before it can do anything else; see [`Self::check_ready`].
    ///
    /// # Errors
    ///
    /// When it cannot be asked.
    pub async fn is_healthy(&self) -> Result<bool> {
        let doing = "ask MLflow for its health";
        let answer = self
            .send(Method::GET, "/health", Payload::Empty, doing)
            .await?;
        let status = answer.status();
        self.body(answer, doing).await.ok();
        Ok(status.is_success())
    }

    /// The server's version, such as `3.17.2`.
    ///
    /// # Errors
    ///
    /// When it cannot be asked or asks to sign in.
    pub async fn version(&self) -> Result<String> {
        let doing = "ask MLflow for its version";
        let answer = self
            .send(Method::GET, "/version", Payload::Empty, doing)
            .await?;
        let body = self.body(answer, doing).await?;
        Ok(String::from_utf8_lossy(&body).trim().to_owned())
    }

    /// Makes a real call: the store answers, the host name is allowed, and the credentials are good. `/health` says
    /// none of that.
    ///
    /// # Errors
    ///
    /// When one of the three is not so.
    pub async fn check_ready(&self) -> Result<()> {
        self.search_experiments_page(None, 1, None).await.map(drop)
    }

    async fn send(&self, method: Method, path: &str, body: Payload, doing: &str) -> Result<Answer> {
        let failed = |error: HttpError| error.into_error(doing);
        let json = matches!(body, Payload::One(_));
        let mut request = self.http.request(method, path, body).map_err(failed)?;
        if json {
            let value = HeaderValue::from_static("application/json");
            request.headers_mut().insert(CONTENT_TYPE, value);
        }
        self.http.send(request).await.map_err(failed)
    }

    /// Reads all of a short answer, or the refusal.
    async fn body(&self, mut answer: Answer, doing: &str) -> Result<Bytes> {
        let status = answer.status();
        let body = answer
            .bytes(LONGEST_ANSWER)
            .await
            .map_err(|error| error.into_error(doing))?;
        if status.is_success() {
            Ok(body)
        } else {
            Err(error::refused(doing.to_owned(), status, &body))
        }
    }

    /// A call whose arguments are in the query.
    async fn get<R: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
        doing: &str,
    ) -> Result<R> {
        let path = with_query(path, query);
        let answer = self.send(Method::GET, &path, Payload::Empty, doing).await?;
        let body = self.body(answer, doing).await?;
        read(&body, doing)
    }

    /// A call whose arguments are a JSON body.
    async fn call<R: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        arguments: &(impl Serialize + Sync + ?Sized),
        doing: &str,
    ) -> Result<R> {
        let body = serde_json::to_vec(arguments)
            .map_err(|error| Error::new(ErrorKind::InvalidInput, doing).with_source(error))?;
        let answer = self.send(method, path, Payload::from(body), doing).await?;
        let body = self.body(answer, doing).await?;
        read(&body, doing)
    }

    async fn post<R: DeserializeOwned>(
        &self,
        path: &str,
        arguments: &(impl Serialize + Sync + ?Sized),
        doing: &str,
    ) -> Result<R> {
        self.call(Method::POST, path, arguments, doing).await
    }
}

/// Reads an answer; an empty one is an empty object, which some calls of some versions answer.
fn read<R: DeserializeOwned>(body: &[u8], doing: &str) -> Result<R> {
    let body = if body.trim_ascii().is_empty() {
        b"{}"
    } else {
        body
    };
    serde_json::from_slice(body)
        .map_err(|error| Error::new(ErrorKind::Protocol, doing).with_source(error))
}

fn with_query(path: &str, query: &[(&str, &str)]) -> String {
    let mut text = path.to_owned();
    for (index, (name, value)) in query.iter().enumerate() {
        text.push(if index == 0 { '?' } else { '&' });
        text.push_str(name);
        text.push('=');
        text.extend(crate::http::escape(value));
    }
    text
}

/// What was asked for, or `None` when it is not there.
fn found<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_escaped() {
        assert_eq!(
            with_query("/p", &[("filter", "name='a b&c'"), ("x", "é")]),
            "/p?filter=name%3D%27a%20b%26c%27&x=%C3%A9"
        );
    }

    #[test]
    fn answers_with_and_without_lists_are_read() {
        let bare: RegisteredModel = read(br#"{"name":"m"}"#, "x").unwrap();
        assert!(bare.tags.is_empty() && bare.aliases.is_empty());
        let full: RegisteredModel = read(
            br#"{"name":"m","tags":[{"key":"a","value":"b"},{"key":"c"}],"aliases":[{"alias":"champion","version":"3"}],"workspace":"default"}"#,
            "x",
        )
        .unwrap();
        assert_eq!(full.alias("champion"), Some("3"));
        assert_eq!(full.alias("other"), None);
        assert_eq!(full.tags["c"], "");
        let null: ModelVersion = read(br#"{"name":"m","version":"1","tags":null}"#, "x").unwrap();
        assert!(null.tags.is_empty());
        let _: Ignored = read(b"", "x").unwrap();
        assert!(read::<ModelVersion>(b"<html>", "x").is_err());
    }
}
