//! `mlops env`: what a stock MLflow client needs.

use std::collections::BTreeMap;

use mlops::session::ClientValue;
use mlops::session::Network;
use mlops_core::Result;

use crate::args::EnvArgs;
use crate::cx::Cx;
use crate::exit::Exit;
use crate::shell;

/// Prints variables in the syntax of a shell.
pub(crate) async fn env(cx: &Cx, args: &EnvArgs) -> Result<Exit> {
    let variables = cx.session(Network::Avoid)?.client_env().await?;
    let pairs: Vec<(&str, &str)> = variables
        .iter()
        .map(|(name, value)| {
            let value = match value {
                ClientValue::Plain(text) => text.as_str(),
                ClientValue::Secret(secret) => secret.expose(),
            };
            (name.as_str(), value)
        })
        .collect();
    if cx.printer.is_json() {
        cx.printer
            .json(&pairs.into_iter().collect::<BTreeMap<_, _>>())?;
    } else {
        cx.printer
            .raw(shell::assignments(args.shell, pairs)?.as_bytes())?;
    }
    Ok(Exit::Done)
}
