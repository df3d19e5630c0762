//! The admin interface of the Versity S3 gateway: accounts, and who owns which
//! bucket. Signed like every other request; only admins may call it.
//!
//! The facts are from the gateway's public repository, `versity/versitygw`:
//! `s3api/admin-router.go`, `s3api/controllers/admin.go`,
//! `s3api/controllers/bucket-put.go`, `auth/iam.go`.

mod messages;

use http::{Extensions, HeaderMap, Method, StatusCode, Uri};
use percent_encoding::percent_decode_str;
use s3s::route::S3Route;
use s3s::{Body, S3Error, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};
use tokio::task::spawn_blocking;

use crate::access::Guard;
use crate::accounts::{Refused, Role};
use crate::intake::crashed;
use crate::ops::check_location;
use crate::store::disk_error;
use crate::tags;
use messages::{
    BucketConfiguration, ListBucketsResult, ListUserAccountsResult, ShownAccount, ShownBucket,
    changes, new_account, parse, xml,
};

const LARGEST_BODY: usize = 64 << 10;

/// What a path asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Call {
    CreateUser,
    UpdateUser,
    DeleteUser,
    ListUsers,
    ChangeBucketOwner,
    ListBuckets,
    CreateBucket(String),
}

fn call(method: &Method, path: &str) -> Option<Call> {
    if method != Method::PATCH {
        return None;
    }
    match path.strip_prefix('/')? {
        "create-user" => Some(Call::CreateUser),
        "update-user" => Some(Call::UpdateUser),
        "delete-user" => Some(Call::DeleteUser),
        "list-users" => Some(Call::ListUsers),
        "change-bucket-owner" => Some(Call::ChangeBucketOwner),
        "list-buckets" => Some(Call::ListBuckets),
        other => {
            let bucket = other.strip_suffix("/create").filter(|b| !b.contains('/'))?;
            Some(Call::CreateBucket(bucket.to_owned()))
        }
    }
}

fn error(code: &'static str, status: StatusCode, message: &'static str) -> S3Error {
    let mut error = S3Error::with_message(S3ErrorCode::Custom(code.into()), message);
    error.set_status_code(status);
    error
}

fn bad_role() -> S3Error {
    let message = "User role has to be one of the following: 'user', 'admin', 'userplus'.";
    error("XAdminInvalidArgument", StatusCode::BAD_REQUEST, message)
}

fn no_user() -> S3Error {
    let message = "No user exists with the provided access key ID.";
    error("XAdminUserNotFound", StatusCode::NOT_FOUND, message)
}

fn refused(why: Refused) -> S3Error {
    match why {
        Refused::Exists => {
            let message = "A user with the provided access key ID already exists.";
            error("XAdminUserExists", StatusCode::CONFLICT, message)
        }
        Refused::NotFound => no_user(),
        Refused::Disk(e) => disk_error("store the accounts", e),
    }
}

/// A value of the query string, decoded.
fn query(uri: &Uri, name: &str) -> Option<String> {
    uri.query()?.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if key != name {
            return None;
        }
        let value = value.replace('+', " ");
        percent_decode_str(&value)
            .decode_utf8()
            .ok()
            .map(Into::into)
    })
}

fn access(uri: &Uri) -> S3Result<String> {
    query(uri, "access")
        .filter(|a| !a.is_empty())
        .ok_or_else(|| {
            error(
                "XAdminInvalidArgument",
                StatusCode::NOT_FOUND,
                "User access key ID is missing.",
            )
        })
}

fn done(status: StatusCode) -> S3Response<Body> {
    S3Response::with_status(Body::empty(), status)
}

impl Guard {
    fn list_users(&self) -> S3Result<S3Response<Body>> {
        let accounts = self
            .accounts
            .list()
            .into_iter()
            .map(|(access, account)| ShownAccount::new(access, &account))
            .collect();
        xml(
            "ListUserAccountsResult",
            &ListUserAccountsResult { accounts },
        )
    }

    fn list_buckets(&self) -> S3Result<S3Response<Body>> {
        let buckets = self
            .store
            .all_buckets()
            .iter()
            .map(|b| ShownBucket {
                name: b.name.clone(),
                owner: b.info().owner,
            })
            .collect();
        xml("ListBucketsResult", &ListBucketsResult { buckets })
    }

    fn change_owner(&self, uri: &Uri) -> S3Result<S3Response<Body>> {
        let owner = query(uri, "owner").unwrap_or_default();
        self.accounts.find(&owner).ok_or_else(no_user)?;
        let bucket = query(uri, "bucket").unwrap_or_default();
        self.store
            .change_bucket(&bucket, |info| info.owner = owner)?;
        Ok(done(StatusCode::OK))
    }

