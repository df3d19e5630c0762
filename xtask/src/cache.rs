//! The cache of what tests and checks need, with a word to whoever waits for it.

use std::path::{Path, PathBuf};

use anyhow::Result;
use mlops_test_cache::Step;

use crate::shell::say;

/// A folder of installed things.
#[derive(Debug)]
pub(crate) struct Cache(mlops_test_cache::Cache);

impl Cache {
    /// The cache of this user.
    pub(crate) fn of_user() -> Result<Self> {
        Ok(Self(mlops_test_cache::Cache::of_user()?))
    }

    /// The path of a file beside the entries.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.file(name)
    }

    /// The folder of the entry `name`; `make` fills it when it is not there yet.
    pub(crate) fn entry(
        &self,
        name: &str,
        make: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<PathBuf> {
        let tell = |step| match step {
            Step::Waiting => say(format_args!("waiting for another run that installs {name}")),
            Step::Making => say(format_args!("installing {name}")),
            Step::Made => say(format_args!("{name} is installed")),
        };
        self.0.entry(name, tell, make)
    }
}
