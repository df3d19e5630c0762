use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration, Tag, Tagging};

use crate::support::{TestServer, client, is, names, refused};

#[tokio::test]
async fn a_bucket_is_made_once_found_and_removed() {
    let server = TestServer::start().await;
    let s3 = server.admin();
    s3.create_bucket().bucket("models").send().await.unwrap();
    assert_eq!(
        refused(s3.create_bucket().bucket("models").send().await),
        is(409, "BucketAlreadyOwnedByYou")
    );
    s3.head_bucket().bucket("models").send().await.unwrap();
    assert_eq!(
        refused(s3.head_bucket().bucket("other").send().await).0,
        404
    );

    server.create_user("second", "secret", "admin").await;
    let second = client(server.address, "second", "secret");
    assert_eq!(
        refused(second.create_bucket().bucket("models").send().await),
        is(409, "BucketAlreadyExists")
    );

    s3.delete_bucket().bucket("models").send().await.unwrap();
    assert_eq!(
        refused(s3.delete_bucket().bucket("models").send().await),
        is(404, "NoSuchBucket")
    );
    second
        .create_bucket()
        .bucket("models")
        .send()
        .await
        .unwrap();
}

#[tokio::test]
async fn a_bucket_with_objects_stays_and_one_with_unfinished_uploads_goes() {
    let server = TestServer::start().await;
    let s3 = server.admin();
    s3.create_bucket().bucket("full").send().await.unwrap();
    s3.put_object()
        .bucket("full")
        .key("a/b")
        .body(ByteStream::from_static(b"x"))
        .send()
        .await
        .unwrap();
    assert_eq!(
        refused(s3.delete_bucket().bucket("full").send().await),
        is(409, "BucketNotEmpty")
    );
    s3.get_object()
        .bucket("full")
        .key("a/b")
        .send()
        .await
        .unwrap();
    s3.delete_object()
        .bucket("full")
        .key("a/b")
        .send()
        .await
        .unwrap();
    s3.create_multipart_upload()
        .bucket("full")
        .key("big")
        .send()
        .await
        .unwrap();
    s3.delete_bucket().bucket("full").send().await.unwrap();
    assert!(names(&server.root.join("buckets")).is_empty());
    assert!(names(&server.root.join("tmp")).is_empty());
}

#[tokio::test]
async fn a_foreign_file_in_a_bucket_s_folder_is_never_removed() {
    let server = TestServer::start().await;
    let s3 = server.admin();
    s3.create_bucket().bucket("mixed").send().await.unwrap();
    let folder = server.root.join("buckets/mixed");
    for place in [folder.join("notes.txt"), folder.join("objects/notes.txt")] {
        std::fs::write(&place, "mine").unwrap();
        let listed = s3.list_objects_v2().bucket("mixed").send().await.unwrap();
        assert_eq!(listed.key_count(), Some(0));
        assert_eq!(
            refused(s3.delete_bucket().bucket("mixed").send().await),
            is(409, "BucketNotEmpty")
        );
        assert_eq!(std::fs::read_to_string(&place).unwrap(), "mine");
        std::fs::remove_file(place).unwrap();
    }
    std::fs::create_dir(server.root.join("buckets/strange")).unwrap();
    assert_eq!(
        refused(s3.create_bucket().bucket("strange").send().await),
        is(409, "BucketAlreadyExists")
    );
}

