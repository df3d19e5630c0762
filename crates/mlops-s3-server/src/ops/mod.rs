//! The S3 calls that are offered. Whatever is not here, the library answers
//! with `NotImplemented`.

/// Refuses each named header that is set: taking a request and leaving a part
/// of it undone would be worse.
macro_rules! refuse {
    ($input:expr, $($field:ident),+ $(,)?) => {
        $(if $input.$field.is_some() {
            return Err($crate::ops::not_offered(stringify!($field)));
        })+
    };
}

/// Refuses what S3 would keep with an object and we do not.
macro_rules! refuse_unkept {
    ($input:expr) => {
        refuse!(
            $input,
            bucket_key_enabled,
            grant_full_control,
            grant_read,
            grant_read_acp,
            grant_write_acp,
            object_lock_legal_hold_status,
            object_lock_mode,
            object_lock_retain_until_date,
            sse_customer_algorithm,
            sse_customer_key,
            sse_customer_key_md5,
            ssekms_encryption_context,
            ssekms_key_id,
            server_side_encryption,
            tagging,
            website_redirect_location,
        )
    };
}

/// The checksum that the client sent with its request, if any.
macro_rules! given_checksum {
    ($input:expr) => {
        $crate::ops::one_checksum([
            (
                $crate::hash::Algorithm::Crc32,
                $input.checksum_crc32.clone(),
            ),
            (
                $crate::hash::Algorithm::Crc32c,
                $input.checksum_crc32c.clone(),
            ),
            (
                $crate::hash::Algorithm::Crc64nvme,
                $input.checksum_crc64nvme.clone(),
            ),
            ($crate::hash::Algorithm::Sha1, $input.checksum_sha1.clone()),
            (
                $crate::hash::Algorithm::Sha256,
                $input.checksum_sha256.clone(),
            ),
        ])
    };
}

/// Puts a checksum into the field of its algorithm.
macro_rules! set_checksum {
    ($output:expr, $checksum:expr) => {
        if let Some(checksum) = $checksum {
            let value = Some(checksum.value.clone());
            match checksum.algorithm {
                $crate::hash::Algorithm::Crc32 => $output.checksum_crc32 = value,
                $crate::hash::Algorithm::Crc32c => $output.checksum_crc32c = value,
                $crate::hash::Algorithm::Crc64nvme => $output.checksum_crc64nvme = value,
                $crate::hash::Algorithm::Sha1 => $output.checksum_sha1 = value,
                $crate::hash::Algorithm::Sha256 => $output.checksum_sha256 = value,
            }
        }
    };
}

/// The headers kept with an object, from an upload or a copy.
macro_rules! kept_headers {
    ($input:expr) => {
        $crate::file::Headers {
            content_type: $input.content_type.clone(),
            cache_control: $input.cache_control.clone(),
            content_disposition: $input.content_disposition.clone(),
            content_encoding: $input
                .content_encoding
                .as_deref()
                .and_then($crate::ops::kept_encoding),
            content_language: $input.content_language.clone(),
            expires: $input.expires.as_ref().and_then($crate::ops::http_date),
            user: $input
                .metadata
                .clone()
                .unwrap_or_default()
                .into_iter()
                .collect(),
        }
    };
}

mod buckets;
mod handler;
mod lists;
mod objects;
mod reads;
mod uploads;

use std::sync::Arc;

use s3s::dto::{CopySource, ObjectCannedACL, StorageClass, Timestamp, TimestampFormat};
use s3s::{S3Error, S3Request, S3Result, s3_error};
use tokio::task::spawn_blocking;

use crate::access::{Caller, Guard, denied};
use crate::hash::Algorithm;
use crate::intake::crashed;
use crate::store::Store;
use crate::store::bucket::Bucket;

pub(crate) use buckets::check_location;

/// Answers S3 calls.
pub(crate) struct Handler {
    pub(crate) guard: Guard,
}

