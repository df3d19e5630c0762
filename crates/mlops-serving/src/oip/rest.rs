//! The protocol over REST.

use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use mlops_core::{Endpoint, Result, SecretText};
use serde::Deserialize;

use super::error::{refused, strange};
use super::message::{
    IndexEntry, InferRequest, InferResponse, ModelMetadata, ServerMetadata, TensorMetadata,
};
use super::wire::{Encoded, Loose, RestForm, decode, encode};
use crate::http::{Answer, HttpClient, Payload, escape};

/// The header that tells where JSON ends and raw tensors begin.
const JSON_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");

/// Answers longer than this are refused: 2 GiB.
const LONGEST_ANSWER: usize = 2 << 30;

/// How long a model may load.
const LOAD_TIMEOUT: Duration = Duration::from_mins(10);

/// A client of an inference server over REST. Cloning is cheap and shares the connections.
///
/// Health is judged by the status code alone, because bodies differ between servers; and
/// [`Self::is_server_ready`] says nothing about models: servers without any answer 200.
#[derive(Debug, Clone)]
pub struct RestClient {
    http: HttpClient,
    form: RestForm,
}

/// A request that was encoded once and can be sent any number of times.
#[derive(Debug, Clone)]
pub struct PreparedRest {
    path: String,
    encoded: Encoded,
}

impl RestClient {
    /// A client for the server at `endpoint`; nothing is connected yet.
    ///
    /// # Errors
    ///
    /// When the scheme is neither `http` nor `https`.
    pub fn new(endpoint: &Endpoint) -> Result<Self> {
        Ok(Self {
            http: HttpClient::new(endpoint)?,
            form: RestForm::Json,
        })
    }

    /// Sends inferences in this form instead of JSON.
    #[must_use]
    pub fn with_form(mut self, form: RestForm) -> Self {
        self.form = form;
        self
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

    /// Waits that long for an answer instead of 30 s.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.http = self.http.with_timeout(timeout);
        self
    }

    /// Keeps up to that many idle connections instead of 8.
    #[must_use]
    pub fn with_idle_connections(mut self, most: usize) -> Self {
        self.http = self.http.with_idle_connections(most);
        self
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Payload,
        limit: Option<Duration>,
        doing: &str,
    ) -> Result<Answer> {
        let json = !matches!(body, Payload::Empty);
        let failed = |error: crate::http::HttpError| error.into_error(doing);
        let mut request = self.http.request(method, path, body).map_err(failed)?;
        if json {
            let value = HeaderValue::from_static("application/json");
            request.headers_mut().insert(CONTENT_TYPE, value);
        }
        match limit {
            Some(limit) => self.http.send_within(request, limit).await,
            None => self.http.send(request).await,
        }
        .map_err(failed)
    }

    /// Judges by the status: 2xx is true; 4xx of "no" and 5xx of "not now" are false.
    async fn health(&self, path: &str, doing: &str) -> Result<bool> {
        let mut answer = self
            .call(Method::GET, path, Payload::Empty, None, doing)
            .await?;
        let status = answer.status();
        let body = answer
            .bytes(1 << 20)
            .await
            .map_err(|error| error.into_error(doing))?;
        if status.is_success() {
            Ok(true)
        } else if matches!(
            status,
            StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND | StatusCode::SERVICE_UNAVAILABLE
        ) || status == StatusCode::INTERNAL_SERVER_ERROR
        {
            Ok(false)
        } else {
            Err(refused(doing.to_owned(), status, &body))
        }
    }

    /// Whether the server lives.
    ///
    /// # Errors
    ///
    /// When it cannot be asked.
    pub async fn is_server_live(&self) -> Result<bool> {
        self.health("/v2/health/live", "ask whether the model server lives")
            .await
    }

    /// Whether the server is ready; it may have no model at all.
    ///
    /// # Errors
    ///
    /// When it cannot be asked.
    pub async fn is_server_ready(&self) -> Result<bool> {
        self.health("/v2/health/ready", "ask whether the model server is ready")
            .await
    }

    /// Whether a model is there and ready.
    ///
    /// # Errors
    ///
    /// When it cannot be asked.
    pub async fn is_model_ready(&self, model: &str) -> Result<bool> {
        self.health(
            &format!("/v2/models/{}/ready", escape(model)),
            &format!("ask whether model `{model}` is ready"),
        )
        .await
    }

