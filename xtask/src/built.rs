//! Programs of this workspace that xtask runs, and where Cargo puts them.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use anyhow::Result;

use crate::shell::{capture, cargo, root};

/// The folder of what Cargo builds.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root().join("target"), |folder| root().join(folder))
}

/// The command `mlops`, as developers build it.
pub(crate) fn mlops() -> Result<Command> {
    program("mlops")
}

/// The program that is a Kubernetes node.
pub(crate) fn node() -> Result<Command> {
    program("examples/node")
}

/// Builds both, once, and hands back one.
///
/// Built with `--package`, each would have libraries with its own choice of features. As parts of the workspace, and
/// beside an example, they have those of the tests, so that no library is compiled twice.
fn program(path: &str) -> Result<Command> {
    static ARE_BUILT: OnceLock<()> = OnceLock::new();
    if ARE_BUILT.get().is_none() {
        let mut build = cargo(["build", "--quiet", "--workspace"]);
        capture(build.args(["--bin", "mlops", "--example", "node"]))?;
        ARE_BUILT.get_or_init(|| ());
    }
    let mut command = Command::new(target().join("debug").join(path));
    command.current_dir(root());
    Ok(command)
}
