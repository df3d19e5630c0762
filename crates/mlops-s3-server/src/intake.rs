//! Receiving the body of an upload: the socket is read, the digests computed
//! and the file written at the same time, in batches.

use std::fs::File;
use std::io::{self, IoSlice, Write as _};
use std::mem;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use http::HeaderMap;
use s3s::dto::StreamingBlob;
use s3s::{S3Error, S3ErrorCode, S3Result, TrailingHeaders, s3_error};
use tokio::task::JoinError;

use crate::hash::{Algorithm, Digests, Hasher, from_base64, to_base64};
use crate::pipe::Pipe;
use crate::store::disk_error;
use crate::store::temp::Temp;
use crate::store::upload::Slot;

/// Bytes handed on at once. An upload holds a few batches.
const BATCH: usize = 256 << 10;
/// S3's largest upload in one request.
pub(crate) const LARGEST_UPLOAD: u64 = 5 << 30;

/// A file that an upload is written to.
pub(crate) trait Target: Send + 'static {
    fn file(&mut self) -> &mut File;
}

impl Target for Temp {
    fn file(&mut self) -> &mut File {
        &mut self.file
    }
}

impl Target for Slot {
    fn file(&mut self) -> &mut File {
        &mut self.file
    }
}

/// What the client claims about the body.
#[derive(Default)]
pub(crate) struct Claims {
    pub(crate) length: Option<u64>,
    /// Base64.
    pub(crate) md5: Option<String>,
    pub(crate) algorithm: Option<Algorithm>,
    /// Base64; known before the body.
    pub(crate) checksum: Option<String>,
    /// Where the checksum comes after the body.
    pub(crate) trailers: Option<TrailingHeaders>,
    pub(crate) in_trailer: bool,
}

impl Claims {
    /// Reads the announced trailer; a value in the headers came from the input.
    pub(crate) fn new(
        length: Option<i64>,
        md5: Option<String>,
        given: Option<(Algorithm, String)>,
        named: Option<&str>,
        headers: &HeaderMap,
        trailers: Option<TrailingHeaders>,
    ) -> S3Result<Self> {
        let length = length.map(u64::try_from).transpose();
        let length = length.map_err(|_| s3_error!(InvalidArgument, "Negative Content-Length."))?;
        if length.is_some_and(|l| l > LARGEST_UPLOAD) {
            return Err(s3_error!(
                EntityTooLarge,
                "Your proposed upload exceeds the maximum allowed size of 5 GiB; use a multipart upload."
            ));
        }
        let trailer = headers
            .get("x-amz-trailer")
            .and_then(|v| v.to_str().ok())
            .map(|name| {
                Algorithm::from_header(name.trim()).ok_or_else(|| {
                    s3_error!(
                        InvalidRequest,
                        "The value in x-amz-trailer is not a checksum."
                    )
                })
            })
            .transpose()?;
        let named = named
            .map(|name| {
                Algorithm::from_name(name)
                    .ok_or_else(|| s3_error!(InvalidRequest, "Unknown checksum algorithm: {name}."))
            })
            .transpose()?;
        let algorithm = given.as_ref().map(|(a, _)| *a).or(trailer).or(named);
        if named.is_some_and(|n| Some(n) != algorithm) || (given.is_some() && trailer.is_some()) {
            return Err(s3_error!(
                InvalidRequest,
                "Expecting a single x-amz-checksum- header."
            ));
        }
        Ok(Self {
            length,
            md5,
            algorithm,
            checksum: given.map(|(_, value)| value),
            trailers,
            in_trailer: trailer.is_some(),
        })
    }

    fn check(&self, size: u64, digests: &Digests) -> S3Result<()> {
        if self.length.is_some_and(|l| l != size) {
            return Err(s3_error!(
                IncompleteBody,
                "You did not provide the number of bytes specified by the Content-Length HTTP header."
            ));
        }
        if let Some(md5) = &self.md5 {
            let given = from_base64(md5).filter(|b| b.len() == 16);
            let given = given.ok_or_else(|| {
                s3_error!(InvalidDigest, "The Content-MD5 you specified is not valid.")
            })?;
            if given != digests.md5 {
                return Err(s3_error!(
                    BadDigest,
                    "The Content-MD5 you specified did not match what we received."
                ));
            }
        }
        let Some(algorithm) = self.algorithm else {
            return Ok(());
        };
        let trailing = || {
            let value = self
                .trailers
                .as_ref()?
                .read(|h| h.get(algorithm.header()).cloned())??;
            value.to_str().ok().map(str::to_owned)
        };
        let claimed = match &self.checksum {
            Some(value) => Some(value.clone()),
            None if self.in_trailer => Some(trailing().ok_or_else(|| {
                let code = S3ErrorCode::Custom("MalformedTrailerError".into());
                let mut error =
                    S3Error::with_message(code, "The announced trailing checksum is missing.");
                error.set_status_code(http::StatusCode::BAD_REQUEST);
                error
            })?),
            None => None,
        };
        let found = digests.checksum.as_ref().map(|c| c.value.clone());
        // Clients may leave out padding, so bytes are compared.
        let same = claimed
            .as_ref()
            .is_none_or(|c| from_base64(c).map(|b| to_base64(&b)) == found);
        if !same {
            return Err(s3_error!(
                BadDigest,
                "The {} you specified did not match the calculated checksum.",
                algorithm.header()
            ));
        }
        Ok(())
    }
}

/// The file of an upload; made when the first batch is full, so that a small
/// object takes one trip to the disk.
enum Lazy<T> {
    Not(Option<Box<dyn FnOnce() -> S3Result<T> + Send>>),
    Open(T),
}

