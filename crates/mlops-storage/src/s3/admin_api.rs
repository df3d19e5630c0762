//! The admin interface of the Versity S3 gateway: signed PATCH requests with XML.
//!
//! Facts from `s3api/admin-router.go`, `s3api/controllers/admin.go` and `auth/iam.go` of the public repository
//! `versity/versitygw`.

use std::collections::BTreeMap;
use std::time::SystemTime;

use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4::SigningParams;
use mlops_core::{Endpoint, Error, ErrorKind, Result, SecretText};
use quick_xml::events::Event;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::{refused, wrap_http};
use super::model::{BucketFacts, Credentials, KeyFacts};

const HINT: &str = "the server needs the admin interface of the Versity S3 gateway for this; \
                    otherwise give the consumer's key and let the bucket have no owner";

pub(super) struct AdminApi {
    http: reqwest::Client,
    base: String,
    region: String,
    key: Credentials,
}

#[derive(Serialize)]
#[serde(rename = "Account", rename_all = "PascalCase")]
struct NewAccount<'a> {
    access: &'a str,
    secret: &'a str,
    role: &'static str,
    #[serde(rename = "UserID")]
    user_id: u32,
    #[serde(rename = "GroupID")]
    group_id: u32,
    #[serde(rename = "ProjectID")]
    project_id: u32,
}

#[derive(Serialize)]
#[serde(rename = "MutableProps", rename_all = "PascalCase")]
struct AccountChange<'a> {
    secret: &'a str,
    #[serde(rename = "ProjectID")]
    project_id: u32,
}

