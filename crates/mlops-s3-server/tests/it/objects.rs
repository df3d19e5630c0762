use std::time::{Duration, SystemTime};

use aws_sdk_s3::error::ProvideErrorMetadata as _;
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{Delete, MetadataDirective, ObjectIdentifier};

use crate::support::{TestServer, is, noise, refused};

#[tokio::test]
async fn an_object_comes_back_with_its_headers() {
    let server = TestServer::start().await;
    let s3 = server.owner_of("data").await;
    let expires = DateTime::from_secs(1_900_000_000);
    let put = s3
        .put_object()
        .bucket("data")
        .key("dir/file.json")
        .body(ByteStream::from_static(b"{}"))
        .content_type("application/json")
        .cache_control("no-store")
        .content_disposition("attachment; filename=x")
        .content_encoding("identity")
        .content_language("de")
        .expires(expires)
        .metadata("Run-Id", "42")
        .metadata("other", "value with spaces")
        .send()
        .await
        .unwrap();
    assert_eq!(put.e_tag(), Some("\"99914b932bd37a50b983c5e7c90ae93b\""));
    let get = s3
        .get_object()
        .bucket("data")
        .key("dir/file.json")
        .send()
        .await
        .unwrap();
    assert_eq!(get.content_type(), Some("application/json"));
    assert_eq!(get.cache_control(), Some("no-store"));
    assert_eq!(get.content_disposition(), Some("attachment; filename=x"));
    assert_eq!(get.content_encoding(), Some("identity"));
    assert_eq!(get.content_language(), Some("de"));
    assert_eq!(get.expires_string(), Some("Sun, 17 Mar 2030 17:46:40 GMT"));
    let user = get.metadata().unwrap();
    assert_eq!(
        (user["run-id"].as_str(), user["other"].as_str()),
        ("42", "value with spaces")
    );
    assert_eq!((get.content_length(), get.e_tag()), (Some(2), put.e_tag()));
    let age = SystemTime::now()
        .duration_since(SystemTime::try_from(*get.last_modified().unwrap()).unwrap())
        .unwrap();
    assert!(age < Duration::from_mins(1), "{age:?}");
    assert_eq!(
        get.body.collect().await.unwrap().into_bytes().as_ref(),
        b"{}"
    );
    let head = s3
        .head_object()
        .bucket("data")
        .key("dir/file.json")
        .send()
        .await
        .unwrap();
    assert_eq!(
        (head.content_length(), head.content_type()),
        (Some(2), Some("application/json"))
    );

    s3.put_object()
        .bucket("data")
        .key("empty")
        .send()
        .await
        .unwrap();
    let get = s3
        .get_object()
        .bucket("data")
        .key("empty")
        .send()
        .await
        .unwrap();
    assert_eq!(
        (get.content_length(), get.content_type()),
        (Some(0), Some("application/octet-stream"))
    );
    assert!(get.body.collect().await.unwrap().into_bytes().is_empty());
}

#[tokio::test]
async fn objects_around_the_batch_size_come_back_whole() {
    let server = TestServer::start().await;
    let s3 = server.owner_of("data").await;
    let batch = 256 << 10;
    for size in [
        1,
        batch - 1,
        batch,
        batch + 1,
        2 * batch,
        3 * batch + 7,
        9_000_001,
    ] {
        let data = noise(size);
        s3.put_object()
            .bucket("data")
            .key("k")
            .body(data.clone().into())
            .send()
            .await
            .unwrap();
        let get = s3
            .get_object()
            .bucket("data")
            .key("k")
            .send()
            .await
            .unwrap();
        assert_eq!(get.content_length(), i64::try_from(size).ok());
        assert!(
            get.body.collect().await.unwrap().into_bytes() == data,
            "{size}"
        );
    }
}

#[tokio::test]
async fn ranges_are_answered_in_part() {
    let server = TestServer::start().await;
    let s3 = server.owner_of("data").await;
    let data = noise(1_000_000);
    s3.put_object()
        .bucket("data")
        .key("k")
        .body(data.clone().into())
        .send()
        .await
        .unwrap();
    for (range, start, end) in [
        ("bytes=0-0", 0, 1),
        ("bytes=10-19", 10, 20),
        ("bytes=500000-", 500_000, 1_000_000),
        ("bytes=-7", 999_993, 1_000_000),
        ("bytes=100-2000000", 100, 1_000_000),
        ("bytes=-2000000", 0, 1_000_000),
    ] {
        let get = s3
            .get_object()
            .bucket("data")
            .key("k")
            .range(range)
            .send()
            .await
            .unwrap();
        let shown = format!("bytes {start}-{}/1000000", end - 1);
        assert_eq!(get.content_range(), Some(shown.as_str()), "{range}");
        assert!(
            get.body.collect().await.unwrap().into_bytes() == data[start..end],
            "{range}"
        );
    }
    let past = s3
        .get_object()
        .bucket("data")
        .key("k")
        .range("bytes=1000000-")
        .send()
        .await;
    assert_eq!(refused(past), is(416, "InvalidRange"));
    let head = s3
        .head_object()
        .bucket("data")
        .key("k")
        .range("bytes=1-2")
        .send()
        .await
        .unwrap();
    assert_eq!(head.content_length(), Some(2));
}

