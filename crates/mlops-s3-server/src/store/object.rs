use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use s3s::dto::{ETag, ETagCondition};
use s3s::{S3Result, s3_error};

use super::bucket::Bucket;
use super::temp::Temp;
use super::{Store, disk_error, no_such_bucket, no_such_key, read};
use crate::file::{self, Meta};
use crate::names;

/// What must hold for a write to happen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Condition {
    pub(crate) if_match: Option<ETagCondition>,
    /// Only `*` is defined by S3 for writes.
    pub(crate) if_none_match: bool,
    /// For deletes: the size the object must have.
    pub(crate) size: Option<i64>,
}

impl Condition {
    /// Takes the two headers of a conditional write.
    pub(crate) fn for_write(
        if_match: Option<ETagCondition>,
        if_none_match: Option<&ETagCondition>,
    ) -> S3Result<Self> {
        if if_none_match.is_some_and(|c| !c.is_any()) {
            return Err(s3_error!(
                NotImplemented,
                "A write with If-None-Match takes only the value *."
            ));
        }
        Ok(Self {
            if_match,
            if_none_match: if_none_match.is_some(),
            size: None,
        })
    }

    fn is_empty(&self) -> bool {
        self.if_match.is_none() && !self.if_none_match && self.size.is_none()
    }
}

/// Whether an entity tag fits a condition.
pub(crate) fn matches(condition: &ETagCondition, etag: &str) -> bool {
    match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(ETag::Strong(value) | ETag::Weak(value)) => value == etag,
    }
}

/// Opens an object for reading.
pub(crate) fn open_object(bucket: &Bucket, key: &str) -> S3Result<(File, Meta)> {
    match file::open(&names::object_path(&bucket.objects(), key)) {
        Ok(found) => Ok(found),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Err(no_such_key()),
        Err(e) => Err(disk_error("read the object", e)),
    }
}

/// Decides on a conditional write.
///
/// Without the key's lock this is a hint only.
pub(crate) fn check(bucket: &Bucket, key: &str, condition: &Condition) -> S3Result<()> {
    if condition.is_empty() {
        return Ok(());
    }
    let failed = || {
        s3_error!(
            PreconditionFailed,
            "At least one of the pre-conditions you specified did not hold"
        )
    };
    let path = names::object_path(&bucket.objects(), key);
    let current = match file::open(&path) {
        Ok((_, meta)) => meta,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return if condition.if_match.is_some() || condition.size.is_some() {
                Err(no_such_key())
            } else {
                Ok(())
            };
        }
        Err(e) => return Err(disk_error("read the object", e)),
    };
    if condition.if_none_match {
        return Err(failed());
    }
    if condition
        .if_match
        .as_ref()
        .is_some_and(|c| !matches(c, &current.etag))
    {
        return Err(failed());
    }
    if condition
        .size
        .is_some_and(|s| u64::try_from(s) != Ok(current.size))
    {
        return Err(failed());
    }
    Ok(())
}

impl Store {
    /// Writes the metadata behind the data in `temp`, then makes both the
    /// object of this key, if the condition holds.
    pub(crate) fn put_object(
        &self,
        bucket: &Bucket,
        mut temp: Temp,
        meta: &Meta,
        condition: &Condition,
    ) -> S3Result<()> {
        let fail = |e| disk_error("store the object", e);
        temp.file
            .write_all(&meta.trailer().map_err(fail)?)
            .map_err(fail)?;
        self.put_in_place(bucket, &meta.key, condition, |path| {
            temp.persist(path, self.sync)
        })
    }

    /// Runs `place` for the object's path, if the condition holds. Nobody else
    /// changes this key, or removes the bucket, meanwhile.
    pub(crate) fn put_in_place(
        &self,
        bucket: &Bucket,
        key: &str,
        condition: &Condition,
        place: impl FnOnce(&Path) -> io::Result<()>,
    ) -> S3Result<()> {
        let gate = read(&bucket.gate);
        if !gate.open {
            return Err(no_such_bucket());
        }
        let _key = self.lock_key(&bucket.name, key);
        check(bucket, key, condition)?;
        place(&names::object_path(&bucket.objects(), key))
            .map_err(|e| disk_error("store the object", e))
    }

    /// Removes an object; nothing happens when there is none.
    pub(crate) fn delete_object(
        &self,
        bucket: &Bucket,
        key: &str,
        condition: &Condition,
    ) -> S3Result<()> {
        let _key = self.lock_key(&bucket.name, key);
        check(bucket, key, condition)?;
        let objects = bucket.objects();
        let path = names::object_path(&objects, key);
        match fs::remove_file(&path) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(disk_error("remove the object", e)),
        }
        // `rmdir` takes only empty folders, and a writer makes its folders
        // again when they vanish, so no lock is needed.
        let mut folder = path.parent();
        while let Some(dir) = folder.filter(|d| *d != objects) {
            if fs::remove_dir(dir).is_err() {
                break;
            }
            folder = dir.parent();
        }
        Ok(())
    }
}