/// The secret is in the answer as well; it is not taken from there.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Account {
    access: String,
    #[serde(rename = "ProjectID", default)]
    project_id: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Accounts {
    #[serde(default)]
    accounts: Vec<Account>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Bucket {
    name: String,
    #[serde(default)]
    owner: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Buckets {
    #[serde(default)]
    buckets: Vec<Bucket>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Tag<'a> {
    key: &'a str,
    value: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Tags<'a> {
    tag: Vec<Tag<'a>>,
}

#[derive(Serialize)]
#[serde(rename = "CreateBucketConfiguration", rename_all = "PascalCase")]
struct BucketConfiguration<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    location_constraint: Option<&'a str>,
    tags: Tags<'a>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase")]
struct Refusal {
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    message: Option<String>,
}

fn to_xml<T: Serialize>(value: &T, doing: &str) -> Result<SecretText> {
    quick_xml::se::to_string(value)
        .map(SecretText::new)
        .map_err(|error| Error::new(ErrorKind::InvalidInput, doing).with_source(error.to_string()))
}

/// The name of the outermost element. `None` when the text is not well-formed, or holds a document type: no server
/// sends one, and the parser below ends the program (`unreachable!`) on one that stands inside a text.
fn root_of(text: &str) -> Option<String> {
    let mut reader = quick_xml::Reader::from_str(text);
    let mut root = None;
    loop {
        match reader.read_event().ok()? {
            Event::Start(element) | Event::Empty(element) if root.is_none() => {
                root = Some(String::from_utf8_lossy(element.local_name().as_ref()).into_owned());
            }
            Event::DocType(_) => return None,
            Event::Eof => return root,
            _ => {}
        }
    }
}

fn from_xml<T: DeserializeOwned>(text: &SecretText, root: &str, doing: &str) -> Result<T> {
    let wrong = || {
        Error::new(ErrorKind::Protocol, doing)
            .with_source("the answer is not the XML that the admin interface sends")
    };
    // Without this look any other document would read as an empty list.
    if root_of(text.expose()).as_deref() != Some(root) {
        return Err(wrong());
    }
    // The parser's message may repeat the text, which holds secrets: it is not passed on.
    quick_xml::de::from_str(text.expose()).map_err(|_| wrong())
}

/// The keys in the answer of `/list-users`.
pub(super) fn read_keys(text: &SecretText, doing: &str) -> Result<Vec<KeyFacts>> {
    let answer: Accounts = from_xml(text, "ListUserAccountsResult", doing)?;
    Ok(answer
        .accounts
        .into_iter()
        .map(|account| KeyFacts {
            access_key: account.access,
            project: u32::try_from(account.project_id).unwrap_or_default(),
        })
        .collect())
}

/// The buckets in the answer of `/list-buckets`.
pub(super) fn read_buckets(text: &SecretText, doing: &str) -> Result<Vec<BucketFacts>> {
    let answer: Buckets = from_xml(text, "ListBucketsResult", doing)?;
    Ok(answer
        .buckets
        .into_iter()
        .map(|bucket| BucketFacts {
            name: bucket.name,
            owner: Some(bucket.owner),
        })
        .collect())
}

/// The server's code and the error of a refusal.
pub(super) fn read_refusal(status: u16, text: &SecretText, at: String) -> (Option<String>, Error) {
    let refusal: Refusal = root_of(text.expose())
        .and_then(|_| quick_xml::de::from_str(text.expose()).ok())
        .unwrap_or_default();
    let error = refused(
        status,
        refusal.code.as_deref(),
        refusal.message.as_deref(),
        at,
    );
    (refusal.code, error)
}

impl AdminApi {
    pub(super) fn new(
        http: reqwest::Client,
        endpoint: &Endpoint,
        region: &str,
        key: Credentials,
    ) -> Self {
        Self {
            http,
            base: endpoint.url().as_str().trim_end_matches('/').to_owned(),
            region: region.to_owned(),
            key,
        }
    }

    pub(super) async fn list_keys(&self) -> Result<Vec<KeyFacts>> {
        let doing = "list keys";
        let text = self.send("/list-users", &[], None, None, doing).await?;
        read_keys(&text, doing)
    }

    pub(super) async fn list_buckets(&self) -> Result<Vec<BucketFacts>> {
        let doing = "list buckets with their owners";
        let text = self.send("/list-buckets", &[], None, None, doing).await?;
        read_buckets(&text, doing)
    }

    pub(super) async fn create_key(&self, key: &Credentials, project: u32) -> Result<()> {
        let doing = format!("create key `{}`", key.access_key);
        // `user` may use the buckets it owns and make none.
        let body = to_xml(
            &NewAccount {
                access: &key.access_key,
                secret: key.secret_key.expose(),
                role: "user",
                user_id: 0,
                group_id: 0,
                project_id: project,
            },
            &doing,
        )?;
        self.send("/create-user", &[], None, Some(body), &doing)
            .await?;
        Ok(())
    }

    pub(super) async fn update_key(&self, key: &Credentials, project: u32) -> Result<()> {
        let doing = format!("change key `{}`", key.access_key);
        let change = AccountChange {
            secret: key.secret_key.expose(),
            project_id: project,
        };
        let body = to_xml(&change, &doing)?;
        let query = [("access", key.access_key.as_str())];
        self.send("/update-user", &query, None, Some(body), &doing)
            .await?;
        Ok(())
    }

    pub(super) async fn delete_key(&self, access_key: &str) -> Result<()> {
        let doing = format!("remove key `{access_key}`");
        self.send(
            "/delete-user",
            &[("access", access_key)],
            None,
            None,
            &doing,
        )
        .await?;
        Ok(())
    }

    pub(super) async fn set_owner(&self, bucket: &str, owner: &str) -> Result<()> {
        let doing = format!("give bucket `{bucket}` to key `{owner}`");
        let query = [("bucket", bucket), ("owner", owner)];
        self.send("/change-bucket-owner", &query, None, None, &doing)
            .await?;
        Ok(())
    }

    pub(super) async fn create_bucket(
        &self,
        bucket: &str,
        owner: &str,
        tags: &BTreeMap<String, String>,
        location: Option<&str>,
    ) -> Result<()> {
        let doing = format!("create bucket `{bucket}` for key `{owner}`");
        let tag = tags.iter().map(|(key, value)| Tag { key, value }).collect();
        let configuration = BucketConfiguration {
            location_constraint: location,
            tags: Tags { tag },
        };
        let body = to_xml(&configuration, &doing)?;
        let path = format!("/{bucket}/create");
        self.send(&path, &[], Some(owner), Some(body), &doing)
            .await?;
        Ok(())
    }

    fn request(
        &self,
        path: &str,
        query: &[(&str, &str)],
        owner: Option<&str>,
        body: Option<SecretText>,
        doing: &str,
    ) -> Result<reqwest::Request> {
        let broken = |error: Box<dyn std::error::Error + Send + Sync>| {
            Error::new(ErrorKind::InvalidInput, doing).with_source(error)
        };
        let mut url = reqwest::Url::parse(&format!("{}{path}", self.base))
            .map_err(|error| broken(error.into()))?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let body = body.map_or_else(Vec::new, |body| body.expose().as_bytes().to_vec());
        let mut request = http::Request::builder().method("PATCH").uri(url.as_str());
        if let Some(owner) = owner {
            request = request.header("x-vgw-owner", owner);
        }
        let mut request = request.body(body).map_err(|error| broken(error.into()))?;

        let identity = aws_credential_types::Credentials::new(
            &self.key.access_key,
            self.key.secret_key.expose(),
            None,
            None,
            "mlops",
        )
        .into();
        let mut settings = SigningSettings::default();
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        let params = SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("s3")
            .time(SystemTime::now())
            .settings(settings)
            .build()
            .map_err(|error| broken(error.into()))?
            .into();
        let signable = SignableRequest::new(
            "PATCH",
            url.as_str(),
            owner.iter().map(|owner| ("x-vgw-owner", *owner)),
            SignableBody::Bytes(request.body()),
        )
        .map_err(|error| broken(error.into()))?;
        let (instructions, _) = sign(signable, &params)
            .map_err(|error| broken(error.into()))?
            .into_parts();
        instructions.apply_to_request_http1x(&mut request);
        reqwest::Request::try_from(request).map_err(|error| broken(error.into()))
    }

    async fn send(
        &self,
        path: &str,
        query: &[(&str, &str)],
        owner: Option<&str>,
        body: Option<SecretText>,
        doing: &str,
    ) -> Result<SecretText> {
        let request = self.request(path, query, owner, body, doing)?;
        let at = format!("{doing} at {}", self.base);
        let answer = match self.http.execute(request).await {
            Ok(answer) => answer,
            Err(error) => return Err(wrap_http(error, at)),
        };
        let status = answer.status();
        let text = match answer.text().await {
            Ok(text) => SecretText::new(text),
            Err(error) => return Err(wrap_http(error, at)),
        };
        if status.is_success() {
            return Ok(text);
        }
        let (code, error) = read_refusal(status.as_u16(), &text, at.clone());
        let code = code.as_deref();
        // A server without this interface takes the path for a bucket's or knows no such method.
        let no_route = status.as_u16() == 404 && !code.is_some_and(|code| code.starts_with('X'));
        let no_route = no_route && !(path.ends_with("/create") || path.starts_with("/change"));
        if error.kind() == ErrorKind::Unsupported || no_route {
            return Err(Error::new(ErrorKind::Unsupported, at)
                .with_source(error.causes().join(": "))
                .with_hint(HINT));
        }
        Err(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_gateway_sends_is_understood() {
        let text = "<ListUserAccountsResult><Accounts><Access>a</Access><Secret>s</Secret><Role>user</Role>\
                    <UserID>0</UserID><GroupID>0</GroupID><ProjectID>1073741825</ProjectID></Accounts>\
                    <Accounts><Access>b</Access><Secret>t</Secret><ProjectID>-1</ProjectID></Accounts>\
                    </ListUserAccountsResult>";
        let root = "ListUserAccountsResult";
        let answer: Accounts = from_xml(&SecretText::new(text), root, "list").unwrap();
        assert_eq!(answer.accounts[0].project_id, 1_073_741_825);
        assert_eq!(answer.accounts[1].access, "b");
        let empty = SecretText::new("<ListUserAccountsResult></ListUserAccountsResult>");
        let answer: Accounts = from_xml(&empty, root, "list").unwrap();
        assert!(answer.accounts.is_empty());
        assert!(from_xml::<Accounts>(&empty, "ListBucketsResult", "list").is_err());
    }

    #[test]
    fn a_broken_answer_is_not_repeated_in_the_error() {
        let text = SecretText::new("<A><Accounts><Secret>hunter2</Wrong>");
        let error = from_xml::<Accounts>(&text, "A", "list").err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Protocol);
        assert!(!format!("{error:?} {:?}", error.causes()).contains("hunter2"));
    }

    #[test]
    fn secrets_are_escaped_for_xml() {
        let change = AccountChange {
            secret: "a<b&c>\"'",
            project_id: 7,
        };
        let text = to_xml(&change, "x").unwrap();
        assert!(
            text.expose().contains("<Secret>a&lt;b&amp;c"),
            "{}",
            text.expose()
        );
        assert!(text.expose().contains("<ProjectID>7</ProjectID>"));
    }
}
