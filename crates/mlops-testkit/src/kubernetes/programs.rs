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
const SERVERS: [&str; 6] = [
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
    /// The folder of the servers; none when they are on `PATH`.
    servers: Option<PathBuf>,
}

impl Programs {
    /// The path of `etcd`, `kube-apiserver` and so on.
    pub fn server(&self, name: &str) -> PathBuf {
        match &self.servers {
            Some(folder) => folder.join(name),
            None => on_path(name).unwrap_or_else(|| PathBuf::from(name)),
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
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

fn version_folder(name: &str, module: &str) -> String {
    let version = module.rsplit('@').next().unwrap_or_default();
    format!("{name}-{}", version.trim_start_matches('v'))
}

/// The programs: in the folder that `KUBEBUILDER_ASSETS` names, on `PATH` when all of them are, in the cache, else built
/// into the cache by Go.
///
/// # Panics
///
/// When there are none and they cannot be built, with what is missing.
pub fn programs() -> &'static Programs {
    static FOUND: OnceLock<Programs> = OnceLock::new();
    FOUND.get_or_init(|| {
        let named = std::env::var_os(ASSETS).map(PathBuf::from);
        if let Some(folder) = named.filter(|folder| folder.join("kube-apiserver").is_file()) {
            return Programs {
                servers: Some(folder),
            };
        }
        if SERVERS.iter().all(|name| on_path(name).is_some()) {
            return Programs { servers: None };
        }
        let entry = format!("kubernetes-{VERSION}-{}", recipe_of(&RECIPE));
        Programs {
            servers: Some(make_once(&entry, build)),
        }
    })
}

/// Builds all that a node needs and is not there; says what it does.
///
/// # Panics
///
/// As [`programs`].
pub fn build_all(mut say: impl FnMut(&str)) {
    say("Kubernetes");
    let programs = programs();
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
