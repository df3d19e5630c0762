//! Objects that the user names: files of them, and one by its kind and name.

use std::path::PathBuf;

use mlops_core::{Error, ErrorKind, Result, nearest};
use mlops_k8s::explain::ObjectRef;
use mlops_k8s::{Kind, Kinds, ObjectSet, Scope};

use super::Tool;
use crate::file::read_input;

/// How large an input may be, in bytes.
const MOST: u64 = 256 << 20;

impl Tool {
    /// Reads files and folders of YAML; `-` is standard input.
    ///
    /// # Errors
    ///
    /// When one cannot be read, or holds no objects; with its place.
    pub fn read_objects(&self, paths: &[PathBuf]) -> Result<ObjectSet> {
        let mut set = ObjectSet::new();
        for path in paths {
            if path.as_os_str() == "-" {
                set.add_yaml("standard input", &self.input.all(MOST)?)?;
            } else if path.is_dir() {
                for object in &ObjectSet::read_folder(path)? {
                    set.push(object.clone())?;
                }
            } else {
                set.add_yaml(&path.display().to_string(), &read_input(path, MOST)?)?;
            }
        }
        if set.is_empty() {
            return Err(Error::new(ErrorKind::InvalidInput, "read objects")
                .with_source("there is none in what was given"));
        }
        Ok(set)
    }
}

/// The object that `KIND/NAME` means: the kind as it is written in files or in paths, with its group behind a dot where
/// several have it (`deployment/web`, `deployments.apps/web`).
///
/// # Errors
///
/// When the text has another form, or the server has no such kind; with the nearest.
pub fn find_object(kinds: &Kinds, text: &str, namespace: &str) -> Result<ObjectRef> {
    let wrong = |cause: String| {
        Error::new(
            ErrorKind::InvalidInput,
            format!("find the object `{}`", text.escape_debug()),
        )
        .with_source(cause)
    };
    let (word, name) = match text.split_once('/') {
        Some((word, name)) if !word.is_empty() && !name.is_empty() => (word.to_lowercase(), name),
        _ => {
            return Err(wrong("an object is written KIND/NAME".to_owned())
                .with_hint("an example: `deployment/mlflow`"));
        }
    };
    let (word, group) = match word.split_once('.') {
        Some((word, group)) => (word, Some(group)),
        None => (word.as_str(), None),
    };
    let is_meant = |kind: &&Kind| {
        (kind.kind.to_lowercase() == word || kind.plural == word)
            && group.is_none_or(|group| kind.group == group)
    };
    // The core group comes first: a Pod is the Pod that everybody means.
    let Some(kind) = kinds.iter().find(is_meant) else {
        let known: Vec<String> = kinds.iter().map(|kind| kind.kind.to_lowercase()).collect();
        let error = wrong(format!("the server has no kind `{}`", word.escape_debug()));
        return Err(match nearest(word, known.iter().map(String::as_str)) {
            Some(near) => error.with_hint(format!("did you mean `{near}`?")),
            None => error,
        });
    };
    let namespace = (kind.scope == Scope::Namespaced).then_some(namespace);
    Ok(ObjectRef::new(
        &kind.api_version(),
        &kind.kind,
        namespace,
        name,
    ))
}
