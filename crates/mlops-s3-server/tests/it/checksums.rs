use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumMode};

use crate::support::{ADMIN, SECRET, TestServer, is, refused};

#[tokio::test]
async fn every_algorithm_is_checked_kept_and_shown() {
    let server = TestServer::start().await;
    let s3 = server.owner_of("data").await;
    // The check values of "123456789"; of the CRCs from their catalogues, of the
    // SHAs by `printf 123456789 | sha1sum`.
    let known = [
        (ChecksumAlgorithm::Crc32, "y/Q5Jg=="),
        (ChecksumAlgorithm::Crc32C, "4waSgw=="),
        (ChecksumAlgorithm::Crc64Nvme, "rosUhgp5mIg="),
        (ChecksumAlgorithm::Sha1, "98O8HYCOBHMq32eZZczDTKeuNEE="),
        (
            ChecksumAlgorithm::Sha256,
            "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU=",
        ),
    ];
    for (algorithm, value) in known {
        let put = s3
            .put_object()
            .bucket("data")
            .key("k")
            .body(ByteStream::from_static(b"123456789"))
            .checksum_algorithm(algorithm.clone())
            .send()
            .await
            .unwrap();
        let get = s3
            .get_object()
            .bucket("data")
            .key("k")
            .checksum_mode(ChecksumMode::Enabled)
            .send()
            .await
            .unwrap();
        let head = s3
            .head_object()
            .bucket("data")
            .key("k")
            .checksum_mode(ChecksumMode::Enabled)
            .send()
            .await
            .unwrap();
        macro_rules! shown {
            ($answer:expr) => {
                match algorithm {
                    ChecksumAlgorithm::Crc32 => $answer.checksum_crc32(),
                    ChecksumAlgorithm::Crc32C => $answer.checksum_crc32_c(),
                    ChecksumAlgorithm::Crc64Nvme => $answer.checksum_crc64_nvme(),
                    ChecksumAlgorithm::Sha1 => $answer.checksum_sha1(),
                    _ => $answer.checksum_sha256(),
                }
            };
        }
        assert_eq!(shown!(put), Some(value), "{algorithm:?}");
        assert_eq!(shown!(get), Some(value), "{algorithm:?}");
        assert_eq!(shown!(head), Some(value), "{algorithm:?}");
        // The client checks the body against it while reading.
        assert_eq!(
            get.body.collect().await.unwrap().into_bytes().as_ref(),
            b"123456789"
        );
    }
}

#[tokio::test]
async fn a_wrong_digest_is_refused_and_leaves_no_object() {
    let server = TestServer::start().await;
    let s3 = server.owner_of("data").await;
    let put = || {
        s3.put_object()
            .bucket("data")
            .key("k")
            .body(ByteStream::from_static(b"123456789"))
    };
    assert_eq!(
        refused(put().checksum_crc32("AAAAAA==").send().await),
        is(400, "BadDigest")
    );
    assert_eq!(
        refused(put().checksum_sha256("AAAA").send().await),
        is(400, "BadDigest")
    );
    assert_eq!(
        refused(put().content_md5("AAAAAAAAAAAAAAAAAAAAAA==").send().await),
        is(400, "BadDigest")
    );
    assert_eq!(
        refused(put().content_md5("not md5").send().await),
        is(400, "InvalidDigest")
    );
    assert_eq!(
        refused(s3.head_object().bucket("data").key("k").send().await).0,
        404
    );
    put()
        .content_md5("JfnnlDI7RTiF9RgfG2JNCw==")
        .send()
        .await
        .unwrap();
    assert!(crate::support::names(&server.root.join("tmp")).is_empty());
}

