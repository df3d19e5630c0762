//! The cluster that a platform runs on, and the images that run there.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};

/// Where in which cluster a platform runs, on the target `cluster`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// The namespace of all its objects; the platform's name by default. It is made when it is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<NamespaceName>,
    /// The context of the kubeconfig; its current one by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// The kubeconfig; the one that `kubectl` would use by default. A relative path starts at the folder of this file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubeconfig: Option<PathBuf>,
    /// The `StorageClass` of all volumes; the cluster's default one by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_class: Option<StorageClassName>,
    /// Secrets of the namespace, of type `kubernetes.io/dockerconfigjson`, with which the images of all pods are pulled.
    /// They are there already: the platform neither makes nor removes them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub image_pull_secrets: Vec<PullSecretName>,
}

impl Cluster {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

macro_rules! checked_text {
    ($type:ident, $what:literal, $rule:literal, $is_right:expr) => {
        impl $type {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
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

        impl FromStr for $type {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self> {
                let is_right: fn(&str) -> bool = $is_right;
                if is_right(text) {
                    return Ok(Self(text.to_owned()));
                }
                let doing = format!(concat!("use `{}` as ", $what), text.escape_debug());
                Err(Error::new(ErrorKind::InvalidInput, doing)
                    .with_source(concat!($what, " has ", $rule)))
            }
        }
    };
}

/// The name of a namespace: a DNS label
/// (<https://kubernetes.io/docs/concepts/overview/working-with-objects/names/>).
///
/// ```
/// use mlops_core::platform::NamespaceName;
///
/// assert!("team-a".parse::<NamespaceName>().is_ok());
/// assert!("Team".parse::<NamespaceName>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NamespaceName(String);

checked_text!(
    NamespaceName,
    "a namespace",
    "1 to 63 lower-case letters, digits and hyphens, a letter or digit at both ends",
    |text| is_label(text, 63)
);

text_type!(
    NamespaceName,
    "A namespace: 1 to 63 lower-case letters, digits and hyphens, a letter or digit at both ends.",
    "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
);

/// The name of a `StorageClass`: labels of DNS with dots between.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct StorageClassName(String);

checked_text!(
    StorageClassName,
    "a StorageClass",
    "at most 253 lower-case letters, digits, hyphens and dots, a letter or digit at the ends of each part",
    |text| text.len() <= 253 && text.split('.').all(|part| is_label(part, 253))
);

text_type!(
    StorageClassName,
    "A StorageClass: lower-case letters, digits, hyphens and dots.",
    "^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"
);

/// The name of a Secret that lets images be pulled: labels of DNS with dots between.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PullSecretName(String);

checked_text!(
    PullSecretName,
    "a pull secret",
    "at most 253 lower-case letters, digits, hyphens and dots, a letter or digit at the ends of each part",
    |text| text.len() <= 253 && text.split('.').all(|part| is_label(part, 253))
);

text_type!(
    PullSecretName,
    "The name of a Secret: lower-case letters, digits, hyphens and dots.",
    "^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"
);

/// A container image as it is written in a pod: `[REGISTRY/]PATH[:TAG][@sha256:DIGEST]`
/// (<https://github.com/distribution/reference>).
///
/// ```
/// use mlops_core::platform::ImageName;
///
/// let image: ImageName = "registry.example.org:5000/mlops/postgres:15".parse()?;
/// assert_eq!(image.path(), "registry.example.org:5000/mlops/postgres");
/// assert_eq!(image.version(), Some(":15"));
/// assert!("Postgres".parse::<ImageName>().is_err());
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImageName(String);

checked_text!(
    ImageName,
    "an image",
    "the form [REGISTRY/]PATH[:TAG][@sha256:DIGEST], its path in lower case",
    is_image
);

text_type!(
    ImageName,
    "A container image: [REGISTRY/]PATH[:TAG][@sha256:DIGEST].",
    "^[^\\s@]+(@sha256:[0-9a-f]{64})?$"
);

impl ImageName {
    /// What stands before tag and digest.
    pub fn path(&self) -> &str {
        self.0.get(..split(&self.0)).unwrap_or(&self.0)
    }

    /// Tag and digest with their `:` or `@`; `None` when it says neither.
    pub fn version(&self) -> Option<&str> {
        self.0.get(split(&self.0)..).filter(|rest| !rest.is_empty())
    }
}

/// Where tag or digest begin: a colon before the last slash belongs to the registry's port.
fn split(text: &str) -> usize {
    let before = text.find('@').unwrap_or(text.len());
    let name = text.get(..before).unwrap_or(text);
    let path = name.rfind('/').map_or(0, |slash| slash + 1);
    let colon = name.get(path..).and_then(|rest| rest.find(':'));
    colon.map_or(before, |colon| path + colon)
}

fn is_label(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn is_image(text: &str) -> bool {
    let (name, digest) = match text.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (text, None),
    };
    let is_digest = |digest: &str| {
        digest.strip_prefix("sha256:").is_some_and(|hex| {
            hex.len() == 64
                && hex
                    .bytes()
                    .all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'))
        })
    };
    let (path, tag) = name.split_at(split(name));
    let is_tag = |tag: &str| {
        (1..=128).contains(&tag.len())
            && !tag.starts_with(['.', '-'])
            && tag
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
    };
    let mut parts = path.split('/').peekable();
    // Only a registry has a dot or a port, or is called localhost, and only before a slash.
    let first = parts.next().unwrap_or_default();
    let is_registry = parts.peek().is_some()
        && (first.contains(['.', ':']) || first == "localhost")
        && is_registry(first);
    path.len() <= 255
        && (is_registry || is_part(first))
        && parts.all(is_part)
        && (tag.is_empty() || tag.strip_prefix(':').is_some_and(is_tag))
        && digest.is_none_or(is_digest)
}

fn is_registry(text: &str) -> bool {
    let (host, port) = text.split_once(':').unwrap_or((text, "1"));
    host.split('.').all(|part| is_label(part, 63)) && port.parse::<u16>().is_ok()
}

fn is_part(text: &str) -> bool {
    let is_end = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.starts_with(is_end)
        && text.ends_with(is_end)
        && text
            .chars()
            .all(|c| is_end(c) || matches!(c, '-' | '_' | '.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn images_are_taken_apart() {
        for (text, path, version) in [
            ("postgres", "postgres", None),
            ("postgres:15", "postgres", Some(":15")),
            ("localhost:5000/a/b", "localhost:5000/a/b", None),
            ("localhost:5000/a/b:c", "localhost:5000/a/b", Some(":c")),
        ] {
            let image: ImageName = text.parse().unwrap();
            assert_eq!((image.path(), image.version()), (path, version), "{text}");
        }
        let digest = format!("@sha256:{}", "0f".repeat(32));
        let image: ImageName = format!("a.b/c:1{digest}").parse().unwrap();
        assert_eq!(image.version(), Some(format!(":1{digest}").as_str()));
        for text in [
            "",
            "A",
            "a//b",
            "a:",
            "a:b:c",
            "a@sha256:0",
            "a b",
            "/a",
            "a/",
            "a:-b",
            "-a",
            "a\n",
            "http://a/b",
        ] {
            assert!(text.parse::<ImageName>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_is_accepted_needs_quoting(text in "\\PC{0,70}") {
            if let Ok(image) = text.parse::<ImageName>() {
                let special = [' ', '"', '\'', '#', '{', '\n'];
                prop_assert!(!image.as_str().contains(special));
            }
            if let Ok(namespace) = text.parse::<NamespaceName>() {
                prop_assert!(namespace.as_str().len() <= 63 && !namespace.as_str().contains('.'));
            }
            if let Ok(class) = text.parse::<StorageClassName>() {
                prop_assert!(!class.as_str().contains([' ', '/', '_']));
            }
        }
    }
}
