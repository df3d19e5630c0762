//! Making sure of keys and buckets: one attempt, safe to repeat.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use mlops_core::{BucketName, Endpoint, ErrorKind, Result};

use super::model::{BucketFacts, Connect, Credentials, Holdings, KeyFacts, Owners, S3Admin};
use crate::mark::{Mark, TAG};
use crate::outcome::{Foreign, Outcome};
use crate::support::{absent_as_none, came_between, not_ours};

/// One S3 server with an administrator's key.
#[derive(Clone)]
pub struct Store {
    connect: Arc<dyn Connect>,
    endpoint: Endpoint,
    region: String,
    key: Credentials,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("endpoint", &self.endpoint.authority())
            .field("region", &self.region)
            .field("access_key", &self.key.access_key)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// The server at `endpoint`, used with `key`. Nothing is sent yet.
    pub fn new(
        connect: Arc<dyn Connect>,
        endpoint: Endpoint,
        region: impl Into<String>,
        key: Credentials,
    ) -> Self {
        Self {
            connect,
            endpoint,
            region: region.into(),
            key,
        }
    }

    /// The administrator.
    ///
    /// # Errors
    ///
    /// As [`Connect::admin`].
    pub async fn admin(&self) -> Result<Arc<dyn S3Admin>> {
        self.connect
            .admin(&self.endpoint, &self.region, &self.key)
            .await
    }

    /// Whether the server takes this key, by listing buckets with it.
    ///
    /// # Errors
    ///
    /// When the server gives no clear answer.
    pub async fn opens(&self, key: &Credentials) -> Result<bool> {
        opens(&self.connect, &self.endpoint, &self.region, key).await
    }
}

pub(super) async fn opens(
    connect: &Arc<dyn Connect>,
    endpoint: &Endpoint,
    region: &str,
    key: &Credentials,
) -> Result<bool> {
    let session = connect.session(endpoint, region, key).await?;
    match session.list_buckets().await {
        Ok(_) => Ok(true),
        Err(error) => match error.kind() {
            ErrorKind::Unauthenticated => Ok(false),
            // The signature is looked at before the right to list.
            ErrorKind::PermissionDenied => Ok(true),
            _ => Err(error),
        },
    }
}

/// A key as it shall be: it may use the buckets it owns.
#[derive(Debug, Clone)]
pub struct KeyWish {
    /// The key.
    pub key: Credentials,
}

/// A bucket as it shall be.
#[derive(Debug, Clone)]
pub struct BucketWish {
    /// Its name.
    pub bucket: BucketName,
    /// The access key that owns it; `None` leaves it with the administrator's key.
    pub owner: Option<String>,
}

/// What is known of a thing of a wanted name.
pub(super) enum State<F> {
    Absent,
    Ours(F),
    /// A killed run of ours left it before it could be marked.
    Unfinished(F),
    Foreign(F, String),
}

/// The number tells; a server that keeps none is asked whether our secret opens the key.
pub(super) async fn key_state(
    store: &Store,
    keys: &[KeyFacts],
    key: &Credentials,
    mark: &Mark,
) -> Result<State<()>> {
    let Some(facts) = keys.iter().find(|facts| facts.access_key == key.access_key) else {
        return Ok(State::Absent);
    };
    if facts.project == mark.project() || (facts.project == 0 && store.opens(key).await?) {
        return Ok(State::Ours(()));
    }
    let whose = match facts.project {
        0 => "it bears no mark, and our secret does not open it".to_owned(),
        number => format!(
            "it bears the number {number}, and ours is {}",
            mark.project()
        ),
    };
    Ok(State::Foreign((), whose))
}

pub(super) fn is_marked(tags: &BTreeMap<String, String>, mark: &Mark) -> bool {
    let (key, value) = mark.tag();
    tags.get(key).is_some_and(|found| found == value)
}

/// What is known of a bucket: of it, and of its tags.
pub(super) async fn bucket_state<'a>(
    admin: &dyn S3Admin,
    buckets: &'a [BucketFacts],
    wish: &BucketWish,
    mark: &Mark,
) -> Result<State<(&'a BucketFacts, BTreeMap<String, String>)>> {
    let name = wish.bucket.as_str();
    let Some(facts) = buckets.iter().find(|facts| facts.name == name) else {
        return Ok(State::Absent);
    };
    let tags = admin.tags(name).await?;
    if is_marked(&tags, mark) {
        return Ok(State::Ours((facts, tags)));
    }
    let wanted_owner = wish.owner.is_some() && facts.owner == wish.owner;
    if tags.is_empty() && wanted_owner && admin.holdings(name).await?.objects == 0 {
        return Ok(State::Unfinished((facts, tags)));
    }
    let owner = facts
        .owner
        .as_ref()
        .map(|owner| format!("owned by key `{owner}`, "))
        .unwrap_or_default();
    let whose = match tags.get(TAG) {
        Some(platform) => format!("{owner}its tag `{TAG}` is \"{}\"", platform.escape_debug()),
        None => format!("{owner}it has no tag `{TAG}`"),
    };
    Ok(State::Foreign((facts, tags), whose))
}

pub(super) fn owners_for(owner: Option<&String>) -> Owners {
    match owner {
        Some(_) => Owners::Needed,
        None => Owners::Skip,
    }
}

/// Makes sure that a key is there, marked, with this secret.
///
/// # Errors
///
/// [`ErrorKind::Conflict`] when there is one that is not ours and may not be taken over, [`ErrorKind::Unsupported`] when
/// the server has no admin interface.
pub async fn ensure_key(
    store: &Store,
    wish: &KeyWish,
    mark: &Mark,
    foreign: Foreign,
) -> Result<Outcome> {
    match key_once(store, wish, mark, foreign).await {
        Err(error) if came_between(&error) => key_once(store, wish, mark, foreign).await,
        result => result,
    }
}

