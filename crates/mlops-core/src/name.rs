//! Names that a server validates: a type each, with `FromStr` as the only door.
//!
//! Their text is shared: a platform says the same few names very often, and each of them is copied without a copy.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};

/// Checks a name of `what` against a length and a rule; the error repeats the rule.
fn check(
    what: &str,
    text: &str,
    lengths: std::ops::RangeInclusive<usize>,
    rule: &str,
    valid: impl FnOnce(&str) -> bool,
) -> Result<()> {
    if lengths.contains(&text.len()) && valid(text) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::InvalidInput,
        format!("use `{}` as {what}", text.escape_debug()),
    )
    .with_source(format!(
        "{what} must be {} to {} characters: {rule}",
        lengths.start(),
        lengths.end()
    )))
}

/// Lower-case letters, digits and hyphens, beginning and ending with a letter or digit.
fn is_label(text: &str) -> bool {
    text.bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Lower-case letters, digits and underscores, beginning with a letter.
fn is_identifier(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

macro_rules! names {
    ($($(#[$doc:meta])* $type:ident, $what:literal, $lengths:expr, $rule:literal, $valid:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, schemars::JsonSchema)]
        #[schemars(transparent)]
        pub struct $type(Arc<str>);

        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self> {
                check($what, text, $lengths, $rule, $valid)?;
                Ok(Self(text.into()))
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(|error: Error| {
                    serde::de::Error::custom(error.causes().first().cloned().unwrap_or_default())
                })
            }
        }
    )*};
}

names! {
    /// The name of a platform, such as `demo`: a DNS label, so that it fits every system that must hold it.
    PlatformName, "a platform name", 1..=40, "lower-case letters, digits and hyphens, a letter or digit at both ends", is_label;
    /// The name of a component of the catalogue, such as `mlflow`.
    ComponentName, "a component name", 1..=40, "lower-case letters, digits and hyphens, a letter or digit at both ends", is_label;
    /// The name of a capability, such as `postgres` or `tracking`.
    CapabilityName, "a capability name", 1..=40, "lower-case letters, digits and hyphens, a letter or digit at both ends", is_label;
    /// The name of an address that something listens at, such as `mlflow` or `model-server-grpc`.
    ServiceName, "a service name", 1..=60, "lower-case letters, digits and hyphens, a letter or digit at both ends", is_label;
    /// The name of a secret, `component/name`, such as `mlflow/admin-password`.
    SecretName, "a secret name", 3..=100, "two labels of lower-case letters, digits and hyphens with a slash between", |text: &str| {
        text.split_once('/').is_some_and(|(left, right)| !left.is_empty() && !right.is_empty() && is_label(left) && is_label(right))
    };
    /// The name of an S3 bucket, by the rules of
    /// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html>.
    BucketName, "a bucket name", 3..=63, "lower-case letters, digits, hyphens and dots, a letter or digit at both ends, no two dots in a row, no IP address", |text: &str| {
        text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.')
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.ends_with(|c: char| c.is_ascii_alphanumeric())
            && !text.contains("..")
            && text.parse::<std::net::Ipv4Addr>().is_err()
    };
    /// The name of a PostgreSQL role. Narrower than the server: no quoting is ever needed, nothing the server
    /// keeps for itself (`pg_…`), at most 63 bytes
    /// (<https://www.postgresql.org/docs/current/sql-syntax-lexical.html>).
    RoleName, "a role name", 1..=63, "lower-case letters, digits and underscores, a letter first, not beginning with `pg_`", |text: &str| {
        is_identifier(text) && !text.starts_with("pg_")
    };
    /// The name of a PostgreSQL database; the rule of [`RoleName`], and not a template or `postgres`.
    DatabaseName, "a database name", 1..=63, "lower-case letters, digits and underscores, a letter first, not `postgres`, `template0` or `template1`", |text: &str| {
        is_identifier(text) && !text.starts_with("pg_") && !matches!(text, "postgres" | "template0" | "template1")
    };
    /// The name of a registered model, usable in URLs, file names and as an inference model name as it is.
    ModelName, "a model name", 1..=100, "letters, digits, `-`, `_` and `.`, a letter or digit first", |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
            && !text.contains("..")
    };
    /// An alias of a model version, such as `champion`. MLflow keeps `latest` and `v1`, `v2` … for itself.
    ModelAlias, "a model alias", 1..=100, "letters, digits, `-` and `_`, not `latest` and not `v` with a number", |text: &str| {
        text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
            && !text.eq_ignore_ascii_case("latest")
            && !text.strip_prefix(['v', 'V']).is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
    };
}

impl SecretName {
    /// The secret `name` of `component`.
    ///
    /// # Errors
    ///
    /// When `name` is not a label.
    pub fn of(component: &ComponentName, name: &str) -> Result<Self> {
        format!("{component}/{name}").parse()
    }
}

/// The name among `known` that is nearest to `given`, when one is near enough to be meant.
///
/// ```
/// let known = ["postgres", "mlflow"];
/// assert_eq!(mlops_core::nearest("postgers", known), Some("postgres"));
/// assert_eq!(mlops_core::nearest("kafka", known), None);
/// ```
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(given, name), name))
        .filter(|(distance, name)| *distance <= (name.len().max(given.len()) / 3).max(1))
        .min()
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_rule_is_in_the_error() {
        let error = "Bad Name".parse::<PlatformName>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(
            error.to_string(),
            "failed to use `Bad Name` as a platform name"
        );
        assert!(error.causes()[0].contains("lower-case letters"));
    }

    #[test]
    fn reserved_names_are_refused() {
        for name in ["postgres", "template1", "pg_x", "1a", "a-b", ""] {
            assert!(name.parse::<DatabaseName>().is_err(), "{name}");
        }
        for name in ["latest", "LATEST", "v1", "V22", "a b", ""] {
            assert!(name.parse::<ModelAlias>().is_err(), "{name}");
        }
        for name in ["192.168.0.1", "a..b", "ab", "-ab", "Abc"] {
            assert!(name.parse::<BucketName>().is_err(), "{name}");
        }
        for name in ["a/b/c", "a", "/b", "a/", "A/b"] {
            assert!(name.parse::<SecretName>().is_err(), "{name}");
        }
        assert!("v".parse::<ModelAlias>().is_ok());
    }

    proptest! {
        #[test]
        fn names_never_need_quoting(text in "\\PC{0,70}") {
            if let Ok(name) = text.parse::<RoleName>() {
                prop_assert!(name.as_str().bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'));
            }
            if let Ok(name) = text.parse::<PlatformName>() {
                prop_assert!(!name.as_str().contains(['/', '.', '\\', ' ']));
            }
        }
    }
}
