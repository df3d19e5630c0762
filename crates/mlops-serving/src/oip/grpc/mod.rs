//! The protocol over gRPC.

mod convert;
pub(super) mod fuzz;
mod messages;
mod unary;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use mlops_core::{Endpoint, Error, ErrorKind, Result};
use prost::Message;
use tonic::transport::Channel;

use super::error::{kind_of_code, strange};
use super::message::{InferRequest, InferResponse, ModelMetadata, ServerMetadata, TensorMetadata};
use crate::http::Payload;
use messages::{
    Empty, Health, ModelInferResponse, ModelMetadataResponse, ModelRequest, ServerMetadataResponse,
};

/// The window of a stream and of a connection: a tensor of 10 MB goes without waiting for updates.
const WINDOW: u32 = 16 << 20;

/// The longest frame that servers may send; each costs a read and a wake-up, and the default is 16 KiB.
const FRAME: u32 = 1 << 20;

/// A client of an inference server over gRPC. Cloning is cheap and shares the connection.
#[derive(Debug, Clone)]
pub struct GrpcClient {
    channel: Channel,
    timeout: Duration,
    authority: String,
}

/// A request that was encoded once and can be sent any number of times.
#[derive(Debug, Clone)]
pub struct PreparedGrpc(VecDeque<Bytes>);

impl GrpcClient {
    /// A client for the server at `endpoint`, without TLS; connects with the first call and again after a loss.
    ///
    /// # Errors
    ///
    /// When the address cannot be used, or asks for TLS.
    pub fn new(endpoint: &Endpoint) -> Result<Self> {
        let wrong = || {
            Error::new(
                ErrorKind::InvalidInput,
                format!("use `{}` as the address of a gRPC server", endpoint.url()),
            )
        };
        if !matches!(endpoint.url().scheme(), "grpc" | "http") {
            return Err(wrong().with_hint("its scheme must be `grpc` or `http`"));
        }
        let authority = endpoint.authority();
        let channel = tonic::transport::Endpoint::from_shared(format!("http://{authority}"))
            .map_err(|error| wrong().with_source(error))?
            .connect_timeout(Duration::from_secs(5))
            .tcp_nodelay(true)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_frame_size(FRAME)
            .connect_lazy();
        Ok(Self {
            channel,
            timeout: Duration::from_secs(30),
            authority,
        })
    }

