//! Add a component of your own: a folder of data, no Rust.
//!
//! Needs:  nothing
//! Run:    cargo run -p mlops-examples --example add_component
//! Prints: what the new component adds to the plan: a role, a database, their secret and a process
//! Undo:   nothing is left

use std::collections::BTreeMap;

use mlops_catalog::{Catalog, load};

/// `components/notes/component.yaml`; the command reads such folders with `--catalog DIR`.
const NOTES: &str = "
name: notes
title: Notes
description: Serves a folder over HTTP and has a database.
keeps: Its database.
services:
  notes: { scheme: http }
bindings:
  store:
    capability: postgres
    database: notes
local:
  process:
    program: { command: python3 }
    args: [-m, http.server, --bind, 127.0.0.1, \"{{ port('notes') }}\"]
    env:
      DATABASE_URL: \"postgresql://{{ bindings.store.role }}:{{ secret(bindings.store.password) | uri }}@{{ host('postgres') }}:{{ port('postgres') }}/{{ bindings.store.database }}\"
    listens: [notes]
    ready: { http: { service: notes, path: / } }
";

fn main() -> anyhow::Result<()> {
    let files = BTreeMap::from([("notes/component.yaml".into(), NOTES.to_owned())]);
    let catalog = Catalog::embedded().with_folder(files)?;

    let platform = "name: demo\ncomponents:\n  notes: {}\n";
    let (_platform, graph) = load("platform.yaml", platform, &catalog)?;

    for resource in graph
        .ordered()
        .filter(|resource| resource.component.as_str() == "notes")
    {
        println!("{}", resource.id);
    }
    Ok(())
}
