//! `mlops open`: the web page of a component.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use mlops::session::Network;
use mlops_core::{Error, ErrorKind, Result};
use serde_json::json;

use crate::args::OpenArgs;
use crate::cx::Cx;
use crate::exit::Exit;
use crate::text::plain_line;

/// Prints the address, and opens it when there is a display.
pub(crate) async fn open(cx: &Cx, args: &OpenArgs) -> Result<Exit> {
    let session = cx.session(Network::Avoid)?;
    let url = session.url(&args.component).await?;
    let url = url.as_str();
    cx.printer
        .show(&json!({ "url": url }), |_| plain_line(url))?;
    let is_web = url.starts_with("http://") || url.starts_with("https://");
    if !args.print && is_web && has_display(&cx.env) {
        start(opener(), url)?;
    }
    if session.cluster().is_some() && !args.print {
        cx.printer
            .say("this port leads into the cluster until Ctrl-C");
        std::future::pending::<()>().await;
    }
    Ok(Exit::Done)
}

/// Whether a browser could be seen.
fn has_display(env: &BTreeMap<String, String>) -> bool {
    cfg!(target_os = "macos")
        || ["DISPLAY", "WAYLAND_DISPLAY"]
            .iter()
            .any(|name| env.get(*name).is_some_and(|value| !value.is_empty()))
}

fn opener() -> &'static str {
    if cfg!(target_os = "macos") {
        "open"
    } else {
        "xdg-open"
    }
}

/// Starts a program with the address, and waits only until it has taken it.
fn start(program: &str, url: &str) -> Result<()> {
    let failed = || {
        Error::new(ErrorKind::Failed, format!("open the page with `{program}`"))
            .with_hint("`--print` prints the address only")
    };
    let status = Command::new(program)
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .map_err(|error| failed().with_source(error))?;
    if status.success() {
        return Ok(());
    }
    Err(failed().with_source(status.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_display_is_told_by_the_environment() {
        let env = |name: &str, value: &str| [(name.to_owned(), value.to_owned())].into();
        assert!(has_display(&env("DISPLAY", ":0")));
        assert!(has_display(&env("WAYLAND_DISPLAY", "wayland-0")));
        assert!(!has_display(&env("DISPLAY", "")));
        assert!(!has_display(&BTreeMap::new()));
    }

    #[test]
    fn a_program_that_fails_is_an_error() {
        assert!(start("true", "http://127.0.0.1").is_ok());
        assert!(start("false", "http://127.0.0.1").is_err());
        let error = start("no-such-program", "http://127.0.0.1").unwrap_err();
        assert_eq!(
            error.to_string(),
            "failed to open the page with `no-such-program`"
        );
    }
}
