//! What a caller can do about an error of the Kubernetes client: the one table of this part.

use mlops_core::{Error, ErrorKind};

/// Whether the server answered with this HTTP status.
pub(crate) fn is_status(error: &kube::Error, code: u16) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == code)
}

/// An error of the client as ours.
pub(crate) fn wrap(error: kube::Error, doing: impl Into<String>) -> Error {
    Error::new(kind(&error), doing).with_source(error)
}

fn kind(error: &kube::Error) -> ErrorKind {
    match error {
        kube::Error::Api(status) => match status.code {
            400 | 413 | 422 => ErrorKind::InvalidInput,
            401 => ErrorKind::Unauthenticated,
            403 => ErrorKind::PermissionDenied,
            404 => ErrorKind::NotFound,
            405 | 406 | 415 => ErrorKind::Unsupported,
            409 => ErrorKind::Conflict,
            429 => ErrorKind::RateLimited,
            504 => ErrorKind::Timeout,
            500..=599 => ErrorKind::Unavailable,
            _ => ErrorKind::Failed,
        },
        kube::Error::Auth(_) => ErrorKind::Unauthenticated,
        kube::Error::HyperError(_) | kube::Error::Service(_) => ErrorKind::Unavailable,
        kube::Error::SerdeError(_) => ErrorKind::Protocol,
        _ => ErrorKind::Failed,
    }
}
