//! What a platform keeps on disk beside secrets: data folders, ports, and what processes leave behind.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use mlops_core::{ComponentName, Error, ErrorKind, Result, SecretText, ServiceName};

use crate::files::{self, io_error};
use crate::paths::Folders;
use crate::ports::PortBook;
use crate::postgres::{self, PostgresProgram};

/// What a data folder is laid out for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// A folder of its process's own making.
    Plain,
    /// The data folder of a PostgreSQL server of that major version.
    Postgres(u32),
}

/// How a data folder is made.
#[derive(Debug)]
pub enum NewData {
    /// Empty.
    Plain,
    /// By `initdb`.
    Postgres {
        /// The server's programs.
        program: PostgresProgram,
        /// The name of the superuser.
        superuser: String,
        /// The superuser's password.
        password: SecretText,
    },
}

/// How much is in a data folder.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// How many files.
    pub files: u64,
    /// Their length together.
    pub bytes: u64,
}

/// The disk side of one platform.
#[async_trait]
pub trait StorageApi: Send + Sync {
    /// The folders that the templates of a component see, by name.
    fn folders(&self, component: &ComponentName) -> BTreeMap<String, String>;

    /// The ports that were chosen.
    async fn ports(&self) -> Result<BTreeMap<ServiceName, u16>>;

    /// Sees to it that every wanted service has a port; see [`PortBook::ensure`].
    async fn ensure_ports(&self, wanted: &BTreeMap<ServiceName, Option<u16>>) -> Result<()>;

    /// What a component's data folder is; `None` when there is none.
    async fn find_data(&self, component: &str) -> Result<Option<Layout>>;

    /// Makes a component's data folder; fine when it is there.
    async fn create_data(&self, component: &str, how: &NewData) -> Result<()>;

    /// Removes a component's data folder with everything in it; fine when it is gone.
    async fn remove_data(&self, component: &str) -> Result<()>;

    /// The components that have a data folder.
    async fn list_data(&self) -> Result<Vec<String>>;

    /// How much is in a component's data folder.
    async fn size_of_data(&self, component: &str) -> Result<Size>;

    /// Removes the folder that a component's process ran in; fine when it is gone.
    async fn remove_run(&self, component: &str) -> Result<()>;

    /// Removes everything that can be made again, and the platform's folder when nothing is left in it then.
    async fn clean_up(&self) -> Result<()>;
}

/// Everything in the platform's folder on disk.
#[derive(Debug, Clone)]
pub struct DiskStorage {
    folders: Folders,
}

impl DiskStorage {
    /// The disk side of the platform in `folders`.
    pub fn new(folders: Folders) -> Self {
        Self { folders }
    }

    fn book(&self) -> PortBook {
        PortBook::new(self.folders.ports())
    }

    /// A data folder on its way out: it is not one any more, whatever happens to the removal.
    fn leaving(&self, component: &str) -> PathBuf {
        self.folders.all_data().join(format!(".gone-{component}"))
    }
}

fn size(folder: &Path) -> std::io::Result<Size> {
    let mut sum = Size::default();
    let mut left = vec![folder.to_path_buf()];
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let found = entry.metadata()?;
            if found.is_dir() {
                left.push(entry.path());
            } else {
                sum.files += 1;
                sum.bytes = sum.bytes.saturating_add(found.len());
            }
        }
    }
    Ok(sum)
}

/// Work on many files, away from the threads that must not wait.
async fn apart<T: Send + 'static>(
    doing: &str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::new(ErrorKind::Failed, doing).with_source(error))?
}

#[async_trait]
impl StorageApi for DiskStorage {
    fn folders(&self, component: &ComponentName) -> BTreeMap<String, String> {
        self.folders.for_templates(component)
    }

    async fn ports(&self) -> Result<BTreeMap<ServiceName, u16>> {
        self.book().read()
    }

    async fn ensure_ports(&self, wanted: &BTreeMap<ServiceName, Option<u16>>) -> Result<()> {
        self.folders.ensure()?;
        self.book().ensure(wanted).map(drop)
    }

    async fn find_data(&self, component: &str) -> Result<Option<Layout>> {
        let folder = self.folders.data(component);
        let found = match fs::metadata(&folder) {
            Ok(found) => found,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(io_error(format!("look at `{}`", folder.display()), error));
            }
        };
        if !found.is_dir() {
            return Err(
                Error::new(ErrorKind::Conflict, format!("use `{}`", folder.display()))
                    .with_source("it is no folder")
                    .with_hint("move it away"),
            );
        }
        if files::our_uid() != 0 {
            files::check_owner(&folder, found.uid())?;
        }
        Ok(Some(match postgres::version_of_data(&folder)? {
            Some(major) => Layout::Postgres(major),
            None => Layout::Plain,
        }))
    }

    async fn create_data(&self, component: &str, how: &NewData) -> Result<()> {
        if self.find_data(component).await?.is_some() {
            return Ok(());
        }
        self.folders.ensure()?;
        let folder = self.folders.data(component);
        match how {
            NewData::Plain => files::ensure_folder(&folder, 0o700),
            NewData::Postgres {
                program,
                superuser,
                password,
            } => postgres::init(program, &folder, superuser, password).await,
        }
    }

    async fn remove_data(&self, component: &str) -> Result<()> {
        let (folder, leaving) = (self.folders.data(component), self.leaving(component));
        apart("remove data", move || {
            files::remove_tree(&leaving)?;
            match fs::rename(&folder, &leaving) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(io_error(format!("remove `{}`", folder.display()), error))
                }
                _ => files::remove_tree(&leaving),
            }
        })
        .await
    }

    async fn list_data(&self) -> Result<Vec<String>> {
        files::names_in(&self.folders.all_data())
    }

    async fn size_of_data(&self, component: &str) -> Result<Size> {
        let folder = self.folders.data(component);
        apart("measure data", move || {
            size(&folder)
                .map_err(|error| io_error(format!("measure `{}`", folder.display()), error))
        })
        .await
    }

    async fn remove_run(&self, component: &str) -> Result<()> {
        files::remove_tree(&self.folders.run(component))
    }

    async fn clean_up(&self) -> Result<()> {
        let folders = self.folders.clone();
        apart("clean up", move || clean_up(&folders)).await
    }
}

/// Removes everything that can be made again, and the folder when nothing is left in it then.
pub(crate) fn clean_up(folders: &Folders) -> Result<()> {
    if !folders.exists() {
        return Ok(());
    }
    for folder in [
        folders.root().join("run"),
        folders.logs(),
        folders.pids(),
        folders.models(),
    ] {
        files::remove_tree(&folder)?;
    }
    for file in [
        folders.events(),
        folders.root().join("events.jsonl.1"),
        folders.ports(),
        folders.supervisor_log(),
        folders.supervisor_lock(),
        folders.socket(),
    ] {
        files::remove_file(&file)?;
    }
    // What a killed run was making: nobody else is at work on the platform now.
    files::sweep_all_unfinished(&folders.all_data());
    for component in files::names_in(&folders.secrets())? {
        let folder = folders.secrets().join(component);
        files::sweep_all_unfinished(&folder);
        files::remove_if_empty(&folder)?;
    }
    let data_gone = files::remove_if_empty(&folders.all_data())?;
    let secrets_gone = files::remove_if_empty(&folders.secrets())?;
    if data_gone && secrets_gone {
        // Last, and only now: it says that somebody works here.
        files::remove_file(&folders.lock())?;
        files::remove_if_empty(folders.root())?;
    }
    Ok(())
}
