//! The way to an API server: from a kubeconfig or from inside a cluster.

use std::path::Path;
use std::sync::Arc;

use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use mlops_core::{Error, ErrorKind, Result};

use crate::error::{NoAnswer, wrap};
use crate::steady::{Make, steady};

/// What a kubeconfig says of one context: which server, who, and which program will run for the credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextSummary {
    /// The context's name.
    pub context: String,
    /// The address of the API server.
    pub server: String,
    /// The user's name in the file.
    pub user: String,
    /// The namespace for objects that name none; `default` when the file says nothing.
    pub namespace: String,
    /// The program that gives the credentials. It runs on this machine with the rights of this process, so show it
    /// before connecting with a kubeconfig that somebody else wrote.
    pub program: Option<CredentialProgram>,
    /// Whether the certificate of the server is not checked.
    pub is_unverified: bool,
}

/// A program that a kubeconfig runs
/// (<https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins>).
///
/// Variables of its environment are named, their values are not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialProgram {
    /// The command.
    pub command: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// The names of the variables that are set for it.
    pub variables: Vec<String>,
}

impl std::fmt::Display for CredentialProgram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&crate::error::printable(&self.command))?;
        for arg in &self.args {
            write!(f, " {}", crate::error::printable(arg))?;
        }
        Ok(())
    }
}

/// A kubeconfig that was read and has run nothing yet.
///
/// ```no_run
/// # async fn example() -> mlops_core::Result<()> {
/// use mlops_k8s::ClusterAccess;
///
/// let access = ClusterAccess::read("kubeconfig".as_ref(), Some("staging"))?;
/// if let Some(program) = &access.summary().program {
///     println!("this will run: {program}");
/// }
/// let client = access.connect().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ClusterAccess {
    kubeconfig: Kubeconfig,
    summary: ContextSummary,
}

impl std::fmt::Debug for ClusterAccess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClusterAccess")
            .field("summary", &self.summary)
            .finish_non_exhaustive()
    }
}

impl ClusterAccess {
    /// Reads a file; without `context`, its current one is meant.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, is no kubeconfig, or has no such context.
    pub fn read(file: &Path, context: Option<&str>) -> Result<Self> {
        let doing = format!("read the kubeconfig `{}`", file.display());
        let kubeconfig = Kubeconfig::read_from(file)
            .map_err(|error| Error::new(ErrorKind::InvalidInput, &*doing).with_source(error))?;
        Self::new(kubeconfig, context, &doing)
    }

    /// Reads the text of a kubeconfig. Files that it names are relative to the current folder.
    ///
    /// # Errors
    ///
    /// As [`ClusterAccess::read`].
    pub fn from_yaml(text: &str, context: Option<&str>) -> Result<Self> {
        let doing = "read a kubeconfig";
        let kubeconfig = Kubeconfig::from_yaml(text)
            .map_err(|error| Error::new(ErrorKind::InvalidInput, doing).with_source(error))?;
        Self::new(kubeconfig, context, doing)
    }

    fn new(kubeconfig: Kubeconfig, context: Option<&str>, doing: &str) -> Result<Self> {
        let wrong = |cause: String| Error::new(ErrorKind::InvalidInput, doing).with_source(cause);
        let name = context.or(kubeconfig.current_context.as_deref());
        let name = name.filter(|name| !name.is_empty()).ok_or_else(|| {
            wrong("it has no current context".to_owned()).with_hint("name the context to use")
        })?;
        let known = |error: Error| {
            let names: Vec<&str> = kubeconfig
                .contexts
                .iter()
                .map(|context| context.name.as_str())
                .collect();
            error.with_hint(format!("it has these contexts: {}", names.join(", ")))
        };
        let found = kubeconfig
            .contexts
            .iter()
            .find(|context| context.name == name);
        let context = found
            .and_then(|context| context.context.as_ref())
            .ok_or_else(|| known(wrong(format!("it has no context `{name}`"))))?;
        let cluster = kubeconfig
            .clusters
            .iter()
            .find(|cluster| cluster.name == context.cluster);
        let cluster = cluster
            .and_then(|cluster| cluster.cluster.as_ref())
            .ok_or_else(|| wrong(format!("it has no cluster `{}`", context.cluster)))?;
        let user = context.user.clone().unwrap_or_default();
        let auth = kubeconfig.auth_infos.iter().find(|info| info.name == user);
        let exec = auth.and_then(|info| info.auth_info.as_ref()?.exec.as_ref());
        let summary = ContextSummary {
            context: name.to_owned(),
            server: cluster.server.clone().unwrap_or_default(),
            user,
            namespace: context
                .namespace
                .clone()
                .unwrap_or_else(|| "default".to_owned()),
            program: exec.map(|exec| CredentialProgram {
                command: exec.command.clone().unwrap_or_default(),
                args: exec.args.clone().unwrap_or_default(),
                variables: exec
                    .env
                    .iter()
                    .flatten()
                    .filter_map(|variable| variable.get("name").cloned())
                    .collect(),
            }),
            is_unverified: cluster.insecure_skip_tls_verify == Some(true),
        };
        Ok(Self {
            kubeconfig,
            summary,
        })
    }