impl Handler {
    fn store(&self) -> Arc<Store> {
        Arc::clone(&self.guard.store)
    }

    /// The bucket, if it has the owner that the client expects.
    fn bucket(&self, name: &str, expected_owner: Option<&String>) -> S3Result<Arc<Bucket>> {
        let bucket = self.guard.store.bucket(name)?;
        if expected_owner.is_none_or(|o| bucket.is_owned_by(o)) {
            Ok(bucket)
        } else {
            Err(denied())
        }
    }

    /// The bucket and key that a copy reads, if the caller may.
    fn copy_source<T>(
        &self,
        req: &S3Request<T>,
        source: &CopySource,
        expected_owner: Option<&String>,
    ) -> S3Result<(Arc<Bucket>, String)> {
        let CopySource::Bucket {
            bucket,
            key,
            version_id,
        } = source
        else {
            return Err(not_offered("copying from an access point"));
        };
        if version_id.as_deref().is_some_and(|v| v != "null") {
            return Err(not_offered("versionId"));
        }
        self.guard.may_use(caller(req)?, bucket)?;
        Ok((self.bucket(bucket, expected_owner)?, key.to_string()))
    }
}

/// Who sent the request.
fn caller<T>(req: &S3Request<T>) -> S3Result<&Caller> {
    req.extensions.get::<Caller>().ok_or_else(denied)
}

/// Runs what blocks.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> S3Result<T> + Send + 'static,
) -> S3Result<T> {
    spawn_blocking(work).await.map_err(crashed)?
}

fn not_offered(what: &str) -> S3Error {
    s3_error!(NotImplemented, "This server does not offer {what}.")
}

fn one_checksum(given: [(Algorithm, Option<String>); 5]) -> S3Result<Option<(Algorithm, String)>> {
    let mut found = given.into_iter().filter_map(|(a, value)| Some((a, value?)));
    let first = found.next();
    match found.next() {
        None => Ok(first),
        Some(_) => Err(s3_error!(
            InvalidRequest,
            "Expecting a single x-amz-checksum- header. Multiple checksum types are not allowed."
        )),
    }
}

/// Everything is private to the bucket's owner; other wishes are refused.
fn check_acl(acl: Option<&ObjectCannedACL>) -> S3Result<()> {
    let own = [
        ObjectCannedACL::PRIVATE,
        ObjectCannedACL::BUCKET_OWNER_FULL_CONTROL,
    ];
    if acl.is_none_or(|a| own.iter().any(|o| *o == a.as_str())) {
        Ok(())
    } else {
        Err(not_offered("access control lists"))
    }
}

fn check_storage_class(class: Option<&StorageClass>) -> S3Result<()> {
    if class.is_none_or(|c| c.as_str() == StorageClass::STANDARD) {
        Ok(())
    } else {
        Err(not_offered("storage classes besides STANDARD"))
    }
}

/// There is one version of each object, which S3 calls `null`.
fn check_version(version: Option<&String>) -> S3Result<()> {
    if version.is_none_or(|v| v == "null") {
        Ok(())
    } else {
        Err(not_offered("versions"))
    }
}

/// The encoding without `aws-chunked`, which is of the request only.
fn kept_encoding(sent: &str) -> Option<String> {
    let codings = sent.split(',').map(str::trim);
    let kept: Vec<_> = codings
        .filter(|c| !c.is_empty() && *c != "aws-chunked")
        .collect();
    (!kept.is_empty()).then(|| kept.join(","))
}

fn http_date(time: &Timestamp) -> Option<String> {
    let mut text = Vec::new();
    time.format(TimestampFormat::HttpDate, &mut text).ok()?;
    String::from_utf8(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_encoding_of_the_object_is_kept() {
        assert_eq!(kept_encoding("aws-chunked"), None);
        assert_eq!(kept_encoding("gzip"), Some("gzip".to_owned()));
        assert_eq!(
            kept_encoding("aws-chunked, gzip,br"),
            Some("gzip,br".to_owned())
        );
    }
}
