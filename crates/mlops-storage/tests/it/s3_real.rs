//! What only real S3 servers can show, and servers that can do less.

use std::sync::Arc;
use std::time::Duration;

use mlops_core::{ErrorKind, SecretText};
use mlops_s3_server::{Config, Server};
use mlops_storage::s3::{
    BucketWish, Connect, Credentials, KeyWish, Owners, S3Client, Store, ensure_bucket, ensure_key,
};
use mlops_storage::{Foreign, Mark, Outcome};
use mlops_testkit::versity::TestVersity;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::harness::{assert_kind, endpoint, unique};

/// The embedded server over a folder of its own; both go with the value.
pub(crate) struct Embedded {
    url: String,
    task: tokio::task::JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl Embedded {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let admin =
            mlops_s3_server::Credentials::new(TestVersity::ACCESS_KEY, TestVersity::SECRET_KEY);
        let config = Config::new(folder.path().join("s3"), admin);
        let server = Server::bind(config, ([127, 0, 0, 1], 0).into())
            .await
            .unwrap();
        let url = format!("http://{}", server.local_addr());
        let task = tokio::spawn(async move {
            server.run(std::future::pending()).await.unwrap();
        });
        Self {
            url,
            task,
            _folder: folder,
        }
    }

    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn admin() -> Credentials {
    Credentials::new(
        TestVersity::ACCESS_KEY,
        SecretText::new(TestVersity::SECRET_KEY),
    )
}

fn store(url: &str) -> Store {
    Store::new(
        Arc::new(S3Client::new()),
        endpoint(url),
        "us-east-1",
        admin(),
    )
}

async fn functions_say_what_they_did(url: &str) {
    let store = store(url);
    let name = unique();
    let mark = Mark::of(&name.parse().unwrap());
    // What a URL, a signature and XML would trip over.
    let secret = SecretText::new("a/b+c<d>&e\"f='g% h");
    let key = KeyWish {
        key: Credentials::new(&name, secret),
    };
    let bucket = BucketWish {
        bucket: name.parse().unwrap(),
        owner: Some(name.clone()),
    };
    for outcome in [Outcome::Created, Outcome::Unchanged] {
        let did = ensure_key(&store, &key, &mark, Foreign::Refuse)
            .await
            .unwrap();
        assert_eq!(did, outcome);
        let did = ensure_bucket(&store, &bucket, &mark, Foreign::Refuse)
            .await
            .unwrap();
        assert_eq!(did, outcome);
    }
    let session = S3Client::new()
        .session(&endpoint(url), "us-east-1", &key.key)
        .await
        .unwrap();
    assert_eq!(session.list_buckets().await.unwrap(), [name.as_str()]);
    // A consumer is no administrator.
    let consumer = S3Client::new()
        .admin(&endpoint(url), "us-east-1", &key.key)
        .await
        .unwrap();
    assert_kind(consumer.list_keys().await, ErrorKind::PermissionDenied);
    let stranger = BucketWish {
        bucket: format!("{name}x").parse().unwrap(),
        owner: Some("nobody-of-that-name".to_owned()),
    };
    let result = ensure_bucket(&store, &stranger, &mark, Foreign::Refuse).await;
    assert_kind(result, ErrorKind::NotFound);
}

#[tokio::test]
async fn functions_say_what_they_did_on_versity() {
    functions_say_what_they_did(&TestVersity::shared().url()).await;
    assert!(
        !TestVersity::shared()
            .log()
            .contains(TestVersity::SECRET_KEY)
    );
}

#[tokio::test]
async fn functions_say_what_they_did_on_the_embedded_server() {
    let server = Embedded::start().await;
    functions_say_what_they_did(&server.url()).await;
}

#[tokio::test]
async fn a_bucket_of_many_objects_is_emptied() {
    let server = Embedded::start().await;
    let place = endpoint(&server.url());
    let client = S3Client::new();
    let bucket = "many".parse().unwrap();
    let admin = client.admin(&place, "us-east-1", &admin()).await.unwrap();
    admin
        .create_bucket(&bucket, None, &[].into())
        .await
        .unwrap();
    let session = client
        .session(&place, "us-east-1", &self::admin())
        .await
        .unwrap();
    for number in 0..1100 {
        session
            .put("many", &format!("a/{number}"), vec![0])
            .await
            .unwrap();
    }
    let holdings = admin.holdings("many").await.unwrap();
    assert_eq!(
        (holdings.objects, holdings.bytes, holdings.more),
        (1100, 1100, false)
    );
    assert_kind(admin.delete_bucket(&bucket).await, ErrorKind::Conflict);
    admin.empty_bucket(&bucket).await.unwrap();
    admin.delete_bucket(&bucket).await.unwrap();
    admin.delete_bucket(&bucket).await.unwrap();
    assert!(admin.list_buckets(Owners::Skip).await.unwrap().is_empty());
}

/// A server that answers everything with one status and body.
async fn answering(status: &'static str, body: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = vec![0; 16384];
                let read = stream.read(&mut buffer).await.unwrap_or(0);
                if read > 0 {
                    let answer = format!(
                        "HTTP/1.1 {status}\r\ncontent-type: application/xml\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                        body.len()
                    );
                    let _ = stream.write_all(answer.as_bytes()).await;
                }
            });
        }
    });
    url
}

