//! Unfinished multipart uploads.
//!
//! ```text
//! uploads/ID/upload.json      key, headers, checksum algorithm
//! uploads/ID/data             parts in the places they will have in the object
//! uploads/ID/NUMBER.json      a received part: size, digests, where it is
//! uploads/ID/NUMBER-N.part    a part that has no place in `data`
//! ```
//!
//! Clients send parts of one size (but the last), so the first part tells where
//! the others belong, and completing the upload is a rename. A part of another
//! size, or sent again, gets a file of its own; then completing copies.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use rand::Rng as _;
use s3s::{S3Error, S3Result, s3_error};
use serde::{Deserialize, Serialize};

use super::bucket::Bucket;
use super::object::Condition;
use super::{Store, disk_error, lock, no_such_bucket, read};
use crate::file::{Headers, Meta, now};
use crate::hash::{Algorithm, Checksum, Covers};

/// S3's smallest part, but for the last one.
pub(crate) const SMALLEST_PART: u64 = 5 << 20;
/// S3's largest object.
const LARGEST_OBJECT: u64 = 5 << 40;

/// What `upload.json` holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct UploadInfo {
    pub(crate) key: String,
    /// Access key of who began it.
    pub(crate) initiator: String,
    /// Milliseconds since 1970.
    pub(crate) initiated: u64,
    pub(crate) headers: Headers,
    #[serde(default)]
    pub(crate) checksum: Option<(Algorithm, Covers)>,
}

/// What `NUMBER.json` holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) number: u16,
    pub(crate) size: u64,
    /// MD5 in hexadecimal.
    pub(crate) etag: String,
    pub(crate) modified: u64,
    pub(crate) checksum: Option<Checksum>,
    place: Place,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Place {
    /// In `data`, which has room for a part of `stride` bytes at every number.
    Data { stride: u64 },
    /// In a file of its own.
    File { name: String },
}

/// What this process knows about an upload.
#[derive(Default)]
struct State {
    /// Room for each part in `data`.
    stride: Option<u64>,
    /// Parts that have, or are getting, their place in `data`.
    taken: BTreeSet<u16>,
    /// Completed or aborted.
    closed: bool,
}

/// An unfinished upload.
pub(crate) struct Upload {
    pub(crate) id: String,
    pub(crate) info: UploadInfo,
    dir: PathBuf,
    state: Mutex<State>,
}

/// A part while it is received. Its file is removed, or its place in `data`
/// freed, when it is dropped before it was [recorded](Store::record_part).
pub(crate) struct Slot {
    upload: Arc<Upload>,
    pub(crate) file: File,
    number: u16,
    place: Place,
    recorded: bool,
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.recorded {
            return;
        }
        match &self.place {
            Place::Data { .. } => {
                lock(&self.upload.state).taken.remove(&self.number);
            }
            Place::File { name } => {
                // What is left goes with the upload's folder.
                let _ = fs::remove_file(self.upload.dir.join(name));
            }
        }
    }
}

/// A received part's digests.
pub(crate) struct Received {
    pub(crate) size: u64,
    pub(crate) etag: String,
    pub(crate) checksum: Option<Checksum>,
}

/// A part as the client names it when completing.
pub(crate) struct Chosen {
    pub(crate) number: u16,
    pub(crate) etag: String,
    /// Base64.
    pub(crate) checksum: Option<String>,
}

pub(crate) fn no_such_upload() -> S3Error {
    s3_error!(
        NoSuchUpload,
        "The specified multipart upload does not exist. It may have been aborted or completed."
    )
}

fn is_id(id: &str) -> bool {
    id.len() == 32
        && id
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

impl Upload {
    fn load(dir: PathBuf, id: &str) -> io::Result<Self> {
        let info = serde_json::from_slice(&fs::read(dir.join("upload.json"))?)?;
        let mut state = State::default();
        for part in read_parts(&dir)? {
            if let Place::Data { stride } = part.place {
                // A completed upload whose folder a kill left behind.
                if !dir.join("data").exists() {
                    return Err(io::ErrorKind::NotFound.into());
                }
                state.stride = Some(stride);
                state.taken.insert(part.number);
            }
        }
        Ok(Self {
            id: id.to_owned(),
            info,
            dir,
            state: Mutex::new(state),
        })
    }

    /// All received parts, by number.
    pub(crate) fn parts(&self) -> S3Result<Vec<Part>> {
        read_parts(&self.dir).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => no_such_upload(),
            _ => disk_error("read the parts of an upload", e),
        })
    }

    fn data(&self) -> PathBuf {
        self.dir.join("data")
    }
}

