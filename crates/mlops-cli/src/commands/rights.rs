//! `mlops rights`: what an administrator must grant so that somebody else can bring the platform up.

use mlops::session::Network;
use mlops_core::{Error, ErrorKind, Result};

use crate::args::RightsArgs;
use crate::cx::Cx;
use crate::exit::Exit;

/// Prints a list of objects: the namespace, roles and their bindings.
pub(crate) fn rights(cx: &Cx, args: &RightsArgs) -> Result<Exit> {
    let doing = || format!("grant rights to `{}`", args.account.escape_debug());
    let wrong = || {
        Error::new(ErrorKind::InvalidInput, doing())
            .with_source("it is no namespace and name with a slash between them")
    };
    let account = args.account.split_once('/').ok_or_else(wrong)?;
    if account.0.is_empty() || account.1.is_empty() || account.1.contains('/') {
        return Err(wrong());
    }
    let session = cx.session(Network::Avoid)?;
    let list = session.rights(account.0, account.1)?;
    let mut text = serde_json::to_string_pretty(&list)
        .map_err(|error| Error::new(ErrorKind::Failed, doing()).with_source(error))?;
    text.push('\n');
    cx.printer.raw(text.as_bytes())?;
    Ok(Exit::Done)
}
