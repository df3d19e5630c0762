//! Answer every inference with the same tensor, at nearly no cost, for measuring clients.
//!
//! Run:    `cargo run --release -p mlops-testkit --example oip_server -- REST_PORT GRPC_PORT ELEMENTS`
//! Prints: nothing; stop it with Ctrl-C

use bytes::{Bytes, BytesMut};
use mlops_testkit::oip_server::{OipServer, RestAnswer};

fn number(index: usize, default: usize) -> usize {
    std::env::args()
        .nth(index)
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

/// A length as protocol buffers write it.
fn varint(out: &mut BytesMut, mut value: usize) {
    while value >= 0x80 {
        out.extend_from_slice(&[u8::try_from(value & 0x7f).unwrap_or(0) | 0x80]);
        value >>= 7;
    }
    out.extend_from_slice(&[u8::try_from(value).unwrap_or(0)]);
}

fn field(out: &mut BytesMut, tag: u8, content: &[u8]) {
    out.extend_from_slice(&[(tag << 3) | 2]);
    varint(out, content.len());
    out.extend_from_slice(content);
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let (rest, grpc) = (number(1, 8080), number(2, 8081));
    let elements = number(3, 1);
    let raw = Bytes::from(vec![0_u8; elements * 4]);
    let numbers = vec!["0.5"; elements].join(",");
    let json = Bytes::from(format!(
        r#"{{"model_name":"m","outputs":[{{"name":"y","shape":[{elements}],"datatype":"FP32","data":[{numbers}]}}]}}"#
    ));
    let head = format!(
        r#"{{"model_name":"m","outputs":[{{"name":"y","shape":[{elements}],"datatype":"FP32","parameters":{{"binary_data_size":{}}}}}]}}"#,
        raw.len()
    );
    let binary = Bytes::from([head.as_bytes(), &raw].concat());
    let mut shape = BytesMut::new();
    varint(&mut shape, elements);
    let mut output = BytesMut::new();
    field(&mut output, 1, b"y");
    field(&mut output, 2, b"FP32");
    field(&mut output, 3, &shape);
    let mut message = BytesMut::new();
    field(&mut message, 1, b"m");
    field(&mut message, 5, &output);
    field(&mut message, 6, &raw);
    let message = message.freeze();
    let port = |port: usize| u16::try_from(port).unwrap_or(0);
    let _server = OipServer::start_at(
        port(rest),
        port(grpc),
        move |parts, _| {
            if parts
                .headers
                .contains_key("inference-header-content-length")
            {
                RestAnswer::new(200, binary.clone())
                    .with_header("inference-header-content-length", head.len().to_string())
            } else {
                RestAnswer::new(200, json.clone()).with_header("content-type", "application/json")
            }
        },
        move |_, _| Ok(message.clone()),
    )
    .await;
    std::future::pending::<()>().await;
}
