//! The admin interface, with the answers that the Versity S3 gateway 1.8.0 gave
//! to the same calls.

use aws_sdk_s3::types::Tag;

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
async fn numbers_are_kept_and_changed_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("s3");
    let server = TestServer::start_in(root.clone()).await;
    let numbers =
        "<Role>user</Role><UserID>1</UserID><GroupID>2</GroupID><ProjectID>1073741825</ProjectID>";
    let body = format!("<Account><Access>alice</Access><Secret>one</Secret>{numbers}</Account>");
    assert_eq!(server.call("PATCH", "/create-user", &body).await.0, 201);
    let listed = async |server: &TestServer| server.call("PATCH", "/list-users", "").await.1;
    let shown = |numbers: &str| format!("<Access>alice</Access><Secret/>{numbers}</Accounts>");
    let text = listed(&server).await;
    assert!(text.contains(&shown(numbers)), "{text}");

    let change = "<MutableProps><GroupID>0</GroupID><ProjectID>-5</ProjectID></MutableProps>";
    let path = "/update-user?access=alice";
    assert_eq!(server.call("PATCH", path, change).await.0, 200);
    let word = "<MutableProps><ProjectID>five</ProjectID></MutableProps>";
    let (status, text) = server.call("PATCH", path, word).await;
    assert_eq!((status, code(&text)), (400, "MalformedXML"));
    server.stop().await;

    // What a server wrote that knew no numbers is read as well.
    let file = root.join("accounts.json");
    let text = std::fs::read_to_string(&file).unwrap();
    let old = r#"{"access":"old","secret":"two","role":"userplus"}]"#;
    let text = text.trim_end().strip_suffix(']').unwrap();
    std::fs::write(&file, format!("{text},{old}")).unwrap();
    let server = TestServer::start_in(root).await;
    let text = listed(&server).await;
    let changed = numbers.replace(">2<", ">0<").replace("1073741825", "-5");
    assert!(text.contains(&shown(&changed)), "{text}");
    let none =
        "<Role>userplus</Role><UserID>0</UserID><GroupID>0</GroupID><ProjectID>0</ProjectID>";
    assert!(
        text.contains(&format!("<Access>old</Access><Secret/>{none}")),
        "{text}"
    );
    client(server.address, "alice", "one")
        .list_buckets()
        .send()
        .await
        .unwrap();
    server.stop().await;
}

#[tokio::test]
async fn a_bucket_is_made_with_its_tags() {
    let server = TestServer::start().await;
    server.create_user("alice", "secret", "user").await;
    let owner = [("x-vgw-owner", "alice")];
    let create = async |bucket: &str, inside: &str| {
        let path = format!("/{bucket}/create");
        let body = format!("<CreateBucketConfiguration>{inside}</CreateBucketConfiguration>");
        let call = server.call_as(ADMIN, SECRET, "PATCH", &path, &body, &owner);
        let (status, text) = call.await;
        (status, code(&text).to_owned())
    };
    let tag = |key: &str| format!("<Tag><Key>{key}</Key><Value>v</Value></Tag>");
    let tags = format!("<Tags>{}{}</Tags>", tag("one"), tag("two"));
    assert_eq!(create("tagged", &tags).await, is(201, ""));
    let alice = client(server.address, "alice", "secret");
    let found = alice.get_bucket_tagging().bucket("tagged").send().await;
    let found = found.unwrap();
    let keys: Vec<&str> = found.tag_set().iter().map(Tag::key).collect();
    assert_eq!(keys, ["one", "two"]);

    let twice = format!("<Tags>{}{}</Tags>", tag("one"), tag("one"));
    assert_eq!(create("twice", &twice).await, is(400, "InvalidTag"));
    let empty = format!("<Tags>{}</Tags>", tag(""));
    assert_eq!(create("empty", &empty).await, is(400, "InvalidTag"));
    let far = "<LocationConstraint>eu-west-1</LocationConstraint>";
    assert_eq!(
        create("far-away", far).await,
        is(400, "InvalidLocationConstraint")
    );
    assert_eq!(create("Bad_Name", "").await, is(400, "InvalidBucketName"));
    assert_eq!(create("broken", "<Tags>").await, is(400, "MalformedXML"));
    assert_eq!(create("plain", "").await, is(201, ""));
    let buckets = alice.list_buckets().send().await.unwrap();
    let names: Vec<_> = buckets.buckets().iter().filter_map(|b| b.name()).collect();
    assert_eq!(names, ["plain", "tagged"]);
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
