//! The kinds of one server, kept between questions.

use std::sync::Arc;

use mlops_core::Result;
use tokio::sync::Mutex;

use super::{Kinds, Lookup};
use crate::objects::{GroupKind, ObjectSet};

/// The kinds of one server: asked for when they are needed first, and again when one of them is not known. Clones share
/// what was asked.
///
/// A kind that is taken away meanwhile is still thought to be there, and the server answers 404 to whoever uses it.
#[derive(Debug, Clone, Default)]
pub struct KnownKinds {
    /// Locked while the server is asked, so that many who need them ask once.
    kept: Arc<Mutex<Option<Arc<Kinds>>>>,
}

impl KnownKinds {
    /// Knows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The kinds that are kept, or those that the server has.
    ///
    /// # Errors
    ///
    /// As [`Kinds::of_server`].
    pub async fn get(&self, client: &kube::Client) -> Result<Arc<Kinds>> {
        self.get_if(client, |_| true).await
    }

    /// The same; asked for anew when one of these is not among them.
    ///
    /// # Errors
    ///
    /// As [`Kinds::of_server`].
    pub async fn get_with(
        &self,
        client: &kube::Client,
        wanted: impl IntoIterator<Item = GroupKind>,
    ) -> Result<Arc<Kinds>> {
        let wanted: Vec<GroupKind> = wanted.into_iter().collect();
        let is_known = |kinds: &Kinds| {
            let mut wanted = wanted.iter();
            wanted.all(|kind| matches!(kinds.find_any_version(kind), Lookup::Known(_)))
        };
        self.get_if(client, is_known).await
    }

    /// The same for the objects of a set, each in its version. A definition among them brings kinds that only the server
    /// can tell of, so with one the server is asked.
    pub(crate) async fn get_for(
        &self,
        client: &kube::Client,
        set: &ObjectSet,
    ) -> Result<Arc<Kinds>> {
        let is_known = |kinds: &Kinds| {
            set.iter().all(|object| {
                let id = object.id();
                let found = kinds.find(&id.group, object.version(), &id.kind);
                matches!(found, Lookup::Known(_)) && !brings_kinds(&id.group)
            })
        };
        self.get_if(client, is_known).await
    }

    /// Asks again next time: kinds have come or gone.
    pub async fn forget(&self) {
        *self.kept.lock().await = None;
    }

    async fn get_if(
        &self,
        client: &kube::Client,
        is_enough: impl Fn(&Kinds) -> bool,
    ) -> Result<Arc<Kinds>> {
        let mut kept = self.kept.lock().await;
        if let Some(kinds) = kept.as_ref().filter(|kinds| is_enough(kinds)) {
            return Ok(Arc::clone(kinds));
        }
        let asked = Arc::new(Kinds::of_server(client).await?);
        *kept = Some(Arc::clone(&asked));
        Ok(asked)
    }
}

/// Whether objects of a group say which kinds there are: definitions, and APIs of other servers.
pub(crate) fn brings_kinds(group: &str) -> bool {
    matches!(group, "apiextensions.k8s.io" | "apiregistration.k8s.io")
}
