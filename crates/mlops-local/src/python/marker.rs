//! What says that an environment is complete, and how its folder is told from a damaged one.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The file that is written last.
pub(super) const FILE: &str = "complete.json";

/// The content of the marker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Marker {
    /// The key of the environment, as its folder is called.
    pub(super) key: String,
    /// Major and minor version of its Python.
    pub(super) version: (u32, u32),
    /// What lies in `site-packages` itself.
    top: BTreeSet<String>,
    /// Files below the environment, without bytecode, which any start may add.
    files: usize,
}

impl Marker {
    /// Looks at a finished environment and describes it.
    pub(super) fn describe(root: &Path, key: &str, version: (u32, u32)) -> io::Result<Self> {
        Ok(Self {
            key: key.to_owned(),
            version,
            top: names(&site_packages(root, version))?,
            files: count(root)?,
        })
    }

    pub(super) fn write(&self, root: &Path) -> io::Result<()> {
        fs::write(root.join(FILE), serde_json::to_vec(self)?)
    }

    /// The marker of a folder that looks whole: made under this key, its Python starts at a file that is there, and every
    /// package has its folder. Costs a few system calls.
    pub(super) fn read(root: &Path, key: &str) -> Option<Self> {
        let marker: Self = serde_json::from_slice(&fs::read(root.join(FILE)).ok()?).ok()?;
        let there = names(&site_packages(root, marker.version)).ok()?;
        let whole =
            marker.key == key && fs::metadata(python(root)).is_ok_and(|found| found.is_file());
        (whole && marker.top.is_subset(&there)).then_some(marker)
    }

    /// Whether no file is missing. Walks the whole folder: tens of milliseconds.
    pub(super) fn has_all_files(&self, root: &Path) -> bool {
        // The marker itself was written after the count.
        count(root).is_ok_and(|found| found > self.files)
    }
}

pub(super) fn python(root: &Path) -> PathBuf {
    root.join("bin/python")
}

pub(super) fn site_packages(root: &Path, (major, minor): (u32, u32)) -> PathBuf {
    root.join(format!("lib/python{major}.{minor}/site-packages"))
}

fn names(folder: &Path) -> io::Result<BTreeSet<String>> {
    fs::read_dir(folder)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .filter(|name| !name.as_ref().is_ok_and(|name| name == "__pycache__"))
        .collect()
}

fn count(folder: &Path) -> io::Result<usize> {
    let mut files = 0;
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if !entry.file_type()?.is_dir() {
                files += 1;
            } else if entry.file_name() != "__pycache__" {
                folders.push(entry.path());
            }
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let site = site_packages(folder.path(), (3, 11));
        for path in ["one/__init__.py", "one/deep/a.py", "two.py"] {
            fs::create_dir_all(site.join(path).parent().unwrap()).unwrap();
            fs::write(site.join(path), "").unwrap();
        }
        fs::create_dir(folder.path().join("bin")).unwrap();
        fs::write(python(folder.path()), "").unwrap();
        Marker::describe(folder.path(), "k", (3, 11))
            .unwrap()
            .write(folder.path())
            .unwrap();
        folder
    }

    #[test]
    fn damage_is_seen() {
        let folder = environment();
        let root = folder.path();
        let site = site_packages(root, (3, 11));
        let marker = Marker::read(root, "k").unwrap();
        assert!(marker.has_all_files(root));
        assert!(Marker::read(root, "other").is_none());
        // Bytecode comes and goes.
        fs::create_dir(site.join("one/__pycache__")).unwrap();
        fs::write(site.join("one/__pycache__/a.pyc"), "").unwrap();
        assert!(marker.has_all_files(root));

        fs::remove_file(site.join("one/deep/a.py")).unwrap();
        assert!(
            Marker::read(root, "k").is_some(),
            "the quick look does not go so deep"
        );
        assert!(!marker.has_all_files(root));

        fs::remove_file(site.join("two.py")).unwrap();
        assert!(Marker::read(root, "k").is_none());
    }

    #[test]
    fn without_python_or_marker_it_is_none() {
        let folder = environment();
        fs::remove_file(python(folder.path())).unwrap();
        assert!(Marker::read(folder.path(), "k").is_none());
        // A link to a Python that was uninstalled.
        std::os::unix::fs::symlink("/not/there", python(folder.path())).unwrap();
        assert!(Marker::read(folder.path(), "k").is_none());
        let folder = environment();
        fs::write(folder.path().join(FILE), "{").unwrap();
        assert!(Marker::read(folder.path(), "k").is_none());
    }
}
