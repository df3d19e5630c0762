//! The schemas of the kinds that Kubernetes itself knows: `schemas/kubernetes.json.gz`, written by
//! `cargo xtask schemas` from the published OpenAPI.

use std::fmt;
use std::io::Read as _;
use std::str::FromStr;
use std::sync::LazyLock;

use mlops_core::{Error, ErrorKind};
use serde::{Deserialize, Serialize};

/// A version of Kubernetes whose schemas are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Version {
    /// 1.33.
    #[serde(rename = "1.33")]
    V1_33,
    /// 1.34.
    #[serde(rename = "1.34")]
    V1_34,
    /// 1.35.
    #[serde(rename = "1.35")]
    V1_35,
}

impl Version {
    /// All of them, oldest first.
    pub const ALL: [Self; 3] = [Self::V1_33, Self::V1_34, Self::V1_35];

    /// The newest of them.
    pub const LATEST: Self = Self::V1_35;

    fn minor(self) -> u8 {
        match self {
            Self::V1_33 => 33,
            Self::V1_34 => 34,
            Self::V1_35 => 35,
        }
    }

    fn bit(self) -> u8 {
        1 << (self.minor() - 33)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1.{}", self.minor())
    }
}

impl FromStr for Version {
    type Err = Error;

    /// Reads `1.34`, and what servers call it: `v1.34.4`, `v1.34.4+k3s1`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let mut numbers = text.trim_start_matches('v').split('.');
        let known = (numbers.next() == Some("1"))
            .then(|| numbers.next())
            .flatten()
            .and_then(|minor| {
                let end = minor.find(|c: char| !c.is_ascii_digit());
                let minor: u8 = minor.get(..end.unwrap_or(minor.len()))?.parse().ok()?;
                Self::ALL.into_iter().find(|known| known.minor() == minor)
            });
        known.ok_or_else(|| {
            Error::new(
                ErrorKind::Unsupported,
                format!("find schemas of Kubernetes `{}`", text.escape_debug()),
            )
            .with_hint("the versions 1.33, 1.34 and 1.35 are known")
        })
    }
}

/// In which of the versions something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(super) struct Versions(u8);

impl Versions {
    pub(super) fn has(self, version: Version) -> bool {
        self.0 & version.bit() != 0
    }

    /// The first version it is in, when the one that is asked for is older.
    pub(super) fn since(self, asked: Version) -> Option<Version> {
        let first = Version::ALL
            .into_iter()
            .find(|version| self.has(*version))?;
        (first > asked).then_some(first)
    }

    /// The first version it is not in any more, when the one that is asked for is newer.
    pub(super) fn gone(self, asked: Version) -> Option<Version> {
        let last = Version::ALL.into_iter().rev().find(|one| self.has(*one))?;
        Version::ALL
            .into_iter()
            .find(|version| *version > last)
            .filter(|gone| *gone <= asked)
    }
}

/// What a value must be.
#[derive(Debug, PartialEq, Deserialize)]
pub(super) enum Schema {
    #[serde(rename = "a")]
    Anything,
    /// A map of anything.
    #[serde(rename = "o")]
    Free,
    #[serde(rename = "s")]
    Text,
    #[serde(rename = "b")]
    Boolean,
    #[serde(rename = "i")]
    Integer32,
    #[serde(rename = "l")]
    Integer64,
    #[serde(rename = "n")]
    Number,
    #[serde(rename = "q")]
    Quantity,
    #[serde(rename = "x")]
    IntegerOrText,
    #[serde(rename = "t")]
    Time,
    /// Base64.
    #[serde(rename = "y")]
    Bytes,
    #[serde(rename = "e")]
    OneOf(Vec<String>),
    /// With the fields that tell one item from another.
    #[serde(rename = "v")]
    List(Box<Self>, Vec<String>),
    #[serde(rename = "m")]
    Map(Box<Self>),
    #[serde(rename = "r")]
    Object(usize),
}

/// A field in some versions. Like the two below it is a list in the file, in this order.
#[derive(Debug, Deserialize)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) schema: Schema,
    pub(super) versions: Versions,
    /// Where it must be given.
    pub(super) required: Versions,
}

