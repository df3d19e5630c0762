//! The proof that a bucket binding works, and that it allows no more than it should.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use mlops_core::{BucketName, Context, Endpoint, Error, ErrorKind, Finding, Probe, Prober, Result};

use super::lure::Lure;
use super::model::{Connect, Credentials, S3Session};
use super::spec::{AdminSpec, BindingProbeSpec};
use crate::support::{LEFT_BEHIND, now, random_text, wrong_secret};

/// The kind of probe that [`S3Prober`] carries out.
pub const PROBE: &str = "s3-binding";

/// Where probes put their object, with the second of the day it was made in its name.
const PREFIX: &str = ".mlops-probe/";

/// Carries out `s3-binding` with the consumer's own key. Takes away what it puts there, and what a killed probe left.
///
/// What the key must be kept out of is another bucket of the platform, when the probe names one; else a bucket that the
/// administrator makes for it, when the probe names the administrator.
#[derive(Clone)]
pub struct S3Prober {
    connect: Arc<dyn Connect>,
}

impl fmt::Debug for S3Prober {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("S3Prober")
    }
}

impl S3Prober {
    /// A prober that connects so.
    pub fn new(connect: Arc<dyn Connect>) -> Self {
        Self { connect }
    }

    /// Kept out of a bucket that is made for that, and gone afterwards whatever came of it.
    async fn kept_out_of_a_new_one(
        &self,
        session: &dyn S3Session,
        endpoint: &Endpoint,
        spec: &BindingProbeSpec,
        admin: &AdminSpec,
        object: &str,
        cx: &Context,
    ) -> Result<()> {
        let lure = Lure::make(&self.connect, endpoint, spec, admin, cx).await?;
        let result = kept_out(session, lure.bucket(), object, Lure::object()).await;
        lure.remove().await?;
        result
    }
}

fn made_at(key: &str) -> Option<u64> {
    key.strip_prefix(PREFIX)?.split('-').next()?.parse().ok()
}

fn wrong_answer(doing: &str, why: &str) -> Error {
    Error::new(ErrorKind::Failed, doing).with_source(why)
}

/// Put, get, list, delete, and a look that it is gone. The object goes on every way out.
async fn round_trip(session: &dyn S3Session, bucket: &str, key: &str) -> Result<()> {
    let content = random_text(1024).into_bytes();
    let used = async {
        session.put(bucket, key, content.clone()).await?;
        if session.get(bucket, key).await? != content {
            return Err(wrong_answer("read an object", "it is not what was written"));
        }
        let listed = session.list(bucket, PREFIX).await?;
        if !listed.iter().any(|listed| listed == key) {
            return Err(wrong_answer("list objects", "the new object is not there"));
        }
        Ok(listed)
    };
    let used = used.await;
    session.delete(bucket, key).await?;
    let gone = session.get(bucket, key).await;
    match gone {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
        Ok(_) => return Err(wrong_answer("delete an object", "it is still there")),
    }
    for left in used? {
        if made_at(&left).is_some_and(|second| second + LEFT_BEHIND < now()) {
            session.delete(bucket, &left).await?;
        }
    }
    Ok(())
}

/// The server says that this key may not: no other answer will do.
fn denied<T>(doing: &str, result: Result<T>) -> Result<()> {
    match result {
        Ok(_) => Err(wrong_answer(doing, "it was allowed, and must not be")),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(()),
        Err(error) => Err(error),
    }
}

/// Writing, reading and listing are all denied; what a wrongly allowed write made is taken away.
async fn kept_out(
    session: &dyn S3Session,
    bucket: &BucketName,
    mine: &str,
    theirs: &str,
) -> Result<()> {
    let bucket = bucket.as_str();
    let written = session.put(bucket, mine, b"probe".to_vec()).await;
    if written.is_ok() {
        session.delete(bucket, mine).await?;
    }
    let (got, listed) = futures::join!(session.get(bucket, theirs), session.list(bucket, PREFIX));
    denied(&format!("be kept from writing to `{bucket}`"), written)?;
    denied(&format!("be kept from reading from `{bucket}`"), got)?;
    denied(&format!("be kept from listing `{bucket}`"), listed)
}

/// Every bucket that the key sees is one that it can open.
async fn sees_only_its_own(session: &dyn S3Session) -> Result<()> {
    for bucket in session.list_buckets().await? {
        session.list(&bucket, PREFIX).await?;
    }
    Ok(())
}

#[async_trait]
impl Prober for S3Prober {
    fn kinds(&self) -> Vec<String> {
        vec![PROBE.to_owned()]
    }

    async fn probe(&self, probe: &Probe, cx: &Context) -> Result<Vec<Finding>> {
        let spec: BindingProbeSpec = probe.typed()?;
        let endpoint: Endpoint = cx.endpoint(&spec.server).await?;
        let secret = cx.secret(&spec.secret_key).await?;
        let key = Credentials::new(&spec.access_key, secret);
        let session = self.connect.session(&endpoint, &spec.region, &key).await?;
        let wrong = Credentials::new(&spec.access_key, wrong_secret());
        let wrong = self
            .connect
            .session(&endpoint, &spec.region, &wrong)
            .await?;
        let (name, bucket) = (&spec.access_key, spec.bucket.as_str());
        let object = format!("{PREFIX}{}-{}", now(), random_text(16));

        let own = async {
            let claim = format!("key `{name}` can put, get, list and delete in bucket `{bucket}`");
            Finding::expect_done(claim, &round_trip(&*session, bucket, &object).await)
        };
        let others = async {
            match (&spec.other_bucket, &spec.admin) {
                (Some(other), _) => Finding::expect_done(
                    format!("key `{name}` is refused on bucket `{other}`"),
                    &kept_out(&*session, other, &object, &object).await,
                ),
                (None, Some(admin)) => Finding::expect_done(
                    format!("key `{name}` is refused on a bucket that is not its own"),
                    &self
                        .kept_out_of_a_new_one(&*session, &endpoint, &spec, admin, &object, cx)
                        .await,
                ),
                (None, None) => Finding::expect_done(
                    format!("key `{name}` sees only buckets of its own"),
                    &sees_only_its_own(&*session).await,
                ),
            }
        };
        let wrong = async {
            let claim = format!("a wrong secret for key `{name}` is refused");
            Finding::expect_refused(claim, &wrong.list(bucket, PREFIX).await)
        };
        let (own, others, wrong) = futures::join!(own, others, wrong);
        Ok(vec![own, others, wrong])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_is_in_the_name() {
        assert_eq!(made_at(".mlops-probe/17-abc"), Some(17));
        assert_eq!(made_at(".mlops-probe/x"), None);
        assert_eq!(made_at("other/17-abc"), None);
    }
}
