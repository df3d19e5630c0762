//! How the command ends.

use mlops_core::{Error, ErrorKind};

/// The exit code of the command.
///
/// ```
/// use mlops_cli::Exit;
/// use mlops_core::{Error, ErrorKind};
///
/// assert_eq!(Exit::of(&Error::new(ErrorKind::InvalidInput, "read it")).code(), 2);
/// assert_eq!(Exit::Done.code(), 0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Everything asked for was done.
    Done = 0,
    /// Something failed.
    Failed = 1,
    /// What was given is wrong: arguments, the platform file, a saved plan.
    WrongInput = 2,
    /// `plan --exit-code` or `diff --exit-code` found changes.
    Changes = 3,
    /// Everything was done, and a check failed.
    CheckFailed = 4,
    /// The user ended the work.
    Interrupted = 130,
}

impl Exit {
    /// The number that the operating system is told.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// How the command ends because of an error.
    pub fn of(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::InvalidInput => Self::WrongInput,
            ErrorKind::Interrupted => Self::Interrupted,
            _ => Self::Failed,
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_their_codes() {
        let code = |kind| Exit::of(&Error::new(kind, "do it")).code();
        assert_eq!(code(ErrorKind::InvalidInput), 2);
        assert_eq!(code(ErrorKind::Interrupted), 130);
        for kind in [
            ErrorKind::Failed,
            ErrorKind::Changed,
            ErrorKind::Unavailable,
            ErrorKind::NotFound,
        ] {
            assert_eq!(code(kind), 1);
        }
        assert_eq!(Exit::Changes.code(), 3);
        assert_eq!(Exit::CheckFailed.code(), 4);
    }
}
