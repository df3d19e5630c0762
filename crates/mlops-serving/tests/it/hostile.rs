//! What servers really do, row by row, from a server that does it on command.

use bytes::Bytes;
use mlops_core::ErrorKind;
use mlops_serving::oip::{GrpcClient, InferRequest, RestClient, RestForm, Tensor, TensorData};
use mlops_testkit::oip_server::{GrpcAnswer, OipServer, RestAnswer};

use crate::harness::endpoint;

fn request() -> InferRequest {
    InferRequest::new([Tensor::new("x", [2], TensorData::from_vec(vec![1.0_f32, 2.0])).unwrap()])
}

async fn answering(answer: RestAnswer) -> (OipServer, RestClient) {
    let server = OipServer::start(
        move |_, _| answer.clone(),
        |_, _| Err((12, "not in this test")),
    )
    .await;
    let client = RestClient::new(&endpoint(&server.url())).unwrap();
    (server, client)
}

async fn answering_grpc(answer: GrpcAnswer) -> (OipServer, GrpcClient) {
    let server =
        OipServer::start(|_, _| RestAnswer::new(404, ""), move |_, _| answer.clone()).await;
    let client = GrpcClient::new(&endpoint(&server.grpc_url())).unwrap();
    (server, client)
}

#[tokio::test]
async fn health_is_the_status_whatever_the_body() {
    for (status, body, healthy) in [
        (200, "", true),
        (200, r#"{"live":true}"#, true),
        (200, r#"{"ready":false}"#, true),
        (400, "", false),
        (404, r#"{"error":"Model x not found"}"#, false),
        (500, "", false),
        (503, "loading", false),
    ] {
        let (_server, client) = answering(RestAnswer::new(status, body)).await;
        assert_eq!(
            client.is_model_ready("x").await.unwrap(),
            healthy,
            "{status} {body}"
        );
        assert_eq!(client.is_server_ready().await.unwrap(), healthy);
        assert_eq!(client.is_server_live().await.unwrap(), healthy);
    }
    for status in [401, 403, 302] {
        let (_server, client) = answering(RestAnswer::new(status, "")).await;
        assert!(client.is_model_ready("x").await.is_err(), "{status}");
    }
}

#[tokio::test]
async fn metadata_may_be_null_empty_or_absent() {
    for body in [
        r#"{"name":"m"}"#,
        r#"{"name":"m","versions":null,"platform":null,"inputs":null,"outputs":null}"#,
        r#"{"name":"m","versions":[],"platform":"","inputs":[],"outputs":[],"parameters":{"a":[1]}}"#,
    ] {
        let (_server, client) = answering(RestAnswer::new(200, body)).await;
        let metadata = client.model_metadata("m").await.unwrap();
        assert_eq!(metadata.name, "m");
        assert!(metadata.versions.is_empty() && metadata.inputs.is_empty());
    }
}

#[tokio::test]
async fn refusals_have_three_shapes() {
    for (status, body, kind, said) in [
        (
            404,
            r#"{"error":"Model m not found"}"#,
            ErrorKind::NotFound,
            "Model m not found",
        ),
        (
            422,
            r#"{"detail":[{"loc":["body","inputs"],"msg":"Field required","type":"missing"}]}"#,
            ErrorKind::InvalidInput,
            "body.inputs: Field required",
        ),
        (
            500,
            "Internal Server Error",
            ErrorKind::Failed,
            "Internal Server Error",
        ),
        (
            500,
            r#"{"error":"bad shape"}"#,
            ErrorKind::Failed,
            "bad shape",
        ),
        (
            501,
            r#"{"error":"no versions"}"#,
            ErrorKind::Unsupported,
            "no versions",
        ),
        (429, "", ErrorKind::RateLimited, "it says nothing"),
        (503, "<html>", ErrorKind::Unavailable, "<html>"),
        (400, "\u{ff}\u{fe}", ErrorKind::InvalidInput, ""),
    ] {
        let (_server, client) = answering(RestAnswer::new(status, body)).await;
        let error = client.infer("m", &request()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{status} {body}");
        assert!(
            error.causes().join(" ").contains(said),
            "{:?}",
            error.causes()
        );
    }
}

#[tokio::test]
async fn a_binary_answer_is_known_by_its_header_alone() {
    let json = r#"{"model_name":"m","outputs":[{"name":"y","shape":[1],"datatype":"FP32","parameters":{"binary_data_size":4}}]}"#;
    let body = Bytes::from([json.as_bytes(), &1.5_f32.to_le_bytes()].concat());
    // KServe's Python server sends no content type with it.
    let answer = RestAnswer::new(200, body.clone())
        .with_header("inference-header-content-length", json.len().to_string());
    let (_server, client) = answering(answer).await;
    for client in [client.clone(), client.with_form(RestForm::Binary)] {
        let response = client.infer("m", &request()).await.unwrap();
        assert_eq!(response.outputs[0].data().to_f64().unwrap(), [1.5]);
    }
    // The same without the header is no JSON, whatever the content type says.
    for answer in [
        RestAnswer::new(200, body.clone()).with_header("content-type", "application/octet-stream"),
        RestAnswer::new(200, body.clone()).with_header("inference-header-content-length", "x"),
        RestAnswer::new(200, body).with_header("inference-header-content-length", "99999"),
        RestAnswer::new(200, ""),
        RestAnswer::new(200, "true"),
    ] {
        let (_server, client) = answering(answer).await;
        let error = client.infer("m", &request()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol);
    }
}

#[tokio::test]
async fn a_binary_request_is_json_and_raw_tensors() {
    let server = OipServer::start(
        |parts, body| {
            let length = &parts.headers["inference-header-content-length"];
            let length: usize = length.to_str().unwrap().parse().unwrap();
            let raw = body.slice(length..);
            assert_eq!(
                parts.headers["content-length"],
                body.len().to_string().as_str()
            );
            assert_eq!(
                &*raw,
                [1.0_f32.to_le_bytes(), 2.0_f32.to_le_bytes()].concat()
            );
            let json: serde_json::Value = serde_json::from_slice(&body[..length]).unwrap();
            assert_eq!(json["inputs"][0]["parameters"]["binary_data_size"], 8);
            RestAnswer::new(200, r#"{"model_name":"m","outputs":[]}"#)
        },
        |_, _| Err((12, "")),
    )
    .await;
    let client = RestClient::new(&endpoint(&server.url()))
        .unwrap()
        .with_form(RestForm::Binary);
    for _ in 0..3 {
        client.infer("m", &request()).await.unwrap();
    }
}

#[tokio::test]
async fn repository_states_are_the_same_word() {
    let body = r#"[{"name":"a","state":"State.READY","reason":""},{"name":"b","version":"1","state":"UNAVAILABLE"},{"name":"c","version":null,"state":null,"reason":null}]"#;
    let (_server, client) = answering(RestAnswer::new(200, body)).await;
    let index = client.repository_index().await.unwrap();
    let states: Vec<_> = index.iter().map(|e| e.state.as_str()).collect();
    assert_eq!(states, ["READY", "UNAVAILABLE", ""]);
    assert_eq!(index[1].version.as_deref(), Some("1"));
    let (_server, client) = answering(RestAnswer::new(404, "Not Found")).await;
    let error = client.repository_index().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    client.unload_model("m").await.unwrap();
}

#[tokio::test]
async fn a_field_six_of_model_metadata_is_passed_by() {
    // name "m"; field 6 once as the protocol's map of texts, once as MLServer's map of parameters.
    for message in [
        b"\x0a\x01m\x32\x06\x0a\x01a\x12\x01b".as_slice(),
        b"\x0a\x01m\x32\x08\x0a\x01a\x12\x03\x1a\x01b".as_slice(),
    ] {
        let (_server, client) = answering_grpc(Ok(Bytes::from_static(message))).await;
        assert_eq!(client.model_metadata("m").await.unwrap().name, "m");
    }
}

#[tokio::test]
async fn grpc_refusals_and_nonsense() {
    for (code, kind) in [
        (3, ErrorKind::InvalidInput),
        (5, ErrorKind::NotFound),
        (7, ErrorKind::PermissionDenied),
        (8, ErrorKind::RateLimited),
        (12, ErrorKind::Unsupported),
        (13, ErrorKind::Failed),
        (14, ErrorKind::Unavailable),
        (16, ErrorKind::Unauthenticated),
    ] {
        let (_server, client) = answering_grpc(Err((code, "said so"))).await;
        let error = client.infer("m", &request()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{code}");
        assert!(error.causes().join(" ").contains("said so"));
    }
    let (_server, client) = answering_grpc(Ok(Bytes::from_static(b"\xff\xff\xff"))).await;
    assert!(client.infer("m", &request()).await.is_err());
    let (_server, client) = answering_grpc(Err((5, ""))).await;
    assert!(!client.is_model_ready("m").await.unwrap());
}

/// A server that closes the connection after every answer, as behind some proxies.
#[tokio::test]
async fn connections_that_close_are_opened_again() {
    let answer = RestAnswer::new(200, r#"{"model_name":"m","outputs":[]}"#)
        .with_header("connection", "close");
    let (_server, client) = answering(answer).await;
    for _ in 0..20 {
        client.infer("m", &request()).await.unwrap();
    }
}

#[tokio::test]
async fn ten_megabytes_go_both_ways() {
    let elements = 2_500_000;
    let values = TensorData::from_vec(vec![0.25_f32; elements]);
    let request = InferRequest::new([Tensor::new("x", [elements], values.clone()).unwrap()]);
    let echo = values.as_wire().clone();
    let head = format!(
        r#"{{"model_name":"m","outputs":[{{"name":"y","shape":[{elements}],"datatype":"FP32","parameters":{{"binary_data_size":{}}}}}]}}"#,
        echo.len()
    );
    let body = Bytes::from([head.as_bytes(), &echo].concat());
    let length = head.len().to_string();
    let server = OipServer::start(
        move |_, _| {
            RestAnswer::new(200, body.clone())
                .with_header("inference-header-content-length", length.clone())
        },
        |_, message| Ok(message),
    )
    .await;
    let rest = RestClient::new(&endpoint(&server.url())).unwrap();
    for client in [rest.clone(), rest.with_form(RestForm::Binary)] {
        let response = client.infer("m", &request).await.unwrap();
        assert_eq!(response.outputs[0].data(), &values);
    }
    // A request sent back is an answer whose fields have other numbers: read or refused, never a hang.
    let grpc = GrpcClient::new(&endpoint(&server.grpc_url())).unwrap();
    assert!(grpc.infer("m", &request).await.is_err());
}
