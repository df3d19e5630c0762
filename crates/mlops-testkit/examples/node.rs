//! A Kubernetes node for a person: pods run on it until the program ends.
//!
//! Run:    `cargo run -p mlops-testkit --example node -- run | stay | build | images ENVIRONMENT`; `run` ends with its
//!         input, `stay` when it is killed, `build` builds what a node needs, `images` brings the images of a platform,
//!         with that Python environment, to the node that `MLOPS_TEST_NODE` names
//! Prints: the folder of the node, in which `kubeconfig` lies; the images

use std::io::{Read as _, Write as _};

use mlops_testkit::kubernetes::{TestNode, build_all, platform};

fn main() -> std::io::Result<()> {
    let mode = std::env::args().nth(1).unwrap_or_default();
    let mut out = std::io::stdout();
    if mode == "build" {
        build_all(|what| {
            // A closed output is no reason to stop building.
            let _ = writeln!(std::io::stdout(), "{what}");
        });
        return Ok(());
    }
    if mode == "images" {
        let environment = std::env::args_os().nth(2).unwrap_or_default();
        TestNode::shared().import_archive(&platform::archive(environment.as_ref()));
        for image in [platform::POSTGRES, platform::S3, platform::PYTHON] {
            writeln!(out, "{image}")?;
        }
        return Ok(());
    }
    let node = TestNode::start();
    writeln!(out, "{}", node.folder().display())?;
    out.flush()?;
    if mode == "stay" {
        loop {
            std::thread::park();
        }
    }
    let mut rest = Vec::new();
    std::io::stdin().read_to_end(&mut rest)?;
    drop(node);
    Ok(())
}
