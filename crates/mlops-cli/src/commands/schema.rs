//! `mlops schema`: the JSON Schema of the platform file.

use mlops_core::{Error, ErrorKind, Platform, Result};

use crate::cx::Cx;
use crate::exit::Exit;

/// Prints the schema.
pub(crate) fn schema(cx: &Cx) -> Result<Exit> {
    cx.printer.raw(text()?.as_bytes())?;
    Ok(Exit::Done)
}

/// The schema as text.
pub(super) fn text() -> Result<String> {
    let mut text = serde_json::to_string_pretty(&Platform::schema())
        .map_err(|error| Error::new(ErrorKind::Failed, "write the schema").with_source(error))?;
    text.push('\n');
    Ok(text)
}
