//! What both providers share.

use std::sync::Arc;

use mlops_core::{Context, Result, ServiceName};

use super::ensure::Server;
use super::model::{Connect, Login};
use super::spec::AdminSpec;

/// The server of a spec, with the administrator's password taken from the secrets.
pub(super) async fn server_of(
    connect: &Arc<dyn Connect>,
    server: &ServiceName,
    admin: &AdminSpec,
    cx: &Context,
) -> Result<Server> {
    let endpoint = cx.endpoint(server).await?;
    let password = cx.secret(&admin.password).await?;
    let login = Login::new(&admin.user, password, &admin.database);
    Ok(Server::new(Arc::clone(connect), endpoint, login))
}
