//! The admin interface of the Versity S3 gateway: accounts, and who owns which
//! bucket. Signed like every other request; only admins may call it.
//!
//! The facts are from the gateway's public repository, `versity/versitygw`:
//! `s3api/admin-router.go`, `s3api/controllers/admin.go`, `auth/iam.go`.

use http::{Extensions, HeaderMap, HeaderValue, Method, StatusCode, Uri};
use percent_encoding::percent_decode_str;
use s3s::route::S3Route;
use s3s::{Body, S3Error, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

use crate::access::Guard;
use crate::accounts::{Account, Refused, Role};
use crate::intake::crashed;
use crate::store::disk_error;

const LARGEST_BODY: usize = 64 << 10;

/// Body of `create-user`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NewAccount {
    #[serde(default)]
    access: String,
    #[serde(default)]
    secret: String,
    #[serde(default)]
    role: String,
}

/// Body of `update-user`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Changes {
    secret: Option<String>,
    role: Option<String>,
}

/// One `Accounts` element of `list-users`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ShownAccount {
    access: String,
    /// Always empty: the gateway shows it, we do not give secrets away.
    secret: &'static str,
    role: &'static str,
    #[serde(rename = "UserID")]
    user_id: u32,
    #[serde(rename = "GroupID")]
    group_id: u32,
    #[serde(rename = "ProjectID")]
    project_id: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ListUserAccountsResult {
    accounts: Vec<ShownAccount>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ShownBucket {
    name: String,
    owner: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ListBucketsResult {
    buckets: Vec<ShownBucket>,
}

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

fn parse<T: for<'de> Deserialize<'de>>(body: &[u8]) -> S3Result<T> {
    let malformed = || {
        s3_error!(
            MalformedXML,
            "The XML you provided was not well-formed or did not validate against our published schema."
        )
    };
    let text = std::str::from_utf8(body)
        .ok()
        .filter(|t| t.trim_start().starts_with('<'));
    quick_xml::de::from_str(text.ok_or_else(malformed)?).map_err(|_| malformed())
}

fn new_account(body: &[u8]) -> S3Result<(String, Account)> {
    let new: NewAccount = parse(body)?;
    let role = Role::from_name(&new.role).ok_or_else(bad_role)?;
    // The access key stands in the credential scope between slashes.
    let fits = |c: char| c.is_ascii_graphic() && !matches!(c, '/' | ',' | '<' | '>' | '&');
    if new.access.is_empty() || new.access.len() > 128 || !new.access.chars().all(fits) {
        let message =
            "The access key ID has to be 1 to 128 visible ASCII characters without / , < > &.";
        return Err(error(
            "XAdminInvalidArgument",
            StatusCode::BAD_REQUEST,
            message,
        ));
    }
    if new.secret.is_empty() {
        let message = "The secret access key is missing.";
        return Err(error(
            "XAdminInvalidArgument",
            StatusCode::BAD_REQUEST,
            message,
        ));
    }
    Ok((
        new.access,
        Account {
            secret: new.secret.into(),
            role,
        },
    ))
}

fn xml(root: &str, value: &impl Serialize) -> S3Result<S3Response<Body>> {
    let text = quick_xml::se::to_string_with_root(root, value)
        .map_err(|e| s3_error!(e, InternalError, "The answer could not be written."))?;
    let body = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{text}");
    let mut response = S3Response::new(Body::from(body));
    response.headers.insert(
        http::header::CONTENT_TYPE,
        HeaderValue::from_static("application/xml"),
    );
    Ok(response)
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
            .map(|(access, role)| ShownAccount {
                access,
                secret: "",
                role: role.name(),
                user_id: 0,
                group_id: 0,
                project_id: 0,
            })
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

    fn create_bucket_for(&self, bucket: &str, headers: &HeaderMap) -> S3Result<S3Response<Body>> {
        let owner = headers
            .get("x-vgw-owner")
            .and_then(|v| v.to_str().ok())
            .filter(|o| !o.is_empty())
            .ok_or_else(|| {
                let message = "The x-vgw-owner header specifying the new bucket owner access key id is either missing or empty";
                error("XAdminInvalidRequest", StatusCode::BAD_REQUEST, message)
            })?;
        self.accounts.find(owner).ok_or_else(no_user)?;
        self.store.create_bucket(bucket, owner)?;
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
                let changes: Changes = parse(body)?;
                let role = changes.role.filter(|r| !r.is_empty());
                let role = role
                    .map(|r| Role::from_name(&r).ok_or_else(bad_role))
                    .transpose()?;
                let secret = changes.secret.filter(|s| !s.is_empty());
                self.accounts
                    .update(&access, secret.map(Into::into), role)
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
            Call::CreateBucket(bucket) => self.create_bucket_for(&bucket, headers),
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
    fn an_account_needs_a_key_a_secret_and_a_role() {
        let body = |a: &str, s: &str, r: &str| {
            format!(
                "<Account><Access>{a}</Access><Secret>{s}</Secret><Role>{r}</Role><UserID>0</UserID></Account>"
            )
        };
        let ok = new_account(body("alice", "s&amp;t", "user").as_bytes()).unwrap();
        assert_eq!((ok.0.as_str(), ok.1.role), ("alice", Role::User));
        for bad in [
            body("", "s", "user"),
            body("a/b", "s", "user"),
            body("a", "", "user"),
            body("a", "s", "god"),
        ] {
            let error = new_account(bad.as_bytes()).err().unwrap();
            assert_eq!(error.code().as_str(), "XAdminInvalidArgument", "{bad}");
        }
        assert_eq!(
            new_account(b"nonsense").err().unwrap().code().as_str(),
            "MalformedXML"
        );
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
