//! The way to the cluster that the user means.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mlops_core::{ErrorKind, Result};
use mlops_k8s::ClusterAccess;
use mlops_k8s::kube::Client;
use mlops_k8s::validate::Version;

use super::Tool;
use crate::printer::Printer;
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

impl Connection {
    /// The version of the server, if its schemas are known and it says so.
    ///
    /// # Errors
    ///
    /// When the server does not answer.
    pub(super) async fn version(&self) -> Result<Option<Version>> {
        match self.client.apiserver_version().await {
            Ok(info) => Ok(info.git_version.parse().ok()),
            Err(error) => {
                let error = mlops_k8s::wrap(error, "ask the server for its version");
                match error.kind() {
                    ErrorKind::PermissionDenied => Ok(None),
                    _ => Err(error),
                }
            }
        }
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
        let context = self.options.context.as_deref();
        let access = read_access(&self.printer, &file, context)?;
        let namespace = self.namespace(&access.summary().namespace);
        let client = access.connect().await?;
        Ok(Connection { client, namespace })
    }

    /// Who runs this, as the holder of a lease: differs from run to run.
    ///
    /// # Errors
    ///
    /// When the system has no random numbers.
    pub fn holder(&self) -> Result<String> {
        let user = self.env.get("USER").filter(|user| !user.is_empty());
        mlops_k8s::holder_name(user.map_or("mlops", String::as_str))
    }

    /// The namespace of what names none, where the context says `default`.
    pub fn namespace(&self, default: &str) -> String {
        let named = self.options.namespace.as_deref();
        named.unwrap_or(default).to_owned()
    }

    fn kubeconfig(&self) -> Option<PathBuf> {
        find_kubeconfig(self.options.kubeconfig.as_deref(), &self.env)
    }
}

/// The kubeconfig that was named, else that of the environment, else the user's.
pub(crate) fn find_kubeconfig(
    named: Option<&Path>,
    env: &BTreeMap<String, String>,
) -> Option<PathBuf> {
    if let Some(file) = named {
        return Some(file.to_owned());
    }
    let set = |name: &str| env.get(name).filter(|value| !value.is_empty());
    if let Some(files) = set("KUBECONFIG") {
        // Of several the first counts; merging them is for those who edit them.
        return std::env::split_paths(files).next();
    }
    let file = Path::new(set("HOME")?).join(".kube/config");
    file.is_file().then_some(file)
}

/// Reads a kubeconfig; what it will run for the credentials, and what it does not check, is said before. The program also
/// to those who want to be told nothing: it is run as they are, and the file may be somebody else's.
///
/// # Errors
///
/// As [`ClusterAccess::read`].
pub(crate) fn read_access(
    printer: &Printer,
    file: &Path,
    context: Option<&str>,
) -> Result<ClusterAccess> {
    let access = ClusterAccess::read(file, context)?;
    let summary = access.summary();
    if let Some(program) = &summary.program {
        let file = file.display();
        printer.error_text(&plain(&format!(
            "`{file}` has a program run for the credentials: {program}"
        )));
    }
    if summary.is_unverified {
        printer.say(&plain(&format!(
            "the certificate of {} is not checked, as the kubeconfig says",
            summary.server
        )));
    }
    Ok(access)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::printer::{Style, Verbosity};
    use crate::test_support::{Captured, streams};

    const KUBECONFIG: &str = "\
current-context: one
contexts: [{name: one, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1', insecure-skip-tls-verify: true}}]
users: [{name: u, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: get-token, interactiveMode: Never}}}]
";

    fn said(verbosity: Verbosity) -> String {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config");
        std::fs::write(&file, KUBECONFIG).unwrap();
        let (out, err) = (Captured::default(), Captured::default());
        let style = Style {
            verbosity,
            ..Style::default()
        };
        let streams = streams(out.clone(), err.clone());
        let (printer, _) = Printer::new(streams, style, &BTreeMap::new());
        read_access(&printer, &file, None).unwrap();
        assert_eq!(out.text(), "");
        err.text()
    }

    #[test]
    fn a_program_is_named_even_to_those_who_want_no_notices() {
        let (program, unverified) = ("for the credentials: get-token\n", "is not checked");
        let normal = said(Verbosity::Normal);
        assert!(normal.contains(program), "{normal}");
        assert!(normal.contains(unverified), "{normal}");
        let quiet = said(Verbosity::Quiet);
        assert!(quiet.ends_with(program), "{quiet}");
        assert!(!quiet.contains(unverified), "{quiet}");
    }
}
