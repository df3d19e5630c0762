//! What a caller can do about an error of PostgreSQL: the one table.

use mlops_core::{Error, ErrorKind};

/// The kind of an SQLSTATE (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
///
/// ```
/// use mlops_core::ErrorKind;
/// use mlops_storage::postgres::kind_of_sqlstate;
///
/// assert_eq!(kind_of_sqlstate("42501"), ErrorKind::PermissionDenied);
/// assert!(kind_of_sqlstate("57P03").is_retryable());
/// ```
pub fn kind_of_sqlstate(code: &str) -> ErrorKind {
    match code {
        // The server starts, stops, or has no place left for a connection; another session is in the way.
        "57P01" | "57P02" | "57P03" | "53300" | "55006" | "40001" | "40P01" => {
            ErrorKind::Unavailable
        }
        "57014" | "55P03" | "25P03" | "57P05" => ErrorKind::Timeout,
        "28P01" | "28000" => ErrorKind::Unauthenticated,
        "42501" => ErrorKind::PermissionDenied,
        "3D000" | "42704" | "42P01" | "3F000" => ErrorKind::NotFound,
        "42710" | "42P04" | "42P06" | "42P07" | "23505" => ErrorKind::AlreadyExists,
        "2BP01" => ErrorKind::Conflict,
        // An extension that is not installed on the server is 0A000, or 58P01 before version 17.
        "0A000" | "58P01" | "42601" | "42883" => ErrorKind::Unsupported,
        "42602" | "42622" | "42939" => ErrorKind::InvalidInput,
        _ => match code.get(..2) {
            Some("08") => ErrorKind::Unavailable,
            Some("53") => ErrorKind::Exhausted,
            Some("22") => ErrorKind::InvalidInput,
            _ => ErrorKind::Failed,
        },
    }
}

/// An error of the client as ours. Its text never holds a statement.
pub(super) fn wrap(error: tokio_postgres::Error, doing: impl Into<String>) -> Error {
    let doing = doing.into();
    if let Some(database) = error.as_db_error() {
        let code = database.code().code();
        let mut cause = format!("{} (SQLSTATE {code})", database.message());
        if let Some(detail) = database.detail() {
            cause = format!("{cause}: {}", detail.replace('\n', "; "));
        }
        let error = Error::new(kind_of_sqlstate(code), doing).with_source(cause);
        return match hint(code) {
            Some(hint) => error.with_hint(hint),
            None => error,
        };
    }
    let kind = kind_of_client(&error);
    match error.into_source() {
        Some(source) => Error::new(kind, doing).with_source(source),
        None => Error::new(kind, doing).with_source("the connection was closed"),
    }
}

fn hint(code: &str) -> Option<&'static str> {
    Some(match code {
        "28P01" => "check that the password is the one that the server knows for this role",
        "28000" => "check that the role may sign in, and what pg_hba.conf says of this address",
        "53300" => "the server allows no more connections: end some, or raise max_connections",
        "53100" => "the server's disk is full",
        "2BP01" => "remove what still depends on it first, or keep it",
        _ => return None,
    })
}

fn kind_of_client(error: &tokio_postgres::Error) -> ErrorKind {
    if error.is_closed() {
        return ErrorKind::Unavailable;
    }
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            return kind_of_io(io);
        }
        source = cause.source();
    }
    let text = error.to_string();
    if text.contains("timed out") || text.contains("timeout") {
        ErrorKind::Timeout
    } else if text.contains("authentication") || text.contains("password") {
        ErrorKind::Unauthenticated
    } else {
        ErrorKind::Failed
    }
}

fn kind_of_io(error: &std::io::Error) -> ErrorKind {
    use std::io::ErrorKind as Io;
    match error.kind() {
        Io::TimedOut => ErrorKind::Timeout,
        // What rustls says of a certificate arrives as this.
        Io::InvalidData | Io::InvalidInput => ErrorKind::Failed,
        _ => ErrorKind::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table() {
        for (code, kind) in [
            ("08006", ErrorKind::Unavailable),
            ("53100", ErrorKind::Exhausted),
            ("53300", ErrorKind::Unavailable),
            ("57014", ErrorKind::Timeout),
            ("28P01", ErrorKind::Unauthenticated),
            ("42501", ErrorKind::PermissionDenied),
            ("42710", ErrorKind::AlreadyExists),
            ("42P04", ErrorKind::AlreadyExists),
            ("3D000", ErrorKind::NotFound),
            ("2BP01", ErrorKind::Conflict),
            ("58P01", ErrorKind::Unsupported),
            ("22023", ErrorKind::InvalidInput),
            ("XX000", ErrorKind::Failed),
            ("", ErrorKind::Failed),
        ] {
            assert_eq!(kind_of_sqlstate(code), kind, "{code}");
        }
    }
}
