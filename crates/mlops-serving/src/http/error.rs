//! What can go wrong before there is an answer, and what kind of error that is.

use std::fmt;
use std::time::Duration;

use mlops_core::{Error, ErrorKind};

/// Why there is no answer.
#[derive(Debug)]
pub enum HttpError {
    /// The request cannot be written as HTTP.
    Request(Box<dyn std::error::Error + Send + Sync>),
    /// No connection could be made.
    Connect(std::io::Error),
    /// The connection broke after it was made.
    Broken(Box<dyn std::error::Error + Send + Sync>),
    /// Nothing came for that long.
    Timeout(Duration),
    /// The answer is longer than the caller wants to hold.
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
}

impl HttpError {
    pub(crate) fn request(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Request(cause.into())
    }

    /// The one table of this transport.
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Request(_) => ErrorKind::InvalidInput,
            Self::Connect(_) | Self::Broken(_) => ErrorKind::Unavailable,
            Self::Timeout(_) => ErrorKind::Timeout,
            Self::TooLong { .. } => ErrorKind::Protocol,
        }
    }

    /// The error of the libraries: it names what was being done.
    pub(crate) fn into_error(self, doing: impl Into<String>) -> Error {
        Error::new(self.kind(), doing).with_source(self)
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(_) => f.write_str("the request cannot be sent"),
            Self::Connect(_) => f.write_str("the server cannot be reached"),
            Self::Broken(_) => f.write_str("the connection broke"),
            Self::Timeout(limit) => write!(f, "no answer came within {limit:?}"),
            Self::TooLong { limit } => write!(f, "the answer is longer than {limit} bytes"),
        }
    }
}

impl std::error::Error for HttpError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Request(cause) | Self::Broken(cause) => Some(cause.as_ref()),
            Self::Connect(cause) => Some(cause),
            Self::Timeout(_) | Self::TooLong { .. } => None,
        }
    }
}

impl From<hyper::Error> for HttpError {
    fn from(error: hyper::Error) -> Self {
        Self::Broken(error.into())
    }
}

impl From<reqwest::Error> for HttpError {
    fn from(error: reqwest::Error) -> Self {
        // The address is ours and may be long; the caller says what was being done.
        let error = error.without_url();
        if error.is_timeout() {
            Self::Timeout(super::pool::CONNECT_TIMEOUT)
        } else if error.is_connect() {
            Self::Connect(std::io::Error::other(error))
        } else if error.is_builder() {
            Self::request(error)
        } else {
            Self::Broken(error.into())
        }
    }
}
