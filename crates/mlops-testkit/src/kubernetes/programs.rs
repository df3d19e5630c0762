//! The programs of Kubernetes and what runs on its node: found on the machine, else built once.
#![expect(
    clippy::panic,
    reason = "a test without its server must fail, and say why"
)]

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use mlops_test_cache::Cache;
use sha2::{Digest as _, Sha256};

/// The version of Kubernetes. The last line that accepts the containerd 1.x that Debian 12 has.
pub const VERSION: &str = "1.35.4";

/// Names the folder of ready programs, as the envtest of controller-runtime does
/// (<https://book.kubebuilder.io/reference/envtest>).
const ASSETS: &str = "KUBEBUILDER_ASSETS";

/// The servers that are one program.
pub(super) const SERVERS: [&str; 6] = [
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
];

/// What else a node has, with the module of each.
const ADDONS: [(&str, &str); 3] = [
    ("coredns", "github.com/coredns/coredns@v1.14.3"),
    (
        "metrics-server",
        "sigs.k8s.io/metrics-server/cmd/metrics-server@v0.9.0",
    ),
    (
        "local-path-provisioner",
        "github.com/rancher/local-path-provisioner@v0.0.30",
    ),
];

const RECIPE: [(&str, &str); 3] = [
    ("go.mod", include_str!("../../node/go.mod")),
    ("go.sum", include_str!("../../node/go.sum")),
    ("main.go", include_str!("../../node/main.go")),
];

/// Where the programs are.
#[derive(Debug, Clone)]
pub struct Programs {
    /// Where servers are looked for, the first first.
    folders: Vec<PathBuf>,
    /// Makes all servers, unless they are made already, and hands back their folder.
    built: fn() -> PathBuf,
}

impl Programs {
    /// The path of `etcd`, `kube-apiserver` and so on: in the folder that `KUBEBUILDER_ASSETS` names, else on `PATH`, else
    /// in the cache, into which Go builds all of them when they are not there yet. Each is looked for by itself, since the
    /// folder of envtest holds the two of a control plane and none of a node.
    ///
    /// # Panics
    ///
    /// When it is nowhere and cannot be built, with what is missing.
    pub fn server(&self, name: &str) -> PathBuf {
        assert!(
            SERVERS.contains(&name),
            "`{name}` is no server of Kubernetes"
        );
        find_in(&self.folders, name).unwrap_or_else(|| (self.built)().join(name))
    }

    /// Has those of these servers built that are nowhere: before anything is made that a failure would leave behind.
    pub(super) fn need(&self, servers: &[&str]) {
        for name in servers {
            self.server(name);
        }
    }

    /// The path of `coredns`, `metrics-server` or `local-path-provisioner`: on `PATH`, else built when it is not in the
    /// cache yet.
    ///
    /// # Panics
    ///
    /// When it cannot be built.
    pub fn addon(&self, name: &str) -> PathBuf {
        let Some((_, module)) = ADDONS.iter().find(|(known, _)| *known == name) else {
            panic!("`{name}` is no program of the node");
        };
        if let Some(found) = on_path(name) {
            return found;
        }
        make_once(&version_folder(name, module), |staging| {
            let mut go = Command::new("go");
            go.args(["install", "-trimpath", "-ldflags", "-s -w", module])
                .env("GOBIN", staging)
                .env("CGO_ENABLED", "0");
            run_go(&mut go, module, INSTEAD);
        })
        .join(name)
    }
}

/// A program on `PATH`.
pub(super) fn on_path(name: &str) -> Option<PathBuf> {
    find_in(&path_folders(), name)
}

fn path_folders() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).collect()
}

fn find_in(folders: &[PathBuf], name: &str) -> Option<PathBuf> {
    let mut paths = folders.iter().map(|folder| folder.join(name));
    paths.find(|path| path.is_file())
}

fn version_folder(name: &str, module: &str) -> String {
    let version = module.rsplit('@').next().unwrap_or_default();
    format!("{name}-{}", version.trim_start_matches('v'))
}

/// The programs of this machine.
pub fn programs() -> &'static Programs {
    static FOUND: OnceLock<Programs> = OnceLock::new();
    FOUND.get_or_init(|| {
        let named = std::env::var_os(ASSETS).filter(|folder| !folder.is_empty());
        Programs {
            folders: named
                .map(PathBuf::from)
                .into_iter()
                .chain(path_folders())
                .collect(),
            built: || {
                let entry = format!("kubernetes-{VERSION}-{}", recipe_of(&RECIPE));
                make_once(&entry, build)
            },
        }
    })
}

