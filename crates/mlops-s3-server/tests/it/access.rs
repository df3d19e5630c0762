use std::os::unix::fs::PermissionsExt as _;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{Delete, ObjectIdentifier};

use crate::support::{ADMIN, TestServer, client, http_client, is, refused};

#[tokio::test]
async fn strangers_are_refused() {
    let server = TestServer::start().await;
    server
        .admin()
        .create_bucket()
        .bucket("data")
        .send()
        .await
        .unwrap();
    let wrong = client(server.address, ADMIN, "not-the-secret");
    assert_eq!(
        refused(wrong.list_buckets().send().await),
        is(403, "SignatureDoesNotMatch")
    );
    let unknown = client(server.address, "nobody", "x");
    assert_eq!(
        refused(unknown.list_buckets().send().await),
        is(403, "InvalidAccessKeyId")
    );
    for path in ["/", "/data", "/data/key"] {
        let answer = http_client().get(server.url(path)).send().await.unwrap();
        assert_eq!(answer.status(), 403, "{path}");
        assert!(answer.text().await.unwrap().contains("AccessDenied"));
    }
    let put = http_client()
        .put(server.url("/data/key"))
        .body("x")
        .send()
        .await
        .unwrap();
    assert_eq!(put.status(), 403);
    let old = http_client()
        .get(server.url("/data"))
        .header("authorization", "AWS admin:c2lnbmF0dXJl")
        .send()
        .await
        .unwrap();
    assert_eq!(old.status(), 400);
    assert!(old.text().await.unwrap().contains("AWS4-HMAC-SHA256"));
}

#[tokio::test]
async fn a_key_uses_its_own_buckets_and_no_others() {
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
    let denied = is(403, "AccessDenied");
    assert_eq!(
        refused(bob.get_object().bucket("alices").key("k").send().await),
        denied
    );
    assert_eq!(
        refused(bob.put_object().bucket("alices").key("k").send().await),
        denied
    );
    assert_eq!(
        refused(bob.delete_object().bucket("alices").key("k").send().await),
        denied
    );
    assert_eq!(
        refused(bob.list_objects_v2().bucket("alices").send().await),
        denied
    );
    assert_eq!(
        refused(bob.delete_bucket().bucket("alices").send().await),
        denied
    );
    assert_eq!(
        refused(
            bob.create_multipart_upload()
                .bucket("alices")
                .key("u")
                .send()
                .await
        ),
        denied
    );
    assert_eq!(
        refused(bob.head_bucket().bucket("alices").send().await).0,
        403
    );
    assert_eq!(
        refused(bob.head_object().bucket("alices").key("k").send().await).0,
        403
    );
    let key = ObjectIdentifier::builder().key("k").build().unwrap();
    let delete = Delete::builder().objects(key).build().unwrap();
    assert_eq!(
        refused(
            bob.delete_objects()
                .bucket("alices")
                .delete(delete)
                .send()
                .await
        ),
        denied
    );
    let copy = bob
        .copy_object()
        .bucket("bobs")
        .key("stolen")
        .copy_source("alices/k")
        .send()
        .await;
    assert_eq!(refused(copy), denied);
    let begun = bob
        .create_multipart_upload()
        .bucket("bobs")
        .key("u")
        .send()
        .await
        .unwrap();
    let part = bob
        .upload_part_copy()
        .bucket("bobs")
        .key("u")
        .upload_id(begun.upload_id().unwrap())
        .part_number(1)
        .copy_source("alices/k")
        .send()
        .await;
    assert_eq!(refused(part), denied);
    assert_eq!(
        refused(bob.create_bucket().bucket("new-one").send().await),
        denied
    );
    assert_eq!(
        refused(bob.create_bucket().bucket("alices").send().await),
        denied
    );
    // The object is as it was, and the admin may do everything.
    let get = server
        .admin()
        .get_object()
        .bucket("alices")
        .key("k")
        .send()
        .await
        .unwrap();
    assert_eq!(get.body.collect().await.unwrap().to_vec(), b"x");
    assert_eq!(
        refused(bob.get_object().bucket("missing").key("k").send().await),
        is(404, "NoSuchBucket")
    );
}

#[tokio::test]
async fn an_expected_owner_must_be_the_owner() {
    let server = TestServer::start().await;
    let alice = server.owner_of("alices").await;
    let put = |owner: &str| {
        alice
            .put_object()
            .bucket("alices")
            .key("k")
            .expected_bucket_owner(owner)
    };
    put("key-of-alices").send().await.unwrap();
    assert_eq!(
        refused(put("somebody").send().await),
        is(403, "AccessDenied")
    );
}

#[tokio::test]
async fn accounts_outlive_a_restart_in_a_file_for_the_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start_in(folder.path().join("s3")).await;
    server.owner_of("alices").await;
    let file = server.root.join("accounts.json");
    assert_eq!(
        std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(
        std::fs::metadata(&server.root)
            .unwrap()
            .permissions()
            .mode()
            & 0o777,
        0o700
    );
    server.stop().await;
    let server = TestServer::start_in(folder.path().join("s3")).await;
    let alice = client(server.address, "key-of-alices", "secret");
    alice.head_bucket().bucket("alices").send().await.unwrap();
}
