//! Listings against a model in memory.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::EncodingType;
use proptest::prelude::*;
use tokio::runtime::Runtime;

use crate::support::{TestServer, is, refused};

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// What a whole listing holds: keys and prefixes in order. Both are lines, and every line comes after the marker: a
/// prefix that the marker is in, or is equal to, is not shown again.
fn model(
    keys: &BTreeSet<String>,
    prefix: &str,
    delimiter: Option<&str>,
    after: &str,
) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for key in keys.iter().filter(|k| k.starts_with(prefix)) {
        let rest = &key[prefix.len()..];
        let end = delimiter.and_then(|d| rest.find(d).map(|at| prefix.len() + at + d.len()));
        let (name, line) = match end {
            Some(end) => (&key[..end], format!("prefix {}", &key[..end])),
            None => (key.as_str(), format!("key {key}")),
        };
        if name > after && lines.last() != Some(&line) {
            lines.push(line);
        }
    }
    lines
}

fn decoded(name: &str) -> String {
    percent_encoding::percent_decode_str(name)
        .decode_utf8()
        .unwrap()
        .into_owned()
}

/// Prefixes and keys come apart in an answer; put them in order again.
fn merged<'a>(
    keys: impl Iterator<Item = &'a str>,
    prefixes: impl Iterator<Item = &'a str>,
) -> Vec<String> {
    let mut lines: Vec<(String, &str)> = keys.map(|k| (decoded(k), "key")).collect();
    let sorted = lines.is_sorted();
    assert!(sorted, "{lines:?}");
    lines.extend(prefixes.map(|p| (decoded(p), "prefix")));
    lines.sort();
    lines
        .into_iter()
        .map(|(name, kind)| format!("{kind} {name}"))
        .collect()
}

async fn list_v2(
    s3: &Client,
    prefix: &str,
    delimiter: Option<&str>,
    after: &str,
    page: i32,
) -> Vec<String> {
    let (mut lines, mut token) = (Vec::new(), None);
    loop {
        let answer = s3
            .list_objects_v2()
            .bucket("list")
            .prefix(prefix)
            .set_delimiter(delimiter.map(str::to_owned))
            .start_after(after)
            .max_keys(page)
            .encoding_type(EncodingType::Url)
            .set_continuation_token(token)
            .send()
            .await
            .unwrap();
        let keys = answer.contents().iter().map(|o| o.key().unwrap());
        let new = merged(
            keys,
            answer.common_prefixes().iter().map(|p| p.prefix().unwrap()),
        );
        assert_eq!(answer.key_count(), i32::try_from(new.len()).ok());
        assert!(new.len() <= usize::try_from(page).unwrap());
        lines.extend(new);
        token = answer.next_continuation_token().map(str::to_owned);
        assert_eq!(answer.is_truncated(), Some(token.is_some()));
        if token.is_none() {
            return lines;
        }
    }
}

async fn list_v1(s3: &Client, prefix: &str, delimiter: Option<&str>, page: i32) -> Vec<String> {
    let (mut lines, mut marker) = (Vec::new(), None);
    loop {
        let answer = s3
            .list_objects()
            .bucket("list")
            .prefix(prefix)
            .set_delimiter(delimiter.map(str::to_owned))
            .max_keys(page)
            .encoding_type(EncodingType::Url)
            .set_marker(marker)
            .send()
            .await
            .unwrap();
        let keys = answer.contents().iter().map(|o| o.key().unwrap());
        lines.extend(merged(
            keys,
            answer.common_prefixes().iter().map(|p| p.prefix().unwrap()),
        ));
        marker = answer.next_marker().map(decoded);
        assert_eq!(answer.is_truncated(), Some(marker.is_some()));
        if marker.is_none() {
            return lines;
        }
    }
}

