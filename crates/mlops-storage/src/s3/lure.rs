//! A bucket that lives as long as a probe, for a key to be kept out of.

use std::collections::BTreeMap;
use std::sync::Arc;

use mlops_core::{BucketName, Context, Endpoint, PlatformName, Result};

use super::model::{Connect, Credentials, Owners, S3Admin, S3Session};
use super::spec::{AdminSpec, BindingProbeSpec};
use crate::support::{LEFT_BEHIND, absent_as_none, now, random_text};

/// How the names of such buckets begin; the second of the day they were made follows.
const PREFIX: &str = "mlops-probe-";
/// The tag that says whose probe made it. Not the platform's own mark: it is no bucket of the platform.
const TAG: &str = "mlops-probe";
/// The object in it.
const OBJECT: &str = "not-for-you";

/// A bucket of the administrator's with an object in it.
pub(super) struct Lure {
    admin: Arc<dyn S3Admin>,
    session: Arc<dyn S3Session>,
    bucket: BucketName,
}

fn made_at(bucket: &str) -> Option<u64> {
    let (second, random) = bucket.strip_prefix(PREFIX)?.split_once('-')?;
    (random.len() == 12).then(|| second.parse().ok())?
}

impl Lure {
    /// Makes one, after removing those that killed probes of the platform left. One that was begun and failed is taken
    /// away again.
    pub(super) async fn make(
        connect: &Arc<dyn Connect>,
        endpoint: &Endpoint,
        spec: &BindingProbeSpec,
        admin: &AdminSpec,
        cx: &Context,
    ) -> Result<Self> {
        let secret = cx.secret(&admin.secret_key).await?;
        let key = Credentials::new(&admin.access_key, secret);
        let (admin, session) = futures::try_join!(
            connect.admin(endpoint, &spec.region, &key),
            connect.session(endpoint, &spec.region, &key)
        )?;
        let lure = Self {
            admin,
            session,
            bucket: format!("{PREFIX}{}-{}", now(), random_text(12)).parse()?,
        };
        lure.sweep(&cx.platform).await?;
        match lure.fill(&key.access_key, &cx.platform).await {
            Ok(()) => Ok(lure),
            Err(error) => {
                if let Err(left) = lure.remove().await {
                    tracing::warn!(bucket = %lure.bucket, error = %left, "a bucket of a probe stays for now");
                }
                Err(error)
            }
        }
    }

    pub(super) fn bucket(&self) -> &BucketName {
        &self.bucket
    }

    /// The object that is in it.
    pub(super) fn object() -> &'static str {
        OBJECT
    }

    async fn fill(&self, owner: &str, platform: &PlatformName) -> Result<()> {
        let tags = BTreeMap::from([(TAG.to_owned(), platform.to_string())]);
        // With an owner it is one call for bucket and tag, where the server can.
        self.admin
            .create_bucket(&self.bucket, Some(owner), &tags)
            .await?;
        if self.admin.tags(self.bucket.as_str()).await? != tags {
            self.admin.set_tags(&self.bucket, &tags).await?;
        }
        let content = b"probe".to_vec();
        self.session
            .put(self.bucket.as_str(), OBJECT, content)
            .await
    }

    /// Takes it away with all that is in it; fine when it is gone.
    pub(super) async fn remove(&self) -> Result<()> {
        absent_as_none(self.session.delete(self.bucket.as_str(), OBJECT).await)?;
        self.admin.delete_bucket(&self.bucket).await
    }

    /// Removes what killed probes left: an old one with our tag, or one that was not filled yet.
    async fn sweep(&self, platform: &PlatformName) -> Result<()> {
        for found in self.admin.list_buckets(Owners::Skip).await? {
            let old = made_at(&found.name).is_some_and(|second| second + LEFT_BEHIND < now());
            let (true, Ok(bucket)) = (old, found.name.parse::<BucketName>()) else {
                continue;
            };
            let Some(tags) = absent_as_none(self.admin.tags(&found.name).await)? else {
                continue;
            };
            let ours = tags.get(TAG).is_some_and(|of| of == platform.as_str());
            if ours {
                absent_as_none(self.admin.empty_bucket(&bucket).await)?;
            }
            let bare = tags.is_empty()
                && absent_as_none(self.admin.holdings(&found.name).await)?
                    .is_none_or(|holds| holds.objects == 0);
            if ours || bare {
                self.admin.delete_bucket(&bucket).await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_is_in_the_name_and_other_names_have_none() {
        assert_eq!(made_at("mlops-probe-17-abcdefghijkl"), Some(17));
        for other in [
            "mlops-probe-17",
            "mlops-probe-17-abc",
            "mlops-probe-x-abcdefghijkl",
            "my-mlops-probe-17-abcdefghijkl",
        ] {
            assert_eq!(made_at(other), None, "{other}");
        }
    }
}