    fn create_bucket_for(
        &self,
        bucket: &str,
        headers: &HeaderMap,
        body: &[u8],
    ) -> S3Result<S3Response<Body>> {
        let owner = headers
            .get("x-vgw-owner")
            .and_then(|v| v.to_str().ok())
            .filter(|o| !o.is_empty())
            .ok_or_else(|| {
                let message = "The x-vgw-owner header specifying the new bucket owner access key id is either missing or empty";
                error("XAdminInvalidRequest", StatusCode::BAD_REQUEST, message)
            })?;
        self.accounts.find(owner).ok_or_else(no_user)?;
        if !s3s::path::check_bucket_name(bucket) {
            return Err(s3_error!(
                InvalidBucketName,
                "The specified bucket is not valid."
            ));
        }
        let wanted = match body {
            [] => BucketConfiguration::default(),
            body => parse(body)?,
        };
        check_location(wanted.location_constraint.as_deref(), &self.region)?;
        let tags = tags::checked(wanted.tags.tag.into_iter().map(|t| (t.key, t.value)))?;
        self.store.create_bucket(bucket, owner, tags)?;
        Ok(done(StatusCode::CREATED))
    }

    /// Runs a call. Blocks.
    fn run(
        &self,
        call: Call,
        uri: &Uri,
        headers: &HeaderMap,
        body: &[u8],
    ) -> S3Result<S3Response<Body>> {
        match call {
            Call::CreateUser => {
                let (access, account) = new_account(body)?;
                self.accounts.create(&access, account).map_err(refused)?;
                Ok(done(StatusCode::CREATED))
            }
            Call::UpdateUser => {
                let access = access(uri)?;
                self.accounts
                    .update(&access, changes(body)?)
                    .map_err(refused)?;
                Ok(done(StatusCode::OK))
            }
            Call::DeleteUser => {
                self.accounts.remove(&access(uri)?).map_err(refused)?;
                Ok(done(StatusCode::OK))
            }
            Call::ListUsers => self.list_users(),
            Call::ChangeBucketOwner => self.change_owner(uri),
            Call::ListBuckets => self.list_buckets(),
            Call::CreateBucket(bucket) => self.create_bucket_for(&bucket, headers, body),
        }
    }
}

#[async_trait::async_trait]
impl S3Route for Guard {
    fn is_match(&self, method: &Method, uri: &Uri, _: &HeaderMap, _: &mut Extensions) -> bool {
        call(method, uri.path()).is_some()
    }

    async fn check_access(&self, req: &mut S3Request<Body>) -> S3Result<()> {
        let caller = self.caller(req.credentials.as_ref().map(|c| c.access_key.as_str()))?;
        if caller.role == Role::Admin {
            return Ok(());
        }
        let message = "Only admin users have access to this resource.";
        Err(error("XAdminAccessDenied", StatusCode::FORBIDDEN, message))
    }

    async fn call(&self, mut req: S3Request<Body>) -> S3Result<S3Response<Body>> {
        let call = call(&req.method, req.uri.path())
            .ok_or_else(|| s3_error!(NotImplemented, "Unknown operation"))?;
        // Reading the body also checks that it is the one that was signed.
        let body = req
            .input
            .store_all_limited(LARGEST_BODY)
            .await
            .map_err(|e| {
                let mut error = s3_error!(
                    InvalidRequest,
                    "The request body is too large, cut off, or not the signed one."
                );
                error.set_source(e);
                error
            })?;
        let guard = self.clone();
        spawn_blocking(move || guard.run(call, &req.uri, &req.headers, &body))
            .await
            .map_err(crashed)?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_patch_on_the_known_paths_is_an_admin_call() {
        assert_eq!(call(&Method::PATCH, "/create-user"), Some(Call::CreateUser));
        assert_eq!(
            call(&Method::PATCH, "/b-1/create"),
            Some(Call::CreateBucket("b-1".to_owned()))
        );
        for (method, path) in [
            (Method::GET, "/list-users"),
            (Method::PUT, "/create-user"),
            (Method::PATCH, "/"),
            (Method::PATCH, "/a/b/create"),
            (Method::PATCH, "/create-user/x"),
        ] {
            assert_eq!(call(&method, path), None, "{method} {path}");
        }
    }

    #[test]
    fn query_values_are_decoded() {
        let uri: Uri = "/x?access=a%2Bb&owner=c+d&empty".parse().unwrap();
        assert_eq!(query(&uri, "access").as_deref(), Some("a+b"));
        assert_eq!(query(&uri, "owner").as_deref(), Some("c d"));
        assert_eq!(query(&uri, "empty").as_deref(), Some(""));
        assert_eq!(query(&uri, "other"), None);
    }
}