fn read_parts(dir: &Path) -> io::Result<Vec<Part>> {
    let mut parts = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let number = path
            .file_stem()
            .and_then(|n| n.to_str())
            .and_then(|n| n.parse::<u16>().ok());
        if number.is_some() && path.extension().is_some_and(|e| e == "json") {
            parts.push(serde_json::from_slice::<Part>(&fs::read(path)?)?);
        }
    }
    parts.sort_unstable_by_key(|p| p.number);
    Ok(parts)
}

impl Store {
    /// Begins an upload and returns its id.
    pub(crate) fn create_upload(&self, bucket: &Bucket, info: &UploadInfo) -> S3Result<String> {
        let fail = |e| disk_error("begin the upload", e);
        let mut random = [0_u8; 16];
        rand::rng().fill_bytes(&mut random);
        let id = crate::hash::to_hex(&random);
        let new = self.temp_folder().map_err(fail)?;
        let json = serde_json::to_vec(info).map_err(|e| fail(e.into()))?;
        fs::write(new.join("upload.json"), json).map_err(fail)?;
        let gate = read(&bucket.gate);
        if !gate.open {
            return Err(no_such_bucket());
        }
        fs::rename(&new, bucket.uploads_dir().join(&id)).map_err(fail)?;
        Ok(id)
    }

    /// Opens the file that the part will be written to, at the right place.
    /// `size` is what the client announced.
    pub(crate) fn open_slot(
        &self,
        upload: &Arc<Upload>,
        number: u16,
        size: Option<u64>,
    ) -> S3Result<Slot> {
        let fail = |e: io::Error| match e.kind() {
            io::ErrorKind::NotFound => no_such_upload(),
            _ => disk_error("open a part", e),
        };
        let stride = {
            let mut state = lock(&upload.state);
            if state.closed {
                return Err(no_such_upload());
            }
            // A small first part says nothing: it may be the last one.
            let stride = state.stride.or(size.filter(|s| *s >= SMALLEST_PART));
            let fits = stride.filter(|stride| {
                size.is_some_and(|s| s <= *stride)
                    && u64::from(number).saturating_mul(*stride) <= LARGEST_OBJECT
                    && !state.taken.contains(&number)
            });
            if fits.is_some() {
                state.stride = stride;
                state.taken.insert(number);
            }
            fits
        };
        let mut options = File::options();
        options.read(true).write(true).mode(0o600);
        let (place, file) = if let Some(stride) = stride {
            let file = options.create(true).truncate(false).open(upload.data());
            (Place::Data { stride }, file)
        } else {
            let unique = self.counter.fetch_add(1, Ordering::Relaxed);
            let name = format!("{number}-{}-{unique}.part", now());
            let file = options.create_new(true).open(upload.dir.join(&name));
            (Place::File { name }, file)
        };
        let file = match file {
            Ok(file) => file,
            Err(e) => {
                if stride.is_some() {
                    lock(&upload.state).taken.remove(&number);
                }
                return Err(fail(e));
            }
        };
        let mut slot = Slot {
            upload: Arc::clone(upload),
            file,
            number,
            place,
            recorded: false,
        };
        if let Place::Data { stride } = slot.place {
            let offset = u64::from(number - 1) * stride;
            slot.file.seek(SeekFrom::Start(offset)).map_err(fail)?;
        }
        Ok(slot)
    }

    /// Makes a received part count.
    pub(crate) fn record_part(&self, mut slot: Slot, received: Received) -> S3Result<Part> {
        let fail = |e| disk_error("record a part", e);
        if self.sync == crate::config::Sync::Full {
            slot.file.sync_all().map_err(fail)?;
        }
        let part = Part {
            number: slot.number,
            size: received.size,
            etag: received.etag,
            modified: now(),
            checksum: received.checksum,
            place: slot.place.clone(),
        };
        let json = serde_json::to_vec(&part).map_err(|e| fail(e.into()))?;
        let upload = Arc::clone(&slot.upload);
        let state = lock(&upload.state);
        if state.closed {
            return Err(no_such_upload());
        }
        let new = upload.dir.join(format!("{}.json.new", part.number));
        let target = upload.dir.join(format!("{}.json", part.number));
        fs::write(&new, json)
            .and_then(|()| fs::rename(&new, &target))
            .map_err(fail)?;
        slot.recorded = true;
        Ok(part)
    }