/// A definition: its short name, such as `PodSpec`, and its fields.
#[derive(Debug, Deserialize)]
pub(super) struct Definition {
    pub(super) name: String,
    pub(super) fields: Vec<Field>,
}

/// A kind.
#[derive(Debug, Deserialize)]
pub(super) struct BuiltIn {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) kind: String,
    pub(super) resource: String,
    pub(super) is_namespaced: bool,
    pub(super) versions: Versions,
    /// The number of its definition.
    pub(super) definition: usize,
}

#[derive(Debug, Deserialize)]
pub(super) struct Schemas {
    /// The exact versions that they come from; only the tests ask.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "for people who look into the file")
    )]
    versions: Vec<String>,
    objects: Vec<Definition>,
    pub(super) kinds: Vec<BuiltIn>,
}

static SCHEMAS: LazyLock<Schemas> = LazyLock::new(load);

#[expect(
    clippy::expect_used,
    reason = "the data is part of the program, and a test reads it"
)]
fn load() -> Schemas {
    let packed: &[u8] = include_bytes!("../../schemas/kubernetes.json.gz");
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(packed)
        .read_to_end(&mut text)
        .expect("the schemas can be unpacked");
    serde_json::from_slice(&text).expect("the schemas have the form that the task writes")
}

impl Schemas {
    /// The schemas, unpacked at the first use.
    pub(super) fn get() -> &'static Self {
        &SCHEMAS
    }

    pub(super) fn definition(&self, number: usize) -> Option<&Definition> {
        self.objects.get(number)
    }

    /// The number of `ObjectMeta`, which custom resources have as well.
    pub(super) fn metadata(&self) -> Option<usize> {
        self.objects.iter().position(|one| one.name == "ObjectMeta")
    }

    pub(super) fn find(&self, group: &str, version: &str, kind: &str) -> Option<&BuiltIn> {
        self.kinds
            .iter()
            .find(|one| one.group == group && one.version == version && one.kind == kind)
    }

    /// Whether Kubernetes itself serves the group.
    pub(super) fn has_group(&self, group: &str) -> bool {
        self.kinds.iter().any(|one| one.group == group)
    }

    /// All versions of a kind.
    pub(super) fn versions_of<'s>(
        &'s self,
        group: &'s str,
        kind: &'s str,
    ) -> impl Iterator<Item = &'s BuiltIn> {
        self.kinds
            .iter()
            .filter(move |one| one.group == group && one.kind == kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_is_whole() {
        let schemas = Schemas::get();
        assert_eq!(schemas.versions.len(), Version::ALL.len());
        for (known, version) in schemas.versions.iter().zip(Version::ALL) {
            assert_eq!(known.parse::<Version>().unwrap(), version);
        }
        assert!(schemas.metadata().is_some());
        for kind in &schemas.kinds {
            assert!(
                schemas.definition(kind.definition).is_some(),
                "{}",
                kind.kind
            );
        }
        fn references(schema: &Schema, schemas: &Schemas) -> bool {
            match schema {
                Schema::Object(number) => schemas.definition(*number).is_some(),
                Schema::List(items, _) | Schema::Map(items) => references(items, schemas),
                _ => true,
            }
        }
        for object in &schemas.objects {
            for field in &object.fields {
                assert!(
                    references(&field.schema, schemas),
                    "{}.{}",
                    object.name,
                    field.name
                );
            }
        }
    }

    #[test]
    fn versions_as_servers_call_them() {
        for text in ["1.34", "v1.34.4", "v1.34.4+k3s1", "1.34+"] {
            assert_eq!(text.parse::<Version>().unwrap(), Version::V1_34, "{text}");
        }
        for text in ["", "1", "2.34", "1.32", "1.340", "1.x"] {
            let error = text.parse::<Version>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{text}");
        }
    }

    #[test]
    fn since_and_gone() {
        let new = Versions(0b110);
        assert_eq!(new.since(Version::V1_33), Some(Version::V1_34));
        assert_eq!(new.since(Version::V1_34), None);
        let old = Versions(0b001);
        assert_eq!(old.gone(Version::V1_35), Some(Version::V1_34));
        assert_eq!(old.gone(Version::V1_33), None);
    }
}
