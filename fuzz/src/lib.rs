//! What the fuzz targets do with a text. Each function panics when something holds that must not.
//!
//! The same functions run with random texts in the ordinary tests of `mlops-catalog`, on a stable compiler.

mod targets;

pub use targets::{component_file, platform_file, saved_plan};
