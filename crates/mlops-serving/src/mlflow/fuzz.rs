//! What is read of MLflow's answers, without the server: for the fuzz targets, no part of the public interface.

use http::StatusCode;
use mlops_core::{Error, Result};
use serde::de::DeserializeOwned;

/// Reads an answer as every call does.
///
/// # Errors
///
/// When it is not that type's JSON.
pub fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    super::read(body, "read an answer")
}

/// The error of a refusal with that body.
pub fn refused(status: StatusCode, body: &[u8]) -> Error {
    super::error::refused("be answered".to_owned(), status, body)
}
