//! Keys that are no good file names.

use std::sync::LazyLock;

use proptest::prelude::*;
use tokio::runtime::Runtime;

use crate::support::{TestServer, is, names, refused};

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());
static SERVER: LazyLock<TestServer> = LazyLock::new(|| {
    RUNTIME.block_on(async {
        let server = TestServer::start().await;
        server
            .admin()
            .create_bucket()
            .bucket("keys")
            .send()
            .await
            .unwrap();
        server
    })
});

const NASTY: [&str; 31] = [
    "a",
    "a/b",
    "a//b",
    "a/",
    "/a",
    "//",
    "/",
    ".",
    "..",
    "../..",
    "../../../../etc/passwd",
    "a/../b",
    "a/./b",
    "...",
    "A",
    "a.o",
    "a.d",
    "a.d/b.o",
    "é",
    "e\u{301}",
    "日本語",
    "🦀",
    "%2e%2e",
    "%",
    "+",
    "  a  ",
    "a\\b",
    "a\nb",
    "'\"<>&;",
    "CON",
    "~",
];

#[test]
fn nasty_keys_live_side_by_side() {
    RUNTIME.block_on(async {
        let server = TestServer::start().await;
        let s3 = server.admin();
        s3.create_bucket().bucket("keys").send().await.unwrap();
        let long = [
            "x".repeat(1024),
            "é".repeat(512),
            "/".repeat(1024),
            "x/".repeat(512),
            "Ü".repeat(500) + "/b",
        ];
        let keys: Vec<&str> = NASTY
            .iter()
            .copied()
            .chain(long.iter().map(String::as_str))
            .collect();
        for key in &keys {
            let body = key.as_bytes().to_vec();
            s3.put_object()
                .bucket("keys")
                .key(*key)
                .body(body.into())
                .send()
                .await
                .unwrap();
        }
        for key in &keys {
            let get = s3
                .get_object()
                .bucket("keys")
                .key(*key)
                .send()
                .await
                .unwrap();
            assert_eq!(
                get.body.collect().await.unwrap().to_vec(),
                key.as_bytes(),
                "{key:?}"
            );
        }
        let page = s3.list_objects_v2().bucket("keys").send().await.unwrap();
        let mut sorted = keys.clone();
        sorted.sort_unstable();
        let listed: Vec<_> = page.contents().iter().map(|o| o.key().unwrap()).collect();
        assert_eq!(listed, sorted);
        assert_eq!(
            names(&server.root),
            ["buckets", "format.json", "lock", "tmp"]
        );
        for key in &keys {
            s3.delete_object()
                .bucket("keys")
                .key(*key)
                .send()
                .await
                .unwrap();
        }
        assert!(names(&server.root.join("buckets/keys/objects")).is_empty());
        s3.delete_bucket().bucket("keys").send().await.unwrap();
    });
}

#[tokio::test]
async fn a_key_longer_than_1024_bytes_is_refused() {
    let server = TestServer::start().await;
    let s3 = server.admin();
    s3.create_bucket().bucket("keys").send().await.unwrap();
    let put = s3
        .put_object()
        .bucket("keys")
        .key("x".repeat(1025))
        .send()
        .await;
    assert_eq!(refused(put), is(400, "KeyTooLongError"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    // The client refuses keys of nothing but white space.
        fn any_key_can_be_written_read_and_removed(key in "(?s).{0,341}[^\\s]") {
        let server = &*SERVER;
        RUNTIME.block_on(async {
            let s3 = server.admin();
            s3.put_object().bucket("keys").key(&key).body(key.clone().into_bytes().into()).send().await.unwrap();
            let get = s3.get_object().bucket("keys").key(&key).send().await.unwrap();
            prop_assert_eq!(get.body.collect().await.unwrap().to_vec(), key.as_bytes());
            s3.delete_object().bucket("keys").key(&key).send().await.unwrap();
            prop_assert!(s3.head_object().bucket("keys").key(&key).send().await.is_err());
            prop_assert!(names(&server.root.join("buckets/keys/objects")).is_empty());
            Ok(())
        })?;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_and_removers_of_one_folder_do_not_disturb_each_other() {
    let server = TestServer::start().await;
    let s3 = server.admin();
    s3.create_bucket().bucket("keys").send().await.unwrap();
    let jobs: Vec<_> = (0..4)
        .map(|n| {
            let s3 = s3.clone();
            tokio::spawn(async move {
                let key = format!("deep/er/folder/{n}");
                for _ in 0..60 {
                    s3.put_object()
                        .bucket("keys")
                        .key(&key)
                        .body(b"x".to_vec().into())
                        .send()
                        .await
                        .unwrap();
                    s3.head_object()
                        .bucket("keys")
                        .key(&key)
                        .send()
                        .await
                        .unwrap();
                    s3.delete_object()
                        .bucket("keys")
                        .key(&key)
                        .send()
                        .await
                        .unwrap();
                }
            })
        })
        .collect();
    for job in jobs {
        job.await.unwrap();
    }
    assert!(names(&server.root.join("buckets/keys/objects")).is_empty());
}
