//! What a caller can do about an error of an S3 server: the one table.

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use mlops_core::{Error, ErrorKind};

/// The kind of an S3 error code (<https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>) or one of the
/// gateway's admin interface; `None` when the table does not know it.
///
/// ```
/// use mlops_core::ErrorKind;
/// use mlops_storage::s3::kind_of_code;
///
/// assert_eq!(kind_of_code("NoSuchBucket"), Some(ErrorKind::NotFound));
/// assert_eq!(kind_of_code("Whatever"), None);
/// ```
pub fn kind_of_code(code: &str) -> Option<ErrorKind> {
    Some(match code {
        "NoSuchBucket" | "NoSuchKey" | "NoSuchTagSet" | "NoSuchUpload" | "NotFound"
        | "XAdminUserNotFound" => ErrorKind::NotFound,
        "BucketAlreadyExists" | "BucketAlreadyOwnedByYou" | "XAdminUserExists" => {
            ErrorKind::AlreadyExists
        }
        "BucketNotEmpty" => ErrorKind::Conflict,
        "AccessDenied" | "AllAccessDisabled" | "XAdminAccessDenied" => ErrorKind::PermissionDenied,
        "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "ExpiredToken"
        | "InvalidToken"
        | "RequestTimeTooSkewed" => ErrorKind::Unauthenticated,
        "SlowDown" | "TooManyRequests" | "ThrottlingException" => ErrorKind::RateLimited,
        "ServiceUnavailable" | "InternalError" | "OperationAborted" => ErrorKind::Unavailable,
        "RequestTimeout" => ErrorKind::Timeout,
        "NotImplemented" | "MethodNotAllowed" | "XAdminMethodNotSupported" => {
            ErrorKind::Unsupported
        }
        "InvalidBucketName"
        | "InvalidArgument"
        | "InvalidLocationConstraint"
        | "MalformedXML"
        | "InvalidTag"
        | "XAdminInvalidArgument" => ErrorKind::InvalidInput,
        "QuotaExceeded" | "InsufficientStorage" => ErrorKind::Exhausted,
        _ => return None,
    })
}

/// The kind of an HTTP status without a known code.
pub fn kind_of_status(status: u16) -> ErrorKind {
    match status {
        400 | 422 => ErrorKind::InvalidInput,
        401 => ErrorKind::Unauthenticated,
        403 => ErrorKind::PermissionDenied,
        404 => ErrorKind::NotFound,
        408 => ErrorKind::Timeout,
        409 => ErrorKind::Conflict,
        405 | 501 => ErrorKind::Unsupported,
        429 => ErrorKind::RateLimited,
        507 => ErrorKind::Exhausted,
        500..=599 => ErrorKind::Unavailable,
        _ => ErrorKind::Failed,
    }
}

/// An answer that says no, as an error of ours.
pub(super) fn refused(
    status: u16,
    code: Option<&str>,
    message: Option<&str>,
    doing: impl Into<String>,
) -> Error {
    let kind = code
        .and_then(kind_of_code)
        .unwrap_or_else(|| kind_of_status(status));
    let mut cause = format!("the server answered {status}");
    if let Some(code) = code.filter(|code| !code.is_empty()) {
        cause = format!("{cause} {code}");
    }
    if let Some(message) = message.filter(|message| !message.is_empty()) {
        cause = format!("{cause}: {message}");
    }
    let error = Error::new(kind, doing).with_source(cause);
    match code {
        Some("RequestTimeTooSkewed") => {
            error.with_hint("set the clock of this machine, or of the server")
        }
        Some("InvalidAccessKeyId" | "SignatureDoesNotMatch") => {
            error.with_hint("check that the server knows this key with this secret")
        }
        Some("BucketNotEmpty") => error.with_hint("name its data for removal, or keep it"),
        _ => error,
    }
}

/// An error of the SDK as ours.
pub(super) fn wrap<E>(error: SdkError<E, HttpResponse>, doing: impl Into<String>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let kind = match &error {
        SdkError::ServiceError(service) => {
            let status = service.raw().status().as_u16();
            let details = service.err();
            return refused(status, details.code(), details.message(), doing);
        }
        SdkError::TimeoutError(_) => ErrorKind::Timeout,
        SdkError::DispatchFailure(failure) if failure.is_timeout() => ErrorKind::Timeout,
        SdkError::DispatchFailure(failure) if failure.is_io() => ErrorKind::Unavailable,
        SdkError::ResponseError(_) => ErrorKind::Protocol,
        SdkError::ConstructionFailure(_) => ErrorKind::InvalidInput,
        _ => ErrorKind::Failed,
    };
    let cause = error.into_source();
    match cause {
        Ok(cause) => Error::new(kind, doing).with_source(cause),
        Err(error) => Error::new(kind, doing).with_source(error),
    }
}

/// An error of the plain HTTP client as ours.
pub(super) fn wrap_http(error: reqwest::Error, doing: impl Into<String>) -> Error {
    let kind = if error.is_timeout() {
        ErrorKind::Timeout
    } else if error.is_connect() || error.is_request() || error.is_body() {
        ErrorKind::Unavailable
    } else if error.is_builder() {
        ErrorKind::InvalidInput
    } else {
        ErrorKind::Protocol
    };
    // Its text may show the address with the query; nothing secret is ever there, but it is noise.
    Error::new(kind, doing).with_source(error.without_url())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_code_outranks_the_status() {
        let error = refused(403, Some("SignatureDoesNotMatch"), Some("no"), "list");
        assert_eq!(error.kind(), ErrorKind::Unauthenticated);
        assert_eq!(
            error.causes(),
            ["the server answered 403 SignatureDoesNotMatch: no"]
        );
        let error = refused(503, Some("Strange"), None, "list");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        let error = refused(404, None, None, "list");
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }

    #[test]
    fn every_status_has_a_kind_and_only_passing_ones_are_retried() {
        for status in 300..600 {
            let retryable = matches!(status, 408 | 429 | 500 | 502..=506 | 508..=599);
            let retryable = retryable && status != 501;
            assert_eq!(kind_of_status(status).is_retryable(), retryable, "{status}");
        }
    }
}