/// Builds all that a node needs and is not there; says what it does.
///
/// # Panics
///
/// As [`Programs::server`].
pub fn build_all(mut say: impl FnMut(&str)) {
    say("Kubernetes");
    let programs = programs();
    programs.need(&SERVERS);
    for (name, _) in ADDONS {
        say(name);
        programs.addon(name);
    }
    say("cyclonus");
    super::cyclonus::program();
}

/// Eight digits that change with a recipe, the names and texts of its files.
pub(super) fn recipe_of(files: &[(&str, &str)]) -> String {
    let mut hash = Sha256::new();
    for (name, text) in files {
        hash.update(name);
        hash.update(text);
    }
    let digest = hex(&hash.finalize());
    digest.chars().take(8).collect()
}

/// Bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn build(staging: &Path) {
    let source = staging.join("source");
    let written = fs::create_dir(&source).and_then(|()| {
        RECIPE
            .iter()
            .try_for_each(|(name, text)| fs::write(source.join(name), text))
    });
    if let Err(error) = written {
        panic!("cannot write to {}: {error}", source.display());
    }
    let package = "k8s.io/component-base/version";
    let mut numbers = VERSION.split('.');
    let (major, minor) = (
        numbers.next().unwrap_or_default(),
        numbers.next().unwrap_or_default(),
    );
    let flags = format!(
        "-s -w -X {package}.gitVersion=v{VERSION} -X {package}.gitMajor={major} -X {package}.gitMinor={minor}"
    );
    let mut go = Command::new("go");
    go.args(["build", "-trimpath", "-mod=readonly", "-ldflags", &flags])
        .args(["-o", "../testnode", "."])
        .current_dir(&source)
        .env("CGO_ENABLED", "0");
    run_go(&mut go, "Kubernetes", INSTEAD);
    let linked = SERVERS
        .iter()
        .try_for_each(|name| symlink("testnode", staging.join(name)))
        .and_then(|()| fs::remove_dir_all(&source));
    if let Err(error) = linked {
        panic!("cannot finish {}: {error}", staging.display());
    }
}

/// What somebody without Go can do instead.
const INSTEAD: &str = "name a folder of ready programs in KUBEBUILDER_ASSETS";

/// Has Go build something; `instead` says what else a person can do.
pub(crate) fn run_go(go: &mut Command, what: &str, instead: &str) {
    let output = match go.output() {
        Ok(output) => output,
        Err(error) => panic!(
            "{what} is not on this machine, and Go to build it is missing ({error}); install Go 1.25 or newer, or \
             {instead}"
        ),
    };
    assert!(
        output.status.success(),
        "Go could not build {what}:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The folder of an entry of the cache of what tests need; `make` fills it when it is not there yet.
///
/// # Panics
///
/// When the cache cannot be written to; and as `make`, after which the next call begins anew.
pub(crate) fn make_once(name: &str, make: impl FnOnce(&Path)) -> PathBuf {
    let folder = Cache::of_user().and_then(|cache| {
        let make = |staging: &Path| {
            make(staging);
            Ok::<(), std::io::Error>(())
        };
        cache.entry(name, |_| {}, make)
    });
    match folder {
        Ok(folder) => folder,
        Err(error) => panic!("cannot keep {name} for the tests: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_server_is_taken_from_the_first_place_that_has_it() {
        let made = tempfile::tempdir().unwrap();
        // As envtest has them, and a machine with a kubelet.
        let (assets, path) = (made.path().join("assets"), made.path().join("path"));
        for (folder, names) in [
            (&assets, &["kube-apiserver", "etcd"][..]),
            (&path, &["etcd", "kubelet"]),
        ] {
            fs::create_dir(folder).unwrap();
            for name in names {
                fs::write(folder.join(name), "").unwrap();
            }
        }
        let folders = vec![assets.clone(), path.clone()];
        let programs = Programs {
            folders,
            built: || PathBuf::from("/built"),
        };
        let found = SERVERS.map(|name| programs.server(name));
        let built = |name| Path::new("/built").join(name);
        assert_eq!(
            found,
            [
                assets.join("etcd"),
                assets.join("kube-apiserver"),
                built("kube-controller-manager"),
                built("kube-scheduler"),
                path.join("kubelet"),
                built("kube-proxy"),
            ]
        );
    }

    #[test]
    fn nothing_is_built_for_servers_that_are_there() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["kube-apiserver", "etcd"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let programs = Programs {
            folders: vec![folder.path().to_owned()],
            built: || panic!("it builds"),
        };
        programs.server("etcd");
        programs.server("kube-apiserver");
        assert!(std::panic::catch_unwind(|| programs.server("kubelet")).is_err());
    }
}
