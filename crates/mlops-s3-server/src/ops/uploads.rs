//! Multipart uploads.

use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::sync::Arc;

use http::HeaderMap;
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, ChecksumAlgorithm, ChecksumType,
    CommonPrefix, CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CompletedPart,
    CopyPartResult, CreateMultipartUploadInput, CreateMultipartUploadOutput, ETag, Initiator,
    ListMultipartUploadsInput, ListMultipartUploadsOutput, ListPartsInput, ListPartsOutput,
    MultipartUpload, Part as PartLine, Range, StorageClass, UploadPartCopyInput,
    UploadPartCopyOutput, UploadPartInput, UploadPartOutput,
};
use s3s::{S3Request, S3Response, S3Result, TrailingHeaders, s3_error};

use super::lists::{Names, limit, owner_of};
use super::objects::check_headers;
use super::reads::{ReadIf, checksum_type};
use super::{Handler, blocking, caller, check_acl, check_storage_class, not_offered};
use crate::file::{now, timestamp};
use crate::hash::{Algorithm, Covers, Digests, Hasher, to_hex};
use crate::intake::{Claims, LARGEST_UPLOAD, receive};
use crate::store::bucket::Bucket;
use crate::store::object::{Condition, open_object};
use crate::store::upload::{
    Chosen, Expected, Part, Received, Slot, Upload, UploadInfo, all_uploads, find_upload,
};
use crate::store::{Store, disk_error};

/// S3's limit.
const MOST_PARTS: i32 = 10_000;

fn part_number(number: i32) -> S3Result<u16> {
    u16::try_from(number)
        .ok()
        .filter(|n| (1..=MOST_PARTS).contains(&i32::from(*n)))
        .ok_or_else(|| {
            s3_error!(
                InvalidArgument,
                "Part number must be an integer between 1 and {MOST_PARTS}, inclusive"
            )
        })
}

/// Which checksum the upload will have, and what it covers.
fn planned_checksum(
    algorithm: Option<&ChecksumAlgorithm>,
    kind: Option<&ChecksumType>,
) -> S3Result<Option<(Algorithm, Covers)>> {
    let Some(algorithm) = algorithm else {
        return match kind {
            None => Ok(None),
            Some(_) => Err(s3_error!(
                InvalidRequest,
                "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header."
            )),
        };
    };
    let algorithm = Algorithm::from_name(algorithm.as_str()).ok_or_else(|| {
        s3_error!(
            InvalidRequest,
            "Checksum algorithm provided is unsupported."
        )
    })?;
    let sha = matches!(algorithm, Algorithm::Sha1 | Algorithm::Sha256);
    let covers = match kind.map(ChecksumType::as_str) {
        None if algorithm == Algorithm::Crc64nvme => Covers::FullObject,
        None => Covers::Composite,
        Some("COMPOSITE") if algorithm != Algorithm::Crc64nvme => Covers::Composite,
        Some("FULL_OBJECT") if !sha => Covers::FullObject,
        Some(kind) => {
            return Err(s3_error!(
                InvalidRequest,
                "The {kind} checksum type cannot be used with the {} checksum algorithm.",
                algorithm.name()
            ));
        }
    };
    Ok(Some((algorithm, covers)))
}

fn chosen(part: &CompletedPart) -> S3Result<Chosen> {
    let malformed = || s3_error!(MalformedXML, "A part needs a PartNumber and an ETag.");
    Ok(Chosen {
        number: part_number(part.part_number.ok_or_else(malformed)?)?,
        etag: part
            .e_tag
            .as_ref()
            .ok_or_else(malformed)?
            .value()
            .to_owned(),
        checksum: given_checksum!(part)?.map(|(_, value)| value),
    })
}

fn record(store: &Store, slot: Slot, size: u64, digests: Digests) -> S3Result<Part> {
    let received = Received {
        size,
        etag: to_hex(&digests.md5),
        checksum: digests.checksum,
    };
    store.record_part(slot, received)
}

