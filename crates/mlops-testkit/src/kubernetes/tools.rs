//! The image of the program under test.
#![expect(
    clippy::panic,
    reason = "a test without its server must fail, and say why"
)]

use std::path::Path;
use std::process::Command;

use super::images::Image;
use super::node::TestNode;

/// The program `mlops` itself, of the version that is tested.
pub const TOOLS: &str = concat!("localhost/mlops:", env!("CARGO_PKG_VERSION"));

/// What Debian's `ca-certificates` makes.
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Brings the image with the program `mlops` to a node: the program without what only debuggers need, and of this machine
/// the libraries that it is linked with and the certificates that it trusts. That takes seconds and is not kept, since each build is another program.
///
/// # Panics
///
/// When it cannot be made: it needs `strip`, `ldd`, and Debian's `ca-certificates`.
pub fn import(node: &TestNode, program: &Path) {
    let scratch = match tempfile::tempdir() {
        Ok(scratch) => scratch,
        Err(error) => panic!("cannot make a folder for an image: {error}"),
    };
    let small = scratch.path().join("mlops");
    said(Command::new("strip").arg("-o").args([&*small, program]));
    let libraries = said(Command::new("ldd").arg(&small));
    // Clients that could speak TLS want to know certificates before they know whether they need to.
    let mut image = Image::new(TOOLS)
        .with_file("usr/local/bin/mlops", &small)
        .with_file(CERTIFICATES.trim_start_matches('/'), CERTIFICATES);
    // `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)`, and the loader without an arrow.
    for library in libraries
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
    {
        image = image.with_file(library.trim_start_matches('/'), library);
    }
    node.import(&[image]);
}

/// What a program printed, which must end well.
fn said(command: &mut Command) -> String {
    match command.output() {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).into_owned()
        }
        Ok(output) => panic!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => panic!("cannot start {command:?}: {error}"),
    }
}
