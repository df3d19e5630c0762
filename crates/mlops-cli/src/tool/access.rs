//! The way to the cluster that the user means.

use std::path::{Path, PathBuf};

use mlops_core::Result;
use mlops_k8s::ClusterAccess;
use mlops_k8s::kube::Client;

use super::Tool;
use crate::text::plain;

/// A connection with the namespace of what names none.
#[derive(Clone)]
pub struct Connection {
    /// The client.
    pub client: Client,
    /// The namespace.
    pub namespace: String,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

impl Tool {
    /// Connects. When the kubeconfig runs a program for the credentials, that is said before it runs.
    ///
    /// # Errors
    ///
    /// When there is no kubeconfig and this is no pod, or it has no such context.
    pub async fn connect(&self) -> Result<Connection> {
        let Some(file) = self.kubeconfig() else {
            let client = mlops_k8s::connect_in_cluster()?;
            return Ok(Connection {
                client,
                namespace: self.namespace("default"),
            });
        };
        let access = ClusterAccess::read(&file, self.options.context.as_deref())?;
        let summary = access.summary();
        if let Some(program) = &summary.program {
            let file = file.display();
            self.printer.say(&plain(&format!(
                "`{file}` has a program run for the credentials: {program}"
            )));
        }
        if summary.is_unverified {
            self.printer.say(&plain(&format!(
                "the certificate of {} is not checked, as the kubeconfig says",
                summary.server
            )));
        }
        let namespace = self.namespace(&summary.namespace);
        let client = access.connect().await?;
        Ok(Connection { client, namespace })
    }

    /// The namespace of what names none, where the context says `default`.
    pub fn namespace(&self, default: &str) -> String {
        let named = self.options.namespace.as_deref();
        named.unwrap_or(default).to_owned()
    }

    fn kubeconfig(&self) -> Option<PathBuf> {
        if let Some(file) = &self.options.kubeconfig {
            return Some(file.clone());
        }
        let set = |name: &str| self.env.get(name).filter(|value| !value.is_empty());
        if let Some(files) = set("KUBECONFIG") {
            // Of several the first counts; merging them is for those who edit them.
            return std::env::split_paths(files).next();
        }
        let file = Path::new(set("HOME")?).join(".kube/config");
        file.is_file().then_some(file)
    }
}