    /// Forgets an upload and removes what it received.
    pub(crate) fn abort_upload(&self, bucket: &Bucket, upload: &Upload) -> S3Result<()> {
        let mut state = lock(&upload.state);
        if state.closed {
            return Err(no_such_upload());
        }
        self.remove_folder(&upload.dir)
            .map_err(|e| disk_error("remove the upload", e))?;
        state.closed = true;
        lock(&bucket.uploads).remove(&upload.id);
        Ok(())
    }

    /// Makes the chosen parts an object.
    pub(crate) fn complete_upload(
        &self,
        bucket: &Bucket,
        upload: &Upload,
        chosen: &[Chosen],
        condition: &Condition,
        expected: &Expected,
    ) -> S3Result<Meta> {
        let fail = |e| disk_error("complete the upload", e);
        let mut state = lock(&upload.state);
        if state.closed {
            return Err(no_such_upload());
        }
        let all = upload.parts()?;
        let parts = choose(&all, chosen)?;
        let meta = assemble(upload, &parts, expected)?;
        super::object::check(bucket, &upload.info.key, condition)?;
        let in_place =
            parts.len() == all.len() && state.taken.len() == parts.len() && is_contiguous(&parts);
        if in_place {
            let mut data = File::options()
                .write(true)
                .open(upload.data())
                .map_err(fail)?;
            data.set_len(meta.size).map_err(fail)?;
            data.seek(SeekFrom::End(0)).map_err(fail)?;
            data.write_all(&meta.trailer().map_err(fail)?)
                .map_err(fail)?;
            if self.sync == crate::config::Sync::Full {
                data.sync_all().map_err(fail)?;
            }
            self.put_in_place(bucket, &meta.key, condition, |path| {
                super::temp::rename_into(&upload.data(), path, self.sync)
            })?;
        } else {
            let mut temp = self.temp_file().map_err(fail)?;
            for part in &parts {
                copy_part(upload, part, &mut temp.file).map_err(fail)?;
            }
            self.put_object(bucket, temp, &meta, condition)?;
        }
        state.closed = true;
        lock(&bucket.uploads).remove(&upload.id);
        if let Err(error) = self.remove_folder(&upload.dir) {
            tracing::warn!(id = upload.id, %error, "folder of a completed upload stays");
        }
        Ok(meta)
    }
}

/// The unfinished upload with this id and key.
pub(crate) fn find_upload(bucket: &Bucket, key: &str, id: &str) -> S3Result<Arc<Upload>> {
    // The id becomes a folder name, so it must be one of ours.
    if !is_id(id) {
        return Err(no_such_upload());
    }
    let mut uploads = lock(&bucket.uploads);
    let upload = match uploads.get(id) {
        Some(found) => Arc::clone(found),
        None => match Upload::load(bucket.uploads_dir().join(id), id) {
            Ok(loaded) => {
                let loaded = Arc::new(loaded);
                uploads.insert(id.to_owned(), Arc::clone(&loaded));
                loaded
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(no_such_upload()),
            Err(e) => return Err(disk_error("read the upload", e)),
        },
    };
    if upload.info.key != key {
        return Err(no_such_upload());
    }
    Ok(upload)
}

/// All unfinished uploads of a bucket, by key, then by time.
pub(crate) fn all_uploads(bucket: &Bucket) -> S3Result<Vec<(String, UploadInfo)>> {
    let fail = |e| disk_error("list the uploads", e);
    let mut found = Vec::new();
    for entry in fs::read_dir(bucket.uploads_dir()).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let Ok(id) = entry.file_name().into_string() else {
            continue;
        };
        if !is_id(&id) {
            continue;
        }
        match Upload::load(entry.path(), &id) {
            Ok(upload) => found.push((id, upload.info)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(fail(e)),
        }
    }
    found.sort_unstable_by(|(id, a), (id_b, b)| {
        (&a.key, a.initiated, id).cmp(&(&b.key, b.initiated, id_b))
    });
    Ok(found)
}

/// What the client says the whole object is.
#[derive(Default)]
pub(crate) struct Expected {
    pub(crate) size: Option<u64>,
    /// Base64, of all bytes.
    pub(crate) checksum: Option<(Algorithm, String)>,
}

fn choose<'p>(all: &'p [Part], chosen: &[Chosen]) -> S3Result<Vec<&'p Part>> {
    let invalid = || {
        s3_error!(
            InvalidPart,
            "One or more of the specified parts could not be found, or its entity tag does not match."
        )
    };
    let mut parts: Vec<&Part> = Vec::with_capacity(chosen.len());
    for wanted in chosen {
        if parts.last().is_some_and(|p| p.number >= wanted.number) {
            return Err(s3_error!(
                InvalidPartOrder,
                "The list of parts was not in ascending order."
            ));
        }
        let found = all.binary_search_by_key(&wanted.number, |p| p.number).ok();
        let part = found.and_then(|i| all.get(i)).ok_or_else(invalid)?;
        let sum = part.checksum.as_ref().map(|c| &c.value);
        if part.etag != wanted.etag || wanted.checksum.as_ref().is_some_and(|c| Some(c) != sum) {
            return Err(invalid());
        }
        parts.push(part);
    }
    match parts.split_last() {
        None => Err(s3_error!(
            MalformedXML,
            "You must specify at least one part."
        )),
        Some((_, before)) if before.iter().any(|p| p.size < SMALLEST_PART) => Err(s3_error!(
            EntityTooSmall,
            "Your proposed upload is smaller than the minimum allowed size."
        )),
        Some(_) => Ok(parts),
    }
}

