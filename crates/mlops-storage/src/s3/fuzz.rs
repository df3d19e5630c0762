//! What is read of the admin interface's answers, without the server: for the fuzz targets, no part of the public
//! interface.

use mlops_core::{Error, Result, SecretText};

use super::admin_api;
use super::model::{BucketFacts, KeyFacts};

/// Reads a list of keys.
///
/// # Errors
///
/// When it is none.
pub fn keys(text: &SecretText) -> Result<Vec<KeyFacts>> {
    admin_api::read_keys(text, "list keys")
}

/// Reads a list of buckets.
///
/// # Errors
///
/// When it is none.
pub fn buckets(text: &SecretText) -> Result<Vec<BucketFacts>> {
    admin_api::read_buckets(text, "list buckets")
}

/// The server's code in a refusal and the error that it becomes.
pub fn refused(status: u16, text: &SecretText) -> (Option<String>, Error) {
    admin_api::read_refusal(status, text, "be answered".to_owned())
}
