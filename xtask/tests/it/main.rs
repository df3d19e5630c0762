//! The shape of the workspace: what is pure stays pure, and arrows point one way; and the tasks that start servers.

mod direction;
mod node;
mod pages;
mod purity;

use std::path::Path;
use std::process::{Command, Stdio};

#[expect(
    clippy::unwrap_used,
    reason = "a helper of tests: it fails the test that asks"
)]
/// What `cargo` with these arguments prints, asked in the root folder and without the network.
fn cargo(arguments: &[&str]) -> String {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let output = Command::new(program)
        .args(arguments)
        .arg("--offline")
        .current_dir(root)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "cargo {arguments:?} failed: {errors}"
    );
    String::from_utf8(output.stdout).unwrap()
}