impl<T: Target> Lazy<T> {
    fn open(&mut self) -> S3Result<&mut T> {
        if let Self::Not(make) = self {
            let make = make
                .take()
                .ok_or_else(|| s3_error!(InternalError, "The upload lost its file."))?;
            *self = Self::Open(make()?);
        }
        match self {
            Self::Open(target) => Ok(target),
            Self::Not(_) => Err(s3_error!(InternalError, "The upload lost its file.")),
        }
    }

    fn write(&mut self, chunks: &[Bytes]) -> S3Result<()> {
        write_all(self.open()?.file(), chunks).map_err(|e| disk_error("write the upload", e))
    }
}

/// A body that was read; its last bytes are still to be hashed and written.
pub(crate) struct Intake<T> {
    target: Lazy<T>,
    hasher: Hasher,
    rest: Vec<Bytes>,
    size: u64,
}

impl<T: Target> Intake<T> {
    /// Hashes and writes the rest, then checks the claims. Blocks.
    pub(crate) fn finish(mut self, claims: &Claims) -> S3Result<(T, u64, Digests)> {
        self.hasher.update_all(&self.rest);
        let digests = self.hasher.finish();
        claims.check(self.size, &digests)?;
        self.target.write(&self.rest)?;
        match self.target {
            Lazy::Open(target) => Ok((target, self.size, digests)),
            Lazy::Not(_) => Err(s3_error!(InternalError, "The upload lost its file.")),
        }
    }
}

/// Hashes and writes beside each other.
struct Pipes<T> {
    hashing: Pipe<Hasher>,
    writing: Pipe<Lazy<T>>,
}

impl<T: Target> Pipes<T> {
    fn new(hasher: Hasher, target: Lazy<T>) -> Self {
        Self {
            hashing: Pipe::new(hasher, |hasher, batch| {
                hasher.update_all(batch);
                Ok(())
            }),
            writing: Pipe::new(target, Lazy::write),
        }
    }

    async fn push(&self, batch: Vec<Bytes>) -> S3Result<()> {
        let batch = Arc::new(batch);
        self.hashing.push(Arc::clone(&batch)).await?;
        self.writing.push(batch).await
    }
}

/// Reads a body to its end.
pub(crate) async fn receive<T: Target>(
    mut body: StreamingBlob,
    claims: &Claims,
    make: impl FnOnce() -> S3Result<T> + Send + 'static,
) -> S3Result<Intake<T>> {
    let mut fresh = Some((
        Hasher::new(claims.algorithm),
        Lazy::Not(Some(Box::new(make) as Box<_>)),
    ));
    let mut pipes: Option<Pipes<T>> = None;
    let (mut batch, mut held, mut size) = (Vec::new(), 0, 0_u64);
    while let Some(chunk) = body.next().await.transpose().map_err(body_error)? {
        held += chunk.len();
        size += chunk.len() as u64;
        batch.push(chunk);
        if size > LARGEST_UPLOAD {
            return Err(s3_error!(
                EntityTooLarge,
                "Your proposed upload exceeds the maximum allowed size."
            ));
        }
        // A part may not run into the place of the next one.
        if claims.length.is_some_and(|l| size > l) {
            return Err(s3_error!(
                IncompleteBody,
                "The request body is longer than announced."
            ));
        }
        if held < BATCH {
            continue;
        }
        if let Some((hasher, target)) = fresh.take() {
            pipes = Some(Pipes::new(hasher, target));
        }
        if let Some(pipes) = &pipes {
            pipes.push(mem::take(&mut batch)).await?;
        }
        held = 0;
    }
    let (hasher, target) = match (pipes, fresh) {
        (Some(pipes), _) => (pipes.hashing.finish().await?, pipes.writing.finish().await?),
        (None, Some(fresh)) => fresh,
        (None, None) => return Err(s3_error!(InternalError, "The upload lost its file.")),
    };
    Ok(Intake {
        target,
        hasher,
        rest: batch,
        size,
    })
}

pub(crate) fn crashed(error: JoinError) -> S3Error {
    s3_error!(error, InternalError, "The server failed on this request.")
}

fn write_all(file: &mut File, chunks: &[Bytes]) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = chunks.iter().map(|c| IoSlice::new(c)).collect();
    let mut left: &mut [IoSlice<'_>] = &mut slices;
    IoSlice::advance_slices(&mut left, 0);
    while !left.is_empty() {
        match file.write_vectored(left) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut left, written),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// The library checks signatures while the body is read. Its error types are
/// not public, so their text decides.
fn body_error(error: s3s::StdError) -> S3Error {
    let text = error.to_string();
    let (code, message) = if text.contains("Sha256Mismatch") {
        (
            S3ErrorCode::Custom("XAmzContentSHA256Mismatch".into()),
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
        )
    } else if text.contains("SignatureMismatch") {
        (
            S3ErrorCode::SignatureDoesNotMatch,
            "The signature of a chunk does not match.",
        )
    } else if text.contains("FormatError") || text.contains("TooLarge") || text.contains("TooMany")
    {
        (
            S3ErrorCode::InvalidRequest,
            "The chunked body is malformed.",
        )
    } else {
        (S3ErrorCode::IncompleteBody, "The request body was cut off.")
    };
    let mut answer = S3Error::with_message(code, message);
    // A code that the library does not know has no status.
    if answer.status_code().is_none() {
        answer.set_status_code(http::StatusCode::BAD_REQUEST);
    }
    answer.set_source(error);
    answer
}
