use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumMode, ChecksumType, CompletedMultipartUpload, CompletedPart,
};

use crate::support::{TestServer, is, names, noise, refused};

const MIB: usize = 1 << 20;

async fn begin(s3: &Client, key: &str) -> String {
    let begun = s3
        .create_multipart_upload()
        .bucket("data")
        .key(key)
        .send()
        .await
        .unwrap();
    begun.upload_id().unwrap().to_owned()
}

async fn part(s3: &Client, key: &str, id: &str, number: i32, data: &[u8]) -> CompletedPart {
    let sent = s3
        .upload_part()
        .bucket("data")
        .key(key)
        .upload_id(id)
        .part_number(number)
        .body(data.to_vec().into())
        .send()
        .await
        .unwrap();
    CompletedPart::builder()
        .part_number(number)
        .e_tag(sent.e_tag().unwrap())
        .build()
}

fn parts(parts: &[&CompletedPart]) -> CompletedMultipartUpload {
    let parts = parts.iter().map(|p| (*p).clone()).collect();
    CompletedMultipartUpload::builder()
        .set_parts(Some(parts))
        .build()
}

async fn complete(s3: &Client, key: &str, id: &str, chosen: &[&CompletedPart]) -> String {
    let done = s3
        .complete_multipart_upload()
        .bucket("data")
        .key(key)
        .upload_id(id)
        .multipart_upload(parts(chosen))
        .send()
        .await
        .unwrap();
    done.e_tag().unwrap().to_owned()
}

async fn read(s3: &Client, key: &str) -> Vec<u8> {
    let get = s3
        .get_object()
        .bucket("data")
        .key(key)
        .send()
        .await
        .unwrap();
    get.body.collect().await.unwrap().to_vec()
}

#[tokio::test]
async fn parts_in_any_order_become_one_object() {
    let server = TestServer::start().await;
    let s3 = server.owner_of("data").await;
    let data = noise(13 * MIB);
    let begun = s3
        .create_multipart_upload()
        .bucket("data")
        .key("dir/big")
        .content_type("text/x")
        .metadata("k", "v")
        .send()
        .await
        .unwrap();
    let id = begun.upload_id().unwrap();
    let third = part(&s3, "dir/big", id, 3, &data[10 * MIB..]).await;
    let second = part(&s3, "dir/big", id, 2, &data[5 * MIB..10 * MIB]).await;
    let first = part(&s3, "dir/big", id, 1, &data[..5 * MIB]).await;
    assert_eq!(
        refused(s3.head_object().bucket("data").key("dir/big").send().await).0,
        404
    );
    let etag = complete(&s3, "dir/big", id, &[&first, &second, &third]).await;
    assert!(etag.ends_with("-3\""), "{etag}");
    let head = s3
        .head_object()
        .bucket("data")
        .key("dir/big")
        .send()
        .await
        .unwrap();
    assert_eq!(
        (head.content_type(), head.metadata().unwrap()["k"].as_str()),
        (Some("text/x"), "v")
    );
    assert!(read(&s3, "dir/big").await == data);
    let again = s3
        .complete_multipart_upload()
        .bucket("data")
        .key("dir/big")
        .upload_id(id)
        .multipart_upload(parts(&[&first]))
        .send()
        .await;
    assert_eq!(refused(again), is(404, "NoSuchUpload"));
    assert!(names(&server.root.join("buckets/data/uploads")).is_empty());
    assert!(names(&server.root.join("tmp")).is_empty());
}

