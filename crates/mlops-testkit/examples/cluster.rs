//! An API server without a node, until the input ends.
//!
//! Run:    `cargo run -p mlops-testkit --example cluster`
//! Prints: one line, `{"kubeconfig":…,"version":…}`

use std::io::{Read as _, Write as _};

use mlops_testkit::kubernetes::{TestCluster, VERSION};

fn main() -> std::io::Result<()> {
    let cluster = TestCluster::start();
    // The path is of our own making and has nothing that JSON would escape.
    let kubeconfig = cluster.kubeconfig();
    let mut out = std::io::stdout();
    writeln!(
        out,
        r#"{{"kubeconfig":"{}","version":"{VERSION}"}}"#,
        kubeconfig.display()
    )?;
    out.flush()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    drop(cluster);
    Ok(())
}
