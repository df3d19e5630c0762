//! The Python interpreter with everything that the real servers need.
#![expect(
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test without its server must fail, and say why"
)]

use std::path::PathBuf;

/// The interpreter named by `MLOPS_TEST_PYTHON`.
///
/// # Panics
///
/// When the variable is not set.
pub fn python() -> PathBuf {
    match std::env::var("MLOPS_TEST_PYTHON") {
        Ok(path) => path.into(),
        Err(error) => {
            panic!("MLOPS_TEST_PYTHON must name a Python with MLflow and MLServer: {error}")
        }
    }
}