    async fn body(&self, mut answer: Answer, doing: &str) -> Result<Bytes> {
        let status = answer.status();
        let body = answer
            .bytes(LONGEST_ANSWER)
            .await
            .map_err(|error| error.into_error(doing))?;
        if status.is_success() {
            Ok(body)
        } else {
            Err(refused(doing.to_owned(), status, &body))
        }
    }

    /// What the server says of itself.
    ///
    /// # Errors
    ///
    /// When it cannot be asked or answers nonsense.
    pub async fn server_metadata(&self) -> Result<ServerMetadata> {
        #[derive(Deserialize)]
        struct Wire {
            name: Option<String>,
            version: Option<String>,
            extensions: Option<Vec<String>>,
        }
        let doing = "ask the model server for its metadata";
        let answer = self
            .call(Method::GET, "/v2", Payload::Empty, None, doing)
            .await?;
        let body = self.body(answer, doing).await?;
        let wire: Wire = serde_json::from_slice(&body).map_err(|error| strange(doing, error))?;
        Ok(ServerMetadata {
            name: wire.name.unwrap_or_default(),
            version: wire.version.unwrap_or_default(),
            extensions: wire.extensions.unwrap_or_default(),
        })
    }

    /// What the server says of a model.
    ///
    /// # Errors
    ///
    /// [`NotFound`](mlops_core::ErrorKind::NotFound) when it has no such model.
    pub async fn model_metadata(&self, model: &str) -> Result<ModelMetadata> {
        let doing = format!("ask for the metadata of model `{model}`");
        let path = format!("/v2/models/{}", escape(model));
        let answer = self
            .call(Method::GET, &path, Payload::Empty, None, &doing)
            .await?;
        let body = self.body(answer, &doing).await?;
        read_metadata(&body).map_err(|error| strange(doing, error))
    }

    /// Encodes a request, so that it can be sent many times.
    ///
    /// # Errors
    ///
    /// When a tensor has no form in JSON; see [`RestForm`].
    pub fn prepare(&self, model: &str, request: &InferRequest) -> Result<PreparedRest> {
        Ok(PreparedRest {
            path: format!("/v2/models/{}/infer", escape(model)),
            encoded: encode(request, self.form)?,
        })
    }

    /// Asks a model.
    ///
    /// # Errors
    ///
    /// As the server refuses: `NotFound` for an unknown model, `InvalidInput` for a wrong request; MLServer answers
    /// some wrong requests with 500, which is `Failed`.
    pub async fn infer(&self, model: &str, request: &InferRequest) -> Result<InferResponse> {
        self.infer_prepared(&self.prepare(model, request)?).await
    }

    /// Sends a prepared request.
    ///
    /// # Errors
    ///
    /// As [`Self::infer`].
    pub async fn infer_prepared(&self, prepared: &PreparedRest) -> Result<InferResponse> {
        let doing = || format!("infer by `{}`", prepared.path);
        let failed = |error: crate::http::HttpError| error.into_error(doing());
        let Encoded {
            pieces,
            json_length,
        } = &prepared.encoded;
        let payload = match (pieces.front(), pieces.len()) {
            (Some(piece), 1) => Payload::One(piece.clone()),
            _ => Payload::Many(pieces.clone()),
        };
        let mut request = self
            .http
            .request(Method::POST, &prepared.path, payload)
            .map_err(failed)?;
        let headers = request.headers_mut();
        match json_length {
            None => headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json")),
            Some(length) => {
                headers.insert(JSON_LENGTH, HeaderValue::from(*length));
                headers.insert(
                    CONTENT_TYPE,
                    HeaderValue::from_static("application/octet-stream"),
                )
            }
        };
        let mut answer = self.http.send(request).await.map_err(failed)?;
        let body = answer.bytes(LONGEST_ANSWER).await.map_err(failed)?;
        if !answer.status().is_success() {
            return Err(refused(doing(), answer.status(), &body));
        }
        let json_length = json_length_of(answer.headers()).map_err(|e| strange(doing(), e))?;
        decode(&body, json_length).map_err(|error| strange(doing(), error))
    }

