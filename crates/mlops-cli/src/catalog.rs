//! A user's own folder of components, read into memory.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use mlops_core::platform::MAX_BYTES;
use mlops_core::{Error, ErrorKind, Result};

use crate::file::{kind_of, read_input};

/// How deep files may lie below the folder.
const MAX_DEPTH: usize = 4;

/// How many files are read at most.
const MAX_FILES: usize = 20_000;

/// The YAML and Markdown files below a folder, and all files of folders called `files`, by their path.
///
/// Links to folders are not followed, so that no circle is walked for ever.
///
/// # Errors
///
/// When the folder or a file in it cannot be read, or there are too many.
pub fn read_folder(folder: &Path) -> Result<BTreeMap<PathBuf, String>> {
    let mut paths = Vec::new();
    let mut open = vec![(folder.to_owned(), 0)];
    while let Some((folder, depth)) = open.pop() {
        let failed = |error: std::io::Error| {
            let kind = match error.kind() {
                std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => {
                    ErrorKind::InvalidInput
                }
                _ => kind_of(&error),
            };
            Error::new(kind, format!("read the catalogue `{}`", folder.display()))
                .with_source(error)
        };
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let path = entry.path();
            if entry.file_type().map_err(failed)?.is_dir() {
                if depth < MAX_DEPTH {
                    open.push((path, depth + 1));
                }
            } else if is_read(&path) {
                if paths.len() >= MAX_FILES {
                    return Err(Error::new(
                        ErrorKind::InvalidInput,
                        format!("read the catalogue `{}`", folder.display()),
                    )
                    .with_source(format!("it has more than {MAX_FILES} files")));
                }
                paths.push(path);
            }
        }
    }
    let texts = mlops_core::threads::map(&paths, |path| read_input(path, MAX_BYTES as u64));
    paths
        .into_iter()
        .zip(texts)
        .map(|(path, text)| Ok((path, text?)))
        .collect()
}

fn is_read(path: &Path) -> bool {
    let hidden = path
        .file_name()
        .is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
    let is_text = path
        .extension()
        .is_some_and(|extension| extension == "yaml" || extension == "md");
    let is_file = path
        .parent()
        .is_some_and(|folder| folder.ends_with("files"));
    !hidden && (is_text || is_file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_below_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir_all(path("components/cache")).unwrap();
        fs::create_dir_all(path("1/2/3/4/5/6")).unwrap();
        for name in [
            "components/cache/component.yaml",
            "components/cache/docs.md",
            "components/cache/.hidden.yaml",
            "components/cache/script.sh",
            "1/2/3/4/5/6/deep.yaml",
        ] {
            fs::write(path(name), name).unwrap();
        }
        std::os::unix::fs::symlink(folder.path(), path("components/circle")).unwrap();
        let files = read_folder(folder.path()).unwrap();
        assert_eq!(
            files.keys().cloned().collect::<Vec<_>>(),
            [
                path("components/cache/component.yaml"),
                path("components/cache/docs.md")
            ]
        );
    }

    #[test]
    fn a_missing_folder_is_wrong_input() {
        let folder = tempfile::tempdir().unwrap();
        let error = read_folder(&folder.path().join("missing")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
}