#[tokio::test]
async fn a_server_that_does_not_offer_it_says_so() {
    for (status, body) in [
        (
            "501 Not Implemented",
            "<Error><Code>NotImplemented</Code></Error>",
        ),
        ("405 Method Not Allowed", ""),
        ("404 Not Found", "<Error><Code>NoSuchBucket</Code></Error>"),
        (
            "501 Not Implemented",
            "<Error><Code>XAdminMethodNotSupported</Code><Message>single</Message></Error>",
        ),
    ] {
        let store = store(&answering(status, body).await);
        let admin = store.admin().await.unwrap();
        let error = assert_kind(admin.list_keys().await, ErrorKind::Unsupported);
        assert!(
            error.hint().is_some_and(|hint| hint.contains("Versity")),
            "{error:?}"
        );
        assert_kind(
            admin.list_buckets(Owners::Needed).await,
            ErrorKind::Unsupported,
        );
        if status.starts_with("501") {
            assert_kind(admin.tags("a").await, ErrorKind::Unsupported);
        }
    }
}

#[tokio::test]
async fn nonsense_is_an_error_and_never_an_empty_list() {
    for body in ["", "hello", "{}", "<html><body>Sign in</body></html>", "<A"] {
        let store = store(&answering("200 OK", body).await);
        let admin = store.admin().await.unwrap();
        assert_kind(admin.list_keys().await, ErrorKind::Protocol);
        assert_kind(
            admin.list_buckets(Owners::Needed).await,
            ErrorKind::Protocol,
        );
    }
}

#[tokio::test]
async fn the_kinds_of_trouble_are_told_apart() {
    let gone = store(&format!("http://127.0.0.1:{}", {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    }));
    let gone_admin = gone.admin().await.unwrap();
    assert_kind(gone_admin.list_keys().await, ErrorKind::Unavailable);
    assert_kind(
        gone_admin.list_buckets(Owners::Skip).await,
        ErrorKind::Unavailable,
    );

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = format!("http://{}", listener.local_addr().unwrap());
    let client = S3Client::with_timeouts(Duration::from_millis(200), Duration::from_millis(200));
    let admin = client
        .admin(&endpoint(&silent), "us-east-1", &admin())
        .await
        .unwrap();
    assert_kind(admin.list_keys().await, ErrorKind::Timeout);
    assert_kind(admin.list_buckets(Owners::Skip).await, ErrorKind::Timeout);

    let busy = store(&answering("503 Slow Down", "<Error><Code>SlowDown</Code></Error>").await);
    let admin = busy.admin().await.unwrap();
    assert_kind(admin.list_keys().await, ErrorKind::RateLimited);
    assert_kind(
        admin.list_buckets(Owners::Skip).await,
        ErrorKind::RateLimited,
    );
}
