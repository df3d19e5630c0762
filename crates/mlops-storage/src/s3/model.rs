//! What can be asked of an S3 server, and the answers.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use mlops_core::{BucketName, Endpoint, Result, SecretText};

use crate::outcome::{bytes, count};

/// An access key with its secret.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The access key: the public half.
    pub access_key: String,
    /// The secret half.
    pub secret_key: SecretText,
}

impl Credentials {
    /// Pairs an access key with its secret.
    pub fn new(access_key: impl Into<String>, secret_key: SecretText) -> Self {
        Self {
            access_key: access_key.into(),
            secret_key,
        }
    }
}

/// Whether the owners of buckets are asked for; only servers with an admin interface can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owners {
    /// Ask for them.
    Needed,
    /// Names are enough.
    Skip,
}

/// A bucket as the server tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketFacts {
    /// Its name.
    pub name: String,
    /// The access key that owns it; `None` when it was not asked for.
    pub owner: Option<String>,
}

/// A key as the server tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFacts {
    /// The access key.
    pub access_key: String,
    /// The number kept with it, where our mark is; 0 when there is none.
    pub project: u32,
}

/// What data a bucket holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Objects.
    pub objects: u64,
    /// Bytes.
    pub bytes: u64,
    /// Whether counting ended early because there is so much.
    pub more: bool,
}

impl fmt::Display for Holdings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = if self.more { "more than " } else { "" };
        let objects = count(self.objects, "object");
        write!(f, "{more}{objects}, {}", bytes(self.bytes))
    }
}

/// What an administrator does on a server.
#[async_trait]
pub trait S3Admin: Send + Sync {
    /// All buckets.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`](mlops_core::ErrorKind::Unsupported) when owners are needed and the server cannot tell.
    async fn list_buckets(&self, owners: Owners) -> Result<Vec<BucketFacts>>;

    /// The tags of a bucket; empty when it has none.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`](mlops_core::ErrorKind::Unsupported) when the server has no tags.
    async fn tags(&self, bucket: &str) -> Result<BTreeMap<String, String>>;

    /// Makes a bucket, in one call with its owner and tags as far as the server can: what it ignored is not an error.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::AlreadyExists`](mlops_core::ErrorKind::AlreadyExists) when there is one.
    async fn create_bucket(
        &self,
        bucket: &BucketName,
        owner: Option<&str>,
        tags: &BTreeMap<String, String>,
    ) -> Result<()>;

    /// Sets all tags of a bucket: those not given go.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`](mlops_core::ErrorKind::Unsupported) when the server has no tags.
    async fn set_tags(&self, bucket: &BucketName, tags: &BTreeMap<String, String>) -> Result<()>;

    /// Gives a bucket to a key.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](mlops_core::ErrorKind::NotFound) when there is no such bucket or key.
    async fn set_owner(&self, bucket: &BucketName, owner: &str) -> Result<()>;

    /// Removes an empty bucket. Fine when it is gone.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Conflict`](mlops_core::ErrorKind::Conflict) when it is not empty.
    async fn delete_bucket(&self, bucket: &BucketName) -> Result<()>;

    /// Removes every object, version and unfinished upload of a bucket. Only for data that was named for removal.
    ///
    /// # Errors
    ///
    /// When the server refuses any of it.
    async fn empty_bucket(&self, bucket: &BucketName) -> Result<()>;

    /// What a bucket holds, counted up to some pages.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](mlops_core::ErrorKind::NotFound) when there is no such bucket.
    async fn holdings(&self, bucket: &str) -> Result<Holdings>;

    /// All keys but the administrator's.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`](mlops_core::ErrorKind::Unsupported) when the server has no admin interface.
    async fn list_keys(&self) -> Result<Vec<KeyFacts>>;

    /// Makes a key that may use the buckets it owns, and nothing else.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::AlreadyExists`](mlops_core::ErrorKind::AlreadyExists) when there is one.
    async fn create_key(&self, key: &Credentials, project: u32) -> Result<()>;

    /// Sets secret and number of a key.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](mlops_core::ErrorKind::NotFound) when there is none.
    async fn update_key(&self, key: &Credentials, project: u32) -> Result<()>;

    /// Removes a key. Fine when it is gone.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`](mlops_core::ErrorKind::Unsupported) when the server has no admin interface.
    async fn delete_key(&self, access_key: &str) -> Result<()>;
}

/// What a consumer does with its key, as far as probes need it.
#[async_trait]
pub trait S3Session: Send + Sync {
    /// The names of the buckets it sees.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unauthenticated`](mlops_core::ErrorKind::Unauthenticated) when the key is wrong.
    async fn list_buckets(&self) -> Result<Vec<String>>;

    /// Writes an object.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::PermissionDenied`](mlops_core::ErrorKind::PermissionDenied) when the bucket is not its own.
    async fn put(&self, bucket: &str, key: &str, content: Vec<u8>) -> Result<()>;

    /// Reads an object.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](mlops_core::ErrorKind::NotFound) when there is none.
    async fn get(&self, bucket: &str, key: &str) -> Result<Vec<u8>>;

    /// The keys of up to 1000 objects that begin with a prefix.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::PermissionDenied`](mlops_core::ErrorKind::PermissionDenied) when the bucket is not its own.
    async fn list(&self, bucket: &str, prefix: &str) -> Result<Vec<String>>;

    /// Removes an object. Fine when it is gone.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::PermissionDenied`](mlops_core::ErrorKind::PermissionDenied) when the bucket is not its own.
    async fn delete(&self, bucket: &str, key: &str) -> Result<()>;
}

/// How a key becomes a client. Nothing is sent yet.
#[async_trait]
pub trait Connect: Send + Sync {
    /// An administrator's client.
    ///
    /// # Errors
    ///
    /// When address or key cannot be used at all.
    async fn admin(
        &self,
        endpoint: &Endpoint,
        region: &str,
        key: &Credentials,
    ) -> Result<Arc<dyn S3Admin>>;

    /// A consumer's client.
    ///
    /// # Errors
    ///
    /// When address or key cannot be used at all.
    async fn session(
        &self,
        endpoint: &Endpoint,
        region: &str,
        key: &Credentials,
    ) -> Result<Arc<dyn S3Session>>;
}
