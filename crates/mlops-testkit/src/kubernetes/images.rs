//! Images for a node, made of files on this machine and never pulled.
#![expect(
    clippy::panic,
    reason = "a test without its server must fail, and say why"
)]

use std::fs::{self, File};
use std::io::{self, BufWriter, Read as _, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

use super::programs::hex;

/// An image to be: its files and what it starts.
#[derive(Debug, Clone)]
pub struct Image {
    name: String,
    layers: Vec<Vec<Tree>>,
    files: Vec<(String, PathBuf)>,
    texts: Vec<(String, String)>,
    links: Vec<(String, String)>,
    entrypoint: Vec<String>,
}

/// A folder of this machine and its place in the image.
type Tree = (String, PathBuf);

impl Image {
    /// An empty image called `localhost/NAME:TAG`. Its last layer has a folder `/tmp` and users `root` and `nobody`.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            layers: Vec::new(),
            files: Vec::new(),
            texts: Vec::new(),
            links: Vec::new(),
            entrypoint: Vec::new(),
        }
    }

    /// Adds a layer of whole folders of this machine, each with its place in the image, without the leading slash.
    #[must_use]
    pub fn with_layer(mut self, trees: &[(&str, &Path)]) -> Self {
        let trees = trees.iter();
        self.layers.push(
            trees
                .map(|(at, from)| ((*at).to_owned(), from.to_path_buf()))
                .collect(),
        );
        self
    }

    /// Adds a program or file of this machine at a path in the image, without the leading slash.
    #[must_use]
    pub fn with_file(mut self, at: impl Into<String>, from: impl Into<PathBuf>) -> Self {
        self.files.push((at.into(), from.into()));
        self
    }

    /// Adds a file with that text.
    #[must_use]
    pub fn with_text(mut self, at: impl Into<String>, text: impl Into<String>) -> Self {
        self.texts.push((at.into(), text.into()));
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

    /// Writes the layer of single files.
    fn write_files(&self, to: &Path) -> io::Result<()> {
        let mut tar = Builder::new(BufWriter::new(File::create(to)?));
        // A layer of whole folders has its own.
        if self.layers.is_empty() {
            entry(&mut tar, "tmp", EntryType::Directory, 0o1777, &[])?;
            let users = b"root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n";
            entry(&mut tar, "etc/passwd", EntryType::Regular, 0o644, users)?;
        }
        for (at, from) in &self.files {
            entry(&mut tar, at, EntryType::Regular, 0o755, &fs::read(from)?)?;
        }
        for (at, text) in &self.texts {
            entry(&mut tar, at, EntryType::Regular, 0o644, text.as_bytes())?;
        }
        for (at, to) in &self.links {
            let mut header = Header::new_gnu();
            header.set_entry_type(EntryType::Symlink);
            header.set_size(0);
            header.set_mode(0o777);
            header.set_mtime(0);
            tar.append_link(&mut header, at, to)?;
        }
        tar.into_inner()?.flush()
    }
}

/// Writes a layer of whole folders. Times are kept: Python takes compiled code only with the time of its source.
fn write_trees(trees: &[Tree], to: &Path) -> io::Result<()> {
    let mut tar = Builder::new(BufWriter::new(File::create(to)?));
    tar.follow_symlinks(false);
    for (at, from) in trees {
        tar.append_dir_all(at, from)?;
    }
    tar.into_inner()?.flush()
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

/// Writes an archive of images as `docker save` does; containerd reads it. Equal layers are written once.
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
    let scratch = tempfile::tempdir_in(to.parent().unwrap_or(to))?;
    let mut tar = Builder::new(BufWriter::new(File::create(to)?));
    let mut manifest = Vec::new();
    let mut trees: Vec<(Vec<Tree>, String)> = Vec::new();
    for image in images {
        let mut digests = Vec::new();
        for layer in &image.layers {
            let known = trees.iter().find(|(known, _)| known == layer);
            let digest = if let Some((_, digest)) = known {
                digest.clone()
            } else {
                let file = scratch.path().join("layer.tar");
                write_trees(layer, &file)?;
                let digest = add_layer(&mut tar, &file)?;
                trees.push((layer.clone(), digest.clone()));
                digest
            };
            digests.push(digest);
        }
        let file = scratch.path().join("files.tar");
        image.write_files(&file)?;
        digests.push(add_layer(&mut tar, &file)?);
        manifest.push(add_config(&mut tar, image, &digests)?);
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

/// Adds a layer and hands back its digest, by which it is named.
fn add_layer<W: Write>(tar: &mut Builder<W>, file: &Path) -> io::Result<String> {
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 1 << 20]);
    let mut layer = File::open(file)?;
    loop {
        let read = layer.read(&mut buffer)?;
        let Some(piece) = buffer.get(..read).filter(|piece| !piece.is_empty()) else {
            break;
        };
        hash.update(piece);
    }
    let digest = hex(&hash.finalize());
    tar.append_file(format!("{digest}/layer.tar"), &mut File::open(file)?)?;
    Ok(digest)
}

/// Adds the configuration of an image and hands back its part of the manifest.
fn add_config<W: Write>(
    tar: &mut Builder<W>,
    image: &Image,
    layers: &[String],
) -> io::Result<String> {
    let quoted = |words: Vec<String>| -> String {
        let words: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
        words.join(",")
    };
    let ids = quoted(
        layers
            .iter()
            .map(|digest| format!("sha256:{digest}"))
            .collect(),
    );
    let config = format!(
        r#"{{"architecture":"{}","os":"linux","config":{{"Entrypoint":[{}],"Env":["PATH=/opt/mlops/bin:/usr/local/bin:/usr/bin:/bin:/sbin"]}},"rootfs":{{"type":"layers","diff_ids":[{ids}]}}}}"#,
        architecture(),
        quoted(image.entrypoint.clone())
    );
    let file = format!("{}.json", hex(&Sha256::digest(config.as_bytes())));
    entry(tar, &file, EntryType::Regular, 0o644, config.as_bytes())?;
    let files = quoted(
        layers
            .iter()
            .map(|digest| format!("{digest}/layer.tar"))
            .collect(),
    );
    Ok(format!(
        r#"{{"Config":"{file}","RepoTags":["{}"],"Layers":[{files}]}}"#,
        image.name
    ))
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "arm64",
        _ => "amd64",
    }
}
