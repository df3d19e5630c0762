//! An S3 server in memory.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use mlops_core::hook::{Hook, NoHook};
use mlops_core::{BucketName, Endpoint, Error, ErrorKind, Result, SecretText};

use crate::s3::{
    BucketFacts, Connect, Credentials, Holdings, KeyFacts, Owners, S3Admin, S3Session,
};

/// What a server does with tags that are given when a bucket is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CreateTags {
    /// They are set at once.
    #[default]
    Taken,
    /// They are ignored.
    Ignored,
}

/// An S3 server with the admin interface in memory, reached at every address. Clones are the same server.
#[derive(Clone)]
pub struct FakeS3 {
    state: Arc<Mutex<State>>,
    hook: Hook,
}

struct State {
    reachable: bool,
    create_tags: CreateTags,
    admin: String,
    keys: BTreeMap<String, Key>,
    buckets: BTreeMap<String, Bucket>,
}

#[derive(Debug, Clone)]
struct Key {
    secret: SecretText,
    project: u32,
}

#[derive(Debug, Clone)]
struct Bucket {
    owner: String,
    tags: BTreeMap<String, String>,
    objects: BTreeMap<String, Vec<u8>>,
}

impl fmt::Debug for FakeS3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FakeS3")
    }
}

fn refuse(kind: ErrorKind, doing: &str, why: &str) -> Error {
    Error::new(kind, doing).with_source(why.to_owned())
}

impl FakeS3 {
    /// A fresh server with this administrator.
    pub fn new(access_key: &str, secret_key: SecretText) -> Self {
        let admin = Key {
            secret: secret_key,
            project: 0,
        };
        let state = State {
            reachable: true,
            create_tags: CreateTags::default(),
            admin: access_key.to_owned(),
            keys: BTreeMap::from([(access_key.to_owned(), admin)]),
            buckets: BTreeMap::new(),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            hook: Arc::new(NoHook),
        }
    }

    /// The same server, asking `hook` before and after every write.
    #[must_use]
    pub fn with_hook(mut self, hook: Hook) -> Self {
        self.hook = hook;
        self
    }

    /// Says what happens to tags that are given when a bucket is made.
    #[must_use]
    pub fn with_create_tags(self, create_tags: CreateTags) -> Self {
        self.lock().create_tags = create_tags;
        self
    }

    /// Whether it answers; one that does not is unavailable.
    pub fn set_reachable(&self, reachable: bool) {
        self.lock().reachable = reachable;
    }

    /// Puts a key there as somebody else would.
    pub fn put_key(&self, key: &Credentials, project: u32) {
        let secret = key.secret_key.clone();
        let made = Key { secret, project };
        self.lock().keys.insert(key.access_key.clone(), made);
    }

    /// Puts a bucket there as somebody else would.
    pub fn put_bucket(&self, name: &str, owner: &str, tags: &[(&str, &str)]) {
        let tags = tags
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let bucket = Bucket {
            owner: owner.to_owned(),
            tags,
            objects: BTreeMap::new(),
        };
        self.lock().buckets.insert(name.to_owned(), bucket);
    }

    /// Puts an object into a bucket, as a consumer would.
    ///
    /// # Errors
    ///
    /// When there is no such bucket.
    pub fn put_object(&self, bucket: &str, key: &str, content: &[u8]) -> Result<()> {
        self.bucket(bucket, "put an object", |found| {
            found.objects.insert(key.to_owned(), content.to_vec());
        })
    }

    /// Everything there is, without secrets, for comparison.
    pub fn snapshot(&self) -> String {
        let state = self.lock();
        let keys: Vec<_> = state
            .keys
            .iter()
            .map(|(name, key)| (name, key.project))
            .collect();
        format!("{keys:#?}\n{:#?}", state.buckets)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bucket<T>(
        &self,
        name: &str,
        doing: &str,
        change: impl FnOnce(&mut Bucket) -> T,
    ) -> Result<T> {
        let mut state = self.lock();
        let found = state.buckets.get_mut(name);
        found
            .map(change)
            .ok_or_else(|| refuse(ErrorKind::NotFound, doing, "NoSuchBucket"))
    }
}

#[async_trait]
impl Connect for FakeS3 {
    async fn admin(
        &self,
        _endpoint: &Endpoint,
        _region: &str,
        key: &Credentials,
    ) -> Result<Arc<dyn S3Admin>> {
        Ok(Arc::new(Session {
            server: self.clone(),
            key: key.clone(),
        }))
    }