async fn key_once(store: &Store, wish: &KeyWish, mark: &Mark, foreign: Foreign) -> Result<Outcome> {
    let admin = store.admin().await?;
    let keys = admin.list_keys().await?;
    let taken = match key_state(store, &keys, &wish.key, mark).await? {
        State::Absent => {
            admin.create_key(&wish.key, mark.project()).await?;
            return Ok(Outcome::Created);
        }
        State::Ours(()) | State::Unfinished(()) => false,
        State::Foreign((), _) if foreign == Foreign::TakeOver => true,
        State::Foreign((), whose) => {
            return Err(not_ours(&format!("key `{}`", wish.key.access_key), &whose));
        }
    };
    if !taken && store.opens(&wish.key).await? {
        return Ok(Outcome::Unchanged);
    }
    admin.update_key(&wish.key, mark.project()).await?;
    Ok(Outcome::Updated)
}

/// Makes sure that a bucket is there, marked, and owned by the key.
///
/// # Errors
///
/// [`ErrorKind::Conflict`] when there is one that is not ours and may not be taken over, [`ErrorKind::Unsupported`] when
/// the server has no tags, or an owner is wanted and it has no admin interface.
pub async fn ensure_bucket(
    store: &Store,
    wish: &BucketWish,
    mark: &Mark,
    foreign: Foreign,
) -> Result<Outcome> {
    match bucket_once(store, wish, mark, foreign).await {
        Err(error) if came_between(&error) => bucket_once(store, wish, mark, foreign).await,
        result => result,
    }
}

async fn bucket_once(
    store: &Store,
    wish: &BucketWish,
    mark: &Mark,
    foreign: Foreign,
) -> Result<Outcome> {
    let admin = store.admin().await?;
    let name = &wish.bucket;
    let mut buckets = admin.list_buckets(owners_for(wish.owner.as_ref())).await?;
    let mut created = false;
    if !buckets.iter().any(|facts| facts.name == name.as_str()) {
        let (key, value) = mark.tag();
        let tags = BTreeMap::from([(key.to_owned(), value.to_owned())]);
        admin
            .create_bucket(name, wish.owner.as_deref(), &tags)
            .await?;
        created = true;
        // What the server ignored of it is corrected below.
        buckets = admin.list_buckets(owners_for(wish.owner.as_ref())).await?;
    }
    let (facts, mut tags) = match bucket_state(&*admin, &buckets, wish, mark).await? {
        State::Absent => return Err(vanished(name)),
        State::Ours(found) => found,
        State::Unfinished(found) => {
            created = true;
            found
        }
        State::Foreign(found, _) if created || foreign == Foreign::TakeOver => found,
        State::Foreign(_, whose) => return Err(not_ours(&format!("bucket `{name}`"), &whose)),
    };
    let mut changed = false;
    // The owner goes first: by it the bucket is known again when the tag does not get there.
    if let Some(owner) = &wish.owner
        && facts.owner.as_ref() != Some(owner)
    {
        admin.set_owner(name, owner).await?;
        changed = true;
    }
    if !is_marked(&tags, mark) {
        let (key, value) = mark.tag();
        tags.insert(key.to_owned(), value.to_owned());
        admin.set_tags(name, &tags).await?;
        changed = true;
    }
    Ok(match (created, changed) {
        (true, _) => Outcome::Created,
        (false, true) => Outcome::Updated,
        (false, false) => Outcome::Unchanged,
    })
}

fn vanished(bucket: &BucketName) -> mlops_core::Error {
    mlops_core::Error::new(ErrorKind::Unavailable, format!("find bucket `{bucket}`"))
        .with_source("it was made and is not in the server's list")
}

/// Removes a key of ours; fine when it is gone. The secret, when it is known, helps to tell on servers that keep no
/// number with a key.
///
/// # Errors
///
/// [`ErrorKind::Conflict`] when it is not ours.
pub async fn remove_key(store: &Store, key: &Credentials, mark: &Mark) -> Result<()> {
    let admin = store.admin().await?;
    let keys = admin.list_keys().await?;
    match key_state(store, &keys, key, mark).await? {
        State::Absent => Ok(()),
        State::Ours(()) | State::Unfinished(()) => admin.delete_key(&key.access_key).await,
        State::Foreign((), whose) => Err(not_ours(&format!("key `{}`", key.access_key), &whose)),
    }
}

/// What to do with the content of a bucket that is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// A bucket that is not empty stays, with an error.
    Keep,
    /// Everything in it goes as well.
    Remove,
}

/// Removes a bucket of ours; fine when it is gone.
///
/// # Errors
///
/// [`ErrorKind::Conflict`] when it is not ours, or not empty and its content is to be kept.
pub async fn remove_bucket(
    store: &Store,
    wish: &BucketWish,
    mark: &Mark,
    content: Content,
) -> Result<()> {
    let admin = store.admin().await?;
    let name = &wish.bucket;
    let buckets = admin.list_buckets(owners_for(wish.owner.as_ref())).await?;
    match bucket_state(&*admin, &buckets, wish, mark).await? {
        State::Absent => return Ok(()),
        State::Ours(_) | State::Unfinished(_) => {}
        State::Foreign(_, whose) => return Err(not_ours(&format!("bucket `{name}`"), &whose)),
    }
    if content == Content::Remove {
        absent_as_none(admin.empty_bucket(name).await)?;
    }
    admin.delete_bucket(name).await
}

/// What data a bucket holds; `None` when there is no such bucket.
pub(super) async fn holdings(store: &Store, bucket: &str) -> Result<Option<Holdings>> {
    absent_as_none(store.admin().await?.holdings(bucket).await)
}
