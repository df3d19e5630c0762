//! A Kubernetes node for a person: pods run on it until the program ends.
//!
//! Run:    `cargo run -p mlops-testkit --example node -- run | stay | build | images ENVIRONMENT PROGRAM`; `run` ends
//!         with its input, `stay` when it is killed, `build` builds what a node needs, `images` brings the images of a
//!         platform, with that Python environment and that program `mlops`, to the node that `MLOPS_TEST_NODE` names
//! Prints: the folder of the node, in which `kubeconfig` lies; the images

use std::io::{Read as _, Write as _};

use mlops_testkit::kubernetes::{TestNode, build_all, platform, tools};

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
        let path = |index| std::env::args_os().nth(index).unwrap_or_default();
        TestNode::shared().import_platform(path(2).as_ref());
        tools::import(TestNode::shared(), path(3).as_ref());
        for image in [
            platform::POSTGRES,
            platform::S3,
            platform::PYTHON,
            tools::TOOLS,
        ] {
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
