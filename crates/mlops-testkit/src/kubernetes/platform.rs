//! The images of a platform's components: Debian with PostgreSQL, the locked Python environment, an S3 gateway.
#![expect(
    clippy::panic,
    reason = "a test without its server must fail, and say why"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest as _, Sha256};

use super::images::{Image, write_archive};
use super::programs::{hex, make_once};

const ROOT: &str = include_str!("root.sh");

/// PostgreSQL's programs are in `/usr/lib/postgresql/VERSION/bin`.
pub const POSTGRES: &str = "localhost/mlops-postgres:15";
/// The Versity S3 gateway, `versitygw`.
pub const S3: &str = "localhost/mlops-s3:1.8.0";
/// The locked Python environment of the local target, at `/opt/mlops`.
pub const PYTHON: &str = "localhost/mlops-python:3.17.2";

/// An archive of the three images, made once for each environment, in the cache.
///
/// `environment` is the folder of the locked Python environment, the one that `mlops prefetch` makes.
///
/// # Panics
///
/// When they cannot be made: it needs root, `debootstrap`, and a Python of the minor version that Debian has.
pub fn archive(environment: &Path) -> PathBuf {
    let name = environment.file_name().unwrap_or_default();
    let mut hash = Sha256::new();
    hash.update(ROOT);
    hash.update(name.as_encoded_bytes());
    hash.update(include_str!("platform.rs"));
    let digest = hex(&hash.finalize());
    let short: String = digest.chars().take(8).collect();
    let folder = make_once(&format!("platform-images-{short}"), |staging| {
        make(environment, staging);
    });
    folder.join("images.tar")
}

fn make(environment: &Path, staging: &Path) {
    let root = staging.join("root");
    let made = Command::new("/bin/sh")
        .args(["-c", ROOT, "root"])
        .arg(&root)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .output();
    match made {
        Ok(output) if output.status.success() => {}
        Ok(output) => panic!(
            "debootstrap (Debian: apt-get install debootstrap) did not work:\n{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        ),
        Err(error) => panic!("cannot start /bin/sh: {error}"),
    }
    let python = python_of(&root, environment);
    let lib = environment.join("lib");
    let (launch, sample) = (environment.join("launch"), environment.join("sample"));
    let debian = [("", root.as_path())];
    let images = [
        Image::new(POSTGRES).with_layer(&debian),
        Image::new(PYTHON)
            .with_layer(&debian)
            .with_layer(&[
                ("opt/mlops/lib", &lib),
                ("opt/mlops/launch", &launch),
                ("opt/mlops/sample", &sample),
            ])
            .with_text(
                "opt/mlops/pyvenv.cfg",
                "home = /usr/bin\ninclude-system-site-packages = false\n",
            )
            .with_link("opt/mlops/bin/python", format!("/usr/bin/{python}"))
            .with_link("opt/mlops/bin/python3", "python"),
        // Go links it with the C library where there is a compiler.
        Image::new(S3)
            .with_layer(&debian)
            .with_file("usr/local/bin/versitygw", crate::versity::find_program()),
    ];
    write_archive(&images, &staging.join("images.tar"));
    if let Err(error) = fs::remove_dir_all(&root) {
        panic!("cannot remove {}: {error}", root.display());
    }
}

/// `python3.N`, which both must have: compiled modules are of one minor version.
fn python_of(root: &Path, environment: &Path) -> String {
    let in_lib = |folder: PathBuf| -> Vec<String> {
        fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| name.starts_with("python3."))
            .collect()
    };
    let (debian, ours) = (
        in_lib(root.join("usr/lib")),
        in_lib(environment.join("lib")),
    );
    match ours.iter().find(|name| debian.contains(name)) {
        Some(name) => name.clone(),
        None => panic!(
            "Debian has {}, the locked environment is of {}: make it with that Python (`mlops prefetch` with it on PATH)",
            debian.join(", "),
            ours.join(", ")
        ),
    }
}
