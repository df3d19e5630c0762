//! What is read of a model server's answers, without the server: for the fuzz targets, no part of the public interface.

use bytes::Bytes;
use http::StatusCode;
use mlops_core::{Error, Result};

pub use super::grpc::fuzz::{grpc_answer, grpc_metadata};
use super::message::{InferResponse, ModelMetadata};

/// Reads an answer to an inference by REST; `json_length` is what the header of the binary extension says.
///
/// # Errors
///
/// When it is none.
pub fn rest_answer(body: &Bytes, json_length: Option<usize>) -> Result<InferResponse> {
    super::wire::decode(body, json_length)
}

/// Reads what a server says of a model by REST.
///
/// # Errors
///
/// When it is not that.
pub fn rest_metadata(body: &[u8]) -> serde_json::Result<ModelMetadata> {
    super::rest::read_metadata(body)
}

/// The error of a refusal with that body.
pub fn refused(status: StatusCode, body: &[u8]) -> Error {
    super::error::refused("be answered".to_owned(), status, body)
}
