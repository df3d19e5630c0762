//! Buckets and objects on disk. Everything here blocks; call it from
//! `spawn_blocking`.
//!
//! ```text
//! ROOT/format.json                      marks the folder as ours
//! ROOT/lock                             held while a server runs
//! ROOT/accounts.json                    keys besides the admin's, mode 0600
//! ROOT/tmp/                             files being written; swept at start
//! ROOT/buckets/NAME/bucket.json         owner, tags
//! ROOT/buckets/NAME/objects/a.d/b.o     the object `a/b`
//! ROOT/buckets/NAME/uploads/ID/         an unfinished multipart upload
//! ```

pub(crate) mod bucket;
pub(crate) mod list;
pub(crate) mod object;
pub(crate) mod temp;
pub(crate) mod upload;

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};

use crate::config::Sync;
use crate::error::{Error, Result};
use bucket::Bucket;

const FORMAT: &[u8] = b"{\"mlops_s3_server\":1}\n";
/// The longest escaped key takes about 3,100 bytes of the 4,096 that Linux
/// allows for a path.
const LONGEST_ROOT: usize = 800;
/// Locks for keys; two keys may share one.
const KEY_LOCKS: usize = 256;

/// All buckets below one root folder.
pub(crate) struct Store {
    pub(crate) root: PathBuf,
    buckets: RwLock<BTreeMap<String, Arc<Bucket>>>,
    key_locks: Vec<Mutex<()>>,
    pub(crate) sync: Sync,
    counter: AtomicU64,
    /// Held as long as the store lives.
    _lock: File,
}

/// A lock stays usable when a thread panicked with it: what it guards is
/// replaced as a whole, never left half changed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

/// The one place where problems of the file system become S3 errors.
pub(crate) fn disk_error(doing: &str, error: io::Error) -> S3Error {
    use io::ErrorKind as Kind;
    let (code, status, why) = match error.kind() {
        Kind::StorageFull | Kind::QuotaExceeded => {
            ("XStorageFull", 507, "the server's disk is full")
        }
        Kind::FileTooLarge => (
            "XStorageFull",
            507,
            "the server may not write a file this large",
        ),
        Kind::PermissionDenied | Kind::ReadOnlyFilesystem => (
            "InternalError",
            500,
            "the server may not write to its own folder",
        ),
        Kind::InvalidData => ("InternalError", 500, "the object's file is damaged"),
        _ => ("InternalError", 500, "the server's disk gave an error"),
    };
    tracing::error!(doing, %error, "disk error");
    let code = S3ErrorCode::from_bytes(code.as_bytes()).unwrap_or(S3ErrorCode::InternalError);
    let mut answer = S3Error::with_message(code, format!("failed to {doing}: {why}"));
    if let Ok(status) = http::StatusCode::from_u16(status) {
        answer.set_status_code(status);
    }
    answer.set_source(Box::new(error));
    answer
}

