//! What bears our mark and is not wanted any more.

use std::collections::BTreeSet;
use std::sync::Arc;

use mlops_core::{
    ComponentName, Context, DatabaseName, ErrorKind, Graph, Resource, ResourceId, Result, RoleName,
    SecretName, ServiceName,
};
use serde::Deserialize;

use super::ensure::is_our_role;
use super::model::{Catalogue, Connect};
use super::provider::server_of;
use super::spec::{AdminSpec, DATABASE, DatabaseSpec, ROLE, RoleSpec};
use crate::mark::Mark;
use crate::support::host_of;

type ServerKey = (ServiceName, AdminSpec);

/// A data folder that says how its server is administered: the way to a server that has no consumer left.
#[derive(Deserialize)]
struct FolderSpec {
    layout: String,
    superuser: String,
    password: SecretName,
}

fn servers(graph: &Graph) -> BTreeSet<ServerKey> {
    graph
        .resources()
        .filter_map(|resource| match resource.id.kind().as_str() {
            ROLE => resource
                .typed::<RoleSpec>()
                .ok()
                .map(|spec| (spec.server, spec.admin)),
            DATABASE => resource
                .typed::<DatabaseSpec>()
                .ok()
                .map(|spec| (spec.server, spec.admin)),
            "data-folder" => folder_server(resource),
            _ => None,
        })
        .collect()
}

/// Whether the graph has something on that server, so that the engine asks only while it runs.
fn has_consumer(graph: &Graph, server: &ServiceName) -> bool {
    graph.resources().any(|resource| {
        matches!(resource.id.kind().as_str(), ROLE | DATABASE)
            && resource.spec.get("server").and_then(|name| name.as_str()) == Some(server.as_str())
    })
}

fn folder_server(resource: &Resource) -> Option<ServerKey> {
    let folder: FolderSpec = resource.typed().ok()?;
    let server: ServiceName = resource.id.name().parse().ok()?;
    let admin = AdminSpec {
        user: folder.superuser,
        password: folder.password,
        database: "postgres".to_owned(),
    };
    (folder.layout == "postgres").then_some((server, admin))
}

async fn read(
    connect: &Arc<dyn Connect>,
    graph: &Graph,
    cx: &Context,
) -> Result<Vec<(ServerKey, Catalogue)>> {
    let mut read = Vec::new();
    for key in servers(graph) {
        // Without the administrator's password nothing was ever made there.
        if cx.secrets.find(&key.1.password).await?.is_none() {
            continue;
        }
        let server = server_of(connect, &key.0, &key.1, cx).await?;
        let look = async { server.admin().await?.catalogue().await };
        match look.await {
            Ok(catalogue) => read.push((key, catalogue)),
            // A server of ours without a consumer may be stopped: what is left there is found when it runs again.
            Err(error)
                if error.kind() == ErrorKind::Unavailable && !has_consumer(graph, &key.0) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

fn stray(graph: &Graph, server: &ServiceName, id: ResourceId) -> Result<Resource> {
    let component: ComponentName = server.as_str().parse()?;
    let resource = Resource::new(id, component);
    Ok(match host_of(graph, server, &[ROLE, DATABASE]) {
        Some(host) => resource.with_within(host),
        None => resource,
    })
}

/// Roles with our mark that the graph does not have.
pub(super) async fn roles(
    connect: &Arc<dyn Connect>,
    graph: &Graph,
    cx: &Context,
) -> Result<Vec<Resource>> {
    let mark = Mark::of(&cx.platform);
    let mut strays = Vec::new();
    for ((server, admin), catalogue) in read(connect, graph, cx).await? {
        for name in catalogue.roles.keys() {
            let id = ResourceId::new(ROLE, name);
            let Ok(role) = name.parse::<RoleName>() else {
                continue;
            };
            if graph.find(&id).is_some() || !is_our_role(&catalogue, name, &mark) {
                continue;
            }
            let spec = RoleSpec {
                server: server.clone(),
                admin: admin.clone(),
                role,
                password: None,
            };
            strays.push(stray(graph, &server, id)?.with_spec(&spec)?);
        }
    }
    Ok(strays)
}

/// Databases with our mark that the graph does not have; each needs its owner when that one is a stray as well.
pub(super) async fn databases(
    connect: &Arc<dyn Connect>,
    graph: &Graph,
    cx: &Context,
) -> Result<Vec<Resource>> {
    let mark = Mark::of(&cx.platform);
    let mut strays = Vec::new();
    for ((server, admin), catalogue) in read(connect, graph, cx).await? {
        for (name, facts) in &catalogue.databases {
            let id = ResourceId::new(DATABASE, name);
            let Ok(database) = name.parse::<DatabaseName>() else {
                continue;
            };
            let ours = facts.comment.as_deref() == Some(mark.comment());
            if graph.find(&id).is_some() || !ours {
                continue;
            }
            let owner: RoleName = match facts.owner.parse() {
                Ok(owner) => owner,
                Err(_) => admin.user.parse()?,
            };
            let mut resource = stray(graph, &server, id)?.with_data();
            if is_our_role(&catalogue, owner.as_str(), &mark) {
                resource = resource.with_need(ResourceId::new(ROLE, owner.as_str()));
            }
            let spec = DatabaseSpec {
                server: server.clone(),
                admin: admin.clone(),
                database,
                owner,
                encoding: facts.encoding.clone(),
                extensions: Vec::new(),
            };
            strays.push(resource.with_spec(&spec)?);
        }
    }
    Ok(strays)
}