/// The form that AWS clients send over TLS: chunks, and the checksum behind
/// them.
#[tokio::test]
async fn a_trailing_checksum_is_checked() {
    let server = TestServer::start().await;
    server
        .admin()
        .create_bucket()
        .bucket("data")
        .send()
        .await
        .unwrap();
    let send = |trailer: &'static str| {
        let body = format!("9\r\n123456789\r\n0\r\n{trailer}\r\n");
        let length = body.len().to_string();
        let server = &server;
        async move {
            // Signed as the header says, not over the body.
            let headers = [
                ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
                ("content-encoding", "aws-chunked"),
                ("x-amz-decoded-content-length", "9"),
                ("x-amz-trailer", "x-amz-checksum-crc32"),
            ];
            let url = server.url("/data/k");
            let request = signed_trailer_put(&url, &headers);
            let answer = request
                .header("content-length", length)
                .body(body)
                .send()
                .await
                .unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        }
    };
    let (status, text) = send("x-amz-checksum-crc32:AAAAAA==\r\n").await;
    assert!(
        status == 400 && text.contains("BadDigest"),
        "{status} {text}"
    );
    let (status, text) = send("").await;
    assert!(
        status == 400 && text.contains("MalformedTrailerError"),
        "{status} {text}"
    );
    assert_eq!(
        refused(
            server
                .admin()
                .head_object()
                .bucket("data")
                .key("k")
                .send()
                .await
        )
        .0,
        404
    );
    let (status, text) = send("x-amz-checksum-crc32:y/Q5Jg==\r\n").await;
    assert_eq!(status, 200, "{text}");
    let get = server
        .admin()
        .get_object()
        .bucket("data")
        .key("k")
        .send()
        .await
        .unwrap();
    assert_eq!(get.content_encoding(), None);
    assert_eq!(
        get.body.collect().await.unwrap().into_bytes().as_ref(),
        b"123456789"
    );
}

fn signed_trailer_put(
    url: &str,
    headers: &[(&'static str, &'static str)],
) -> reqwest::RequestBuilder {
    use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
    let identity = aws_credential_types::Credentials::new(ADMIN, SECRET, None, None, "test").into();
    let params = aws_sigv4::sign::v4::SigningParams::builder()
        .identity(&identity)
        .region("us-east-1")
        .name("s3")
        .time(std::time::SystemTime::now())
        .settings(SigningSettings::default())
        .build()
        .unwrap()
        .into();
    let body = SignableBody::StreamingUnsignedPayloadTrailer;
    let signable = SignableRequest::new("PUT", url, headers.iter().copied(), body).unwrap();
    let (instructions, _) = sign(signable, &params).unwrap().into_parts();
    let mut request = crate::support::http_client().put(url);
    for (name, value) in headers.iter().copied().chain(instructions.headers()) {
        request = request.header(name, value);
    }
    request
}

#[tokio::test]
async fn a_body_that_is_not_the_signed_one_is_refused() {
    let server = TestServer::start().await;
    let s3 = server.admin();
    s3.create_bucket().bucket("data").send().await.unwrap();
    let url = server.url("/data/k");
    let hash = "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225";
    let request = {
        use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
        let identity =
            aws_credential_types::Credentials::new(ADMIN, SECRET, None, None, "test").into();
        let params = aws_sigv4::sign::v4::SigningParams::builder()
            .identity(&identity)
            .region("us-east-1")
            .name("s3")
            .time(std::time::SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .unwrap()
            .into();
        let headers = [("x-amz-content-sha256", hash)];
        let body = SignableBody::Precomputed(hash.to_owned());
        let signable = SignableRequest::new("PUT", &url, headers.iter().copied(), body).unwrap();
        let (instructions, _) = sign(signable, &params).unwrap().into_parts();
        let mut request = crate::support::http_client().put(&url);
        for (name, value) in headers.iter().copied().chain(instructions.headers()) {
            request = request.header(name, value);
        }
        request
    };
    let answer = request.body("12345678X").send().await.unwrap();
    let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
    assert!(
        status == 400 && text.contains("XAmzContentSHA256Mismatch"),
        "{status} {text}"
    );
    assert_eq!(
        refused(s3.head_object().bucket("data").key("k").send().await).0,
        404
    );
}
