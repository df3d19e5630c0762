//! The one table of this client: what a refusal of an inference server means.

use http::StatusCode;
use mlops_core::{Error, ErrorKind};
use serde::Deserialize;

/// The longest text of a server that goes into an error.
const LONGEST: usize = 600;

/// The kind of an HTTP status.
pub(super) fn kind_of_status(status: StatusCode) -> ErrorKind {
    match status.as_u16() {
        400 | 413 | 415 | 422 => ErrorKind::InvalidInput,
        401 => ErrorKind::Unauthenticated,
        403 => ErrorKind::PermissionDenied,
        404 => ErrorKind::NotFound,
        405 | 501 => ErrorKind::Unsupported,
        408 | 504 => ErrorKind::Timeout,
        409 => ErrorKind::Conflict,
        429 => ErrorKind::RateLimited,
        502 | 503 => ErrorKind::Unavailable,
        _ => ErrorKind::Failed,
    }
}

/// The kind of a gRPC status.
pub(super) fn kind_of_code(code: tonic::Code) -> ErrorKind {
    use tonic::Code;
    match code {
        Code::InvalidArgument | Code::OutOfRange | Code::FailedPrecondition => {
            ErrorKind::InvalidInput
        }
        Code::NotFound => ErrorKind::NotFound,
        Code::AlreadyExists => ErrorKind::AlreadyExists,
        Code::PermissionDenied => ErrorKind::PermissionDenied,
        Code::Unauthenticated => ErrorKind::Unauthenticated,
        Code::ResourceExhausted => ErrorKind::RateLimited,
        Code::Aborted => ErrorKind::Conflict,
        Code::Unimplemented => ErrorKind::Unsupported,
        Code::Unavailable => ErrorKind::Unavailable,
        Code::DeadlineExceeded => ErrorKind::Timeout,
        Code::Cancelled => ErrorKind::Interrupted,
        _ => ErrorKind::Failed,
    }
}

/// What a server says in the body of a refusal. Three shapes are in use: `{"error": "…"}`, `FastAPI`'s
/// `{"detail": "…" or [{"loc": […], "msg": "…"}]}`, and plain text.
pub(super) fn message_of(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Refusal {
        #[serde(default)]
        error: serde_json::Value,
        #[serde(default)]
        detail: serde_json::Value,
    }
    let said = match serde_json::from_slice::<Refusal>(body) {
        Ok(Refusal { error, .. }) if !error.is_null() => plain(&error),
        Ok(Refusal { detail, .. }) if !detail.is_null() => plain(&detail),
        _ => String::from_utf8_lossy(body).trim().to_owned(),
    };
    let said = if said.is_empty() {
        "it says nothing".to_owned()
    } else {
        said
    };
    match said.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", said.get(..end).unwrap_or(&said)),
        None => said,
    }
}

fn plain(value: &serde_json::Value) -> String {
    use serde_json::Value;
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join("; "),
        Value::Object(fields) if fields.contains_key("msg") => {
            let place: Vec<String> = match fields.get("loc") {
                Some(Value::Array(parts)) => parts.iter().map(plain).collect(),
                _ => Vec::new(),
            };
            let said = fields.get("msg").map(plain).unwrap_or_default();
            if place.is_empty() {
                said
            } else {
                format!("{}: {said}", place.join("."))
            }
        }
        other => other.to_string(),
    }
}

/// The error of a refusal.
pub(super) fn refused(doing: String, status: StatusCode, body: &[u8]) -> Error {
    Error::new(kind_of_status(status), doing).with_source(format!(
        "the server answered {status}: {}",
        message_of(body)
    ))
}

/// The error of an answer that is not what the protocol says.
pub(super) fn strange(
    doing: impl Into<String>,
    cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> Error {
    Error::new(ErrorKind::Protocol, doing).with_source(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_shapes_of_refusal_are_read() {
        assert_eq!(message_of(br#"{"error":"no such model"}"#), "no such model");
        assert_eq!(
            message_of(
                br#"{"detail":[{"loc":["body","inputs"],"msg":"field required","type":"x"}]}"#
            ),
            "body.inputs: field required"
        );
        assert_eq!(message_of(br#"{"detail":"Not Found"}"#), "Not Found");
        assert_eq!(
            message_of(b"Internal Server Error"),
            "Internal Server Error"
        );
        assert_eq!(message_of(b""), "it says nothing");
        assert_eq!(message_of(br#"{"error":null}"#), r#"{"error":null}"#);
        assert!(message_of(&b"x".repeat(100_000)).len() < 1000);
    }
}
