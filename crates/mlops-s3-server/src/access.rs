//! Who may do what.

use std::sync::Arc;

use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::path::S3Path;
use s3s::{S3Error, S3Result, s3_error};
use secrecy::ExposeSecret as _;

use crate::accounts::{Accounts, Role};
use crate::store::Store;

/// Who sent a request; put into its extensions.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) access_key: String,
    pub(crate) role: Role,
}

/// Looks up secrets for the signature check, and guards buckets after it.
#[derive(Clone)]
pub(crate) struct Guard {
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) store: Arc<Store>,
    pub(crate) region: Arc<str>,
}

pub(crate) fn denied() -> S3Error {
    s3_error!(AccessDenied, "Access Denied.")
}

fn unknown_key() -> S3Error {
    s3_error!(
        InvalidAccessKeyId,
        "The AWS Access Key Id you provided does not exist in our records."
    )
}

impl Guard {
    /// The caller behind a verified access key.
    pub(crate) fn caller(&self, access_key: Option<&str>) -> S3Result<Caller> {
        let access_key = access_key.ok_or_else(denied)?;
        let account = self.accounts.find(access_key).ok_or_else(unknown_key)?;
        Ok(Caller {
            access_key: access_key.to_owned(),
            role: account.role,
        })
    }

    /// Whether the caller may use a bucket. One that does not exist is nobody's,
    /// so the answer to the request itself says that it is missing.
    pub(crate) fn may_use(&self, caller: &Caller, bucket: &str) -> S3Result<()> {
        let allowed = caller.role == Role::Admin
            || self
                .store
                .find_bucket(bucket)
                .is_none_or(|b| b.is_owned_by(&caller.access_key));
        if allowed { Ok(()) } else { Err(denied()) }
    }
}

#[async_trait::async_trait]
impl S3Auth for Guard {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        let account = self.accounts.find(access_key).ok_or_else(unknown_key)?;
        Ok(SecretKey::from(account.secret.expose_secret()))
    }
}

#[async_trait::async_trait]
impl S3Access for Guard {
    async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        let caller = self.caller(cx.credentials().map(|c| c.access_key.as_str()))?;
        match cx.s3_path() {
            S3Path::Root => {}
            S3Path::Bucket { .. } if cx.s3_op().name() == "CreateBucket" => {
                if caller.role == Role::User {
                    return Err(denied());
                }
            }
            S3Path::Bucket { bucket } | S3Path::Object { bucket, .. } => {
                self.may_use(&caller, bucket)?;
            }
        }
        cx.extensions_mut().insert(caller);
        Ok(())
    }
}
