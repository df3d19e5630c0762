//! The format of an object file: data, then metadata, then a footer of fixed
//! length. One rename makes data and metadata visible together.
//!
//! ```text
//! data | metadata as JSON | length of JSON: u32 | CRC-32 of JSON: u32 | magic: 8 bytes
//! ```
//!
//! Numbers are little-endian. Data starts at offset 0, so ranges need no sums.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use s3s::crypto::Crc32;
use s3s::dto::Timestamp;
use serde::{Deserialize, Serialize};

use crate::hash::Checksum;

const MAGIC: &[u8; 8] = b"mlopsS3\x01";
const FOOTER: usize = 16;
/// Read at once from the end of a file; holds the metadata of most objects.
const GUESS: u64 = 1024;

/// Headers that are kept with an object and sent back as they came.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Headers {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) content_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cache_control: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) content_disposition: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) content_encoding: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) content_language: Option<String>,
    /// As an HTTP date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expires: Option<String>,
    /// The `x-amz-meta-` headers, without that prefix.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) user: BTreeMap<String, String>,
}

/// Everything known about an object but its data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Meta {
    pub(crate) key: String,
    pub(crate) size: u64,
    /// Without quotes.
    pub(crate) etag: String,
    /// Milliseconds since 1970.
    pub(crate) modified: u64,
    #[serde(default)]
    pub(crate) headers: Headers,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) checksum: Option<Checksum>,
}

impl Meta {
    /// The bytes that follow the data.
    pub(crate) fn trailer(&self) -> io::Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec(self)?;
        let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        let crc = Crc32::checksum_u32(&bytes);
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes.extend_from_slice(MAGIC);
        Ok(bytes)
    }

    /// When the object was written, to the millisecond.
    pub(crate) fn modified(&self) -> Timestamp {
        timestamp(self.modified)
    }
}

/// Milliseconds since 1970.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

pub(crate) fn timestamp(millis: u64) -> Timestamp {
    Timestamp::from(UNIX_EPOCH + Duration::from_millis(millis))
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "not an object file, or damaged")
}

/// Reads what stands behind the data.
pub(crate) fn read_meta(file: &File) -> io::Result<Meta> {
    let total = file.metadata()?.len();
    let mut tail = vec![0; usize::try_from(total.min(GUESS)).map_err(io::Error::other)?];
    file.read_exact_at(&mut tail, total - total.min(GUESS))?;
    let footer = tail.last_chunk::<FOOTER>().ok_or_else(damaged)?;
    let (length, rest) = footer.split_first_chunk::<4>().ok_or_else(damaged)?;
    let (crc, magic) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
    if magic != MAGIC {
        return Err(damaged());
    }
    let (length, crc) = (u32::from_le_bytes(*length), u32::from_le_bytes(*crc));
    let behind = u64::from(length) + FOOTER as u64;
    let start = total.checked_sub(behind).ok_or_else(damaged)?;
    if behind > GUESS {
        tail = vec![0; usize::try_from(behind).map_err(io::Error::other)?];
        file.read_exact_at(&mut tail, start)?;
    }
    let end = tail.len() - FOOTER;
    let json = end
        .checked_sub(length as usize)
        .and_then(|from| tail.get(from..end))
        .ok_or_else(damaged)?;
    if Crc32::checksum_u32(json) != crc {
        return Err(damaged());
    }
    let meta: Meta = serde_json::from_slice(json)?;
    if meta.size != start {
        return Err(damaged());
    }
    Ok(meta)
}

/// Opens an object file.
pub(crate) fn open(path: &Path) -> io::Result<(File, Meta)> {
    let file = File::open(path)?;
    let meta = read_meta(&file)?;
    Ok((file, meta))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn meta(user: usize) -> Meta {
        Meta {
            key: "a/b".to_owned(),
            size: 5,
            etag: "x".to_owned(),
            modified: 7,
            headers: Headers {
                user: BTreeMap::from([("big".to_owned(), "v".repeat(user))]),
                ..Headers::default()
            },
            checksum: None,
        }
    }

    #[test]
    fn metadata_of_any_length_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        for user in [0, 500, 900, 1024, 5000] {
            let meta = meta(user);
            fs::write(&path, [b"hello".to_vec(), meta.trailer().unwrap()].concat()).unwrap();
            assert_eq!(open(&path).unwrap().1, meta);
        }
    }

    #[test]
    fn every_cut_and_every_flipped_byte_behind_the_data_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let whole = [b"hello".to_vec(), meta(20).trailer().unwrap()].concat();
        for end in 0..whole.len() {
            fs::write(&path, &whole[..end]).unwrap();
            assert!(open(&path).is_err(), "cut at {end}");
        }
        for at in 5..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            fs::write(&path, bytes).unwrap();
            assert!(open(&path).is_err(), "flipped at {at}");
        }
        fs::write(&path, [b"!".to_vec(), whole].concat()).unwrap();
        assert!(open(&path).is_err(), "longer than it says");
    }
}