    /// The models of the server's repository, loaded or not.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](mlops_core::ErrorKind::Unsupported) or `NotFound` when the server has no such extension.
    pub async fn repository_index(&self) -> Result<Vec<IndexEntry>> {
        #[derive(Deserialize)]
        struct Wire<'a> {
            name: String,
            #[serde(borrow, default)]
            version: Loose<'a>,
            #[serde(borrow, default)]
            state: Loose<'a>,
            #[serde(borrow, default)]
            reason: Loose<'a>,
        }
        let doing = "list the models of the model server";
        let body = Payload::One(Bytes::from_static(b"{}"));
        let answer = self
            .call(Method::POST, "/v2/repository/index", body, None, doing)
            .await?;
        let body = self.body(answer, doing).await?;
        let wire: Vec<Wire<'_>> =
            serde_json::from_slice(&body).map_err(|error| strange(doing, error))?;
        Ok(wire
            .into_iter()
            .map(|entry| IndexEntry {
                name: entry.name,
                version: entry.version.into_text().filter(|text| !text.is_empty()),
                state: super::state(&entry.state.into_text().unwrap_or_default()),
                reason: entry.reason.into_text().unwrap_or_default(),
            })
            .collect())
    }

    /// Loads a model of the repository, or loads it again; returns when it is loaded, at the latest after 10 min.
    ///
    /// # Errors
    ///
    /// `NotFound` when the repository does not hold it, `Failed` when it cannot be loaded.
    pub async fn load_model(&self, model: &str) -> Result<()> {
        let path = format!("/v2/repository/models/{}/load", escape(model));
        let doing = format!("load model `{model}`");
        let body = Payload::One(Bytes::from_static(b"{}"));
        let answer = self
            .call(Method::POST, &path, body, Some(LOAD_TIMEOUT), &doing)
            .await?;
        self.body(answer, &doing).await.map(drop)
    }

    /// Unloads a model; fine when it is not loaded.
    ///
    /// # Errors
    ///
    /// When the server cannot be asked or cannot unload it.
    pub async fn unload_model(&self, model: &str) -> Result<()> {
        let path = format!("/v2/repository/models/{}/unload", escape(model));
        let doing = format!("unload model `{model}`");
        let body = Payload::One(Bytes::from_static(b"{}"));
        let answer = self
            .call(Method::POST, &path, body, Some(LOAD_TIMEOUT), &doing)
            .await?;
        match self.body(answer, &doing).await {
            Err(error) if error.kind() == mlops_core::ErrorKind::NotFound => Ok(()),
            other => other.map(drop),
        }
    }
}

/// The header of the binary extension; its absence, and nothing else, means JSON.
fn json_length_of(headers: &HeaderMap) -> Result<Option<usize>, String> {
    let Some(value) = headers.get(JSON_LENGTH) else {
        return Ok(None);
    };
    value
        .to_str()
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .map(Some)
        .ok_or_else(|| format!("`{JSON_LENGTH}` is {value:?}"))
}

pub(super) fn read_metadata(body: &[u8]) -> serde_json::Result<ModelMetadata> {
    #[derive(Deserialize)]
    struct Tensor {
        name: String,
        datatype: String,
        #[serde(default)]
        shape: Option<Vec<i64>>,
    }
    #[derive(Deserialize)]
    struct Wire {
        name: Option<String>,
        versions: Option<Vec<String>>,
        platform: Option<String>,
        inputs: Option<Vec<Tensor>>,
        outputs: Option<Vec<Tensor>>,
    }
    fn tensors(wire: Option<Vec<Tensor>>) -> serde_json::Result<Vec<TensorMetadata>> {
        wire.unwrap_or_default()
            .into_iter()
            .map(|tensor| {
                Ok(TensorMetadata {
                    datatype: tensor
                        .datatype
                        .parse()
                        .map_err(<serde_json::Error as serde::de::Error>::custom)?,
                    name: tensor.name,
                    shape: tensor.shape.unwrap_or_default(),
                })
            })
            .collect()
    }
    let wire: Wire = serde_json::from_slice(body)?;
    Ok(ModelMetadata {
        name: wire.name.unwrap_or_default(),
        versions: wire.versions.unwrap_or_default(),
        platform: wire.platform.unwrap_or_default(),
        inputs: tensors(wire.inputs)?,
        outputs: tensors(wire.outputs)?,
    })
}