fn key() -> impl Strategy<Value = String> {
    // Around '/' in byte order, and what is escaped on disk.
    let piece = prop::sample::select(vec![
        "a",
        "b",
        "-",
        "/",
        "/",
        "0",
        ".",
        "A",
        "é",
        "%",
        " ",
        "\u{1}",
        "\u{10ffff}",
    ]);
    prop_oneof![
        // The client refuses keys of nothing but white space.
        9 => prop::collection::vec(piece, 1..8)
            .prop_map(|p| p.concat())
            .prop_filter("white space", |key| !key.trim().is_empty()),
        1 => ("[aA]{190,300}", "[ab/]{0,3}").prop_map(|(long, end)| format!("{long}{end}")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn listings_are_those_of_the_model(
        keys in prop::collection::btree_set(key(), 0..25),
        queries in prop::collection::vec(
            (key(), 0_usize..3, prop::sample::select(vec![None, Some("/"), Some("-"), Some("a/"), Some("é")]), key(), any::<bool>()),
            6,
        ),
        page in 1..6_i32,
    ) {
        RUNTIME.block_on(async {
            let server = TestServer::start().await;
            let s3 = server.admin();
            s3.create_bucket().bucket("list").send().await.unwrap();
            for key in &keys {
                s3.put_object().bucket("list").key(key).body(ByteStream::from_static(b"x")).send().await.unwrap();
            }
            for (prefix, length, delimiter, after, from_start) in &queries {
                let prefix: String = prefix.chars().take(*length).collect();
                let after = if *from_start { "" } else { after.as_str() };
                let expected = model(&keys, &prefix, *delimiter, after);
                let found = list_v2(&s3, &prefix, *delimiter, after, page).await;
                prop_assert_eq!(&found, &expected, "prefix {:?} delimiter {:?} after {:?}", prefix, delimiter, after);
                let expected = model(&keys, &prefix, *delimiter, "");
                let found = list_v1(&s3, &prefix, *delimiter, page).await;
                prop_assert_eq!(&found, &expected, "v1, prefix {:?} delimiter {:?}", prefix, delimiter);
            }
            server.stop().await;
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn every_line_comes_after_the_marker() {
    let server = TestServer::start().await;
    let s3 = server.admin();
    s3.create_bucket().bucket("list").send().await.unwrap();
    for key in ["/a", "b/c", "b/d", "e"] {
        let body = ByteStream::from_static(b"x");
        let put = s3.put_object().bucket("list").key(key).body(body);
        put.send().await.unwrap();
    }
    let after = async |after| list_v2(&s3, "", Some("/"), after, 1).await;
    let (root, folder, key) = ("prefix /", "prefix b/", "key e");
    assert_eq!(after("").await, [root, folder, key]);
    assert_eq!(after("/").await, [folder, key]);
    assert_eq!(after("/a").await, [folder, key]);
    assert_eq!(after("b").await, [folder, key]);
    for marker in ["b/", "b/c", "b/d", "b/zzz"] {
        assert_eq!(after(marker).await, [key], "{marker}");
    }
    let inside = list_v2(&s3, "b/", Some("/"), "b/c", 1).await;
    assert_eq!(inside, ["key b/d"]);
}

#[tokio::test]
async fn a_listing_shows_what_is_known_of_each_object() {
    let server = TestServer::start().await;
    let s3 = server.owner_of("list").await;
    s3.put_object()
        .bucket("list")
        .key("a/b")
        .body(ByteStream::from_static(b"hello"))
        .send()
        .await
        .unwrap();
    let page = s3
        .list_objects_v2()
        .bucket("list")
        .fetch_owner(true)
        .send()
        .await
        .unwrap();
    let object = &page.contents()[0];
    assert_eq!((object.key(), object.size()), (Some("a/b"), Some(5)));
    assert_eq!(object.e_tag(), Some("\"5d41402abc4b2a76b9719d911017c592\""));
    assert_eq!(object.owner().unwrap().id(), Some("key-of-list"));
    let none = s3
        .list_objects_v2()
        .bucket("list")
        .max_keys(0)
        .send()
        .await
        .unwrap();
    assert_eq!(
        (none.key_count(), none.is_truncated()),
        (Some(0), Some(false))
    );
    let bad = s3
        .list_objects_v2()
        .bucket("list")
        .continuation_token("!")
        .send()
        .await;
    assert_eq!(refused(bad), is(400, "InvalidArgument"));
    let bad = s3
        .list_objects_v2()
        .bucket("list")
        .max_keys(-1)
        .send()
        .await;
    assert_eq!(refused(bad), is(400, "InvalidArgument"));
}

#[tokio::test]
async fn a_thousand_keys_and_one_are_two_pages() {
    let server = TestServer::start().await;
    let s3 = server.owner_of("list").await;
    for n in 0..1001 {
        s3.put_object()
            .bucket("list")
            .key(format!("k/{n:04}"))
            .send()
            .await
            .unwrap();
    }
    let page = s3
        .list_objects_v2()
        .bucket("list")
        .max_keys(5000)
        .send()
        .await
        .unwrap();
    assert_eq!(
        (page.key_count(), page.max_keys()),
        (Some(1000), Some(1000))
    );
    let token = page.next_continuation_token().unwrap();
    let page = s3
        .list_objects_v2()
        .bucket("list")
        .continuation_token(token)
        .send()
        .await
        .unwrap();
    assert_eq!(page.contents()[0].key(), Some("k/1000"));
    assert_eq!(page.contents().len(), 1);
}
