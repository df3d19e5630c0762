//! The programs that the checks run, each at one version.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::cache::Cache;
use crate::shell::{cargo, run};

/// A program that Cargo installs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tool {
    package: &'static str,
    program: &'static str,
    version: &'static str,
}

/// Licences, bans and sources of dependencies.
pub(crate) const DENY: Tool = Tool {
    package: "cargo-deny",
    program: "cargo-deny",
    version: "0.20.2",
};

/// Spelling.
pub(crate) const TYPOS: Tool = Tool {
    package: "typos-cli",
    program: "typos",
    version: "1.52.0",
};

/// Dependencies that nothing uses.
pub(crate) const MACHETE: Tool = Tool {
    package: "cargo-machete",
    program: "cargo-machete",
    version: "0.9.2",
};

impl Tool {
    /// The program's path; it is built when this version is not in the cache.
    pub(crate) fn get(self) -> Result<PathBuf> {
        let entry = format!("tools/{}-{}", self.package, self.version);
        let folder = Cache::of_user()?.entry(&entry, |partial| {
            run(cargo([
                "install",
                "--locked",
                "--quiet",
                "--version",
                self.version,
                "--root",
            ])
            .arg(partial)
            .arg(self.package)
            // A tool is no part of this workspace: neither its folder of results nor its
            // compiler settings.
            .current_dir(partial)
            .env_remove("CARGO_TARGET_DIR")
            .env_remove("RUSTFLAGS"))
            .with_context(|| format!("failed to install {} {}", self.package, self.version))
        })?;
        Ok(folder.join("bin").join(self.program))
    }
}
