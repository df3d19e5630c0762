use std::time::{Duration, SystemTime};

use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;

use crate::support::{TestServer, http_client};

fn valid(duration: u64) -> PresigningConfig {
    PresigningConfig::expires_in(Duration::from_secs(duration)).unwrap()
}

#[tokio::test]
async fn a_signed_url_writes_and_reads_without_keys() {
    let server = TestServer::start().await;
    let s3 = server.owner_of("data").await;
    let put = s3
        .put_object()
        .bucket("data")
        .key("a b/ü")
        .presigned(valid(60))
        .await
        .unwrap();
    let answer = http_client()
        .put(put.uri())
        .body("hello")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    let get = s3
        .get_object()
        .bucket("data")
        .key("a b/ü")
        .presigned(valid(60))
        .await
        .unwrap();
    let answer = http_client().get(get.uri()).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.text().await.unwrap(), "hello");
    let part = http_client()
        .get(get.uri())
        .header("range", "bytes=1-2")
        .send()
        .await
        .unwrap();
    assert_eq!(
        (part.status().as_u16(), part.text().await.unwrap().as_str()),
        (206, "el")
    );
    // A URL is for one method and one key.
    assert_eq!(
        http_client()
            .put(get.uri())
            .body("x")
            .send()
            .await
            .unwrap()
            .status(),
        403
    );
    let other = get.uri().replace("a%20b", "a%20c");
    assert_eq!(http_client().get(other).send().await.unwrap().status(), 403);
}

#[tokio::test]
async fn an_expired_or_forbidden_url_is_refused() {
    let server = TestServer::start().await;
    let alice = server.owner_of("alices").await;
    let bob = server.owner_of("bobs").await;
    alice
        .put_object()
        .bucket("alices")
        .key("k")
        .body(ByteStream::from_static(b"x"))
        .send()
        .await
        .unwrap();
    let hour_ago = SystemTime::now() - Duration::from_hours(1);
    let old = PresigningConfig::builder()
        .start_time(hour_ago)
        .expires_in(Duration::from_mins(50))
        .build()
        .unwrap();
    let url = alice
        .get_object()
        .bucket("alices")
        .key("k")
        .presigned(old)
        .await
        .unwrap();
    let answer = http_client().get(url.uri()).send().await.unwrap();
    assert_eq!(answer.status(), 403);
    assert!(answer.text().await.unwrap().contains("expired"));
    let still = PresigningConfig::builder()
        .start_time(hour_ago)
        .expires_in(Duration::from_mins(70))
        .build()
        .unwrap();
    let url = alice
        .get_object()
        .bucket("alices")
        .key("k")
        .presigned(still)
        .await
        .unwrap();
    assert_eq!(
        http_client().get(url.uri()).send().await.unwrap().status(),
        200
    );
    let url = bob
        .get_object()
        .bucket("alices")
        .key("k")
        .presigned(valid(60))
        .await
        .unwrap();
    assert_eq!(
        http_client().get(url.uri()).send().await.unwrap().status(),
        403
    );
}