/// What the client claims about a part, and whether that fits the upload.
fn part_claims(
    input: &mut UploadPartInput,
    upload: &Upload,
    headers: &HeaderMap,
    trailers: Option<TrailingHeaders>,
) -> S3Result<Claims> {
    let planned = upload.info.checksum.map(|(algorithm, _)| algorithm.name());
    let given = given_checksum!(input)?;
    if let (Some(planned), Some((given, _))) = (planned, &given)
        && given.name() != planned
    {
        return Err(s3_error!(
            InvalidRequest,
            "Checksum Type mismatch occurred, expected checksum Type: {planned}, actual checksum Type: {}",
            given.name()
        ));
    }
    let named = input
        .checksum_algorithm
        .as_ref()
        .map(ChecksumAlgorithm::as_str)
        .or(planned);
    let md5 = input.content_md5.take();
    Claims::new(input.content_length, md5, given, named, headers, trailers)
}

/// What `UploadPartCopy` reads.
struct Source {
    bucket: Arc<Bucket>,
    key: String,
    range: Option<Range>,
    read_if: ReadIf,
}

/// Copies a part from an object. Blocks.
fn copy_part(store: &Store, upload: &Arc<Upload>, number: u16, source: &Source) -> S3Result<Part> {
    let fail = |e| disk_error("copy a part", e);
    let (mut file, meta) = open_object(&source.bucket, &source.key)?;
    source.read_if.check_source(&meta)?;
    let bytes = match &source.range {
        None => 0..meta.size,
        Some(range) => range
            .check(meta.size)
            .map_err(|e| s3_error!(e, InvalidRange, "The requested range is not satisfiable"))?,
    };
    let size = bytes.end - bytes.start;
    if size > LARGEST_UPLOAD {
        return Err(s3_error!(EntityTooLarge, "A part has at most 5 GiB."));
    }
    file.seek(SeekFrom::Start(bytes.start)).map_err(fail)?;
    let mut slot = store.open_slot(upload, number, Some(size))?;
    let mut hasher = Hasher::new(upload.info.checksum.map(|(a, _)| a));
    let mut from = file.take(size);
    let mut buffer = vec![0; 256 << 10];
    let mut copied = 0;
    loop {
        let read = from.read(&mut buffer).map_err(fail)?;
        let Some(chunk) = buffer.get(..read).filter(|c| !c.is_empty()) else {
            break;
        };
        hasher.update(chunk);
        slot.file.write_all(chunk).map_err(fail)?;
        copied += chunk.len() as u64;
    }
    if copied != size {
        return Err(fail(std::io::ErrorKind::UnexpectedEof.into()));
    }
    record(store, slot, size, hasher.finish())
}