    /// What the context says.
    pub fn summary(&self) -> &ContextSummary {
        &self.summary
    }

    /// The configuration for a client of the kube crate, for those who add layers of their own. Its own retries are
    /// off: this crate retries, and two levels would multiply.
    ///
    /// # Errors
    ///
    /// When the credentials or certificates cannot be read.
    pub async fn config(&self) -> Result<Config> {
        let config = self.kube_config().await;
        config.map_err(|error| wrap(error, self.doing()))
    }

    /// Makes a client. This runs the credentials' program, if there is one; it asks the server nothing.
    ///
    /// The client repeats what is read when a connection breaks, for 20 s, and what the server asks to repeat: after as
    /// many seconds as it says, unless those are more than 20. When the server refuses the credentials they are taken
    /// anew, once a request: a token's file is read again, and the program runs again.
    ///
    /// # Errors
    ///
    /// When the credentials or certificates cannot be read.
    pub async fn connect(&self) -> Result<Client> {
        let client = named(self.config().await?).map_err(|error| wrap(error, self.doing()))?;
        let access = self.clone();
        let make: Make = Arc::new(move || {
            let access = access.clone();
            Box::pin(async move { named(access.kube_config().await?) })
        });
        Ok(steady(client, make))
    }

    async fn kube_config(&self) -> kube::Result<Config> {
        let options = KubeConfigOptions {
            context: Some(self.summary.context.clone()),
            ..KubeConfigOptions::default()
        };
        let mut config = Config::from_custom_kubeconfig(self.kubeconfig.clone(), &options).await?;
        config.default_retry = false;
        Ok(config)
    }

    fn doing(&self) -> String {
        format!("use the context `{}`", self.summary.context)
    }
}

/// Makes a client from the token and certificate that a pod is given
/// (<https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/>).
///
/// # Errors
///
/// When this process does not run in a pod, or the pod has no `ServiceAccount` token.
pub fn connect_in_cluster() -> Result<Client> {
    let doing = "use the credentials of this pod";
    let mut config = Config::incluster().map_err(|error| {
        Error::new(ErrorKind::InvalidInput, doing)
            .with_source(error)
            .with_hint("outside a cluster, give a kubeconfig")
    })?;
    config.default_retry = false;
    let client = named(config.clone()).map_err(|error| wrap(error, doing))?;
    // The token is in a file, which every new client reads.
    let make: Make = Arc::new(move || {
        let config = config.clone();
        Box::pin(async move { named(config) })
    });
    Ok(steady(client, make))
}

/// A client whose errors say which server did not answer.
fn named(config: Config) -> kube::Result<Client> {
    let server = config.cluster_url.to_string();
    let server = server.trim_end_matches('/').to_owned();
    let name = move |error: tower::BoxError| NoAnswer::of(&server, error);
    let layer = tower::util::MapErrLayer::new(name);
    Ok(ClientBuilder::try_from(config)?.with_layer(&layer).build())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "
apiVersion: v1
kind: Config
current-context: one
contexts:
- {name: one, context: {cluster: c, user: u, namespace: n}}
clusters:
- {name: c, cluster: {server: 'https://127.0.0.1:1', insecure-skip-tls-verify: true}}
users:
- name: u
  user:
    exec: {apiVersion: client.authentication.k8s.io/v1, command: ./get-token, args: [-x, \"a\\e[2J\"],
      env: [{name: KEY, value: hunter2}], interactiveMode: Never}
";

    #[test]
    fn what_will_run_is_said_before_it_runs() {
        let access = ClusterAccess::from_yaml(TEXT, None).unwrap();
        let summary = access.summary();
        assert_eq!(summary.namespace, "n");
        assert!(summary.is_unverified);
        let program = summary.program.as_ref().unwrap();
        assert_eq!(program.to_string(), "./get-token -x a\u{fffd}[2J");
        assert_eq!(program.variables, ["KEY"]);
        assert!(!format!("{access:?}").contains("hunter2"));
    }

    #[test]
    fn an_unknown_context_is_named_with_the_known_ones() {
        let error = ClusterAccess::from_yaml(TEXT, Some("two")).unwrap_err();
        assert_eq!(error.causes(), ["it has no context `two`"]);
        assert_eq!(error.hint(), Some("it has these contexts: one"));
    }
}
