//! What a caller can do about an error of an API server: the one table.

use std::fmt;
use std::time::Duration;

use mlops_core::{Error, ErrorKind};
use serde_json::Value;

use crate::explain::{CauseCode, remedy_of_refusal};

/// The kind of an HTTP status and reason of the Kubernetes API
/// (<https://github.com/kubernetes/community/blob/master/contributors/devel/sig-architecture/api-conventions.md#http-status-codes>).
///
/// ```
/// use mlops_core::ErrorKind;
/// use mlops_k8s::kind_of_status;
///
/// assert_eq!(kind_of_status(403, "Forbidden"), ErrorKind::PermissionDenied);
/// assert_eq!(kind_of_status(409, "AlreadyExists"), ErrorKind::AlreadyExists);
/// assert!(kind_of_status(429, "TooManyRequests").is_retryable());
/// ```
pub fn kind_of_status(code: u16, reason: &str) -> ErrorKind {
    match (code, reason) {
        (409, "AlreadyExists") => ErrorKind::AlreadyExists,
        (400 | 413 | 422, _) => ErrorKind::InvalidInput,
        (401, _) => ErrorKind::Unauthenticated,
        (403, _) => ErrorKind::PermissionDenied,
        (404, _) => ErrorKind::NotFound,
        (405 | 406 | 415 | 501, _) => ErrorKind::Unsupported,
        (408 | 504, _) => ErrorKind::Timeout,
        (409, _) => ErrorKind::Conflict,
        (410, _) => ErrorKind::Changed,
        (429, _) => ErrorKind::RateLimited,
        (500..=599, _) => ErrorKind::Unavailable,
        _ => ErrorKind::Failed,
    }
}

/// An answer of the API server that says no: the cause below an [`Error`] of this crate.
///
/// Find it again with [`Refusal::of`]. Control characters in its texts have been replaced, so that a name chosen by
/// somebody else cannot move the cursor of a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub code: u16,
    /// The reason, one word such as `NotFound`; empty when the answer was not of the API server itself.
    pub reason: String,
    /// The message for people.
    pub message: String,
    /// What exactly was wrong, where the server says so.
    pub causes: Vec<RefusalCause>,
    /// How long the server asks to wait.
    pub retry_after: Option<Duration>,
}

/// One of the causes that the API server names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusalCause {
    /// One word, such as `FieldManagerConflict` or `FieldValueInvalid`.
    pub reason: String,
    /// The message for people.
    pub message: String,
    /// The field, such as `.spec.replicas`.
    pub field: String,
}