    /// Waits that long for an answer instead of 30 s.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    async fn call<R: Message + Default>(
        &self,
        method: &'static str,
        message: Payload,
        limit: Duration,
        doing: impl Fn() -> String,
    ) -> Result<R> {
        let calling = async {
            let answer = unary::unary(self.channel.clone(), method, message).await?;
            R::decode(answer).map_err(|error| {
                tonic::Status::data_loss(format!("the message cannot be read: {error}"))
            })
        };
        match tokio::time::timeout(limit, calling).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(status)) => Err(self.refused(doing(), &status)),
            Err(_) => Err(Error::new(ErrorKind::Timeout, doing())
                .with_source(format!("no answer came within {limit:?}"))),
        }
    }

    fn refused(&self, doing: String, status: &tonic::Status) -> Error {
        let said = super::error::message_of(status.message().as_bytes());
        let below = std::error::Error::source(status).map(chain);
        let mut text = format!(
            "the server at {} answered {:?}: {said}",
            self.authority,
            status.code()
        );
        if let Some(below) = below {
            text = format!("{text} ({below})");
        }
        Error::new(kind_of_code(status.code()), doing).with_source(text)
    }

    /// Whether the server lives.
    ///
    /// # Errors
    ///
    /// When it cannot be asked.
    pub async fn is_server_live(&self) -> Result<bool> {
        self.health(
            "/inference.GRPCInferenceService/ServerLive",
            Empty {}.encode_to_vec(),
            || "ask whether the model server lives".to_owned(),
        )
        .await
    }

    /// Whether the server is ready; it may have no model at all.
    ///
    /// # Errors
    ///
    /// When it cannot be asked.
    pub async fn is_server_ready(&self) -> Result<bool> {
        self.health(
            "/inference.GRPCInferenceService/ServerReady",
            Empty {}.encode_to_vec(),
            || "ask whether the model server is ready".to_owned(),
        )
        .await
    }

    /// Whether a model is there and ready.
    ///
    /// # Errors
    ///
    /// When it cannot be asked.
    pub async fn is_model_ready(&self, model: &str) -> Result<bool> {
        let request = model_request(model);
        let ready = self
            .health(
                "/inference.GRPCInferenceService/ModelReady",
                request,
                || format!("ask whether model `{model}` is ready"),
            )
            .await;
        match ready {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            other => other,
        }
    }

    async fn health(
        &self,
        method: &'static str,
        message: Vec<u8>,
        doing: impl Fn() -> String,
    ) -> Result<bool> {
        let health: Health = self
            .call(method, unary::framed(&message), self.timeout, doing)
            .await?;
        Ok(health.yes)
    }

    /// What the server says of itself.
    ///
    /// # Errors
    ///
    /// When it cannot be asked.
    pub async fn server_metadata(&self) -> Result<ServerMetadata> {
        let said: ServerMetadataResponse = self
            .call(
                "/inference.GRPCInferenceService/ServerMetadata",
                unary::framed(&[]),
                self.timeout,
                || "ask the model server for its metadata".to_owned(),
            )
            .await?;
        Ok(ServerMetadata {
            name: said.name,
            version: said.version,
            extensions: said.extensions,
        })
    }

    /// What the server says of a model.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] when it has no such model.
    pub async fn model_metadata(&self, model: &str) -> Result<ModelMetadata> {
        let doing = || format!("ask for the metadata of model `{model}`");
        let said: ModelMetadataResponse = self
            .call(
                "/inference.GRPCInferenceService/ModelMetadata",
                unary::framed(&model_request(model)),
                self.timeout,
                doing,
            )
            .await?;
        read_metadata(said).map_err(|error| strange(doing(), error))
    }

    /// Encodes a request, so that it can be sent many times.
    pub fn prepare(&self, model: &str, request: &InferRequest) -> PreparedGrpc {
        PreparedGrpc(convert::encode(model, request))
    }

    /// Asks a model.
    ///
    /// # Errors
    ///
    /// As the server refuses.
    pub async fn infer(&self, model: &str, request: &InferRequest) -> Result<InferResponse> {
        self.infer_prepared(&self.prepare(model, request)).await
    }

    /// Sends a prepared request.
    ///
    /// # Errors
    ///
    /// As [`Self::infer`].
    pub async fn infer_prepared(&self, prepared: &PreparedGrpc) -> Result<InferResponse> {
        let doing = || format!("infer by gRPC at {}", self.authority);
        let answer: ModelInferResponse = self
            .call(
                "/inference.GRPCInferenceService/ModelInfer",
                Payload::Many(prepared.0.clone()),
                self.timeout,
                doing,
            )
            .await?;
        convert::decode(answer).map_err(|error| strange(doing(), error))
    }
}

fn read_metadata(said: ModelMetadataResponse) -> Result<ModelMetadata> {
    fn tensors(wire: Vec<messages::TensorMetadata>) -> Result<Vec<TensorMetadata>> {
        wire.into_iter()
            .map(|tensor| {
                Ok(TensorMetadata {
                    datatype: tensor.datatype.parse()?,
                    name: tensor.name,
                    shape: tensor.shape,
                })
            })
            .collect()
    }
    Ok(ModelMetadata {
        name: said.name,
        versions: said.versions,
        platform: said.platform,
        inputs: tensors(said.inputs)?,
        outputs: tensors(said.outputs)?,
    })
}

fn model_request(model: &str) -> Vec<u8> {
    ModelRequest {
        name: model.to_owned(),
        version: String::new(),
    }
    .encode_to_vec()
}

/// An error with all its causes, which tonic's own texts leave out.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
