//! `mlops init`: a platform file to start from, and its schema beside it.

use std::path::{Path, PathBuf};

use mlops_core::{Error, ErrorKind, Platform, PlatformName, Result};
use serde::Serialize;

use crate::args::InitArgs;
use crate::cx::Cx;
use crate::exit::Exit;
use crate::file::{self, Existing};

/// Writes the platform file and its schema. Nothing is written when one of them is somebody else's.
pub(crate) fn init(cx: &Cx, args: &InitArgs) -> Result<Exit> {
    #[derive(Serialize)]
    struct Written<'a> {
        file: &'a Path,
        schema: &'a Path,
    }
    let path = cx
        .file
        .clone()
        .unwrap_or_else(|| PathBuf::from(file::PLATFORM_FILE));
    let schema = schema_path(&path);
    let existing = if args.force {
        Existing::Replace
    } else {
        refuse_existing(&path)?;
        refuse_foreign_schema(&schema)?;
        Existing::Refuse
    };
    let name: PlatformName = match &cx.global.name {
        Some(name) => name.clone(),
        None => file::DEFAULT_PROFILE.parse()?,
    };
    let schema_name = schema
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let text = Platform::example(&name, file::DEFAULT_PROFILE, &schema_name);
    file::write(&schema, &super::schema::text()?, Existing::Replace)?;
    file::write(&path, &text, existing)?;
    let written = Written {
        file: &path,
        schema: &schema,
    };
    cx.printer.show(&written, |_| {
        format!(
            "Wrote `{}`, and `{}`, by which editors complete it.",
            path.display(),
            schema.display()
        )
    })?;
    cx.printer
        .say("`mlops plan` shows what it means, `mlops up` makes it so.");
    Ok(Exit::Done)
}

/// `platform.yaml` has its schema in `platform.schema.json`.
fn schema_path(path: &Path) -> PathBuf {
    path.with_extension("schema.json")
}

fn refuse_existing(path: &Path) -> Result<()> {
    if path.symlink_metadata().is_err() {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::AlreadyExists,
        format!("write `{}`", path.display()),
    )
    .with_source("it is there already")
    .with_hint("`--force` overwrites it, `-f FILE` writes another"))
}

/// A schema that an earlier `init` wrote may be replaced, another file of that name may not.
fn refuse_foreign_schema(path: &Path) -> Result<()> {
    if path.symlink_metadata().is_err() {
        return Ok(());
    }
    let is_ours = file::read_input(path, 4 << 20)
        .ok()
        .and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok())
        .is_some_and(|found| {
            let title = |schema: &serde_json::Value| schema.get("title").cloned();
            title(&found).is_some() && title(&found) == title(&Platform::schema())
        });
    if is_ours {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::AlreadyExists,
        format!("write `{}`", path.display()),
    )
    .with_source("it is there already, and is not the schema of a platform file")
    .with_hint("`--force` overwrites it, `-f FILE` writes another pair"))
}