    async fn session(
        &self,
        _endpoint: &Endpoint,
        _region: &str,
        key: &Credentials,
    ) -> Result<Arc<dyn S3Session>> {
        Ok(Arc::new(Session {
            server: self.clone(),
            key: key.clone(),
        }))
    }
}

struct Session {
    server: FakeS3,
    key: Credentials,
}

impl Session {
    /// The signature check; says whether the key is the administrator's.
    fn sign_in(&self, doing: &str) -> Result<bool> {
        let state = self.server.lock();
        if !state.reachable {
            return Err(refuse(ErrorKind::Unavailable, doing, "connection refused"));
        }
        let known = state.keys.get(&self.key.access_key);
        if !known.is_some_and(|known| known.secret.is_same(&self.key.secret_key)) {
            return Err(refuse(
                ErrorKind::Unauthenticated,
                doing,
                "SignatureDoesNotMatch",
            ));
        }
        Ok(state.admin == self.key.access_key)
    }

    fn sign_in_admin(&self, doing: &str) -> Result<()> {
        if self.sign_in(doing)? {
            return Ok(());
        }
        Err(refuse(
            ErrorKind::PermissionDenied,
            doing,
            "XAdminAccessDenied",
        ))
    }

    /// The bucket, when the key may use it.
    fn use_bucket<T>(
        &self,
        name: &str,
        doing: &str,
        change: impl FnOnce(&mut Bucket) -> T,
    ) -> Result<T> {
        let admin = self.sign_in(doing)?;
        self.server.bucket(name, doing, |bucket| {
            if admin || bucket.owner == self.key.access_key {
                Ok(change(bucket))
            } else {
                Err(refuse(ErrorKind::PermissionDenied, doing, "AccessDenied"))
            }
        })?
    }

    async fn write(
        &self,
        what: &str,
        change: impl FnOnce(&mut State) -> Result<()> + Send,
    ) -> Result<()> {
        self.sign_in_admin(what)?;
        self.server.hook.before(what).await?;
        change(&mut self.server.lock())?;
        self.server.hook.after(what).await
    }
}

#[async_trait]
impl S3Admin for Session {
    async fn list_buckets(&self, owners: Owners) -> Result<Vec<BucketFacts>> {
        self.sign_in_admin("list buckets")?;
        let state = self.server.lock();
        Ok(state
            .buckets
            .iter()
            .map(|(name, bucket)| BucketFacts {
                name: name.clone(),
                owner: (owners == Owners::Needed).then(|| bucket.owner.clone()),
            })
            .collect())
    }

    async fn tags(&self, bucket: &str) -> Result<BTreeMap<String, String>> {
        self.use_bucket(bucket, "read tags", |bucket| bucket.tags.clone())
    }

    async fn create_bucket(
        &self,
        bucket: &BucketName,
        owner: Option<&str>,
        tags: &BTreeMap<String, String>,
    ) -> Result<()> {
        let doing = format!("create bucket `{bucket}`");
        self.write(&doing, |state| {
            let owner = owner.unwrap_or(&state.admin).to_owned();
            if !state.keys.contains_key(&owner) {
                return Err(refuse(ErrorKind::NotFound, &doing, "XAdminUserNotFound"));
            }
            if state.buckets.contains_key(bucket.as_str()) {
                return Err(refuse(
                    ErrorKind::AlreadyExists,
                    &doing,
                    "BucketAlreadyExists",
                ));
            }
            let tags = match state.create_tags {
                CreateTags::Taken => tags.clone(),
                CreateTags::Ignored => BTreeMap::new(),
            };
            let made = Bucket {
                owner,
                tags,
                objects: BTreeMap::new(),
            };
            state.buckets.insert(bucket.as_str().to_owned(), made);
            Ok(())
        })
        .await
    }

    async fn set_tags(&self, bucket: &BucketName, tags: &BTreeMap<String, String>) -> Result<()> {
        let doing = format!("tag bucket `{bucket}`");
        self.write(&doing, |state| {
            match state.buckets.get_mut(bucket.as_str()) {
                Some(found) => {
                    found.tags.clone_from(tags);
                    Ok(())
                }
                None => Err(refuse(ErrorKind::NotFound, &doing, "NoSuchBucket")),
            }
        })
        .await
    }

    async fn set_owner(&self, bucket: &BucketName, owner: &str) -> Result<()> {
        let doing = format!("give bucket `{bucket}` to key `{owner}`");
        self.write(&doing, |state| {
            if !state.keys.contains_key(owner) {
                return Err(refuse(ErrorKind::NotFound, &doing, "XAdminUserNotFound"));
            }
            match state.buckets.get_mut(bucket.as_str()) {
                Some(found) => {
                    owner.clone_into(&mut found.owner);
                    Ok(())
                }
                None => Err(refuse(ErrorKind::NotFound, &doing, "NoSuchBucket")),
            }
        })
        .await
    }

