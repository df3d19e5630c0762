//! The XML that the admin interface takes and gives.

use http::{HeaderValue, StatusCode};
use s3s::{Body, S3Response, S3Result, s3_error};
use serde::{Deserialize, Deserializer, Serialize};

use super::{bad_role, error};
use crate::accounts::{Account, Change, Numbers, Role};

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
    #[serde(rename = "UserID", default, deserialize_with = "number")]
    user_id: Option<i64>,
    #[serde(rename = "GroupID", default, deserialize_with = "number")]
    group_id: Option<i64>,
    #[serde(rename = "ProjectID", default, deserialize_with = "number")]
    project_id: Option<i64>,
}

/// Body of `update-user`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AccountChange {
    secret: Option<String>,
    role: Option<String>,
    #[serde(rename = "UserID", default, deserialize_with = "number")]
    user_id: Option<i64>,
    #[serde(rename = "GroupID", default, deserialize_with = "number")]
    group_id: Option<i64>,
    #[serde(rename = "ProjectID", default, deserialize_with = "number")]
    project_id: Option<i64>,
}

/// Body of the call that makes a bucket; it may be missing.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct BucketConfiguration {
    #[serde(default)]
    pub(super) location_constraint: Option<String>,
    #[serde(default)]
    pub(super) tags: Tags,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Tags {
    #[serde(default)]
    pub(super) tag: Vec<Tag>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Tag {
    #[serde(default)]
    pub(super) key: String,
    #[serde(default)]
    pub(super) value: String,
}

/// One `Accounts` element of `list-users`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ShownAccount {
    access: String,
    /// Always empty: the gateway shows it, we do not give secrets away.
    secret: &'static str,
    role: &'static str,
    #[serde(rename = "UserID")]
    user_id: i64,
    #[serde(rename = "GroupID")]
    group_id: i64,
    #[serde(rename = "ProjectID")]
    project_id: i64,
}

impl ShownAccount {
    pub(super) fn new(access: String, account: &Account) -> Self {
        Self {
            access,
            secret: "",
            role: account.role.name(),
            user_id: account.numbers.user,
            group_id: account.numbers.group,
            project_id: account.numbers.project,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListUserAccountsResult {
    pub(super) accounts: Vec<ShownAccount>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ShownBucket {
    pub(super) name: String,
    pub(super) owner: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListBucketsResult {
    pub(super) buckets: Vec<ShownBucket>,
}

/// A number with space around it; an empty element is 0, as the gateway reads it.
fn number<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i64>, D::Error> {
    let text = String::deserialize(from)?;
    match text.trim() {
        "" => Ok(Some(0)),
        text => text.parse().map(Some).map_err(serde::de::Error::custom),
    }
}

/// Reads a body.
pub(super) fn parse<T: for<'de> Deserialize<'de>>(body: &[u8]) -> S3Result<T> {
    let malformed = || {
        s3_error!(
            MalformedXML,
            "The XML you provided was not well-formed or did not validate against our published schema."
        )
    };
    // The XML reader panics on some document types, and no client has reason to send one.
    let text = std::str::from_utf8(body)
        .ok()
        .filter(|t| t.trim_start().starts_with('<') && !t.contains("<!D") && !t.contains("<!d"));
    quick_xml::de::from_str(text.ok_or_else(malformed)?).map_err(|_| malformed())
}

/// The account that `create-user` asks for, with its access key.
pub(super) fn new_account(body: &[u8]) -> S3Result<(String, Account)> {
    let new: NewAccount = parse(body)?;
    let role = Role::from_name(&new.role).ok_or_else(bad_role)?;
    let invalid = |message| error("XAdminInvalidArgument", StatusCode::BAD_REQUEST, message);
    // The access key stands in the credential scope between slashes.
    let fits = |c: char| c.is_ascii_graphic() && !matches!(c, '/' | ',' | '<' | '>' | '&');
    if new.access.is_empty() || new.access.len() > 128 || !new.access.chars().all(fits) {
        return Err(invalid(
            "The access key ID has to be 1 to 128 visible ASCII characters without / , < > &.",
        ));
    }
    if new.secret.is_empty() {
        return Err(invalid("The secret access key is missing."));
    }
    let numbers = Numbers {
        user: new.user_id.unwrap_or_default(),
        group: new.group_id.unwrap_or_default(),
        project: new.project_id.unwrap_or_default(),
    };
    let account = Account {
        secret: new.secret.into(),
        role,
        numbers,
    };
    Ok((new.access, account))
}

/// What `update-user` asks for.
pub(super) fn changes(body: &[u8]) -> S3Result<Change> {
    let asked: AccountChange = parse(body)?;
    let role = asked
        .role
        .filter(|r| !r.is_empty())
        .map(|r| Role::from_name(&r).ok_or_else(bad_role))
        .transpose()?;
    Ok(Change {
        secret: asked.secret.filter(|s| !s.is_empty()).map(Into::into),
        role,
        user_id: asked.user_id,
        group_id: asked.group_id,
        project_id: asked.project_id,
    })
}

/// An answer.
pub(super) fn xml(root: &str, value: &impl Serialize) -> S3Result<S3Response<Body>> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_needs_a_key_a_secret_and_a_role() {
        let body = |a: &str, s: &str, r: &str| {
            format!(
                "<Account><Access>{a}</Access><Secret>{s}</Secret><Role>{r}</Role>\
                 <UserID> 7 </UserID><GroupID/><ProjectID>-1</ProjectID></Account>"
            )
        };
        let ok = new_account(body("alice", "s&amp;t", "user").as_bytes()).unwrap();
        assert_eq!((ok.0.as_str(), ok.1.role), ("alice", Role::User));
        let numbers = Numbers {
            user: 7,
            group: 0,
            project: -1,
        };
        assert_eq!(ok.1.numbers, numbers);
        for bad in [
            body("", "s", "user"),
            body("a/b", "s", "user"),
            body("a", "", "user"),
            body("a", "s", "god"),
        ] {
            let error = new_account(bad.as_bytes()).err().unwrap();
            assert_eq!(error.code().as_str(), "XAdminInvalidArgument", "{bad}");
        }
        for bad in [
            "nonsense".to_owned(),
            body("a<!DOCTYPE x>", "s", "user"),
            body("a<!doctype x>", "s", "user"),
            body("a", "s", "user").replace("-1", "one"),
        ] {
            let error = new_account(bad.as_bytes()).err().unwrap();
            assert_eq!(error.code().as_str(), "MalformedXML", "{bad}");
        }
    }

    #[test]
    fn tags_are_read_and_may_be_missing() {
        let pairs = |body: &str| -> Vec<(String, String)> {
            let read: BucketConfiguration = parse(body.as_bytes()).unwrap();
            let tags = read.tags.tag.into_iter();
            tags.map(|tag| (tag.key, tag.value)).collect()
        };
        let root = |inside: &str| {
            format!("<CreateBucketConfiguration>{inside}</CreateBucketConfiguration>")
        };
        assert_eq!(pairs(&root("")), []);
        assert_eq!(pairs(&root("<Tags/>")), []);
        let tag =
            "<Tags><Tag><Key>a</Key><Value>b&amp;</Value></Tag><Tag><Key>c</Key></Tag></Tags>";
        assert_eq!(
            pairs(&root(tag)),
            [
                ("a".to_owned(), "b&".to_owned()),
                ("c".to_owned(), String::new())
            ]
        );
    }
}
