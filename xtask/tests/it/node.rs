//! `cargo xtask node`, as a person runs it: from `up` to nothing left.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail by panicking, as tests do"
)]

use std::ffi::OsStr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A place for what `up` remembers, so that no node of this user is met; what was built is the user's own.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let kept = folder.path().join("mlops-testkit/v1");
        std::fs::create_dir_all(&kept).unwrap();
        let named =
            std::env::var_os("XDG_CACHE_HOME").filter(|named| Path::new(named).is_absolute());
        let home = || std::env::home_dir().unwrap().join(".cache");
        let cache = named
            .map_or_else(home, PathBuf::from)
            .join("mlops-testkit/v1");
        for entry in std::fs::read_dir(cache).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                symlink(entry.path(), kept.join(entry.file_name())).unwrap();
            }
        }
        Self { folder }
    }

    fn node(&self, words: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command
            .arg("node")
            .args(words)
            .env("XDG_CACHE_HOME", self.folder.path());
        command.output().unwrap()
    }

    /// What it prints when it does what it is told.
    fn told(&self, words: &[&str]) -> PathBuf {
        let output = self.node(words);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {errors}");
        let text = String::from_utf8(output.stdout).unwrap();
        PathBuf::from(text.trim_end())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Of a test that failed; without a node it does nothing.
        self.node(&["down"]);
    }
}

#[test]
fn a_node_comes_stays_and_goes() {
    let place = Place::new();
    let refused = place.node(&["kubeconfig"]);
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("cargo xtask node up"), "{said}");

    let kubeconfig = place.told(&["up", "--no-images"]);
    assert_eq!(kubeconfig.file_name(), Some(OsStr::new("kubeconfig")));
    assert!(kubeconfig.is_file(), "{}", kubeconfig.display());
    let folder = kubeconfig.parent().unwrap();
    let address = std::fs::read_to_string(folder.join("address")).unwrap();
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--max-time", "10", "--cacert"])
        .arg(folder.join("ca.crt"))
        .arg(format!("https://{}:6443/readyz", address.trim()));
    assert_eq!(
        String::from_utf8_lossy(&curl.output().unwrap().stdout),
        "ok"
    );
    // Its cable bears the number of its network.
    let number = address.split('.').nth(2).unwrap();
    let cable = PathBuf::from(format!("/sys/class/net/mlops{number}"));
    assert!(cable.exists(), "{}", cable.display());
    assert_eq!(place.told(&["kubeconfig"]), kubeconfig);
    // A second `up` is given the same one.
    assert_eq!(place.told(&["up", "--no-images"]), kubeconfig);

    assert_eq!(place.told(&["down"]), Path::new(""));
    assert!(!folder.exists(), "{} is left", folder.display());
    assert!(!cable.exists(), "{} is left", cable.display());
    assert!(!place.node(&["kubeconfig"]).status.success());
    // There is nothing more to end, which is no error.
    place.told(&["down"]);
}
