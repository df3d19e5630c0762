use std::error::Error as StdError;
use std::fmt;
use std::io;

/// Why the server could not start or went down.
///
/// `Display` says what was being done; [`source`](StdError::source) says why
/// it failed.
#[derive(Debug)]
pub struct Error {
    doing: String,
    source: io::Error,
}

/// Short for a result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn new(doing: impl Into<String>, source: io::Error) -> Self {
        Self {
            doing: doing.into(),
            source,
        }
    }

    pub(crate) fn refused(doing: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(
            doing,
            io::Error::new(io::ErrorKind::InvalidInput, why.into()),
        )
    }

    /// Kind of the underlying problem: `InvalidInput` for a root folder or a
    /// setting that cannot be used, `ResourceBusy` for a root folder that
    /// another server has open, else what the operating system said.
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failed to {}", self.doing)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.source)
    }
}
