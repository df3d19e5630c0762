//! The graph of the default platform.

use mlops_catalog::{Catalog, resolve};
use mlops_core::Platform;

#[test]
fn the_default_platform() {
    let platform = Platform::new("demo".parse().unwrap());
    let graph = resolve(&platform, &Catalog::embedded()).unwrap_or_else(|wrong| panic!("{wrong}"));
    insta::assert_json_snapshot!(graph);
}
