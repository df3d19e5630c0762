//! Writing, copying and removing objects.

use std::io::{self, Read as _};
use std::sync::Arc;

use s3s::dto::{
    CopyObjectInput, CopyObjectOutput, CopyObjectResult, DeleteObjectInput, DeleteObjectOutput,
    DeleteObjectsInput, DeleteObjectsOutput, DeletedObject, ETag, ETagCondition,
    Error as ErrorLine, MetadataDirective, PutObjectInput, PutObjectOutput,
};
use s3s::{S3Error, S3Request, S3Response, S3Result, s3_error};

use super::reads::{ReadIf, checksum_type};
use super::{Handler, blocking, check_acl, check_storage_class, check_version, not_offered};
use crate::file::{Headers, Meta, now};
use crate::hash::to_hex;
use crate::intake::{Claims, LARGEST_UPLOAD, receive};
use crate::store::bucket::Bucket;
use crate::store::object::{Condition, open_object};
use crate::store::{Store, disk_error};

/// S3's limit for the names and values of user metadata.
const MOST_USER_METADATA: usize = 2048;
/// S3's limit for one request.
const MOST_DELETES: usize = 1000;

pub(super) fn check_headers(headers: Headers) -> S3Result<Headers> {
    let size: usize = headers
        .user
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if size <= MOST_USER_METADATA {
        Ok(headers)
    } else {
        Err(s3_error!(
            MetadataTooLarge,
            "Your metadata headers exceed the maximum allowed metadata size"
        ))
    }
}

fn check_put(input: &PutObjectInput) -> S3Result<()> {
    refuse_unkept!(input);
    refuse!(input, write_offset_bytes);
    check_acl(input.acl.as_ref())?;
    check_storage_class(input.storage_class.as_ref())
}

fn check_copy(input: &CopyObjectInput) -> S3Result<()> {
    refuse_unkept!(input);
    refuse!(
        input,
        copy_source_sse_customer_algorithm,
        copy_source_sse_customer_key,
        copy_source_sse_customer_key_md5,
    );
    // Objects have no tags here, so copying them is done already.
    if input
        .tagging_directive
        .as_ref()
        .is_some_and(|t| t.as_str() != "COPY")
    {
        return Err(not_offered("object tags"));
    }
    check_acl(input.acl.as_ref())?;
    check_storage_class(input.storage_class.as_ref())
}

/// A copy that was checked.
struct Copy {
    from: Arc<Bucket>,
    from_key: String,
    to: Arc<Bucket>,
    key: String,
    read_if: ReadIf,
    /// In place of those of the source.
    headers: Option<Headers>,
}

impl Copy {
    /// Blocks.
    fn run(self, store: &Store) -> S3Result<Meta> {
        let fail = |e| disk_error("copy the object", e);
        let (file, source) = open_object(&self.from, &self.from_key)?;
        self.read_if.check_source(&source)?;
        if source.size > LARGEST_UPLOAD {
            return Err(s3_error!(
                InvalidRequest,
                "The specified copy source is larger than the maximum allowable size for a copy source: 5368709120"
            ));
        }
        let mut temp = store.temp_file().map_err(fail)?;
        let copied = io::copy(&mut file.take(source.size), &mut temp.file).map_err(fail)?;
        if copied != source.size {
            return Err(fail(io::ErrorKind::UnexpectedEof.into()));
        }
        let meta = Meta {
            key: self.key,
            modified: now(),
            headers: self.headers.unwrap_or_else(|| source.headers.clone()),
            ..source
        };
        store.put_object(&self.to, temp, &meta, &Condition::default())?;
        Ok(meta)
    }
}