async fn list(s3: &aws_sdk_s3::Client) -> Vec<String> {
    let listed = s3.list_buckets().send().await.unwrap();
    listed
        .buckets()
        .iter()
        .map(|b| b.name().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn each_key_lists_its_own_buckets_and_the_admin_all() {
    let server = TestServer::start().await;
    let alice = server.owner_of("alices").await;
    let bob = server.owner_of("bobs").await;
    assert_eq!(list(&alice).await, ["alices"]);
    assert_eq!(list(&bob).await, ["bobs"]);
    assert_eq!(list(&server.admin()).await, ["alices", "bobs"]);
    let page = server
        .admin()
        .list_buckets()
        .max_buckets(1)
        .send()
        .await
        .unwrap();
    assert_eq!(page.buckets()[0].name(), Some("alices"));
    let token = page.continuation_token().unwrap();
    let page = server
        .admin()
        .list_buckets()
        .continuation_token(token)
        .send()
        .await
        .unwrap();
    assert_eq!(page.buckets()[0].name(), Some("bobs"));
}

#[tokio::test]
async fn tags_and_location_are_kept_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start_in(folder.path().join("s3")).await;
    let s3 = server.admin();
    s3.create_bucket().bucket("tagged").send().await.unwrap();
    assert_eq!(
        refused(s3.get_bucket_tagging().bucket("tagged").send().await),
        is(404, "NoSuchTagSet")
    );
    let tag = Tag::builder().key("owner").value("ü&<").build().unwrap();
    let tags = Tagging::builder().tag_set(tag.clone()).build().unwrap();
    s3.put_bucket_tagging()
        .bucket("tagged")
        .tagging(tags)
        .send()
        .await
        .unwrap();
    server.stop().await;

    let server = TestServer::start_in(folder.path().join("s3")).await;
    let s3 = server.admin();
    let found = s3
        .get_bucket_tagging()
        .bucket("tagged")
        .send()
        .await
        .unwrap();
    assert_eq!(found.tag_set(), [tag]);
    s3.delete_bucket_tagging()
        .bucket("tagged")
        .send()
        .await
        .unwrap();
    assert_eq!(
        refused(s3.get_bucket_tagging().bucket("tagged").send().await),
        is(404, "NoSuchTagSet")
    );
    let location = s3
        .get_bucket_location()
        .bucket("tagged")
        .send()
        .await
        .unwrap();
    assert!(
        location
            .location_constraint()
            .is_none_or(|l| l.as_str().is_empty())
    );
    let far = CreateBucketConfiguration::builder()
        .location_constraint(BucketLocationConstraint::EuWest1)
        .build();
    let far = s3
        .create_bucket()
        .bucket("far-away")
        .create_bucket_configuration(far)
        .send()
        .await;
    assert_eq!(refused(far), is(400, "InvalidLocationConstraint"));
}

#[tokio::test]
async fn what_is_not_offered_says_so() {
    let server = TestServer::start().await;
    let s3 = server.admin();
    s3.create_bucket().bucket("plain").send().await.unwrap();
    let not = is(501, "NotImplemented");
    assert_eq!(
        refused(s3.get_bucket_versioning().bucket("plain").send().await),
        not
    );
    assert_eq!(
        refused(s3.get_bucket_policy().bucket("plain").send().await),
        not
    );
    assert_eq!(
        refused(s3.get_bucket_acl().bucket("plain").send().await),
        not
    );
    assert_eq!(
        refused(
            s3.get_object_tagging()
                .bucket("plain")
                .key("k")
                .send()
                .await
        ),
        not
    );
    let locked = s3
        .create_bucket()
        .bucket("locked")
        .object_lock_enabled_for_bucket(true)
        .send()
        .await;
    assert_eq!(refused(locked), not);
    let put = || {
        s3.put_object()
            .bucket("plain")
            .key("k")
            .body(ByteStream::from_static(b"x"))
    };
    assert_eq!(refused(put().tagging("a=b").send().await), not);
    assert_eq!(
        refused(put().server_side_encryption("AES256".into()).send().await),
        not
    );
    assert_eq!(refused(put().acl("public-read".into()).send().await), not);
    assert_eq!(
        refused(put().storage_class("GLACIER".into()).send().await),
        not
    );
    assert_eq!(
        refused(put().website_redirect_location("/x").send().await),
        not
    );
    let form = crate::support::http_client()
        .post(server.url("/plain"))
        .header("content-type", "multipart/form-data; boundary=x")
        .body("--x--")
        .send()
        .await
        .unwrap();
    assert_eq!(form.status(), 501);
    assert_eq!(
        s3.list_objects_v2()
            .bucket("plain")
            .send()
            .await
            .unwrap()
            .key_count(),
        Some(0)
    );
}
