//! The protocol over gRPC.

mod convert;
pub(super) mod fuzz;
mod messages;

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use http::uri::PathAndQuery;
use mlops_core::{Endpoint, Error, ErrorKind, Result};
use prost::Message;
use tonic::Request;
use tonic::client::Grpc;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;

use super::error::{kind_of_code, strange};
use super::message::{InferRequest, InferResponse, ModelMetadata, ServerMetadata, TensorMetadata};
use messages::{
    Empty, Health, ModelInferResponse, ModelMetadataResponse, ModelRequest, ServerMetadataResponse,
};

/// The window of a stream and of a connection: a tensor of 10 MB goes without waiting for updates.
const WINDOW: u32 = 16 << 20;

/// A client of an inference server over gRPC. Cloning is cheap and shares the connection.
#[derive(Debug, Clone)]
pub struct GrpcClient {
    channel: Channel,
    timeout: Duration,
    authority: String,
}

/// A request that was encoded once and can be sent any number of times.
#[derive(Debug, Clone)]
pub struct PreparedGrpc(Bytes);

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

    async fn call<R: Message + Default + 'static>(
        &self,
        method: &'static str,
        message: Bytes,
        limit: Duration,
        doing: impl Fn() -> String,
    ) -> Result<R> {
        let mut grpc = Grpc::new(self.channel.clone())
            .max_decoding_message_size(usize::MAX)
            .max_encoding_message_size(usize::MAX);
        let calling = async {
            grpc.ready()
                .await
                .map_err(|error| tonic::Status::unavailable(chain(&error)))?;
            let path = PathAndQuery::from_static(method);
            grpc.unary(Request::new(message), path, Wire(std::marker::PhantomData))
                .await
        };
        match tokio::time::timeout(limit, calling).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
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
            .call(method, message.into(), self.timeout, doing)
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
                Bytes::new(),
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
                model_request(model).into(),
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
                prepared.0.clone(),
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

/// Sends bytes that are encoded already, reads messages.
struct Wire<R>(std::marker::PhantomData<fn() -> R>);

impl<R: Message + Default + 'static> Codec for Wire<R> {
    type Encode = Bytes;
    type Decode = R;
    type Encoder = Ready;
    type Decoder = Reader<R>;

    fn encoder(&mut self) -> Ready {
        Ready
    }

    fn decoder(&mut self) -> Reader<R> {
        Reader(std::marker::PhantomData)
    }
}

struct Ready;

impl Encoder for Ready {
    type Item = Bytes;
    type Error = tonic::Status;

    fn encode(&mut self, item: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), tonic::Status> {
        out.reserve(item.remaining());
        out.put(item);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}

struct Reader<R>(std::marker::PhantomData<fn() -> R>);

impl<R: Message + Default> Decoder for Reader<R> {
    type Item = R;
    type Error = tonic::Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<R>, tonic::Status> {
        R::decode(from).map(Some).map_err(|error| {
            tonic::Status::data_loss(format!("the message cannot be read: {error}"))
        })
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}
