//! Reading objects.

use std::ops::Range as Bytes;

use http::{HeaderMap, HeaderValue, StatusCode};
use s3s::dto::{
    ChecksumMode, ChecksumType, ETag, ETagCondition, GetObjectInput, GetObjectOutput,
    HeadObjectInput, HeadObjectOutput, Range, StreamingBlob, Timestamp, TimestampFormat,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::{Handler, blocking, check_version};
use crate::file::{Meta, timestamp};
use crate::hash::Covers;
use crate::outlet::Outlet;
use crate::store::disk_error;
use crate::store::object::{matches, open_object};

/// What S3 says when an object was uploaded without a type.
const NO_TYPE: &str = "binary/octet-stream";

/// The four conditional headers of a read.
#[derive(Default)]
pub(super) struct ReadIf {
    pub(super) matching: Option<ETagCondition>,
    pub(super) none_matching: Option<ETagCondition>,
    pub(super) modified_since: Option<Timestamp>,
    pub(super) unmodified_since: Option<Timestamp>,
}

/// How the conditions came out.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Go,
    NotModified,
    Failed,
}

impl ReadIf {
    /// In the order of RFC 9110, section 13.2.2.
    fn verdict(&self, meta: &Meta) -> Verdict {
        // The headers know whole seconds only.
        let modified = timestamp(meta.modified / 1000 * 1000);
        let holds = match (&self.matching, &self.unmodified_since) {
            (Some(condition), _) => matches(condition, &meta.etag),
            (None, Some(since)) => modified <= *since,
            (None, None) => true,
        };
        if !holds {
            return Verdict::Failed;
        }
        let changed = match (&self.none_matching, &self.modified_since) {
            (Some(condition), _) => !matches(condition, &meta.etag),
            (None, Some(since)) => modified > *since,
            (None, None) => true,
        };
        if changed {
            Verdict::Go
        } else {
            Verdict::NotModified
        }
    }

    pub(super) fn check(&self, meta: &Meta) -> S3Result<()> {
        match self.verdict(meta) {
            Verdict::Go => Ok(()),
            Verdict::Failed => Err(failed()),
            Verdict::NotModified => {
                let mut error = s3_error!(NotModified, "Not Modified");
                let mut headers = HeaderMap::new();
                if let Ok(etag) = HeaderValue::from_str(&format!("\"{}\"", meta.etag)) {
                    headers.insert(http::header::ETAG, etag);
                }
                error.set_headers(headers);
                Err(error)
            }
        }
    }

    /// For the source of a copy, every failed condition is an error.
    pub(super) fn check_source(&self, meta: &Meta) -> S3Result<()> {
        match self.verdict(meta) {
            Verdict::Go => Ok(()),
            Verdict::Failed | Verdict::NotModified => Err(failed()),
        }
    }
}

fn failed() -> s3s::S3Error {
    s3_error!(
        PreconditionFailed,
        "At least one of the pre-conditions you specified did not hold"
    )
}

/// The bytes asked for, and the `Content-Range` when it is not all of them.
fn select(range: Option<Range>, size: u64) -> S3Result<(Bytes<u64>, Option<String>)> {
    let Some(range) = range else {
        return Ok((0..size, None));
    };
    let bytes = range.check(size).map_err(|e| {
        let mut error = s3_error!(e, InvalidRange, "The requested range is not satisfiable");
        let mut headers = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_str(&format!("bytes */{size}")) {
            headers.insert(http::header::CONTENT_RANGE, value);
        }
        error.set_headers(headers);
        error
    })?;
    let shown = format!(
        "bytes {}-{}/{size}",
        bytes.start,
        bytes.end.saturating_sub(1)
    );
    Ok((bytes, Some(shown)))
}

fn status(content_range: Option<&String>) -> StatusCode {
    match content_range {
        Some(_) => StatusCode::PARTIAL_CONTENT,
        None => StatusCode::OK,
    }
}

/// Fills what `GetObject` and `HeadObject` answer alike.
macro_rules! describe {
    ($output:ident, $meta:expr, $bytes:expr, $content_range:expr, $mode:expr) => {{
        let meta: &Meta = $meta;
        let headers = &meta.headers;
        $output.accept_ranges = Some("bytes".to_owned());
        $output.content_length = i64::try_from($bytes.end - $bytes.start).ok();
        $output.content_range = $content_range;
        $output.content_type = Some(
            headers
                .content_type
                .clone()
                .unwrap_or_else(|| NO_TYPE.to_owned()),
        );
        $output.cache_control = headers.cache_control.clone();
        $output.content_disposition = headers.content_disposition.clone();
        $output.content_encoding = headers.content_encoding.clone();
        $output.content_language = headers.content_language.clone();
        let expires = headers.expires.as_deref();
        $output.expires = expires.and_then(|e| Timestamp::parse(TimestampFormat::HttpDate, e).ok());
        $output.e_tag = Some(ETag::Strong(meta.etag.clone()));
        $output.last_modified = Some(meta.modified());
        $output.metadata = Some(headers.user.clone().into_iter().collect())
            .filter(|m: &s3s::dto::Metadata| !m.is_empty());
        // The checksum of the whole would not fit a part of the bytes.
        let whole = $bytes.end - $bytes.start == meta.size;
        let asked = $mode
            .as_ref()
            .is_some_and(|m: &ChecksumMode| m.as_str() == ChecksumMode::ENABLED);
        if let Some(checksum) = meta.checksum.as_ref().filter(|_| whole && asked) {
            set_checksum!($output, Some(checksum));
            $output.checksum_type = Some(checksum_type(checksum.covers));
        }
    }};
}

