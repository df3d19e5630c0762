use std::fmt;
use std::path::PathBuf;

use secrecy::SecretString;

/// An access key with its secret.
///
/// `Debug` shows the access key and hides the secret.
#[derive(Clone)]
pub struct Credentials {
    /// The access key: the public half, sent in every request.
    pub access_key: String,
    /// The secret half, only ever used to compute signatures.
    pub secret_key: SecretString,
}

impl Credentials {
    /// Pairs an access key with its secret.
    pub fn new(access_key: impl Into<String>, secret_key: impl Into<SecretString>) -> Self {
        Self {
            access_key: access_key.into(),
            secret_key: secret_key.into(),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("access_key", &self.access_key)
            .field("secret_key", &"[hidden]")
            .finish()
    }
}

/// How far a write has got when the client is told that it succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sync {
    /// The operating system has the data. It survives the end of the process,
    /// but not a power cut.
    #[default]
    None,
    /// The disk has the data: every file and its folder are flushed (`fsync`).
    Full,
}

/// What a [`Server`](crate::Server) needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// Folder that holds everything. Created when missing, with mode 0700.
    pub root: PathBuf,
    /// The key that may do everything, including managing other keys.
    pub admin: Credentials,
    /// Region that the server reports. Requests signed for another region are
    /// accepted too. Default `us-east-1`.
    pub region: String,
    /// Whether writes are flushed to the disk. Default [`Sync::None`].
    pub sync: Sync,
}

impl Config {
    /// Settings with the default region and no flushing.
    pub fn new(root: impl Into<PathBuf>, admin: Credentials) -> Self {
        Self {
            root: root.into(),
            admin,
            region: "us-east-1".to_owned(),
            sync: Sync::None,
        }
    }

    /// Reports this region instead of `us-east-1`.
    #[must_use]
    pub fn with_region(mut self, region: impl Into<String>) -> Self {
        self.region = region.into();
        self
    }

    /// Sets whether writes are flushed to the disk.
    #[must_use]
    pub fn with_sync(mut self, sync: Sync) -> Self {
        self.sync = sync;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_hides_the_secret() {
        let config = Config::new("/tmp/x", Credentials::new("admin", "hunter2hunter2"));
        let shown = format!("{config:?}");
        assert!(
            shown.contains("admin") && !shown.contains("hunter2"),
            "{shown}"
        );
    }
}
