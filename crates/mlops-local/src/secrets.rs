//! Secrets as files of mode 0600.

use std::path::PathBuf;

use async_trait::async_trait;
use mlops_core::{Error, ErrorKind, Result, SecretName, SecretStore, SecretText};
use rand::distr::{Alphanumeric, SampleString};

use crate::files;

/// A password of 32 letters and digits: 190 bits, and no place needs to escape it.
///
/// ```
/// assert_eq!(mlops_local::generate_password().expose().len(), 32);
/// ```
pub fn generate_password() -> SecretText {
    SecretText::new(Alphanumeric.sample_string(&mut rand::rng(), 32))
}

/// Keeps each secret in a file of its own, mode 0600, in a folder of mode 0700.
///
/// A secret is there completely or not at all, whenever the process is killed, and one that is there is never
/// overwritten. A file that others can read, or that belongs to somebody else, is refused.
#[derive(Debug, Clone)]
pub struct FileSecretStore {
    folder: PathBuf,
}

impl FileSecretStore {
    /// Keeps secrets below `folder`, which is made when the first one is kept.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    /// The file of a secret.
    pub fn path(&self, name: &SecretName) -> PathBuf {
        self.folder.join(name.as_str())
    }

    fn read(&self, name: &SecretName) -> Result<Option<SecretText>> {
        let path = self.path(name);
        let wrong = |cause: &str| {
            Error::new(ErrorKind::Failed, format!("read secret `{name}`"))
                .with_source(cause.to_owned())
                .with_hint(format!(
                    "put the secret back into `{}`, or remove the file to have a new one made",
                    path.display()
                ))
        };
        let Some(content) = files::read_private(&path)? else {
            return Ok(None);
        };
        let text = String::from_utf8(content).map_err(|_| wrong("the file is not UTF-8 text"))?;
        let text = text.strip_suffix('\n').unwrap_or(&text);
        if text.is_empty() {
            return Err(wrong("the file is empty"));
        }
        Ok(Some(SecretText::new(text)))
    }
}

#[async_trait]
impl SecretStore for FileSecretStore {
    async fn find(&self, name: &SecretName) -> Result<Option<SecretText>> {
        self.read(name)
    }

    async fn create(&self, name: &SecretName, text: SecretText) -> Result<SecretText> {
        let path = self.path(name);
        let folder = path.parent().unwrap_or(&self.folder);
        files::ensure_folder(&self.folder, 0o700)?;
        files::ensure_folder(folder, 0o700)?;
        files::sweep_unfinished(folder);
        if files::create_private(&path, text.expose().as_bytes())? {
            return Ok(text);
        }
        self.read(name)?.ok_or_else(|| {
            Error::new(ErrorKind::Changed, format!("keep secret `{name}`"))
                .with_source("it was there and went away meanwhile")
        })
    }

    async fn remove(&self, name: &SecretName) -> Result<()> {
        let path = self.path(name);
        files::remove_file(&path)?;
        if let Some(folder) = path.parent() {
            files::remove_if_empty(folder)?;
        }
        Ok(())
    }

    async fn list(&self) -> Result<Vec<SecretName>> {
        let mut names = Vec::new();
        for component in files::names_in(&self.folder)? {
            for name in files::names_in(&self.folder.join(&component))? {
                if let Ok(name) = format!("{component}/{name}").parse() {
                    names.push(name);
                }
            }
        }
        Ok(names)
    }
}