impl Handler {
    pub(super) async fn do_create_multipart_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let initiator = caller(&req)?.access_key.clone();
        let S3Request { input, .. } = req;
        refuse_unkept!(input);
        check_acl(input.acl.as_ref())?;
        check_storage_class(input.storage_class.as_ref())?;
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_ref())?;
        let info = UploadInfo {
            headers: check_headers(kept_headers!(input))?,
            key: input.key.clone(),
            initiator,
            initiated: now(),
            checksum: planned_checksum(
                input.checksum_algorithm.as_ref(),
                input.checksum_type.as_ref(),
            )?,
        };
        let checksum = info.checksum;
        let store = self.store();
        let id = blocking(move || store.create_upload(&bucket, &info)).await?;
        Ok(S3Response::new(CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(id),
            checksum_algorithm: input.checksum_algorithm,
            checksum_type: checksum.map(|(_, covers)| checksum_type(covers)),
            ..CreateMultipartUploadOutput::default()
        }))
    }

    pub(super) async fn do_upload_part(
        &self,
        req: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        let S3Request {
            mut input,
            headers,
            trailing_headers,
            ..
        } = req;
        refuse!(
            input,
            sse_customer_algorithm,
            sse_customer_key,
            sse_customer_key_md5
        );
        let number = part_number(input.part_number)?;
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_ref())?;
        let (key, id) = (input.key.clone(), input.upload_id.clone());
        let upload = blocking(move || find_upload(&bucket, &key, &id)).await?;
        let claims = part_claims(&mut input, &upload, &headers, trailing_headers)?;
        let body = input
            .body
            .take()
            .ok_or_else(|| s3_error!(IncompleteBody, "The request has no body."))?;
        let length = claims.length;
        let store = self.store();
        let intake = receive(body, &claims, move || {
            store.open_slot(&upload, number, length)
        })
        .await?;
        let store = self.store();
        let part = blocking(move || {
            let (slot, size, digests) = intake.finish(&claims)?;
            record(&store, slot, size, digests)
        })
        .await?;
        let mut output = UploadPartOutput {
            e_tag: Some(ETag::Strong(part.etag)),
            ..UploadPartOutput::default()
        };
        set_checksum!(output, &part.checksum);
        Ok(S3Response::new(output))
    }

    pub(super) async fn do_upload_part_copy(
        &self,
        req: S3Request<UploadPartCopyInput>,
    ) -> S3Result<S3Response<UploadPartCopyOutput>> {
        let expected = req.input.expected_source_bucket_owner.as_ref();
        let (from, from_key) = self.copy_source(&req, &req.input.copy_source, expected)?;
        let S3Request { input, .. } = req;
        refuse!(
            input,
            copy_source_sse_customer_algorithm,
            copy_source_sse_customer_key,
            copy_source_sse_customer_key_md5,
            sse_customer_algorithm,
            sse_customer_key,
            sse_customer_key_md5,
        );
        let number = part_number(input.part_number)?;
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_ref())?;
        let range = input
            .copy_source_range
            .as_deref()
            .map(Range::parse)
            .transpose();
        let range = range
            .map_err(|e| s3_error!(e, InvalidArgument, "Malformed x-amz-copy-source-range."))?;
        let source = Source {
            bucket: from,
            key: from_key,
            range,
            read_if: ReadIf {
                matching: input.copy_source_if_match,
                none_matching: input.copy_source_if_none_match,
                modified_since: input.copy_source_if_modified_since,
                unmodified_since: input.copy_source_if_unmodified_since,
            },
        };
        let store = self.store();
        let part = blocking(move || {
            let upload = find_upload(&bucket, &input.key, &input.upload_id)?;
            copy_part(&store, &upload, number, &source)
        })
        .await?;
        let mut result = CopyPartResult {
            e_tag: Some(ETag::Strong(part.etag)),
            last_modified: Some(timestamp(part.modified)),
            ..CopyPartResult::default()
        };
        set_checksum!(result, &part.checksum);
        Ok(S3Response::new(UploadPartCopyOutput {
            copy_part_result: Some(result),
            ..UploadPartCopyOutput::default()
        }))
    }

    pub(super) async fn do_complete_multipart_upload(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let S3Request { input, .. } = req;
        refuse!(
            input,
            sse_customer_algorithm,
            sse_customer_key,
            sse_customer_key_md5
        );
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_ref())?;
        let expected = Expected {
            size: input.mpu_object_size.and_then(|s| u64::try_from(s).ok()),
            checksum: given_checksum!(input)?,
        };
        let condition = Condition::for_write(input.if_match, input.if_none_match.as_ref())?;
        let parts = input
            .multipart_upload
            .and_then(|m| m.parts)
            .unwrap_or_default();
        let parts = parts.iter().map(chosen).collect::<S3Result<Vec<_>>>()?;
        let location = format!("/{}/{}", input.bucket, Names::Url.write(&input.key));
        let (key, id) = (input.key.clone(), input.upload_id);
        let store = self.store();
        let meta = blocking(move || {
            let upload = find_upload(&bucket, &key, &id)?;
            store.complete_upload(&bucket, &upload, &parts, &condition, &expected)
        })
        .await?;
        let mut output = CompleteMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            location: Some(location),
            e_tag: Some(ETag::Strong(meta.etag)),
            checksum_type: meta.checksum.as_ref().map(|c| checksum_type(c.covers)),
            ..CompleteMultipartUploadOutput::default()
        };
        set_checksum!(output, &meta.checksum);
        Ok(S3Response::new(output))
    }

    pub(super) async fn do_abort_multipart_upload(
        &self,
        req: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let S3Request { input, .. } = req;
        refuse!(input, if_match_initiated_time);
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_ref())?;
        let store = self.store();
        blocking(move || {
            let upload = find_upload(&bucket, &input.key, &input.upload_id)?;
            store.abort_upload(&bucket, &upload)
        })
        .await?;
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }

    pub(super) async fn do_list_parts(
        &self,
        req: S3Request<ListPartsInput>,
    ) -> S3Result<S3Response<ListPartsOutput>> {
        let S3Request { input, .. } = req;
        refuse!(
            input,
            sse_customer_algorithm,
            sse_customer_key,
            sse_customer_key_md5
        );
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_ref())?;
        let limit = limit(input.max_parts)?;
        let after = input.part_number_marker.unwrap_or_default();
        let owner = owner_of(&bucket);
        let (key, id) = (input.key.clone(), input.upload_id.clone());
        let (upload, mut parts) = blocking(move || {
            let upload = find_upload(&bucket, &key, &id)?;
            let parts = upload.parts()?;
            Ok((upload, parts))
        })
        .await?;
        parts.retain(|p| i32::from(p.number) > after);
        let kept = usize::try_from(limit).unwrap_or_default();
        let truncated = limit > 0 && parts.len() > kept;
        parts.truncate(kept);
        let next = parts
            .last()
            .filter(|_| truncated)
            .map(|p| i32::from(p.number));
        let checksum = upload.info.checksum;
        Ok(S3Response::new(ListPartsOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(input.upload_id),
            checksum_algorithm: checksum.map(|(a, _)| ChecksumAlgorithm::from_static(a.name())),
            checksum_type: checksum.map(|(_, covers)| checksum_type(covers)),
            initiator: Some(initiator(&upload.info)),
            owner: Some(owner),
            is_truncated: Some(truncated),
            max_parts: Some(limit),
            part_number_marker: Some(after),
            next_part_number_marker: next,
            parts: Some(parts.iter().map(part_line).collect()),
            storage_class: Some(StorageClass::from_static(StorageClass::STANDARD)),
            ..ListPartsOutput::default()
        }))
    }

    pub(super) async fn do_list_multipart_uploads(
        &self,
        req: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        let S3Request { input, .. } = req;
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_ref())?;
        let names = Names::new(input.encoding_type.as_ref())?;
        let limit = limit(input.max_uploads)?;
        if input.delimiter.as_ref().is_some_and(|d| !d.is_empty()) {
            return Err(not_offered("a delimiter in the list of uploads"));
        }
        let prefix = input.prefix.clone().unwrap_or_default();
        let after = input.key_marker.clone().unwrap_or_default();
        let owner = owner_of(&bucket);
        let mut uploads = blocking(move || all_uploads(&bucket)).await?;
        let position = input
            .upload_id_marker
            .as_ref()
            .and_then(|id| uploads.iter().position(|(i, u)| i == id && u.key == after));
        match position {
            // All uploads of one key stand together, by time.
            Some(at) => drop(uploads.drain(..=at)),
            None => uploads.retain(|(_, u)| u.key > after || after.is_empty()),
        }
        uploads.retain(|(_, u)| u.key.starts_with(&prefix));
        let kept = usize::try_from(limit).unwrap_or_default();
        let truncated = limit > 0 && uploads.len() > kept;
        uploads.truncate(kept);
        let last = uploads.last().filter(|_| truncated);
        let (next_key, next_id) = (
            last.map(|(_, u)| names.write(&u.key)),
            last.map(|(id, _)| id.clone()),
        );
        let lines = uploads.iter().map(|(id, info)| MultipartUpload {
            checksum_algorithm: info
                .checksum
                .map(|(a, _)| ChecksumAlgorithm::from_static(a.name())),
            checksum_type: info.checksum.map(|(_, covers)| checksum_type(covers)),
            initiated: Some(timestamp(info.initiated)),
            initiator: Some(initiator(info)),
            key: Some(names.write(&info.key)),
            owner: Some(owner.clone()),
            storage_class: Some(StorageClass::from_static(StorageClass::STANDARD)),
            upload_id: Some(id.clone()),
        });
        Ok(S3Response::new(ListMultipartUploadsOutput {
            bucket: Some(input.bucket),
            common_prefixes: Some(Vec::<CommonPrefix>::new()),
            encoding_type: input.encoding_type,
            is_truncated: Some(truncated),
            key_marker: Some(names.write(input.key_marker.as_deref().unwrap_or_default())),
            upload_id_marker: input.upload_id_marker,
            max_uploads: Some(limit),
            next_key_marker: next_key,
            next_upload_id_marker: next_id,
            prefix: Some(names.write(input.prefix.as_deref().unwrap_or_default())),
            uploads: Some(lines.collect()),
            ..ListMultipartUploadsOutput::default()
        }))
    }
}

fn initiator(info: &UploadInfo) -> Initiator {
    Initiator {
        id: Some(info.initiator.clone()),
        ..Initiator::default()
    }
}

fn part_line(part: &Part) -> PartLine {
    let mut line = PartLine {
        e_tag: Some(ETag::Strong(part.etag.clone())),
        last_modified: Some(timestamp(part.modified)),
        part_number: Some(i32::from(part.number)),
        size: i64::try_from(part.size).ok(),
        ..PartLine::default()
    };
    set_checksum!(line, &part.checksum);
    line
}
