//! Listing objects.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::dto::{
    ChecksumAlgorithm, CommonPrefix, ETag, EncodingType, ListObjectsInput, ListObjectsOutput,
    ListObjectsV2Input, ListObjectsV2Output, Object, ObjectStorageClass, Owner,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::reads::checksum_type;
use super::{Handler, blocking};
use crate::store::bucket::Bucket;
use crate::store::disk_error;
use crate::store::list::{Line, Page, Query, list};

/// S3's limit for a page, which is also the default.
pub(super) const PAGE: i32 = 1000;

/// What `encoding-type=url` leaves as it is.
const URL: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'/');

/// How names are written in an answer. XML cannot hold every character, so
/// clients ask for escapes.
#[derive(Clone, Copy)]
pub(super) enum Names {
    Plain,
    Url,
}

impl Names {
    pub(super) fn new(wanted: Option<&EncodingType>) -> S3Result<Self> {
        match wanted.map(EncodingType::as_str) {
            None => Ok(Self::Plain),
            Some("url") => Ok(Self::Url),
            Some(_) => Err(s3_error!(
                InvalidArgument,
                "Invalid Encoding Method specified in Request"
            )),
        }
    }

    pub(super) fn write(self, name: &str) -> String {
        match self {
            Self::Plain => name.to_owned(),
            Self::Url => utf8_percent_encode(name, URL).to_string(),
        }
    }
}

pub(super) fn limit(asked: Option<i32>) -> S3Result<i32> {
    match asked.unwrap_or(PAGE) {
        n if n < 0 => Err(s3_error!(
            InvalidArgument,
            "The maximum number of keys must not be negative."
        )),
        n => Ok(n.min(PAGE)),
    }
}

/// The objects and rolled-up prefixes of a page.
fn lines(page: &Page, names: Names, owner: Option<&Owner>) -> (Vec<Object>, Vec<CommonPrefix>) {
    let (mut objects, mut prefixes) = (Vec::new(), Vec::new());
    for line in &page.lines {
        match line {
            Line::Prefix(prefix) => prefixes.push(CommonPrefix {
                prefix: Some(names.write(prefix)),
            }),
            Line::Object(meta) => objects.push(Object {
                checksum_algorithm: meta
                    .checksum
                    .as_ref()
                    .map(|c| vec![ChecksumAlgorithm::from_static(c.algorithm.name())]),
                checksum_type: meta.checksum.as_ref().map(|c| checksum_type(c.covers)),
                e_tag: Some(ETag::Strong(meta.etag.clone())),
                key: Some(names.write(&meta.key)),
                last_modified: Some(meta.modified()),
                owner: owner.cloned(),
                restore_status: None,
                size: i64::try_from(meta.size).ok(),
                storage_class: Some(ObjectStorageClass::from_static(
                    ObjectStorageClass::STANDARD,
                )),
            }),
        }
    }
    (objects, prefixes)
}

pub(super) fn owner_of(bucket: &Bucket) -> Owner {
    Owner {
        id: Some(bucket.info().owner),
        ..Owner::default()
    }
}

impl Handler {
    async fn page(&self, bucket: &Bucket, query: Query) -> S3Result<Page> {
        let objects = bucket.objects();
        blocking(move || list(&objects, &query).map_err(|e| disk_error("list the bucket", e))).await
    }

    pub(super) async fn do_list_objects(
        &self,
        req: S3Request<ListObjectsInput>,
    ) -> S3Result<S3Response<ListObjectsOutput>> {
        let S3Request { input, .. } = req;
        refuse!(input, optional_object_attributes);
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_ref())?;
        let names = Names::new(input.encoding_type.as_ref())?;
        let limit = limit(input.max_keys)?;
        let query = Query {
            prefix: input.prefix.clone().unwrap_or_default(),
            delimiter: input.delimiter.clone(),
            after: input.marker.clone().unwrap_or_default(),
            limit: usize::try_from(limit).unwrap_or_default(),
        };
        let page = self.page(&bucket, query).await?;
        let (contents, prefixes) = lines(&page, names, Some(&owner_of(&bucket)));
        let last = page.lines.last().filter(|_| page.truncated);
        Ok(S3Response::new(ListObjectsOutput {
            name: Some(input.bucket),
            prefix: Some(names.write(input.prefix.as_deref().unwrap_or_default())),
            marker: Some(names.write(input.marker.as_deref().unwrap_or_default())),
            max_keys: Some(limit),
            is_truncated: Some(page.truncated),
            contents: Some(contents),
            common_prefixes: Some(prefixes),
            delimiter: input.delimiter.map(|d| names.write(&d)),
            next_marker: last.map(|l| names.write(l.sorted_by())),
            encoding_type: input.encoding_type,
            ..ListObjectsOutput::default()
        }))
    }

    pub(super) async fn do_list_objects_v2(
        &self,
        req: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let S3Request { input, .. } = req;
        refuse!(input, optional_object_attributes);
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_ref())?;
        let names = Names::new(input.encoding_type.as_ref())?;
        let limit = limit(input.max_keys)?;
        let after = match &input.continuation_token {
            None => input.start_after.clone().unwrap_or_default(),
            Some(token) => URL_SAFE_NO_PAD
                .decode(token)
                .ok()
                .and_then(|bytes| String::from_utf8(bytes).ok())
                .ok_or_else(|| {
                    s3_error!(
                        InvalidArgument,
                        "The continuation token provided is incorrect"
                    )
                })?,
        };
        let query = Query {
            prefix: input.prefix.clone().unwrap_or_default(),
            delimiter: input.delimiter.clone(),
            after,
            limit: usize::try_from(limit).unwrap_or_default(),
        };
        let page = self.page(&bucket, query).await?;
        let owner = owner_of(&bucket);
        let (contents, prefixes) = lines(
            &page,
            names,
            Some(&owner).filter(|_| input.fetch_owner == Some(true)),
        );
        let last = page.lines.last().filter(|_| page.truncated);
        Ok(S3Response::new(ListObjectsV2Output {
            name: Some(input.bucket),
            prefix: Some(names.write(input.prefix.as_deref().unwrap_or_default())),
            max_keys: Some(limit),
            key_count: i32::try_from(page.lines.len()).ok(),
            continuation_token: input.continuation_token,
            is_truncated: Some(page.truncated),
            next_continuation_token: last.map(|l| URL_SAFE_NO_PAD.encode(l.sorted_by())),
            contents: Some(contents),
            common_prefixes: Some(prefixes),
            delimiter: input.delimiter.map(|d| names.write(&d)),
            encoding_type: input.encoding_type,
            start_after: input.start_after.map(|s| names.write(&s)),
            ..ListObjectsV2Output::default()
        }))
    }
}
