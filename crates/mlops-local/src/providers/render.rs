//! From the description of a process to what the supervisor is asked to run.

use std::collections::BTreeMap;
use std::path::PathBuf;

use mlops_core::process::{ProcessSpec, Program};
use mlops_core::template::{Scope, render};
use mlops_core::{Context, Error, ErrorKind, Resource, Result, ServiceName};
use url::Url;

use crate::programs::Programs;
use crate::storage::{Layout, StorageApi};
use crate::supervisor::{RenderedProcess, Runs, WireSecret};

/// The addresses of the services that a process listens at or mentions.
pub(super) async fn addresses(
    spec: &ProcessSpec,
    cx: &Context,
) -> Result<BTreeMap<ServiceName, mlops_core::Endpoint>> {
    let mut addresses = BTreeMap::new();
    for name in spec
        .services
        .iter()
        .chain(&spec.listens)
        .chain([spec.ready.service()])
    {
        if !addresses.contains_key(name) {
            addresses.insert(name.clone(), cx.endpoint(name).await?);
        }
    }
    Ok(addresses)
}

/// Fills in all templates of a process and looks up its program.
pub(super) async fn process(
    resource: &Resource,
    spec: &ProcessSpec,
    storage: &dyn StorageApi,
    programs: &dyn Programs,
    cx: &Context,
) -> Result<RenderedProcess> {
    let places = addresses(spec, cx).await?;
    let mut scope = Scope {
        vars: spec.vars.clone(),
        services: places.clone(),
        folders: storage.folders(&resource.component),
        ..Scope::default()
    };
    for (name, path) in programs.folders().await? {
        scope
            .folders
            .insert(name, path.to_string_lossy().into_owned());
    }
    // Everybody can see arguments, so they are filled in before any secret is in scope.
    let args = spec
        .args
        .iter()
        .map(|text| Ok(render(text, &scope)?.expose().to_owned()))
        .collect::<Result<Vec<String>>>()?;
    for name in &spec.secrets {
        scope.secrets.insert(name.clone(), cx.secret(name).await?);
    }
    let folder = |name: &str| {
        scope.folders.get(name).cloned().ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                format!("find folder `{name}` of `{}`", resource.id),
            )
        })
    };
    let run = folder("run")?;
    let mut env: BTreeMap<String, WireSecret> = programs
        .env()
        .into_iter()
        .chain([
            ("HOME".to_owned(), run.clone()),
            ("TMPDIR".to_owned(), folder("tmp")?),
        ])
        .map(|(name, value)| (name, WireSecret::new(value)))
        .collect();
    for (name, text) in &spec.env {
        env.insert(name.clone(), render(text, &scope)?.into());
    }
    let mut files = BTreeMap::new();
    for (path, text) in &spec.files {
        files.insert(path.clone(), render(text, &scope)?.into());
    }
    let data = PathBuf::from(folder("data")?);
    Ok(RenderedProcess {
        runs: runs(resource, spec, data, storage, programs).await?,
        args,
        env,
        files,
        folder: PathBuf::from(run),
        addresses: urls(&places),
        hidden: scope.secrets.into_values().map(Into::into).collect(),
        spec: spec.clone(),
    })
}

/// The addresses as they go to the supervisor.
pub(super) fn urls(
    places: &BTreeMap<ServiceName, mlops_core::Endpoint>,
) -> BTreeMap<ServiceName, Url> {
    places
        .iter()
        .map(|(name, place)| (name.clone(), place.url().clone()))
        .collect()
}

async fn runs(
    resource: &Resource,
    spec: &ProcessSpec,
    data: PathBuf,
    storage: &dyn StorageApi,
    programs: &dyn Programs,
) -> Result<Runs> {
    let plain = |path: PathBuf| Runs::Program {
        path,
        account: None,
        postgres_data: None,
    };
    Ok(match &spec.program {
        Program::Python => plain(programs.python().await?),
        Program::Command(name) => plain(programs.command(name).await?),
        Program::EmbeddedS3 => Runs::EmbeddedS3 { root: data },
        Program::Postgres => {
            let made_by = match storage.find_data(resource.component.as_str()).await? {
                Some(Layout::Postgres(major)) => Some(major),
                _ => None,
            };
            let program = programs.postgres(made_by).await?;
            Runs::Program {
                path: program.server(),
                account: program.account,
                postgres_data: Some(data),
            }
        }
    })
}
