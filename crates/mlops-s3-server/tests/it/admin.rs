//! The admin interface, with the answers that the Versity S3 gateway 1.8.0 gave
//! to the same calls.

use crate::support::{ADMIN, SECRET, TestServer, client, http_client, is, refused};

fn account(access: &str, secret: &str, role: &str) -> String {
    format!(
        "<Account><Access>{access}</Access><Secret>{secret}</Secret><Role>{role}</Role></Account>"
    )
}

fn code(text: &str) -> &str {
    let code = text
        .split("<Code>")
        .nth(1)
        .and_then(|t| t.split("</Code>").next());
    code.unwrap_or_default()
}

#[tokio::test]
async fn users_are_made_once_changed_listed_and_removed() {
    let server = TestServer::start().await;
    let call = async |path: &str, body: &str| {
        let (status, text) = server.call("PATCH", path, body).await;
        (status, code(&text).to_owned())
    };
    assert_eq!(
        call("/create-user", &account("alice", "one", "user")).await,
        is(201, "")
    );
    assert_eq!(
        call("/create-user", &account("alice", "two", "user")).await,
        is(409, "XAdminUserExists")
    );
    assert_eq!(
        call("/create-user", &account(ADMIN, "x", "user")).await,
        is(409, "XAdminUserExists")
    );
    assert_eq!(
        call("/create-user", &account("bob", "x", "god")).await,
        is(400, "XAdminInvalidArgument")
    );
    assert_eq!(
        call("/create-user", "nonsense").await,
        is(400, "MalformedXML")
    );
    assert_eq!(call("/create-user", "").await, is(400, "MalformedXML"));
    client(server.address, "alice", "one")
        .list_buckets()
        .send()
        .await
        .unwrap();

    let secret = "<MutableProps><Secret>three</Secret></MutableProps>";
    assert_eq!(call("/update-user?access=alice", secret).await, is(200, ""));
    let old = client(server.address, "alice", "one")
        .list_buckets()
        .send()
        .await;
    assert_eq!(refused(old), is(403, "SignatureDoesNotMatch"));
    client(server.address, "alice", "three")
        .list_buckets()
        .send()
        .await
        .unwrap();
    let god = "<MutableProps><Role>god</Role></MutableProps>";
    assert_eq!(
        call("/update-user?access=alice", god).await,
        is(400, "XAdminInvalidArgument")
    );
    assert_eq!(
        call("/update-user?access=zed", secret).await,
        is(404, "XAdminUserNotFound")
    );
    assert_eq!(
        call("/update-user", secret).await,
        is(404, "XAdminInvalidArgument")
    );

    let (status, text) = server.call("PATCH", "/list-users", "").await;
    assert_eq!(status, 200);
    assert!(
        text.contains(
            "<Accounts><Access>alice</Access><Secret/><Role>user</Role><UserID>0</UserID>"
        ),
        "{text}"
    );
    assert!(!text.contains("three") && !text.contains(SECRET), "{text}");

    assert_eq!(call("/delete-user?access=alice", "").await, is(200, ""));
    assert_eq!(call("/delete-user?access=alice", "").await, is(200, ""));
    assert_eq!(
        call("/delete-user", "").await,
        is(404, "XAdminInvalidArgument")
    );
    let gone = client(server.address, "alice", "three")
        .list_buckets()
        .send()
        .await;
    assert_eq!(refused(gone), is(403, "InvalidAccessKeyId"));
    assert_eq!(
        server
            .call("PATCH", "/list-users", "")
            .await
            .1
            .matches("<Accounts>")
            .count(),
        0
    );
}

#[tokio::test]
async fn buckets_change_owners() {
    let server = TestServer::start().await;
    server.create_user("alice", "secret", "user").await;
    let call = async |path: &str| {
        let (status, text) = server.call("PATCH", path, "").await;
        (status, code(&text).to_owned())
    };
    server
        .admin()
        .create_bucket()
        .bucket("bucket-1")
        .send()
        .await
        .unwrap();
    assert_eq!(
        call("/change-bucket-owner?bucket=bucket-1&owner=zed").await,
        is(404, "XAdminUserNotFound")
    );
    assert_eq!(
        call("/change-bucket-owner?bucket=bucket-9&owner=alice").await,
        is(404, "NoSuchBucket")
    );
    assert_eq!(
        call("/change-bucket-owner?bucket=bucket-1&owner=alice").await,
        is(200, "")
    );
    let alice = client(server.address, "alice", "secret");
    alice.head_bucket().bucket("bucket-1").send().await.unwrap();
    let again = server
        .admin()
        .create_bucket()
        .bucket("bucket-1")
        .send()
        .await;
    assert_eq!(refused(again), is(409, "BucketAlreadyExists"));

    let for_alice = async |path: &str, owner: &[(&str, &str)]| {
        let (status, text) = server
            .call_as(ADMIN, SECRET, "PATCH", path, "", owner)
            .await;
        (status, code(&text).to_owned())
    };
    let owner = [("x-vgw-owner", "alice")];
    assert_eq!(for_alice("/bucket-2/create", &owner).await, is(201, ""));
    assert_eq!(
        for_alice("/bucket-2/create", &owner).await,
        is(409, "BucketAlreadyOwnedByYou")
    );
    assert_eq!(
        for_alice("/bucket-3/create", &[]).await,
        is(400, "XAdminInvalidRequest")
    );
    assert_eq!(
        for_alice("/bucket-3/create", &[("x-vgw-owner", "zed")]).await,
        is(404, "XAdminUserNotFound")
    );

    server
        .admin()
        .create_bucket()
        .bucket("bucket-4")
        .send()
        .await
        .unwrap();
    let (status, text) = server.call("PATCH", "/list-buckets", "").await;
    assert_eq!(status, 200);
    let expected = "<ListBucketsResult><Buckets><Name>bucket-1</Name><Owner>alice</Owner></Buckets>\
        <Buckets><Name>bucket-2</Name><Owner>alice</Owner></Buckets>\
        <Buckets><Name>bucket-4</Name><Owner>admin</Owner></Buckets></ListBucketsResult>";
    assert!(text.ends_with(expected), "{text}");
}

#[tokio::test]
async fn only_admins_may_call() {
    let server = TestServer::start().await;
    server.create_user("alice", "secret", "user").await;
    server.create_user("carol", "secret", "userplus").await;
    server.create_user("root2", "secret", "admin").await;
    for path in [
        "/list-users",
        "/create-user",
        "/list-buckets",
        "/delete-user?access=root2",
        "/my-bucket/create",
    ] {
        for user in ["alice", "carol"] {
            let (status, text) = server.call_as(user, "secret", "PATCH", path, "", &[]).await;
            assert_eq!(
                (status, code(&text)),
                (403, "XAdminAccessDenied"),
                "{path} {user}"
            );
        }
        let (status, text) = server
            .call_as("alice", "wrong", "PATCH", path, "", &[])
            .await;
        assert_eq!(
            (status, code(&text)),
            (403, "SignatureDoesNotMatch"),
            "{path}"
        );
        let anonymous = http_client().patch(server.url(path)).send().await.unwrap();
        assert_eq!(anonymous.status(), 403, "{path}");
    }
    assert_eq!(
        server
            .call_as("root2", "secret", "PATCH", "/list-users", "", &[])
            .await
            .0,
        200
    );
    // A key that may make buckets owns what it makes.
    let carol = client(server.address, "carol", "secret");
    carol.create_bucket().bucket("carols").send().await.unwrap();
    let alice = client(server.address, "alice", "secret");
    assert_eq!(
        refused(alice.head_bucket().bucket("carols").send().await).0,
        403
    );
}
