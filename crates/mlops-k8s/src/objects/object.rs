//! One object, as it was given.

use std::fmt;
use std::sync::Arc;

use mlops_core::{Error, ErrorKind, Result};
use serde_json::Value;

use super::id::{ObjectId, Place};

/// The largest object that is sent, in bytes of its JSON.
///
/// etcd takes requests of up to 1.5 MiB (`--max-request-bytes`, <https://etcd.io/docs/v3.5/dev-guide/limit/>). What the
/// API server adds (managed fields above all) grows with the object's fields, so a little less is the limit here.
pub const MAX_OBJECT_BYTES: usize = 1_500_000;

/// An object of Kubernetes as it was given, and where. Cheap to clone.
///
/// `Debug` shows which object it is and never its content.
#[derive(Clone)]
pub struct Object {
    json: Arc<Value>,
    id: ObjectId,
    api_version: String,
    place: Option<Place>,
}

impl Object {
    /// Takes an object that was made by a program.
    ///
    /// # Errors
    ///
    /// When it has no `apiVersion`, `kind` or `metadata.name`, or one of them has characters that no name may have.
    pub fn new(json: Value) -> Result<Self> {
        Self::placed(json, None)
    }

    pub(crate) fn placed(json: Value, place: Option<Place>) -> Result<Self> {
        let wrong = |message: String| {
            let doing = match &place {
                Some(place) => format!("read the object at `{place}`"),
                None => "take an object".to_owned(),
            };
            Error::new(ErrorKind::InvalidInput, doing).with_source(message)
        };
        if !json.is_object() {
            return Err(wrong("an object must be a map".to_owned()));
        }
        let text = |path: &str| match json.pointer(path) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if is_plain(text) => Ok(Some(text.clone())),
            Some(_) => Err(wrong(format!(
                "`{}` must be a text without spaces, slashes and control characters",
                path.trim_start_matches('/').replace('/', ".")
            ))),
        };
        let needed = |path: &str, found: Option<String>| {
            found.filter(|text| !text.is_empty()).ok_or_else(|| {
                let path = path.trim_start_matches('/').replace('/', ".");
                wrong(format!("`{path}` is missing"))
            })
        };
        let api_version = match json.get("apiVersion") {
            Some(Value::String(version)) if version.split('/').all(is_plain) => version.clone(),
            Some(_) => return Err(wrong("`apiVersion` must be a text such as `v1`".to_owned())),
            None => return Err(wrong("`apiVersion` is missing".to_owned())),
        };
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        let kind = needed("/kind", text("/kind")?)?;
        if json.pointer("/metadata/generateName").is_some() && text("/metadata/name")?.is_none() {
            return Err(wrong(
                "`metadata.generateName` gives another object each time: use `metadata.name`"
                    .to_owned(),
            ));
        }
        let name = needed("/metadata/name", text("/metadata/name")?)?;
        let namespace = text("/metadata/namespace")?.filter(|text| !text.is_empty());
        let id = ObjectId::new(group, kind, namespace.as_deref(), name);
        Ok(Self {
            json: Arc::new(json),
            id,
            api_version,
            place,
        })
    }

    /// Which object it is. The namespace is none when none was given.
    pub fn id(&self) -> &ObjectId {
        &self.id
    }

    /// The `apiVersion`.
    pub fn api_version(&self) -> &str {
        &self.api_version
    }

    /// The version, without the group.
    pub fn version(&self) -> &str {
        self.api_version.rsplit('/').next().unwrap_or_default()
    }

    /// The object itself.
    pub fn json(&self) -> &Value {
        &self.json
    }

    /// Where it was read; none for what a program made.
    pub fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// Whether it is a Secret, whose values are never shown.
    pub fn is_secret(&self) -> bool {
        self.id.is("", "Secret")
    }

    /// Which object, and where it was read, for messages.
    pub(crate) fn describe(&self) -> String {
        match &self.place {
            Some(place) => format!("{} ({place})", self.id),
            None => self.id.to_string(),
        }
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object")
            .field("id", &self.id)
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

/// Whether a text can stand in a path of a request and on a terminal. RBAC names may have colons.
fn is_plain(text: &str) -> bool {
    text != "."
        && text != ".."
        && !text
            .chars()
            .any(|c| c.is_control() || c.is_whitespace() || matches!(c, '/' | '%' | '?' | '#'))
}