impl Refusal {
    /// The refusal among the causes of an error.
    pub fn of(error: &Error) -> Option<&Self> {
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            if let Some(refusal) = cause.downcast_ref() {
                return Some(refusal);
            }
            source = cause.source();
        }
        None
    }

    /// Whether the answer says that another manager owns a field.
    pub fn is_field_conflict(&self) -> bool {
        self.code == 409
            && self
                .causes
                .iter()
                .any(|cause| cause.reason == "FieldManagerConflict")
    }

    /// Reads the answer's body, which is a `Status` unless something stands before the API server.
    pub(crate) fn read(code: u16, retry_after: Option<Duration>, body: &[u8]) -> Self {
        let status: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |value: &Value, key: &str| {
            printable(value.get(key).and_then(Value::as_str).unwrap_or_default())
        };
        let details = status.get("details").cloned().unwrap_or_default();
        let causes = details.get("causes").and_then(Value::as_array);
        let causes = causes.into_iter().flatten().map(|cause| RefusalCause {
            reason: text(cause, "reason"),
            message: text(cause, "message"),
            field: text(cause, "field"),
        });
        let mut message = text(&status, "message");
        if message.is_empty() {
            let start = String::from_utf8_lossy(body.get(..200).unwrap_or(body));
            message = printable(start.trim());
        }
        let seconds = details.get("retryAfterSeconds").and_then(Value::as_u64);
        Self {
            code,
            reason: text(&status, "reason"),
            message,
            causes: causes.collect(),
            retry_after: retry_after.or(seconds.map(Duration::from_secs)),
        }
    }

    /// The error for what we were doing.
    pub(crate) fn into_error(self, doing: impl Into<String>) -> Error {
        let kind = kind_of_status(self.code, &self.reason);
        let hint = self.hint();
        let terminating = self.is_terminating();
        let kind = if terminating {
            ErrorKind::Conflict
        } else {
            kind
        };
        let error = Error::new(kind, doing).with_source(self);
        match hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }

    /// Whether the namespace is on its way out, so that nothing can be made in it.
    pub fn is_terminating(&self) -> bool {
        let mut causes = self.causes.iter();
        self.code == 403 && causes.any(|cause| cause.reason == "NamespaceTerminating")
    }

    fn hint(&self) -> Option<String> {
        if self.is_terminating() {
            return Some(
                "the namespace is being removed: wait until it is gone, then try again".to_owned(),
            );
        }
        // A quota, a webhook or a policy answers 403 as a missing right does, and no right helps against it.
        match remedy_of_refusal(&self.message) {
            Some((code, remedy)) if code != CauseCode::Forbidden => {
                return Some(format!("{remedy} ({code})"));
            }
            _ => {}
        }
        let hint = match self.code {
            401 => "check that the credentials of the kubeconfig are still valid",
            403 => "ask for the right that the message names",
            413 => "make the object smaller",
            409 if self.is_field_conflict() => {
                "leave the field to its manager, or say that it is to be taken over"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the API server answered {}", self.code)?;
        if !self.reason.is_empty() {
            write!(f, " {}", self.reason)?;
        }
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Refusal {}

/// An error of the client as ours.
pub fn wrap(error: kube::Error, doing: impl Into<String>) -> Error {
    match error {
        kube::Error::Api(status) => {
            let body = serde_json::to_vec(&status).unwrap_or_default();
            Refusal::read(status.code, None, &body).into_error(doing)
        }
        kube::Error::Service(cause) => wrap_transport(cause, doing),
        error => Error::new(kind_of_client(&error), doing).with_source(error),
    }
}

fn kind_of_client(error: &kube::Error) -> ErrorKind {
    match error {
        kube::Error::HyperError(_) | kube::Error::ReadEvents(_) => ErrorKind::Unavailable,
        kube::Error::SerdeError(_) | kube::Error::FromUtf8(_) => ErrorKind::Protocol,
        kube::Error::Auth(_) => ErrorKind::Unauthenticated,
        kube::Error::InferConfig(_)
        | kube::Error::InferKubeconfig(_)
        | kube::Error::BuildRequest(_)
        | kube::Error::HttpError(_)
        | kube::Error::ProxyProtocolUnsupported { .. } => ErrorKind::InvalidInput,
        kube::Error::ProxyProtocolDisabled { .. } => ErrorKind::Unsupported,
        _ => ErrorKind::Failed,
    }
}

/// What came instead of an answer: of the connection, or of what stands before it on our side.
fn wrap_transport(cause: BoxError, doing: impl Into<String>) -> Error {
    let cause = match cause.downcast::<Error>() {
        // A write that we refuse ourselves.
        Ok(refused) => return Error::new(refused.kind(), doing).with_source(*refused),
        Err(cause) => cause,
    };
    let kind = kind_of_transport(cause.as_ref());
    let error = match cause.downcast::<NoAnswer>() {
        Ok(none) => Error::new(kind, doing).with_source(none.to_string()),
        Err(cause) => return Error::new(kind, doing).with_source(cause),
    };
    match kind {
        ErrorKind::Unavailable | ErrorKind::Timeout => error.with_hint(NO_ANSWER),
        _ => error.with_hint(
            "check that the kubeconfig has the authority and the address of this cluster",
        ),
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

const NO_ANSWER: &str =
    "check that the API server runs, and that the kubeconfig names the address it has";

/// No answer of an API server, and why.
#[derive(Debug)]
pub(crate) struct NoAnswer {
    server: String,
    cause: BoxError,
}

impl NoAnswer {
    /// Names the server in what a connection to it says. Other errors of a client stay as they are.
    pub(crate) fn of(server: &str, cause: BoxError) -> BoxError {
        let is_ours = cause.is::<kube::Error>() || cause.is::<Error>();
        if is_ours || cause.is::<kube::client::AuthError>() {
            return cause;
        }
        Box::new(Self {
            server: printable(server),
            cause,
        })
    }
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let root = root_of(self.cause.as_ref());
        write!(f, "no answer from `{}`: {}", self.server, printable(&root))
    }
}

impl std::error::Error for NoAnswer {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.cause.as_ref())
    }
}

/// The text of the innermost cause: those around it only say that there was one.
fn root_of(error: &(dyn std::error::Error + 'static)) -> String {
    let mut root = error;
    while let Some(cause) = root.source() {
        root = cause;
    }
    root.to_string()
}

/// Why a question has no answer, and what to do about it, for those who report rather than fail.
pub(crate) fn reason_of(error: &kube::Error) -> (String, &'static str) {
    match error {
        kube::Error::Api(status) => (
            status.message.clone(),
            "ask with an account that may look, while the server answers",
        ),
        kube::Error::Service(cause) => match cause.downcast_ref::<NoAnswer>() {
            Some(none) => (none.to_string(), NO_ANSWER),
            None => (root_of(cause.as_ref()), NO_ANSWER),
        },
        other => (root_of(other), NO_ANSWER),
    }
}

/// Whether what a client ran into may be over the next time.
pub(crate) fn may_pass(error: &kube::Error) -> bool {
    match error {
        kube::Error::HyperError(_) | kube::Error::ReadEvents(_) => true,
        kube::Error::Service(cause) => kind_of_transport(cause.as_ref()).is_retryable(),
        _ => false,
    }
}

/// A connection that breaks may work the next time; one whose certificate is wrong will not.
fn kind_of_transport(error: &(dyn std::error::Error + 'static)) -> ErrorKind {
    let mut source = Some(error);
    while let Some(cause) = source {
        let mut io = cause.downcast_ref::<std::io::Error>();
        while let Some(error) = io {
            match error.kind() {
                std::io::ErrorKind::TimedOut => return ErrorKind::Timeout,
                // What the TLS library says of a certificate arrives as this.
                std::io::ErrorKind::InvalidData => return ErrorKind::Failed,
                _ => {}
            }
            // One such error holds another, and tells only of what is below both as its source.
            io = error.get_ref().and_then(|inner| inner.downcast_ref());
        }
        source = cause.source();
    }
    ErrorKind::Unavailable
}

/// A text of somebody else without control characters, for terminals and logs.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|character| match character {
            '\n' => ' ',
            character if character.is_control() => '\u{fffd}',
            character => character,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_passing_statuses_are_retried() {
        for code in 300..600 {
            let passing = matches!(code, 408 | 429 | 500..=599) && code != 501;
            let kind = kind_of_status(code, "");
            assert_eq!(kind.is_retryable(), passing, "{code}");
        }
    }

    #[test]
    fn a_refusal_keeps_its_causes_and_loses_control_characters() {
        let body = br#"{"reason":"Conflict","message":"Apply failed\u001b[2J","details":{"retryAfterSeconds":3,
            "causes":[{"reason":"FieldManagerConflict","message":"conflict with \"hpa\"","field":".spec.replicas"}]}}"#;
        let error = Refusal::read(409, None, body).into_error("apply `x`");
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(!error.causes().concat().contains('\u{1b}'));
        let refusal = Refusal::of(&error).unwrap();
        assert!(refusal.is_field_conflict());
        assert_eq!(refusal.retry_after, Some(Duration::from_secs(3)));
        assert_eq!(refusal.causes[0].field, ".spec.replicas");
    }

    #[test]
    fn the_hint_is_the_remedy_of_what_refused() {
        let hint = |code: u16, message: &str| {
            let body = serde_json::json!({"reason": "Forbidden", "message": message});
            let refusal = Refusal::read(code, None, body.to_string().as_bytes());
            let error = refusal.into_error("apply `x`");
            error.hint().unwrap_or_default().to_owned()
        };
        let quota =
            "pods \"a\" is forbidden: exceeded quota: small, requested: pods=1, used: pods=2";
        assert_eq!(
            hint(403, quota),
            "lower what is asked, remove something, or raise ResourceQuota `small` (quota-exceeded)"
        );
        let right =
            "secrets is forbidden: User \"ada\" cannot list resource \"secrets\" in API group \"\"";
        assert_eq!(hint(403, right), "ask for the right that the message names");
        assert_eq!(hint(422, "spec.replicas: Invalid value"), "");
    }

    #[test]
    fn an_answer_that_is_no_status_is_kept_as_text() {
        let refusal = Refusal::read(429, None, b"Too many requests, please try again later.\n");
        assert_eq!(
            refusal.message,
            "Too many requests, please try again later."
        );
    }
}