#[tokio::test]
async fn parts_sent_again_left_out_or_of_other_sizes_are_put_together_too() {
    let server = TestServer::start().await;
    let s3 = server.owner_of("data").await;
    let (a, b, c) = (noise(6 * MIB), vec![1; 5 * MIB], vec![2; 7 * MIB]);

    let id = begin(&s3, "again").await;
    part(&s3, "again", &id, 1, &vec![9; 6 * MIB]).await;
    let second = part(&s3, "again", &id, 2, &b).await;
    let first = part(&s3, "again", &id, 1, &a).await;
    complete(&s3, "again", &id, &[&first, &second]).await;
    assert!(read(&s3, "again").await == [a.clone(), b.clone()].concat());

    let id = begin(&s3, "left-out").await;
    let first = part(&s3, "left-out", &id, 1, &a).await;
    part(&s3, "left-out", &id, 2, &a).await;
    let third = part(&s3, "left-out", &id, 3, &b).await;
    complete(&s3, "left-out", &id, &[&first, &third]).await;
    assert!(read(&s3, "left-out").await == [a.clone(), b.clone()].concat());

    let id = begin(&s3, "sizes").await;
    let one = part(&s3, "sizes", &id, 10, &b).await;
    let two = part(&s3, "sizes", &id, 20, &c).await;
    let three = part(&s3, "sizes", &id, 30, b"end").await;
    complete(&s3, "sizes", &id, &[&one, &two, &three]).await;
    assert!(read(&s3, "sizes").await == [b, c, b"end".to_vec()].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_parts_do_not_mix() {
    let server = TestServer::start().await;
    let s3 = server.owner_of("data").await;
    let id = begin(&s3, "k").await;
    let jobs: Vec<_> = (1..=6_u8)
        .map(|n| {
            let (s3, id) = (s3.clone(), id.clone());
            tokio::spawn(async move { part(&s3, "k", &id, n.into(), &vec![n; 5 * MIB]).await })
        })
        .collect();
    let mut sent = Vec::new();
    for job in jobs {
        sent.push(job.await.unwrap());
    }
    complete(&s3, "k", &id, &sent.iter().collect::<Vec<_>>()).await;
    let expected: Vec<u8> = (1..=6_u8).flat_map(|n| vec![n; 5 * MIB]).collect();
    assert!(read(&s3, "k").await == expected);
}

#[tokio::test]
async fn wrong_parts_are_refused() {
    let server = TestServer::start().await;
    let s3 = server.owner_of("data").await;
    let id = begin(&s3, "k").await;
    let first = part(&s3, "k", &id, 1, b"small").await;
    let second = part(&s3, "k", &id, 2, b"small").await;
    let complete = |chosen: CompletedMultipartUpload| {
        s3.complete_multipart_upload()
            .bucket("data")
            .key("k")
            .upload_id(&id)
            .multipart_upload(chosen)
            .send()
    };
    assert_eq!(
        refused(complete(parts(&[&first, &second])).await),
        is(400, "EntityTooSmall")
    );
    assert_eq!(
        refused(complete(parts(&[&second, &first])).await),
        is(400, "InvalidPartOrder")
    );
    let unknown = CompletedPart::builder()
        .part_number(3)
        .e_tag("\"x\"")
        .build();
    assert_eq!(
        refused(complete(parts(&[&first, &unknown])).await),
        is(400, "InvalidPart")
    );
    let wrong = CompletedPart::builder()
        .part_number(1)
        .e_tag("\"x\"")
        .build();
    assert_eq!(
        refused(complete(parts(&[&wrong])).await),
        is(400, "InvalidPart")
    );
    let odd = s3
        .upload_part()
        .bucket("data")
        .key("k")
        .upload_id(&id)
        .part_number(10_001);
    assert_eq!(
        refused(odd.body(ByteStream::from_static(b"x")).send().await),
        is(400, "InvalidArgument")
    );
    for id in ["../../x", "0123456789abcdef0123456789abcdef", ""] {
        let odd = s3
            .list_parts()
            .bucket("data")
            .key("k")
            .upload_id(id)
            .send()
            .await;
        assert!(odd.is_err(), "{id}");
    }
    let other_key = s3
        .list_parts()
        .bucket("data")
        .key("other")
        .upload_id(&id)
        .send()
        .await;
    assert_eq!(refused(other_key), is(404, "NoSuchUpload"));
    // The upload is still good.
    complete(parts(&[&first])).await.unwrap();
    assert_eq!(read(&s3, "k").await, b"small");
}

#[tokio::test]
async fn an_aborted_upload_leaves_nothing() {
    let server = TestServer::start().await;
    let s3 = server.owner_of("data").await;
    let id = begin(&s3, "k").await;
    part(&s3, "k", &id, 1, &noise(5 * MIB)).await;
    s3.abort_multipart_upload()
        .bucket("data")
        .key("k")
        .upload_id(&id)
        .send()
        .await
        .unwrap();
    let again = s3
        .abort_multipart_upload()
        .bucket("data")
        .key("k")
        .upload_id(&id)
        .send()
        .await;
    assert_eq!(refused(again), is(404, "NoSuchUpload"));
    let late = s3
        .upload_part()
        .bucket("data")
        .key("k")
        .upload_id(&id)
        .part_number(2);
    assert_eq!(
        refused(late.body(ByteStream::from_static(b"x")).send().await),
        is(404, "NoSuchUpload")
    );
    assert!(names(&server.root.join("buckets/data/uploads")).is_empty());
    assert!(names(&server.root.join("tmp")).is_empty());
}

#[tokio::test]
async fn uploads_and_parts_are_listed_page_by_page() {
    let server = TestServer::start().await;
    let s3 = server.owner_of("data").await;
    let (b, a1, a2) = (
        begin(&s3, "b").await,
        begin(&s3, "a").await,
        begin(&s3, "a").await,
    );
    let mut found = Vec::new();
    let (mut key, mut id) = (None, None);
    loop {
        let page = s3
            .list_multipart_uploads()
            .bucket("data")
            .max_uploads(1)
            .set_key_marker(key)
            .set_upload_id_marker(id)
            .send()
            .await
            .unwrap();
        found.extend(
            page.uploads()
                .iter()
                .map(|u| u.upload_id().unwrap().to_owned()),
        );
        if page.is_truncated() != Some(true) {
            break;
        }
        (key, id) = (
            page.next_key_marker().map(str::to_owned),
            page.next_upload_id_marker().map(str::to_owned),
        );
    }
    let mut first_two = [a1, a2];
    first_two.sort();
    found[..2].sort();
    assert_eq!(
        found,
        [first_two[0].clone(), first_two[1].clone(), b.clone()]
    );
    let only = s3
        .list_multipart_uploads()
        .bucket("data")
        .prefix("b")
        .send()
        .await
        .unwrap();
    assert_eq!(only.uploads().len(), 1);

    for number in [1, 3, 5] {
        part(&s3, "b", &b, number, b"abc").await;
    }
    let list = || s3.list_parts().bucket("data").key("b").upload_id(&b);
    let page = list().max_parts(2).send().await.unwrap();
    let numbers: Vec<_> = page
        .parts()
        .iter()
        .map(|p| (p.part_number().unwrap(), p.size().unwrap()))
        .collect();
    assert_eq!(numbers, [(1, 3), (3, 3)]);
    assert_eq!(page.is_truncated(), Some(true));
    let page = list()
        .part_number_marker(page.next_part_number_marker().unwrap())
        .send()
        .await
        .unwrap();
    assert_eq!(page.parts().len(), 1);
    assert_eq!(page.is_truncated(), Some(false));
}

#[tokio::test]
async fn a_part_can_be_copied_from_an_object() {
    let server = TestServer::start().await;
    let s3 = server.owner_of("data").await;
    let data = noise(8 * MIB);
    s3.put_object()
        .bucket("data")
        .key("source")
        .body(data.clone().into())
        .send()
        .await
        .unwrap();
    let id = begin(&s3, "k").await;
    let copy = |number: i32, range: &str| {
        s3.upload_part_copy()
            .bucket("data")
            .key("k")
            .upload_id(&id)
            .part_number(number)
            .copy_source("data/source")
            .copy_source_range(range)
    };
    let mut chosen = Vec::new();
    for (number, range) in [(1, "bytes=0-5242879"), (2, "bytes=5242880-8388607")] {
        let copied = copy(number, range).send().await.unwrap();
        let etag = copied
            .copy_part_result()
            .unwrap()
            .e_tag()
            .unwrap()
            .to_owned();
        chosen.push(
            CompletedPart::builder()
                .part_number(number)
                .e_tag(etag)
                .build(),
        );
    }
    complete(&s3, "k", &id, &chosen.iter().collect::<Vec<_>>()).await;
    assert!(read(&s3, "k").await == data);
}

#[tokio::test]
async fn completing_heeds_conditions_and_can_be_tried_again() {
    let server = TestServer::start().await;
    let s3 = server.owner_of("data").await;
    s3.put_object()
        .bucket("data")
        .key("k")
        .body(ByteStream::from_static(b"old"))
        .send()
        .await
        .unwrap();
    let id = begin(&s3, "k").await;
    let data = noise(5 * MIB);
    let first = part(&s3, "k", &id, 1, &data).await;
    let done = || {
        s3.complete_multipart_upload()
            .bucket("data")
            .key("k")
            .upload_id(&id)
            .multipart_upload(parts(&[&first]))
    };
    assert_eq!(
        refused(done().if_none_match("*").send().await),
        is(412, "PreconditionFailed")
    );
    assert_eq!(
        refused(done().if_match("\"x\"").send().await),
        is(412, "PreconditionFailed")
    );
    assert_eq!(read(&s3, "k").await, b"old");
    s3.delete_object()
        .bucket("data")
        .key("k")
        .send()
        .await
        .unwrap();
    done().if_none_match("*").send().await.unwrap();
    assert!(read(&s3, "k").await == data);
}

#[tokio::test]
async fn checksums_of_parts_make_that_of_the_object() {
    let server = TestServer::start().await;
    let s3 = server.owner_of("data").await;
    let data = noise(6 * MIB);
    for (algorithm, kind) in [
        (ChecksumAlgorithm::Crc32, ChecksumType::FullObject),
        (ChecksumAlgorithm::Crc32, ChecksumType::Composite),
        (ChecksumAlgorithm::Crc64Nvme, ChecksumType::FullObject),
        (ChecksumAlgorithm::Sha256, ChecksumType::Composite),
    ] {
        let begun = s3
            .create_multipart_upload()
            .bucket("data")
            .key("k")
            .checksum_algorithm(algorithm.clone())
            .checksum_type(kind.clone())
            .send()
            .await
            .unwrap();
        let id = begun.upload_id().unwrap();
        let mut chosen = Vec::new();
        for (number, bytes) in [(1, &data[..5 * MIB]), (2, &data[5 * MIB..])] {
            let sent = s3
                .upload_part()
                .bucket("data")
                .key("k")
                .upload_id(id)
                .part_number(number)
                .checksum_algorithm(algorithm.clone())
                .body(bytes.to_vec().into())
                .send()
                .await
                .unwrap();
            let part = CompletedPart::builder()
                .part_number(number)
                .e_tag(sent.e_tag().unwrap())
                .set_checksum_crc32(sent.checksum_crc32().map(str::to_owned))
                .set_checksum_crc64_nvme(sent.checksum_crc64_nvme().map(str::to_owned))
                .set_checksum_sha256(sent.checksum_sha256().map(str::to_owned));
            chosen.push(part.build());
        }
        complete(&s3, "k", id, &chosen.iter().collect::<Vec<_>>()).await;
        let get = s3
            .get_object()
            .bucket("data")
            .key("k")
            .checksum_mode(ChecksumMode::Enabled)
            .send()
            .await
            .unwrap();
        let sums = [
            get.checksum_crc32(),
            get.checksum_crc64_nvme(),
            get.checksum_sha256(),
        ];
        let sum = sums.into_iter().flatten().next().unwrap();
        assert_eq!(
            sum.ends_with("-2"),
            kind == ChecksumType::Composite,
            "{sum}"
        );
        // For a checksum of the whole, the client checks it here.
        assert!(get.body.collect().await.unwrap().into_bytes() == data);
    }
}

#[tokio::test]
async fn an_upload_goes_on_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("s3");
    let data = noise(10 * MIB);
    let server = TestServer::start_in(root.clone()).await;
    server
        .admin()
        .create_bucket()
        .bucket("data")
        .send()
        .await
        .unwrap();
    let id = begin(&server.admin(), "k").await;
    let first = part(&server.admin(), "k", &id, 1, &data[..5 * MIB]).await;
    server.stop().await;
    let server = TestServer::start_in(root).await;
    let s3 = server.admin();
    let second = part(&s3, "k", &id, 2, &data[5 * MIB..]).await;
    complete(&s3, "k", &id, &[&first, &second]).await;
    assert!(read(&s3, "k").await == data);
}