#[tokio::test]
async fn what_is_missing_is_missing() {
    let server = TestServer::start().await;
    let s3 = server.admin();
    s3.create_bucket().bucket("data").send().await.unwrap();
    assert_eq!(
        refused(s3.get_object().bucket("data").key("k").send().await),
        is(404, "NoSuchKey")
    );
    assert_eq!(
        refused(s3.head_object().bucket("data").key("k").send().await).0,
        404
    );
    assert_eq!(
        refused(s3.get_object().bucket("none").key("k").send().await),
        is(404, "NoSuchBucket")
    );
    let put = s3
        .put_object()
        .bucket("none")
        .key("k")
        .body(ByteStream::from_static(b"x"))
        .send()
        .await;
    assert_eq!(refused(put), is(404, "NoSuchBucket"));
    s3.delete_object()
        .bucket("data")
        .key("k")
        .send()
        .await
        .unwrap();
}

#[tokio::test]
async fn copies_keep_or_replace_the_headers() {
    let server = TestServer::start().await;
    let s3 = server.owner_of("data").await;
    let data = noise(700_000);
    s3.put_object()
        .bucket("data")
        .key("a b/ü")
        .body(data.clone().into())
        .content_type("text/x")
        .metadata("k", "v")
        .send()
        .await
        .unwrap();
    let copy = || {
        s3.copy_object()
            .bucket("data")
            .copy_source("data/a%20b/%C3%BC")
    };
    copy().key("kept").send().await.unwrap();
    let get = s3
        .get_object()
        .bucket("data")
        .key("kept")
        .send()
        .await
        .unwrap();
    assert_eq!(
        (get.content_type(), get.metadata().unwrap()["k"].as_str()),
        (Some("text/x"), "v")
    );
    assert!(get.body.collect().await.unwrap().into_bytes() == data);

    copy()
        .key("a b/ü")
        .metadata_directive(MetadataDirective::Replace)
        .content_type("text/y")
        .send()
        .await
        .unwrap();
    let head = s3
        .head_object()
        .bucket("data")
        .key("a b/ü")
        .send()
        .await
        .unwrap();
    assert_eq!(head.content_type(), Some("text/y"));
    assert!(
        head.metadata()
            .is_none_or(std::collections::HashMap::is_empty)
    );
    assert_eq!(
        refused(copy().key("a b/ü").send().await),
        is(400, "InvalidRequest")
    );
    let unchanged = copy()
        .key("x")
        .copy_source_if_none_match(head.e_tag().unwrap())
        .send()
        .await;
    assert_eq!(refused(unchanged), is(412, "PreconditionFailed"));
    let none = s3
        .copy_object()
        .bucket("data")
        .key("x")
        .copy_source("data/none")
        .send()
        .await;
    assert_eq!(refused(none), is(404, "NoSuchKey"));
}

#[tokio::test]
async fn many_objects_are_removed_in_one_call() {
    let server = TestServer::start().await;
    let s3 = server.owner_of("data").await;
    let keys = ["a", "a/b", "a/b/c", "ü <&> x"];
    for key in keys {
        s3.put_object()
            .bucket("data")
            .key(key)
            .body(ByteStream::from_static(b"x"))
            .send()
            .await
            .unwrap();
    }
    let objects = keys
        .iter()
        .chain(&["none"])
        .map(|k| ObjectIdentifier::builder().key(*k).build().unwrap())
        .chain([ObjectIdentifier::builder()
            .key("v")
            .version_id("7")
            .build()
            .unwrap()]);
    let delete = Delete::builder()
        .set_objects(Some(objects.collect()))
        .build()
        .unwrap();
    let answer = s3
        .delete_objects()
        .bucket("data")
        .delete(delete)
        .send()
        .await
        .unwrap();
    let deleted: Vec<_> = answer.deleted().iter().map(|d| d.key().unwrap()).collect();
    assert_eq!(deleted, ["a", "a/b", "a/b/c", "ü <&> x", "none"]);
    assert_eq!(answer.errors().len(), 1);
    assert_eq!(answer.errors()[0].code(), Some("NotImplemented"));
    assert_eq!(
        crate::support::names(&server.root.join("buckets/data/objects")),
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn a_damaged_file_is_an_error_and_not_wrong_data() {
    let server = TestServer::start().await;
    let s3 = server.owner_of("data").await;
    s3.put_object()
        .bucket("data")
        .key("k")
        .body(ByteStream::from_static(b"hello"))
        .send()
        .await
        .unwrap();
    let file = server.root.join("buckets/data/objects/k.o");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes.truncate(bytes.len() - 3);
    std::fs::write(&file, bytes).unwrap();
    let error = s3
        .get_object()
        .bucket("data")
        .key("k")
        .send()
        .await
        .unwrap_err();
    assert_eq!(error.code(), Some("InternalError"));
    assert!(error.message().unwrap().contains("damaged"), "{error:?}");
}