impl Handler {
    pub(super) async fn do_put_object(
        &self,
        req: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        let S3Request {
            mut input,
            headers,
            trailing_headers,
            ..
        } = req;
        check_put(&input)?;
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_ref())?;
        let condition = Condition::for_write(input.if_match.take(), input.if_none_match.as_ref())?;
        let named = input
            .checksum_algorithm
            .as_ref()
            .map(s3s::dto::ChecksumAlgorithm::as_str);
        let claims = Claims::new(
            input.content_length,
            input.content_md5.take(),
            given_checksum!(input)?,
            named,
            &headers,
            trailing_headers,
        )?;
        let kept = check_headers(kept_headers!(input))?;
        let body = input
            .body
            .take()
            .ok_or_else(|| s3_error!(IncompleteBody, "The request has no body."))?;
        let store = self.store();
        let intake = receive(body, &claims, {
            let store = self.store();
            move || {
                store
                    .temp_file()
                    .map_err(|e| disk_error("store the object", e))
            }
        })
        .await?;
        let meta = blocking(move || {
            let (temp, size, digests) = intake.finish(&claims)?;
            let meta = Meta {
                key: input.key,
                size,
                etag: to_hex(&digests.md5),
                modified: now(),
                headers: kept,
                checksum: digests.checksum,
            };
            store.put_object(&bucket, temp, &meta, &condition)?;
            Ok(meta)
        })
        .await?;
        let mut output = PutObjectOutput {
            e_tag: Some(ETag::Strong(meta.etag)),
            checksum_type: meta.checksum.as_ref().map(|c| checksum_type(c.covers)),
            ..PutObjectOutput::default()
        };
        set_checksum!(output, &meta.checksum);
        Ok(S3Response::new(output))
    }

    pub(super) async fn do_copy_object(
        &self,
        req: S3Request<CopyObjectInput>,
    ) -> S3Result<S3Response<CopyObjectOutput>> {
        check_copy(&req.input)?;
        let expected = req.input.expected_source_bucket_owner.as_ref();
        let (from, from_key) = self.copy_source(&req, &req.input.copy_source, expected)?;
        let S3Request { input, .. } = req;
        let to = self.bucket(&input.bucket, input.expected_bucket_owner.as_ref())?;
        let directive = input
            .metadata_directive
            .as_ref()
            .map_or("COPY", |d| d.as_str());
        let replaced = match directive {
            MetadataDirective::COPY => None,
            MetadataDirective::REPLACE => Some(check_headers(kept_headers!(input))?),
            _ => return Err(s3_error!(InvalidArgument, "Unknown metadata directive.")),
        };
        if replaced.is_none() && input.bucket == from.name && input.key == from_key {
            return Err(s3_error!(
                InvalidRequest,
                "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata."
            ));
        }
        let read_if = ReadIf {
            matching: input.copy_source_if_match,
            none_matching: input.copy_source_if_none_match,
            modified_since: input.copy_source_if_modified_since,
            unmodified_since: input.copy_source_if_unmodified_since,
        };
        let store = self.store();
        let copy = Copy {
            from,
            from_key,
            to,
            key: input.key,
            read_if,
            headers: replaced,
        };
        let meta = blocking(move || copy.run(&store)).await?;
        let mut result = CopyObjectResult {
            e_tag: Some(ETag::Strong(meta.etag.clone())),
            last_modified: Some(meta.modified()),
            checksum_type: meta.checksum.as_ref().map(|c| checksum_type(c.covers)),
            ..CopyObjectResult::default()
        };
        set_checksum!(result, &meta.checksum);
        Ok(S3Response::new(CopyObjectOutput {
            copy_object_result: Some(result),
            ..CopyObjectOutput::default()
        }))
    }

    pub(super) async fn do_delete_object(
        &self,
        req: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let S3Request { input, .. } = req;
        refuse!(
            input,
            mfa,
            bypass_governance_retention,
            if_match_last_modified_time
        );
        check_version(input.version_id.as_ref())?;
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_ref())?;
        let condition = Condition {
            if_match: input.if_match,
            if_none_match: false,
            size: input.if_match_size,
        };
        let store = self.store();
        blocking(move || store.delete_object(&bucket, &input.key, &condition)).await?;
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    pub(super) async fn do_delete_objects(
        &self,
        req: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let S3Request { input, .. } = req;
        refuse!(input, mfa, bypass_governance_retention);
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_ref())?;
        if input.delete.objects.is_empty() || input.delete.objects.len() > MOST_DELETES {
            return Err(s3_error!(MalformedXML, "Give 1 to {MOST_DELETES} keys."));
        }
        let quiet = input.delete.quiet == Some(true);
        let store = self.store();
        blocking(move || {
            let (mut deleted, mut errors) = (Vec::new(), Vec::new());
            for object in input.delete.objects {
                let result = check_version(object.version_id.as_ref()).and_then(|()| {
                    if object.last_modified_time.is_some() {
                        return Err(not_offered("LastModifiedTime"));
                    }
                    let condition = Condition {
                        if_match: object.e_tag.map(ETagCondition::ETag),
                        if_none_match: false,
                        size: object.size,
                    };
                    store.delete_object(&bucket, &object.key, &condition)
                });
                match result {
                    Ok(()) if quiet => {}
                    Ok(()) => deleted.push(DeletedObject {
                        key: Some(object.key),
                        ..DeletedObject::default()
                    }),
                    Err(error) => errors.push(error_line(object.key, &error)),
                }
            }
            Ok(S3Response::new(DeleteObjectsOutput {
                deleted: Some(deleted),
                errors: Some(errors),
                ..DeleteObjectsOutput::default()
            }))
        })
        .await
    }
}

fn error_line(key: String, error: &S3Error) -> ErrorLine {
    ErrorLine {
        code: Some(error.code().as_str().to_owned()),
        key: Some(key),
        message: error.message().map(str::to_owned),
        version_id: None,
    }
}