/// Whether the parts already follow each other in `data`.
fn is_contiguous(parts: &[&Part]) -> bool {
    let mut end = 0;
    parts.iter().all(|part| {
        let here = match part.place {
            Place::Data { stride } => u64::from(part.number - 1) * stride == end,
            Place::File { .. } => false,
        };
        end += part.size;
        here
    })
}

fn assemble(upload: &Upload, parts: &[&Part], expected: &Expected) -> S3Result<Meta> {
    let size = parts.iter().map(|p| p.size).sum();
    if expected.size.is_some_and(|s| s != size) {
        return Err(s3_error!(
            InvalidRequest,
            "The parts do not add up to x-amz-mp-object-size."
        ));
    }
    let md5s: Vec<u8> = parts
        .iter()
        .flat_map(|p| crate::hash::from_hex(&p.etag).unwrap_or_default())
        .collect();
    let checksum = whole_checksum(upload, parts);
    if let Some((algorithm, value)) = &expected.checksum {
        let found = checksum.as_ref().filter(|c| c.algorithm == *algorithm);
        // A composite value may be given with or without the number of parts.
        let same =
            found.is_some_and(|c| c.value == *value || c.value.split('-').next() == Some(value));
        if !same {
            return Err(s3_error!(
                BadDigest,
                "The {} you specified did not match.",
                algorithm.header()
            ));
        }
    }
    Ok(Meta {
        key: upload.info.key.clone(),
        size,
        etag: format!(
            "{}-{}",
            crate::hash::to_hex(&crate::hash::md5(&md5s)),
            parts.len()
        ),
        modified: now(),
        headers: upload.info.headers.clone(),
        checksum,
    })
}

fn whole_checksum(upload: &Upload, parts: &[&Part]) -> Option<Checksum> {
    let (algorithm, covers) = upload.info.checksum?;
    let digests: Option<Vec<(Vec<u8>, u64)>> = parts
        .iter()
        .map(|p| {
            let checksum = p.checksum.as_ref().filter(|c| c.algorithm == algorithm)?;
            Some((crate::hash::from_base64(&checksum.value)?, p.size))
        })
        .collect();
    let digests = digests?;
    let value = match covers {
        Covers::FullObject => crate::hash::to_base64(&algorithm.combine(&digests)?),
        Covers::Composite => {
            let joined: Vec<u8> = digests.into_iter().flat_map(|(d, _)| d).collect();
            let digest = algorithm.digest(&joined);
            format!("{}-{}", crate::hash::to_base64(&digest), parts.len())
        }
    };
    Some(Checksum {
        algorithm,
        value,
        covers,
    })
}

fn copy_part(upload: &Upload, part: &Part, out: &mut File) -> io::Result<()> {
    let (path, offset) = match &part.place {
        Place::Data { stride } => (upload.data(), u64::from(part.number - 1) * stride),
        Place::File { name } => (upload.dir.join(name), 0),
    };
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let copied = io::copy(&mut file.take(part.size), out)?;
    if copied == part.size {
        Ok(())
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}
