use aws_sdk_s3::primitives::{ByteStream, DateTime};

use crate::support::{TestServer, is, noise, refused};

#[tokio::test]
async fn reads_heed_entity_tags_and_dates() {
    let server = TestServer::start().await;
    let s3 = server.owner_of("data").await;
    let put = s3
        .put_object()
        .bucket("data")
        .key("k")
        .body(ByteStream::from_static(b"x"))
        .send()
        .await
        .unwrap();
    let tag = put.e_tag().unwrap();
    let get = || s3.get_object().bucket("data").key("k");
    get().if_match(tag).send().await.unwrap();
    assert_eq!(
        refused(get().if_match("\"other\"").send().await),
        is(412, "PreconditionFailed")
    );
    assert_eq!(refused(get().if_none_match(tag).send().await).0, 304);
    get().if_none_match("\"other\"").send().await.unwrap();
    let long_ago = DateTime::from_secs(1_000_000_000);
    let later = DateTime::from_secs(4_000_000_000);
    get().if_modified_since(long_ago).send().await.unwrap();
    assert_eq!(refused(get().if_modified_since(later).send().await).0, 304);
    assert_eq!(
        refused(get().if_unmodified_since(long_ago).send().await),
        is(412, "PreconditionFailed")
    );
    assert_eq!(
        refused(
            s3.head_object()
                .bucket("data")
                .key("k")
                .if_none_match(tag)
                .send()
                .await
        )
        .0,
        304
    );
    // The connection is still in order after answers without a body.
    get().send().await.unwrap();
}

#[tokio::test]
async fn writes_heed_entity_tags() {
    let server = TestServer::start().await;
    let s3 = server.owner_of("data").await;
    let put = |body: &'static [u8]| {
        s3.put_object()
            .bucket("data")
            .key("k")
            .body(ByteStream::from_static(body))
    };
    assert_eq!(
        refused(put(b"0").if_match("\"x\"").send().await),
        is(404, "NoSuchKey")
    );
    let first = put(b"1").if_none_match("*").send().await.unwrap();
    assert_eq!(
        refused(put(b"2").if_none_match("*").send().await),
        is(412, "PreconditionFailed")
    );
    assert_eq!(
        refused(put(b"2").if_none_match("\"x\"").send().await),
        is(501, "NotImplemented")
    );
    let second = put(b"3")
        .if_match(first.e_tag().unwrap())
        .send()
        .await
        .unwrap();
    assert_eq!(
        refused(put(b"4").if_match(first.e_tag().unwrap()).send().await),
        is(412, "PreconditionFailed")
    );
    let body = s3
        .get_object()
        .bucket("data")
        .key("k")
        .send()
        .await
        .unwrap()
        .body
        .collect()
        .await
        .unwrap();
    assert_eq!(body.into_bytes().as_ref(), b"3");
    let delete = s3.delete_object().bucket("data").key("k");
    assert_eq!(
        refused(delete.clone().if_match("\"x\"").send().await),
        is(412, "PreconditionFailed")
    );
    delete
        .if_match(second.e_tag().unwrap())
        .send()
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_conditional_writers_exactly_one_wins() {
    let server = TestServer::start().await;
    let s3 = server.owner_of("data").await;
    for round in 0..10 {
        // Small and large bodies take different ways to the disk.
        let size = if round % 2 == 0 { 10 } else { 600_000 };
        let key = format!("lock-{round}");
        let writers: Vec<_> = (0..16_u8)
            .map(|n| {
                let mut body = noise(size);
                body[0] = n;
                let put = s3
                    .put_object()
                    .bucket("data")
                    .key(&key)
                    .if_none_match("*")
                    .body(body.into());
                tokio::spawn(put.send())
            })
            .collect();
        let mut winners = Vec::new();
        for (n, writer) in writers.into_iter().enumerate() {
            match writer.await.unwrap() {
                Ok(_) => winners.push(u8::try_from(n).unwrap()),
                other => assert_eq!(refused(other), is(412, "PreconditionFailed")),
            }
        }
        assert_eq!(winners.len(), 1, "{winners:?}");
        let body = s3
            .get_object()
            .bucket("data")
            .key(&key)
            .send()
            .await
            .unwrap()
            .body
            .collect()
            .await
            .unwrap();
        assert_eq!(body.into_bytes()[0], winners[0]);
    }
    assert!(crate::support::names(&server.root.join("tmp")).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn counting_with_if_match_loses_no_step() {
    let server = TestServer::start().await;
    let s3 = server.owner_of("data").await;
    s3.put_object()
        .bucket("data")
        .key("n")
        .body(ByteStream::from_static(b"0"))
        .send()
        .await
        .unwrap();
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let s3 = s3.clone();
            tokio::spawn(async move {
                let mut done = 0;
                while done < 10 {
                    let get = s3
                        .get_object()
                        .bucket("data")
                        .key("n")
                        .send()
                        .await
                        .unwrap();
                    let tag = get.e_tag().unwrap().to_owned();
                    let text = get.body.collect().await.unwrap().to_vec();
                    let n: u32 = String::from_utf8(text).unwrap().parse().unwrap();
                    let body = (n + 1).to_string().into_bytes();
                    let put = s3
                        .put_object()
                        .bucket("data")
                        .key("n")
                        .if_match(tag)
                        .body(body.into())
                        .send()
                        .await;
                    match put {
                        Ok(_) => done += 1,
                        other => assert_eq!(refused(other), is(412, "PreconditionFailed")),
                    }
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    let body = s3
        .get_object()
        .bucket("data")
        .key("n")
        .send()
        .await
        .unwrap()
        .body
        .collect()
        .await
        .unwrap();
    assert_eq!(body.into_bytes().as_ref(), b"40");
}