impl Store {
    /// Opens a root folder, or makes one of a missing or empty folder.
    pub(crate) fn open(root: &Path, sync: Sync) -> Result<Self> {
        let doing = || format!("open the S3 folder {}", root.display());
        let fail = |e| Error::new(doing(), e);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(root)
            .map_err(fail)?;
        let root = &root.canonicalize().map_err(fail)?;
        if root.as_os_str().len() > LONGEST_ROOT {
            return Err(Error::refused(
                doing(),
                format!("its path is longer than {LONGEST_ROOT} bytes"),
            ));
        }
        prepare(root).map_err(fail)?;
        let lock = File::options()
            .create(true)
            .write(true)
            .truncate(false)
            .open(root.join("lock"))
            .map_err(fail)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let busy = "another server has it open";
                return Err(fail(io::Error::new(io::ErrorKind::ResourceBusy, busy)));
            }
            Err(TryLockError::Error(e)) => return Err(fail(e)),
        }
        let store = Self {
            root: root.clone(),
            buckets: RwLock::new(BTreeMap::new()),
            key_locks: (0..KEY_LOCKS).map(|_| Mutex::new(())).collect(),
            sync,
            counter: AtomicU64::new(0),
            _lock: lock,
        };
        store.sweep().map_err(fail)?;
        store.load_buckets().map_err(fail)?;
        Ok(store)
    }

    /// Removes what a killed server left half written. Only names that we give
    /// to temporary files are touched.
    fn sweep(&self) -> io::Result<()> {
        for entry in fs::read_dir(self.root.join("tmp"))? {
            let entry = entry?;
            let ours = entry.file_name().to_str().is_some_and(temp::is_ours);
            if !ours {
                continue;
            }
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    fn load_buckets(&self) -> io::Result<()> {
        let mut buckets = write(&self.buckets);
        for entry in fs::read_dir(self.root.join("buckets"))? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            match Bucket::load(&name, entry.path()) {
                Ok(bucket) => {
                    buckets.insert(name, Arc::new(bucket));
                }
                Err(error) => tracing::warn!(name, %error, "not a bucket, ignored"),
            }
        }
        Ok(())
    }

    /// The bucket of this name, or `NoSuchBucket`.
    pub(crate) fn bucket(&self, name: &str) -> S3Result<Arc<Bucket>> {
        self.find_bucket(name).ok_or_else(no_such_bucket)
    }

    pub(crate) fn find_bucket(&self, name: &str) -> Option<Arc<Bucket>> {
        read(&self.buckets).get(name).cloned()
    }

    /// All buckets, by name.
    pub(crate) fn all_buckets(&self) -> Vec<Arc<Bucket>> {
        read(&self.buckets).values().cloned().collect()
    }

    /// Excludes others from changing this key.
    fn lock_key(&self, bucket: &str, key: &str) -> Option<MutexGuard<'_, ()>> {
        let mut hasher = DefaultHasher::new();
        (bucket, key).hash(&mut hasher);
        let index = hasher.finish() % self.key_locks.len().max(1) as u64;
        let index = usize::try_from(index).unwrap_or_default();
        self.key_locks.get(index).map(lock)
    }
}

pub(crate) fn no_such_bucket() -> S3Error {
    s3_error!(NoSuchBucket, "The specified bucket does not exist.")
}

pub(crate) fn no_such_key() -> S3Error {
    s3_error!(NoSuchKey, "The specified key does not exist.")
}

/// Checks that the folder is ours, or empty; then makes the folders in it.
fn prepare(root: &Path) -> io::Result<()> {
    let marker = root.join("format.json");
    match fs::read(&marker) {
        Ok(found) if found == FORMAT => {}
        Ok(_) => {
            let why = "format.json is of another version of this server";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            // A server that died right after making the folder leaves only
            // its own first files.
            for entry in fs::read_dir(root)? {
                let name = entry?.file_name();
                if name != "format.json.new" {
                    let why = format!(
                        "it holds other files ({}); give an empty folder",
                        name.display()
                    );
                    return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
                }
            }
            let new = root.join("format.json.new");
            fs::write(&new, FORMAT)?;
            fs::rename(&new, &marker)?;
            fs::set_permissions(root, fs::Permissions::from_mode(0o700))?;
        }
        Err(e) => return Err(e),
    }
    for folder in ["tmp", "buckets"] {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(root.join(folder))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_other_files_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("thesis.tex"), "x").unwrap();
        let error = Store::open(dir.path(), Sync::None).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        let names: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert_eq!(names, ["thesis.tex"]);
    }

    #[test]
    fn a_second_server_on_the_same_folder_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let first = Store::open(dir.path(), Sync::None).unwrap();
        let error = Store::open(dir.path(), Sync::None).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
        drop(first);
        Store::open(dir.path(), Sync::None).unwrap();
    }

    #[test]
    fn sweeping_leaves_foreign_files_alone() {
        let dir = tempfile::tempdir().unwrap();
        drop(Store::open(dir.path(), Sync::None).unwrap());
        let tmp = dir.path().join("tmp");
        fs::write(tmp.join("mine.txt"), "x").unwrap();
        fs::write(tmp.join("put-12-0"), "x").unwrap();
        fs::create_dir(tmp.join("del-12-1")).unwrap();
        fs::write(tmp.join("del-12-1/file"), "x").unwrap();
        drop(Store::open(dir.path(), Sync::None).unwrap());
        let names: Vec<_> = fs::read_dir(tmp)
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert_eq!(names, ["mine.txt"]);
    }

    #[test]
    fn a_full_disk_says_so() {
        let error = disk_error("write", io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(error.code().as_str(), "XStorageFull");
        assert_eq!(error.status_code().unwrap().as_u16(), 507);
        assert!(error.message().unwrap().contains("disk is full"));
    }
}