    async fn delete_bucket(&self, bucket: &BucketName) -> Result<()> {
        let doing = format!("remove bucket `{bucket}`");
        self.write(&doing, |state| {
            let found = state.buckets.get(bucket.as_str());
            if found.is_some_and(|found| !found.objects.is_empty()) {
                return Err(refuse(ErrorKind::Conflict, &doing, "BucketNotEmpty"));
            }
            state.buckets.remove(bucket.as_str());
            Ok(())
        })
        .await
    }

    async fn empty_bucket(&self, bucket: &BucketName) -> Result<()> {
        let doing = format!("remove the objects of `{bucket}`");
        self.write(&doing, |state| {
            match state.buckets.get_mut(bucket.as_str()) {
                Some(found) => {
                    found.objects.clear();
                    Ok(())
                }
                None => Err(refuse(ErrorKind::NotFound, &doing, "NoSuchBucket")),
            }
        })
        .await
    }

    async fn holdings(&self, bucket: &str) -> Result<Holdings> {
        self.use_bucket(bucket, "list objects", |bucket| Holdings {
            objects: bucket.objects.len().try_into().unwrap_or(u64::MAX),
            bytes: bucket
                .objects
                .values()
                .map(|content| u64::try_from(content.len()).unwrap_or(0))
                .sum(),
            more: false,
        })
    }

    async fn list_keys(&self) -> Result<Vec<KeyFacts>> {
        self.sign_in_admin("list keys")?;
        let state = self.server.lock();
        Ok(state
            .keys
            .iter()
            .filter(|(name, _)| **name != state.admin)
            .map(|(name, key)| KeyFacts {
                access_key: name.clone(),
                project: key.project,
            })
            .collect())
    }

    async fn create_key(&self, key: &Credentials, project: u32) -> Result<()> {
        let doing = format!("create key `{}`", key.access_key);
        self.write(&doing, |state| {
            if state.keys.contains_key(&key.access_key) {
                return Err(refuse(ErrorKind::AlreadyExists, &doing, "XAdminUserExists"));
            }
            let secret = key.secret_key.clone();
            let made = Key { secret, project };
            state.keys.insert(key.access_key.clone(), made);
            Ok(())
        })
        .await
    }

    async fn update_key(&self, key: &Credentials, project: u32) -> Result<()> {
        let doing = format!("change key `{}`", key.access_key);
        self.write(&doing, |state| match state.keys.get_mut(&key.access_key) {
            Some(found) => {
                found.secret = key.secret_key.clone();
                found.project = project;
                Ok(())
            }
            None => Err(refuse(ErrorKind::NotFound, &doing, "XAdminUserNotFound")),
        })
        .await
    }

    async fn delete_key(&self, access_key: &str) -> Result<()> {
        self.write(&format!("remove key `{access_key}`"), |state| {
            state.keys.remove(access_key);
            Ok(())
        })
        .await
    }
}

#[async_trait]
impl S3Session for Session {
    async fn list_buckets(&self) -> Result<Vec<String>> {
        let admin = self.sign_in("list buckets")?;
        let state = self.server.lock();
        Ok(state
            .buckets
            .iter()
            .filter(|(_, bucket)| admin || bucket.owner == self.key.access_key)
            .map(|(name, _)| name.clone())
            .collect())
    }

    async fn put(&self, bucket: &str, key: &str, content: Vec<u8>) -> Result<()> {
        self.use_bucket(bucket, "put an object", |bucket| {
            bucket.objects.insert(key.to_owned(), content);
        })
    }

    async fn get(&self, bucket: &str, key: &str) -> Result<Vec<u8>> {
        let doing = "get an object";
        self.use_bucket(bucket, doing, |bucket| bucket.objects.get(key).cloned())?
            .ok_or_else(|| refuse(ErrorKind::NotFound, doing, "NoSuchKey"))
    }

    async fn list(&self, bucket: &str, prefix: &str) -> Result<Vec<String>> {
        self.use_bucket(bucket, "list objects", |bucket| {
            bucket
                .objects
                .keys()
                .filter(|key| key.starts_with(prefix))
                .cloned()
                .collect()
        })
    }

    async fn delete(&self, bucket: &str, key: &str) -> Result<()> {
        self.use_bucket(bucket, "delete an object", |bucket| {
            bucket.objects.remove(key);
        })
    }
}
