//! The systems of the local target in memory, for simulations: they keep the same promises as the real ones, which
//! the same contract tests hold them to, and ask a [`Hook`] before and after every single write.
//!
//! Clones share their state, so that a run that is cut off leaves what it had written to the next one.

mod storage;
mod supervisor;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use mlops_core::Result;
use mlops_core::hook::{Hook, NoHook};

pub use storage::FakeStorage;
pub use supervisor::FakeSupervisor;

use crate::postgres::PostgresProgram;
use crate::programs::{OnText, Programs, PythonApi, PythonPlace};

fn place() -> PythonPlace {
    let folder = |name: &str| (name.to_owned(), PathBuf::from("/fake").join(name));
    PythonPlace {
        python: PathBuf::from("/fake/python"),
        postgres_bin: None,
        folders: [folder("launch"), folder("samples")].into(),
    }
}

/// Programs that are always there.
#[derive(Debug, Clone, Copy, Default)]
pub struct FakePrograms;

#[async_trait]
impl Programs for FakePrograms {
    async fn python(&self) -> Result<PathBuf> {
        Ok(PathBuf::from("/fake/python"))
    }

    async fn folders(&self) -> Result<BTreeMap<String, PathBuf>> {
        Ok(place().folders)
    }

    async fn postgres(&self, major: Option<u32>) -> Result<PostgresProgram> {
        Ok(PostgresProgram {
            bin: PathBuf::from("/fake/postgres"),
            major: major.unwrap_or(17),
            account: None,
        })
    }

    async fn command(&self, name: &str) -> Result<PathBuf> {
        Ok(PathBuf::from("/fake").join(name))
    }

    fn env(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }
}

/// A Python environment that is there once it was made.
#[derive(Clone)]
pub struct FakePython {
    made: Arc<AtomicBool>,
    hook: Hook,
}

impl Default for FakePython {
    fn default() -> Self {
        Self {
            made: Arc::default(),
            hook: Arc::new(NoHook),
        }
    }
}

impl std::fmt::Debug for FakePython {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FakePython")
            .field("made", &self.made)
            .finish_non_exhaustive()
    }
}

impl FakePython {
    /// The same environment, asking `hook` around writes.
    #[must_use]
    pub fn with_hook(mut self, hook: Hook) -> Self {
        self.hook = hook;
        self
    }
}

#[async_trait]
impl PythonApi for FakePython {
    fn lock(&self) -> String {
        "fake".to_owned()
    }

    async fn find(&self) -> Result<Option<PythonPlace>> {
        Ok(self.made.load(Ordering::SeqCst).then(place))
    }

    async fn ensure(&self, news: OnText<'_>) -> Result<PythonPlace> {
        if !self.made.load(Ordering::SeqCst) {
            news("making it");
            self.hook.before("make the Python environment").await?;
            self.made.store(true, Ordering::SeqCst);
            self.hook.after("make the Python environment").await?;
        }
        Ok(place())
    }
}
