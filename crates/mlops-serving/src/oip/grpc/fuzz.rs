//! What is read of a gRPC server's messages, without the server: for the fuzz targets.

use bytes::Bytes;
use mlops_core::Result;
use prost::Message as _;

use super::convert::decode;
use super::messages::{ModelInferResponse, ModelMetadataResponse};
use crate::oip::error::strange;
use crate::oip::message::{InferResponse, ModelMetadata};

/// Reads an answer to an inference.
///
/// # Errors
///
/// When it is none.
pub fn grpc_answer(message: Bytes) -> Result<InferResponse> {
    let message = ModelInferResponse::decode(message)
        .map_err(|error| strange("read an answer of gRPC", error))?;
    decode(message)
}

/// Reads what a server says of a model.
///
/// # Errors
///
/// When it is not that.
pub fn grpc_metadata(message: Bytes) -> Result<ModelMetadata> {
    let message = ModelMetadataResponse::decode(message)
        .map_err(|error| strange("read metadata of gRPC", error))?;
    super::read_metadata(message)
}
