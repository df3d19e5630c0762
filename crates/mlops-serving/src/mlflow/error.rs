//! The one table of this client: what a refusal of MLflow means.

use http::StatusCode;
use mlops_core::{Error, ErrorKind};
use serde::Deserialize;

/// The longest text of the server that goes into an error.
const LONGEST: usize = 400;

/// The longest code of the server that goes into an error.
const LONGEST_CODE: usize = 60;

#[derive(Debug, Default, Deserialize)]
struct Refusal {
    #[serde(default)]
    error_code: String,
    #[serde(default)]
    message: String,
}

/// By MLflow's own code first
/// (<https://github.com/mlflow/mlflow/blob/master/mlflow/protos/databricks.proto>), by the status otherwise: not every
/// refusal has a code, sign-in and unknown paths answer text or HTML.
fn kind_of(status: StatusCode, code: &str) -> ErrorKind {
    match code {
        "RESOURCE_DOES_NOT_EXIST" | "NOT_FOUND" => ErrorKind::NotFound,
        "RESOURCE_ALREADY_EXISTS" | "ALREADY_EXISTS" => ErrorKind::AlreadyExists,
        "RESOURCE_CONFLICT" | "INVALID_STATE" | "ABORTED" => ErrorKind::Conflict,
        "INVALID_PARAMETER_VALUE"
        | "BAD_REQUEST"
        | "MALFORMED_REQUEST"
        | "INVALID_STATE_TRANSITION" => ErrorKind::InvalidInput,
        "PERMISSION_DENIED" => ErrorKind::PermissionDenied,
        "UNAUTHENTICATED" | "CUSTOMER_UNAUTHORIZED" => ErrorKind::Unauthenticated,
        "REQUEST_LIMIT_EXCEEDED" => ErrorKind::RateLimited,
        "RESOURCE_EXHAUSTED" | "QUOTA_EXCEEDED" => ErrorKind::Exhausted,
        "TEMPORARILY_UNAVAILABLE" => ErrorKind::Unavailable,
        "DEADLINE_EXCEEDED" => ErrorKind::Timeout,
        "ENDPOINT_NOT_FOUND" | "NOT_IMPLEMENTED" | "FEATURE_DISABLED" => ErrorKind::Unsupported,
        _ => match status.as_u16() {
            400 | 413 | 422 => ErrorKind::InvalidInput,
            401 => ErrorKind::Unauthenticated,
            403 => ErrorKind::PermissionDenied,
            404 => ErrorKind::NotFound,
            405 | 501 => ErrorKind::Unsupported,
            408 | 504 => ErrorKind::Timeout,
            409 => ErrorKind::Conflict,
            429 => ErrorKind::RateLimited,
            502 | 503 => ErrorKind::Unavailable,
            _ => ErrorKind::Failed,
        },
    }
}

/// The error of a refusal.
///
/// Only the first line of what the server says is kept: below it MLflow quotes its SQL with all parameters, among
/// them the hash of a password.
pub(super) fn refused(doing: String, status: StatusCode, body: &[u8]) -> Error {
    let refusal: Refusal = serde_json::from_slice(body).unwrap_or_default();
    let text = String::from_utf8_lossy(body);
    let said = if !refusal.message.is_empty() {
        refusal.message.as_str()
    } else if text.trim_start().starts_with('<') {
        "a page of HTML"
    } else {
        text.trim()
    };
    let brief = |text: &str, most| -> String {
        let first = text.lines().next().unwrap_or_default();
        first.chars().take(most).collect()
    };
    let first = brief(said, LONGEST);
    let code = brief(&refusal.error_code, LONGEST_CODE);
    let error =
        Error::new(kind_of(status, &refusal.error_code), doing).with_source(if code.is_empty() {
            format!("MLflow answered {status}: {first}")
        } else {
            format!("MLflow answered {status}, {code}: {first}")
        });
    if first.contains("Invalid Host header") {
        error.with_hint(
            "MLflow does not know this host name; name it with its port in `--allowed-hosts`",
        )
    } else {
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_come_before_statuses() {
        let error = refused(
            "x".to_owned(),
            StatusCode::BAD_REQUEST,
            br#"{"error_code":"RESOURCE_ALREADY_EXISTS","message":"User exists. Error: (sqlite3.IntegrityError)\n[parameters: ('u', 'scrypt:secret')]","sqlstate":"KAM00"}"#,
        );
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        let odd = br#"{"error_code":"ODD\nscrypt:secret","message":"no"}"#;
        let odd = refused("x".to_owned(), StatusCode::BAD_REQUEST, odd);
        assert_eq!(odd.causes(), ["MLflow answered 400 Bad Request, ODD: no"]);
        assert!(
            !error.causes()[0].contains("scrypt"),
            "{:?}",
            error.causes()
        );
    }

    #[test]
    fn texts_and_pages_are_understood() {
        let html = refused("x".to_owned(), StatusCode::NOT_FOUND, b"<!doctype html>...");
        assert_eq!(html.kind(), ErrorKind::NotFound);
        assert!(html.causes()[0].contains("HTML"));
        let text = refused(
            "x".to_owned(),
            StatusCode::UNAUTHORIZED,
            b"You are not authenticated.",
        );
        assert_eq!(text.kind(), ErrorKind::Unauthenticated);
        let host = refused(
            "x".to_owned(),
            StatusCode::FORBIDDEN,
            b"Invalid Host header - possible DNS rebinding attack detected",
        );
        assert!(host.hint().unwrap().contains("--allowed-hosts"));
    }
}
