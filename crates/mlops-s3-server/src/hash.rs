//! Digests of what is uploaded: MD5 for the `ETag` and, when the client names
//! one, a checksum.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use s3s::crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Md5, Sha1, Sha256};
use serde::{Deserialize, Serialize};

/// Checksum algorithms of S3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Algorithm {
    Crc32,
    Crc32c,
    Crc64nvme,
    Sha1,
    Sha256,
}

impl Algorithm {
    const ALL: [Self; 5] = [
        Self::Crc32,
        Self::Crc32c,
        Self::Crc64nvme,
        Self::Sha1,
        Self::Sha256,
    ];

    /// Name in the S3 API.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    /// Header that carries the value.
    pub(crate) fn header(self) -> &'static str {
        match self {
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc64nvme => "x-amz-checksum-crc64nvme",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Sha256 => "x-amz-checksum-sha256",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|a| a.name().eq_ignore_ascii_case(name))
    }

    pub(crate) fn from_header(header: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|a| a.header().eq_ignore_ascii_case(header))
    }

    /// The CRC behind it, for those that can be combined.
    fn crc(self) -> Option<crc_fast::CrcAlgorithm> {
        match self {
            Self::Crc32 => Some(crc_fast::CrcAlgorithm::Crc32IsoHdlc),
            Self::Crc32c => Some(crc_fast::CrcAlgorithm::Crc32Iscsi),
            Self::Crc64nvme => Some(crc_fast::CrcAlgorithm::Crc64Nvme),
            Self::Sha1 | Self::Sha256 => None,
        }
    }

    /// Digest of a whole from the digests and lengths of its parts, in order.
    /// `None` for algorithms that cannot do this, or damaged digests.
    pub(crate) fn combine(self, parts: &[(Vec<u8>, u64)]) -> Option<Vec<u8>> {
        let crc = self.crc()?;
        let mut whole: Option<u64> = None;
        for (digest, length) in parts {
            let value = digest
                .iter()
                .fold(0_u64, |sum, b| (sum << 8) | u64::from(*b));
            whole = Some(match whole {
                None => value,
                Some(before) => crc_fast::checksum_combine(crc, before, value, *length),
            });
        }
        let width = parts.first()?.0.len();
        let bytes = whole?.to_be_bytes();
        bytes
            .get(bytes.len().checked_sub(width)?..)
            .map(<[u8]>::to_vec)
    }

    /// Digest of bytes at hand.
    pub(crate) fn digest(self, data: &[u8]) -> Vec<u8> {
        let mut hasher = Hasher::new(Some(self));
        hasher.update_extra(data);
        hasher.extra.map(Extra::finish).unwrap_or_default()
    }
}

/// What a stored checksum covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Covers {
    /// All bytes of the object.
    FullObject,
    /// The checksums of the parts of a multipart upload.
    Composite,
}

impl Covers {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::FullObject => "FULL_OBJECT",
            Self::Composite => "COMPOSITE",
        }
    }
}

/// A checksum as S3 shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Checksum {
    pub(crate) algorithm: Algorithm,
    /// Base64; with `-N` at the end when it covers N part checksums.
    pub(crate) value: String,
    pub(crate) covers: Covers,
}

enum Extra {
    Crc32(Crc32),
    Crc32c(Crc32c),
    Crc64nvme(Crc64Nvme),
    Sha1(Sha1),
    Sha256(Sha256),
}

impl Extra {
    fn finish(self) -> Vec<u8> {
        match self {
            Self::Crc32(h) => h.finalize().to_vec(),
            Self::Crc32c(h) => h.finalize().to_vec(),
            Self::Crc64nvme(h) => h.finalize().to_vec(),
            Self::Sha1(h) => h.finalize().to_vec(),
            Self::Sha256(h) => h.finalize().to_vec(),
        }
    }
}

/// Computes MD5 and at most one checksum in one pass.
pub(crate) struct Hasher {
    md5: Md5,
    algorithm: Option<Algorithm>,
    extra: Option<Extra>,
}

/// What a [`Hasher`] found.
pub(crate) struct Digests {
    pub(crate) md5: [u8; 16],
    pub(crate) checksum: Option<Checksum>,
}

impl Hasher {
    pub(crate) fn new(algorithm: Option<Algorithm>) -> Self {
        let extra = algorithm.map(|a| match a {
            Algorithm::Crc32 => Extra::Crc32(Crc32::new()),
            Algorithm::Crc32c => Extra::Crc32c(Crc32c::new()),
            Algorithm::Crc64nvme => Extra::Crc64nvme(Crc64Nvme::new()),
            Algorithm::Sha1 => Extra::Sha1(Sha1::new()),
            Algorithm::Sha256 => Extra::Sha256(Sha256::new()),
        });
        Self {
            md5: Md5::new(),
            algorithm,
            extra,
        }
    }

    fn update_extra(&mut self, data: &[u8]) {
        match &mut self.extra {
            None => {}
            Some(Extra::Crc32(h)) => h.update(data),
            Some(Extra::Crc32c(h)) => h.update(data),
            Some(Extra::Crc64nvme(h)) => h.update(data),
            Some(Extra::Sha1(h)) => h.update(data),
            Some(Extra::Sha256(h)) => h.update(data),
        }
    }

    pub(crate) fn update(&mut self, data: &[u8]) {
        self.md5.update(data);
        self.update_extra(data);
    }

    pub(crate) fn update_all(&mut self, chunks: &[Bytes]) {
        for chunk in chunks {
            self.update(chunk);
        }
    }

    pub(crate) fn finish(self) -> Digests {
        let checksum = match (self.algorithm, self.extra) {
            (Some(algorithm), Some(extra)) => Some(Checksum {
                algorithm,
                value: to_base64(&extra.finish()),
                covers: Covers::FullObject,
            }),
            _ => None,
        };
        Digests {
            md5: self.md5.finalize(),
            checksum,
        }
    }
}

/// Lower-case hexadecimal, as in an `ETag`.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut out, b| {
            // Writing to a string cannot fail.
            let _ = write!(out, "{b:02x}");
            out
        })
}

pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len() / 2)
        .map(|i| u8::from_str_radix(text.get(2 * i..2 * i + 2)?, 16).ok())
        .collect()
}

pub(crate) fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub(crate) fn from_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// MD5 of bytes at hand.
pub(crate) fn md5(data: &[u8]) -> [u8; 16] {
    Md5::checksum(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn combined_parts_equal_the_whole() {
        let (a, b, c) = (vec![7_u8; 1000], vec![9_u8; 1], vec![0_u8; 4097]);
        let whole = [a.clone(), b.clone(), c.clone()].concat();
        for algorithm in [Algorithm::Crc32, Algorithm::Crc32c, Algorithm::Crc64nvme] {
            let parts: Vec<_> = [&a, &b, &c]
                .iter()
                .map(|p| (algorithm.digest(p), p.len() as u64))
                .collect();
            assert_eq!(
                algorithm.combine(&parts),
                Some(algorithm.digest(&whole)),
                "{algorithm:?}"
            );
        }
        assert_eq!(Algorithm::Sha256.combine(&[(vec![0; 32], 1)]), None);
    }

    #[test]
    fn names_and_headers_are_found_again() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::from_name(algorithm.name()), Some(algorithm));
            assert_eq!(Algorithm::from_header(algorithm.header()), Some(algorithm));
        }
        assert_eq!(from_hex(&to_hex(&[0, 15, 255])), Some(vec![0, 15, 255]));
        assert_eq!(from_hex("é"), None);
    }
}
