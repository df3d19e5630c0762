//! Brings the images of a platform to a node: all of them, or those without Python.
#![expect(
    clippy::panic,
    reason = "a test without its server must fail, and say why"
)]

use std::fs::{self, File};
use std::io::{self, BufWriter, Read as _, Write as _};
use std::path::Path;

use mlops_test_cache::Cache;

use super::node::TestNode;
use super::platform::{PYTHON, archive};

impl TestNode {
    /// Brings the images of [`archive`] to the node. Whoever comes second finds them there: to read them again costs
    /// half a minute of a processor.
    ///
    /// # Panics
    ///
    /// As [`archive`], and when they cannot be imported.
    pub fn import_platform(&self, environment: &Path) {
        let all = archive(environment);
        // The name of its folder tells what the images were made of.
        let made_of = all.parent().and_then(Path::file_name).unwrap_or_default();
        let brought = Cache::at(self.folder().join("brought"));
        let once = brought.entry(
            &made_of.to_string_lossy(),
            |_| {},
            |_| -> io::Result<()> {
                self.import_archive(&all);
                Ok(())
            },
        );
        if let Err(error) = once {
            panic!("cannot remember the images of a node: {error}");
        }
    }

    /// Brings PostgreSQL and S3 to the node: the images of [`archive`] without the large one of Python.
    ///
    /// # Panics
    ///
    /// As [`archive`], and when they cannot be imported.
    pub fn import_storage(&self, environment: &Path) {
        let all = archive(environment);
        let few = self.folder().join("storage-images.tar");
        if let Err(error) = without(&all, PYTHON, &few) {
            panic!("cannot take images from {}: {error}", all.display());
        }
        self.import_archive(&few);
        // It goes with the node's folder at the latest.
        let _ = fs::remove_file(&few);
    }
}

/// Copies an archive but for one image and the layers that only it has.
fn without(archive: &Path, left_out: &str, to: &Path) -> io::Result<()> {
    let mut manifest = Vec::new();
    let mut entries = tar::Archive::new(File::open(archive)?);
    for entry in entries.entries()? {
        let mut entry = entry?;
        if entry.path()?.as_ref() == Path::new("manifest.json") {
            let mut text = Vec::new();
            entry.read_to_end(&mut text)?;
            manifest = serde_json::from_slice::<Vec<Listed>>(&text)?;
        }
    }
    manifest.retain(|image| !image.tags.iter().any(|tag| tag == left_out));
    let is_kept = |path: &Path| {
        let path = path.to_string_lossy();
        let mut files = manifest
            .iter()
            .flat_map(|image| image.layers.iter().chain([&image.config]));
        files.any(|file| *file == path)
    };
    let mut kept = tar::Builder::new(BufWriter::new(File::create(to)?));
    let mut entries = tar::Archive::new(File::open(archive)?);
    for entry in entries.entries()? {
        let entry = entry?;
        if is_kept(&entry.path()?) {
            kept.append(&entry.header().clone(), entry)?;
        }
    }
    let text = serde_json::to_vec(&manifest)?;
    let mut header = tar::Header::new_gnu();
    header.set_size(text.len() as u64);
    header.set_mode(0o644);
    kept.append_data(&mut header, "manifest.json", text.as_slice())?;
    kept.into_inner()?.flush()
}

/// An image of an archive.
#[derive(serde::Serialize, serde::Deserialize)]
struct Listed {
    #[serde(rename = "Config")]
    config: String,
    #[serde(rename = "RepoTags")]
    tags: Vec<String>,
    #[serde(rename = "Layers")]
    layers: Vec<String>,
}
