//! Images for a node, made of files on this machine and never pulled.
#![expect(
    clippy::panic,
    reason = "a test without its server must fail, and say why"
)]

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

/// An image to be: its files and what it starts.
#[derive(Debug, Clone)]
pub struct Image {
    name: String,
    files: Vec<(String, PathBuf)>,
    links: Vec<(String, String)>,
    folders: Vec<String>,
    entrypoint: Vec<String>,
}

impl Image {
    /// An empty image called `localhost/NAME:TAG`, with a folder `/tmp` and users `root` and `nobody`.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            files: Vec::new(),
            links: Vec::new(),
            folders: vec!["tmp".to_owned()],
            entrypoint: Vec::new(),
        }
    }

    /// Adds a program or file of this machine at a path in the image, without the leading slash.
    #[must_use]
    pub fn with_file(mut self, at: impl Into<String>, from: impl Into<PathBuf>) -> Self {
        self.files.push((at.into(), from.into()));
        self
    }

    /// Adds a symbolic link.
    #[must_use]
    pub fn with_link(mut self, at: impl Into<String>, to: impl Into<String>) -> Self {
        self.links.push((at.into(), to.into()));
        self
    }

    /// What a container of it starts.
    #[must_use]
    pub fn with_entrypoint(mut self, words: &[&str]) -> Self {
        self.entrypoint = words.iter().map(|&word| word.to_owned()).collect();
        self
    }

    fn layer(&self) -> io::Result<Vec<u8>> {
        let mut tar = Builder::new(Vec::new());
        for folder in &self.folders {
            entry(&mut tar, folder, EntryType::Directory, 0o1777, &[])?;
        }
        let users = b"root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n";
        entry(&mut tar, "etc/passwd", EntryType::Regular, 0o644, users)?;
        for (at, from) in &self.files {
            entry(&mut tar, at, EntryType::Regular, 0o755, &fs::read(from)?)?;
        }
        for (at, to) in &self.links {
            let mut header = Header::new_gnu();
            header.set_entry_type(EntryType::Symlink);
            header.set_size(0);
            header.set_mode(0o777);
            header.set_mtime(0);
            tar.append_link(&mut header, at, to)?;
        }
        tar.into_inner()
    }
}

fn entry<W: Write>(
    tar: &mut Builder<W>,
    path: &str,
    kind: EntryType,
    mode: u32,
    content: &[u8],
) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    // The same files make the same image.
    header.set_mtime(0);
    header.set_size(content.len() as u64);
    tar.append_data(&mut header, path, content)
}

/// Writes an archive of images as `docker save` does; containerd reads it.
///
/// # Panics
///
/// When a file cannot be read or written.
pub fn write_archive(images: &[Image], to: &Path) {
    if let Err(error) = try_write(images, to) {
        panic!("cannot write images to {}: {error}", to.display());
    }
}

fn try_write(images: &[Image], to: &Path) -> io::Result<()> {
    let mut tar = Builder::new(io::BufWriter::new(File::create(to)?));
    let mut manifest = Vec::new();
    for image in images {
        let layer = image.layer()?;
        let digest = hex(&layer);
        let words: Vec<String> = image.entrypoint.iter().map(|w| format!("{w:?}")).collect();
        let config = format!(
            r#"{{"architecture":"{}","os":"linux","config":{{"Entrypoint":[{}],"Env":["PATH=/usr/local/bin:/usr/bin:/bin:/sbin"]}},"rootfs":{{"type":"layers","diff_ids":["sha256:{digest}"]}}}}"#,
            architecture(),
            words.join(",")
        );
        let (config_file, layer_file) = (
            format!("{}.json", hex(config.as_bytes())),
            format!("{digest}/layer.tar"),
        );
        manifest.push(format!(
            r#"{{"Config":"{config_file}","RepoTags":["{}"],"Layers":["{layer_file}"]}}"#,
            image.name
        ));
        entry(
            &mut tar,
            &config_file,
            EntryType::Regular,
            0o644,
            config.as_bytes(),
        )?;
        entry(&mut tar, &layer_file, EntryType::Regular, 0o644, &layer)?;
    }
    let manifest = format!("[{}]", manifest.join(","));
    entry(
        &mut tar,
        "manifest.json",
        EntryType::Regular,
        0o644,
        manifest.as_bytes(),
    )?;
    tar.into_inner()?.flush()
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "arm64",
        _ => "amd64",
    }
}

fn hex(bytes: &[u8]) -> String {
    super::programs::hex(&Sha256::digest(bytes))
}
