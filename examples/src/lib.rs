//! Recipes, one idea each: the programs beside this folder; see README.md.
//!
//! Here is only what recipes share: how a platform is opened (`bring_platform_up` shows what is behind it), and how a
//! cluster is reached.

use std::sync::Arc;

use anyhow::Context as _;
use mlops::session::{Network, Session, SessionOptions};
use mlops_catalog::{Catalog, load};
use mlops_core::{Error, ErrorKind, SecretSource, SecretText};
use mlops_k8s::{ClusterAccess, kube};
use mlops_local::{Supervise, become_child, default_roots, supervise};

/// Runs a recipe, or what its supervisor starts through the same program.
///
/// # Errors
///
/// Those of the recipe.
pub fn run(recipe: impl AsyncFnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    // A child comes before anything that starts a thread.
    if args[..] == ["child"] {
        match become_child()? {}
    }
    let runtime = tokio::runtime::Runtime::new()?;
    match args[..] {
        ["supervise", folder, socket] => {
            Ok(runtime.block_on(supervise(Supervise::new(folder, socket, ["child"])))?)
        }
        _ => runtime.block_on(recipe()),
    }
}

/// Opens a platform in the folders of this user. Nothing is asked or written by it.
///
/// # Errors
///
/// When the file is wrong, or nothing says where this user's folders are.
pub fn open(path: &str, text: &str, catalog: &Catalog) -> anyhow::Result<Session> {
    let (platform, _graph) = load(path, text, catalog)?;
    let env = std::env::vars().collect();
    let options = SessionOptions {
        roots: default_roots(&env, rustix::process::getuid().as_raw())?,
        env,
        supervisor: vec![std::env::current_exe()?.into(), "supervise".into()],
        secret_reader: Arc::new(read_secret),
        network: Network::Use,
        cluster: None,
    };
    Ok(Session::open(&platform, catalog, options)?)
}

/// The text behind a reference in a platform file.
fn read_secret(source: &SecretSource) -> mlops_core::Result<SecretText> {
    let missing = |cause: Box<dyn std::error::Error + Send + Sync>| {
        Error::new(ErrorKind::NotFound, "read a secret").with_source(cause)
    };
    match source {
        SecretSource::Env(name) => std::env::var(name)
            .map(SecretText::new)
            .map_err(|error| missing(error.into())),
        SecretSource::File(path) => std::fs::read_to_string(path)
            .map(|text| SecretText::new(text.trim_end_matches(['\r', '\n'])))
            .map_err(|error| missing(error.into())),
    }
}

/// A variable that a recipe needs.
///
/// # Errors
///
/// When it is not set, with its name.
pub fn var(name: &str) -> anyhow::Result<String> {
    std::env::var(name).with_context(|| format!("failed to read the variable `{name}`"))
}

/// The arguments of a recipe, which has a name for each; further ones are its own.
///
/// # Errors
///
/// When one is missing, with the names of all.
pub fn arguments<const N: usize>(names: [&str; N]) -> anyhow::Result<[String; N]> {
    let given: Vec<String> = std::env::args().skip(1).take(N).collect();
    let missing = |_| anyhow::anyhow!("the arguments are {}", names.join(" "));
    given.try_into().map_err(missing)
}

/// The cluster that a kubeconfig's current context names. A program that it runs for its credentials is said before.
///
/// # Errors
///
/// When the file is no kubeconfig, or its credentials cannot be read.
pub async fn connect(kubeconfig: &str) -> anyhow::Result<kube::Client> {
    let access = ClusterAccess::read(kubeconfig.as_ref(), None)?;
    if let Some(program) = &access.summary().program {
        eprintln!("the kubeconfig runs {program}");
    }
    Ok(access.connect().await?)
}
