//! From the session's options to those of the local target.

use mlops_core::Platform;
use mlops_local::LocalOptions;
use mlops_local::python::PythonOptions;

use super::{Network, SessionOptions};

/// What the local target needs to know.
pub(super) fn local_options(platform: &Platform, options: &SessionOptions) -> LocalOptions {
    let mut python = PythonOptions::new(&options.roots.cache, options.env.clone());
    python.offline = options.network == Network::Avoid;
    LocalOptions {
        platform: platform.name.clone(),
        roots: options.roots.clone(),
        supervisor: options.supervisor.clone(),
        env: options.env.clone(),
        postgres_bin: platform.local.postgres.clone(),
        python: match &platform.local.python {
            Some(path) => python.with_python(path),
            None => python,
        },
    }
}
