use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, RwLock};

use s3s::{S3Result, s3_error};
use serde::{Deserialize, Serialize};

use super::upload::Upload;
use super::{Store, disk_error, no_such_bucket, read, write};
use crate::file::now;
use crate::names;

/// What `bucket.json` holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BucketInfo {
    /// Access key of the owner.
    pub(crate) owner: String,
    /// Milliseconds since 1970.
    pub(crate) created: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) tags: BTreeMap<String, String>,
}

/// Whether a bucket is still there. Writers hold it for reading while they put
/// something in place, so nothing lands in a bucket that is being removed.
pub(crate) struct Gate {
    pub(crate) open: bool,
}

/// A bucket.
pub(crate) struct Bucket {
    pub(crate) name: String,
    pub(crate) dir: PathBuf,
    info: RwLock<BucketInfo>,
    pub(crate) gate: RwLock<Gate>,
    /// Unfinished uploads that were used since the start.
    pub(crate) uploads: Mutex<HashMap<String, Arc<Upload>>>,
}

impl Bucket {
    fn new(name: &str, dir: PathBuf, info: BucketInfo) -> Self {
        Self {
            name: name.to_owned(),
            dir,
            info: RwLock::new(info),
            gate: RwLock::new(Gate { open: true }),
            uploads: Mutex::default(),
        }
    }

    pub(super) fn load(name: &str, dir: PathBuf) -> io::Result<Self> {
        let info = serde_json::from_slice(&fs::read(dir.join("bucket.json"))?)?;
        Ok(Self::new(name, dir, info))
    }

    pub(crate) fn info(&self) -> BucketInfo {
        read(&self.info).clone()
    }

    pub(crate) fn is_owned_by(&self, access_key: &str) -> bool {
        read(&self.info).owner == access_key
    }

    pub(crate) fn objects(&self) -> PathBuf {
        self.dir.join("objects")
    }

    pub(crate) fn uploads_dir(&self) -> PathBuf {
        self.dir.join("uploads")
    }
}

impl Store {
    /// Makes a bucket that is not there yet.
    pub(crate) fn create_bucket(
        &self,
        name: &str,
        owner: &str,
        tags: BTreeMap<String, String>,
    ) -> S3Result<()> {
        let fail = |e| disk_error("create the bucket", e);
        let mut buckets = write(&self.buckets);
        if let Some(found) = buckets.get(name) {
            return Err(if found.is_owned_by(owner) {
                s3_error!(
                    BucketAlreadyOwnedByYou,
                    "Your previous request to create the named bucket succeeded and you already own it."
                )
            } else {
                s3_error!(
                    BucketAlreadyExists,
                    "The requested bucket name is not available."
                )
            });
        }
        let dir = self.root.join("buckets").join(name);
        if dir.symlink_metadata().is_ok() {
            return Err(s3_error!(
                BucketAlreadyExists,
                "The server's folder holds something else of this name."
            ));
        }
        let info = BucketInfo {
            owner: owner.to_owned(),
            created: now(),
            tags,
        };
        let new = self.temp_folder().map_err(fail)?;
        for folder in ["objects", "uploads"] {
            fs::create_dir(new.join(folder)).map_err(fail)?;
        }
        let json = serde_json::to_vec(&info).map_err(|e| fail(e.into()))?;
        self.write_small(&new.join("bucket.json"), &json)
            .map_err(fail)?;
        super::temp::rename_into(&new, &dir, self.sync).map_err(fail)?;
        buckets.insert(name.to_owned(), Arc::new(Bucket::new(name, dir, info)));
        Ok(())
    }

    /// Changes what `bucket.json` holds.
    pub(crate) fn change_bucket(
        &self,
        name: &str,
        change: impl FnOnce(&mut BucketInfo),
    ) -> S3Result<()> {
        let fail = |e| disk_error("change the bucket", e);
        let bucket = self.bucket(name)?;
        let gate = read(&bucket.gate);
        if !gate.open {
            return Err(no_such_bucket());
        }
        let mut info = write(&bucket.info);
        let mut changed = info.clone();
        change(&mut changed);
        let json = serde_json::to_vec(&changed).map_err(|e| fail(e.into()))?;
        self.write_small(&bucket.dir.join("bucket.json"), &json)
            .map_err(fail)?;
        *info = changed;
        Ok(())
    }

    /// Removes a bucket without objects, together with unfinished uploads.
    pub(crate) fn delete_bucket(&self, name: &str) -> S3Result<()> {
        let fail = |e| disk_error("remove the bucket", e);
        let bucket = self.bucket(name)?;
        let mut gate = write(&bucket.gate);
        if !gate.open {
            return Err(no_such_bucket());
        }
        if names::holds_a_file(&bucket.objects()).map_err(fail)? {
            return Err(s3_error!(
                BucketNotEmpty,
                "The bucket you tried to delete is not empty."
            ));
        }
        for entry in fs::read_dir(&bucket.dir).map_err(fail)? {
            let name = entry.map_err(fail)?.file_name();
            if !["bucket.json", "objects", "uploads"]
                .iter()
                .any(|n| name == *n)
            {
                return Err(s3_error!(
                    BucketNotEmpty,
                    "The bucket's folder holds a file that is not the server's: {}",
                    name.display()
                ));
            }
        }
        // Out of the map first: a new bucket of this name needs the folder
        // name free, and that is decided under the same lock.
        let mut buckets = write(&self.buckets);
        self.remove_folder(&bucket.dir).map_err(fail)?;
        gate.open = false;
        buckets.remove(name);
        Ok(())
    }
}
