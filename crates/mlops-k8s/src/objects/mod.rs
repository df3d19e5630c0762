//! Objects that are wanted, from files, values and types, each with where it came from.

mod id;
mod object;
mod prepare;
mod yaml;

use std::collections::HashMap;
use std::path::Path;

use mlops_core::{Error, ErrorKind, Result};
use serde::Serialize;
use serde_json::Value;

pub use id::{GroupKind, ObjectId, Place};
pub use object::{MAX_OBJECT_BYTES, Object};
pub(crate) use prepare::Wanted;
pub use prepare::{APPLIED, digest_of};

/// Objects that are wanted together. Each identity is in it once.
///
/// What is in a file is what is sent: there are no templates, and `${...}` is text like any other.
///
/// ```
/// use mlops_k8s::ObjectSet;
///
/// let set = ObjectSet::from_yaml("app.yaml", "
/// apiVersion: v1
/// kind: ConfigMap
/// metadata: {name: settings, namespace: models}
/// data: {level: '${LEVEL}'}
/// ---
/// ")?;
/// let object = set.iter().next().unwrap();
/// assert_eq!(object.id().to_string(), "ConfigMap/settings in models");
/// assert_eq!(object.json()["data"]["level"], "${LEVEL}");
/// assert_eq!(object.place().unwrap().to_string(), "app.yaml:2:1");
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct ObjectSet {
    objects: Vec<Object>,
    places: HashMap<ObjectId, usize>,
}

impl ObjectSet {
    /// Holds nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a YAML or JSON text; `file` is for messages only.
    ///
    /// # Errors
    ///
    /// As [`ObjectSet::add_yaml`].
    pub fn from_yaml(file: &str, text: &str) -> Result<Self> {
        let mut set = Self::new();
        set.add_yaml(file, text)?;
        Ok(set)
    }

    /// Reads several texts, each with the name of its file.
    ///
    /// # Errors
    ///
    /// As [`ObjectSet::add_yaml`].
    pub fn from_files<P: AsRef<str>, T: AsRef<str>>(
        files: impl IntoIterator<Item = (P, T)>,
    ) -> Result<Self> {
        let mut set = Self::new();
        for (file, text) in files {
            set.add_yaml(file.as_ref(), text.as_ref())?;
        }
        Ok(set)
    }

    /// Reads every `.yaml`, `.yml` and `.json` file of a folder and the folders in it, in the order of their names.
    /// Hidden ones are left out, and links to folders are not followed.
    ///
    /// # Errors
    ///
    /// When something cannot be read, and as [`ObjectSet::add_yaml`].
    pub fn read_folder(folder: &Path) -> Result<Self> {
        let mut files = Vec::new();
        find_files(folder, &mut files)?;
        let mut set = Self::new();
        for file in files {
            let text = std::fs::read_to_string(&file).map_err(|error| cannot_read(&file, error))?;
            set.add_yaml(&file.display().to_string(), &text)?;
        }
        Ok(set)
    }

    /// Reads a text and adds its objects: several documents, JSON as well, a `List` taken apart, empty ones skipped.
    ///
    /// # Errors
    ///
    /// When the text is no YAML or has a key twice, something in it is no object, or an identity is there already;
    /// the cause says where.
    pub fn add_yaml(&mut self, file: &str, text: &str) -> Result<()> {
        for object in yaml::read(file, text)? {
            self.push(object)?;
        }
        Ok(())
    }

    /// Adds an object, or the objects of a `List`.
    ///
    /// # Errors
    ///
    /// When it is no object, or its identity is there already.
    pub fn add_value(&mut self, value: Value) -> Result<()> {
        if let Value::Object(map) = &value
            && yaml::is_list(map)
        {
            let items = map.get("items").and_then(Value::as_array).cloned();
            for item in items.unwrap_or_default() {
                self.push(Object::new(item)?)?;
            }
            return Ok(());
        }
        self.push(Object::new(value)?)
    }

    /// Adds a typed object.
    ///
    /// ```
    /// use k8s_openapi::api::core::v1::Namespace;
    /// use mlops_k8s::ObjectSet;
    ///
    /// let mut namespace = Namespace::default();
    /// namespace.metadata.name = Some("models".to_owned());
    /// let mut set = ObjectSet::new();
    /// set.add(&namespace)?;
    /// assert_eq!(set.len(), 1);
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`ObjectSet::add_value`].
    pub fn add<T: k8s_openapi::Resource + Serialize>(&mut self, object: &T) -> Result<()> {
        let value = serde_json::to_value(object).map_err(|error| {
            Error::new(ErrorKind::InvalidInput, format!("take a `{}`", T::KIND)).with_source(error)
        })?;
        self.add_value(value)
    }

    /// Adds an object.
    ///
    /// # Errors
    ///
    /// When its identity is there already.
    pub fn push(&mut self, object: Object) -> Result<()> {
        if let Some(first) = self.get(object.id()) {
            let message = match (first.place(), object.place()) {
                (Some(first), Some(second)) => format!("it is at {first} and again at {second}"),
                (Some(place), None) | (None, Some(place)) => {
                    format!("it is at {place} and was also added by the program")
                }
                (None, None) => "it was added twice".to_owned(),
            };
            let doing = format!("take `{}`", object.id());
            return Err(Error::new(ErrorKind::InvalidInput, doing).with_source(message));
        }
        self.places.insert(object.id().clone(), self.objects.len());
        self.objects.push(object);
        Ok(())
    }

    /// The object of an identity.
    pub fn get(&self, id: &ObjectId) -> Option<&Object> {
        self.objects.get(*self.places.get(id)?)
    }

    /// All objects, in the order in which they came.
    pub fn iter(&self) -> std::slice::Iter<'_, Object> {
        self.objects.iter()
    }

    /// How many objects.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }
}

impl<'a> IntoIterator for &'a ObjectSet {
    type Item = &'a Object;
    type IntoIter = std::slice::Iter<'a, Object>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

fn cannot_read(path: &Path, error: std::io::Error) -> Error {
    let kind = match error.kind() {
        std::io::ErrorKind::NotFound => ErrorKind::NotFound,
        std::io::ErrorKind::PermissionDenied => ErrorKind::PermissionDenied,
        _ => ErrorKind::InvalidInput,
    };
    Error::new(kind, format!("read `{}`", path.display())).with_source(error)
}

fn find_files(folder: &Path, files: &mut Vec<std::path::PathBuf>) -> Result<()> {
    let entries = std::fs::read_dir(folder).map_err(|error| cannot_read(folder, error))?;
    let mut entries = entries
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| cannot_read(folder, error))?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let kind = entry
            .file_type()
            .map_err(|error| cannot_read(&path, error))?;
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let is_wanted = path.extension().is_some_and(|extension| {
            extension == "yaml" || extension == "yml" || extension == "json"
        });
        if kind.is_dir() {
            find_files(&path, files)?;
        } else if is_wanted && path.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
