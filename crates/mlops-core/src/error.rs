//! The one error type of the libraries: what the caller can do about it, what we were doing, a hint.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The result of everything fallible in the toolkit.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a caller can do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// What the user gave is wrong: mend the input.
    InvalidInput,
    /// The thing asked for is not there.
    NotFound,
    /// The thing is there already and may not be made again.
    AlreadyExists,
    /// Somebody else owns or holds the thing.
    Conflict,
    /// The credentials are good, the right is missing.
    PermissionDenied,
    /// The credentials are wrong or missing.
    Unauthenticated,
    /// The server could not be reached or is not ready; the same call may work later.
    Unavailable,
    /// No answer came in time; the same call may work later.
    Timeout,
    /// The server asks for fewer calls; the same call may work later.
    RateLimited,
    /// The user or the caller ended the work.
    Interrupted,
    /// A resource of the machine is used up: disk, memory, file descriptors.
    Exhausted,
    /// The server does not offer what was asked.
    Unsupported,
    /// The world is not as it was when the plan was made.
    Changed,
    /// A server answered what its protocol does not allow.
    Protocol,
    /// Anything else: the chain of causes says more.
    Failed,
}

impl ErrorKind {
    /// Whether the same call may succeed when it is made again unchanged.
    ///
    /// This says nothing about whether repeating is safe: that depends on the call.
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::Unavailable | Self::Timeout | Self::RateLimited)
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InvalidInput => "invalid input",
            Self::NotFound => "not found",
            Self::AlreadyExists => "already exists",
            Self::Conflict => "conflict",
            Self::PermissionDenied => "permission denied",
            Self::Unauthenticated => "not signed in",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timed out",
            Self::RateLimited => "rate limited",
            Self::Interrupted => "interrupted",
            Self::Exhausted => "out of resources",
            Self::Unsupported => "not supported",
            Self::Changed => "changed meanwhile",
            Self::Protocol => "unexpected answer",
            Self::Failed => "failed",
        })
    }
}

/// An error: its kind, what we were doing, optionally a hint and a cause.
///
/// `Display` prints this level only, as "failed to " and what we were doing. The edge of a program walks
/// [`std::error::Error::source`] and prints the hint.
///
/// ```
/// use mlops_core::{Error, ErrorKind};
///
/// let error = Error::new(ErrorKind::PermissionDenied, "create bucket `models`")
///     .with_hint("check that the key is still valid");
/// assert_eq!(error.to_string(), "failed to create bucket `models`");
/// assert!(!error.is_retryable());
/// ```
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    doing: String,
    hint: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// Makes an error of `kind`; `doing` is a verb phrase with its subject in backticks.
    pub fn new(kind: ErrorKind, doing: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            doing: doing.into(),
            hint: None,
            source: None,
        }))
    }

    /// Adds what the user may do about it, as one sentence without a full stop.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Adds the cause. A plain text is a cause as well.
    #[must_use]
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What the caller can do.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What we were doing, without "failed to ".
    pub fn doing(&self) -> &str {
        &self.0.doing
    }

    /// What the user may do: the hint of this level, or the nearest one below it.
    pub fn hint(&self) -> Option<&str> {
        if let Some(hint) = &self.0.hint {
            return Some(hint);
        }
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            if let Some(error) = cause.downcast_ref::<Self>() {
                return error.hint();
            }
            source = cause.source();
        }
        None
    }

    /// Whether the same call may succeed when it is made again; see [`ErrorKind::is_retryable`].
    pub fn is_retryable(&self) -> bool {
        self.0.kind.is_retryable()
    }

    /// The causes below this level, outermost first, as texts.
    pub fn causes(&self) -> Vec<String> {
        let mut texts = Vec::new();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            texts.push(cause.to_string());
            source = cause.source();
        }
        texts
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failed to {}", self.0.doing)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| {
            let source: &(dyn std::error::Error + 'static) = source;
            source
        })
    }
}

/// An [`Error`] as data, for events, reports and saved results.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What the caller can do.
    pub kind: ErrorKind,
    /// The outermost message.
    pub message: String,
    /// The causes below it, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// What the user may do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        Self {
            kind: error.kind(),
            message: error.to_string(),
            causes: error.causes(),
            hint: error.hint().map(str::to_owned),
        }
    }
}

impl Failure {
    /// The failure as an error again; its causes become texts.
    pub fn to_error(&self) -> Error {
        let doing = self
            .message
            .strip_prefix("failed to ")
            .unwrap_or(&self.message);
        let mut error = Error::new(self.kind, doing);
        if let Some(hint) = &self.hint {
            error = error.with_hint(hint.clone());
        }
        if !self.causes.is_empty() {
            error = error.with_source(self.causes.join(": "));
        }
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_is_one_level_and_the_hint_comes_from_below() {
        let inner = Error::new(ErrorKind::Unavailable, "connect to `127.0.0.1:1`")
            .with_source("connection refused")
            .with_hint("start the server");
        let outer = Error::new(ErrorKind::Failed, "list buckets").with_source(inner);
        assert_eq!(outer.to_string(), "failed to list buckets");
        assert_eq!(outer.hint(), Some("start the server"));
        assert_eq!(
            outer.causes(),
            ["failed to connect to `127.0.0.1:1`", "connection refused"]
        );
    }

    #[test]
    fn a_failure_survives_json() {
        let error = Error::new(ErrorKind::Timeout, "wait").with_source("nothing came");
        let failure = Failure::from(&error);
        let text = serde_json::to_string(&failure).unwrap();
        let back: Failure = serde_json::from_str(&text).unwrap();
        assert_eq!(back, failure);
        assert_eq!(back.to_error().kind(), ErrorKind::Timeout);
    }
}