pub(super) fn checksum_type(covers: Covers) -> ChecksumType {
    ChecksumType::from(covers.name().to_owned())
}

impl Handler {
    pub(super) async fn do_get_object(
        &self,
        req: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        let S3Request { input, .. } = req;
        refuse!(
            input,
            part_number,
            sse_customer_algorithm,
            sse_customer_key,
            sse_customer_key_md5
        );
        check_version(input.version_id.as_ref())?;
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_ref())?;
        let read_if = ReadIf {
            matching: input.if_match,
            none_matching: input.if_none_match,
            modified_since: input.if_modified_since,
            unmodified_since: input.if_unmodified_since,
        };
        let (meta, bytes, content_range, outlet) = blocking(move || {
            let (file, meta) = open_object(&bucket, &input.key)?;
            read_if.check(&meta)?;
            let (bytes, content_range) = select(input.range, meta.size)?;
            let outlet =
                Outlet::open(file, bytes.clone()).map_err(|e| disk_error("read the object", e))?;
            Ok((meta, bytes, content_range, outlet))
        })
        .await?;
        let status = status(content_range.as_ref());
        let mut output = GetObjectOutput {
            body: Some(StreamingBlob::new(outlet)),
            ..GetObjectOutput::default()
        };
        describe!(output, &meta, bytes, content_range, input.checksum_mode);
        Ok(S3Response::with_status(output, status))
    }

    pub(super) async fn do_head_object(
        &self,
        req: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let S3Request { input, .. } = req;
        refuse!(
            input,
            part_number,
            sse_customer_algorithm,
            sse_customer_key,
            sse_customer_key_md5
        );
        check_version(input.version_id.as_ref())?;
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_ref())?;
        let key = input.key;
        let (_, meta) = blocking(move || open_object(&bucket, &key)).await?;
        let read_if = ReadIf {
            matching: input.if_match,
            none_matching: input.if_none_match,
            modified_since: input.if_modified_since,
            unmodified_since: input.if_unmodified_since,
        };
        read_if.check(&meta)?;
        let (bytes, content_range) = select(input.range, meta.size)?;
        let status = status(content_range.as_ref());
        let mut output = HeadObjectOutput::default();
        describe!(output, &meta, bytes, content_range, input.checksum_mode);
        Ok(S3Response::with_status(output, status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::Headers;

    fn meta() -> Meta {
        Meta {
            key: "k".to_owned(),
            size: 10,
            etag: "abc".to_owned(),
            modified: 5_500,
            headers: Headers::default(),
            checksum: None,
        }
    }

    fn tag(value: &str) -> ETagCondition {
        ETagCondition::ETag(ETag::Strong(value.to_owned()))
    }

    fn verdict(read_if: &ReadIf) -> Verdict {
        read_if.verdict(&meta())
    }

    fn matching(condition: ETagCondition) -> ReadIf {
        ReadIf {
            matching: Some(condition),
            ..ReadIf::default()
        }
    }

    fn none_matching(condition: ETagCondition) -> ReadIf {
        ReadIf {
            none_matching: Some(condition),
            ..ReadIf::default()
        }
    }

    fn modified_since(millis: u64) -> ReadIf {
        ReadIf {
            modified_since: Some(timestamp(millis)),
            ..ReadIf::default()
        }
    }

    fn unmodified_since(millis: u64) -> ReadIf {
        ReadIf {
            unmodified_since: Some(timestamp(millis)),
            ..ReadIf::default()
        }
    }

    #[test]
    fn each_condition_decides() {
        assert_eq!(verdict(&ReadIf::default()), Verdict::Go);
        assert_eq!(verdict(&matching(tag("abc"))), Verdict::Go);
        assert_eq!(verdict(&matching(tag("x"))), Verdict::Failed);
        assert_eq!(verdict(&matching(ETagCondition::Any)), Verdict::Go);
        assert_eq!(verdict(&none_matching(tag("abc"))), Verdict::NotModified);
        assert_eq!(verdict(&none_matching(tag("x"))), Verdict::Go);
        // Written at 5.5 seconds, which the headers show as 5.
        assert_eq!(verdict(&modified_since(5_000)), Verdict::NotModified);
        assert_eq!(verdict(&modified_since(4_000)), Verdict::Go);
        assert_eq!(verdict(&unmodified_since(5_000)), Verdict::Go);
        assert_eq!(verdict(&unmodified_since(4_000)), Verdict::Failed);
    }

    #[test]
    fn entity_tags_outrank_dates() {
        let both = ReadIf {
            matching: Some(tag("abc")),
            ..unmodified_since(4_000)
        };
        assert_eq!(verdict(&both), Verdict::Go);
        let both = ReadIf {
            none_matching: Some(tag("x")),
            ..modified_since(9_000)
        };
        assert_eq!(verdict(&both), Verdict::Go);
    }
}
