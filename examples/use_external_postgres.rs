//! Let a platform use a PostgreSQL server of your own: it makes roles and databases there, and nothing else.
//!
//! Needs:  a PostgreSQL server: `POSTGRES_URL`, and `PGUSER` with `PGPASSWORD` of a user who may make roles and
//!         databases. The platform file says where the password is, never what it is
//! Run:    cargo run -p mlops-examples --example use_external_postgres
//! Prints: what is made, what is proven, what is removed
//! Undo:   the program removes what it made; databases of others stay

use std::collections::{BTreeMap, BTreeSet};

use mlops::session::{Session, UpOptions};
use mlops_catalog::Catalog;
use mlops_core::{Event, EventSink};
use mlops_examples::{open, run, var};
use tokio_util::sync::CancellationToken;

/// A component that only has a database; see the recipe `add_component`.
const NOTES: &str = "
name: notes
title: Notes
description: Keeps notes in a database.
keeps: Its database.
bindings: { store: { capability: postgres, database: notes } }
";

/// A server from outside takes the place of the component `postgres`.
const PLATFORM: &str = "
name: outside
components: { mlflow: { enabled: false }, model-server: { enabled: false }, notes: }
external:
  postgres: { url: URL, user: USER, password: { env: PGPASSWORD } }
";

async fn recipe(session: &Session) -> anyhow::Result<()> {
    let options = UpOptions {
        events: EventSink::new(finished),
        ..UpOptions::default()
    };
    let report = session.up(options).await?;
    anyhow::ensure!(report.succeeded(), "failed to bring it up: {report:?}");
    for probe in &session.check(EventSink::none()).await?.probes {
        println!("{} passed: {}", probe.name, probe.passed());
    }
    Ok(())
}

fn finished(event: Event) {
    if let Event::Finished { id, verb, .. } = event {
        println!("{verb} {id}");
    }
}

fn main() -> anyhow::Result<()> {
    run(async || {
        let files = BTreeMap::from([("notes/component.yaml".into(), NOTES.to_owned())]);
        let catalog = Catalog::embedded().with_folder(files)?;
        let text = PLATFORM.replace("URL", &var("POSTGRES_URL")?);
        let text = text.replace("USER", &var("PGUSER")?);
        let session = open("platform.yaml", &text, &catalog)?;
        let done = recipe(&session).await;
        // Data goes only by naming it.
        let data = BTreeSet::from([
            "postgres-database/notes".parse()?,
            "data-folder/s3".parse()?,
        ]);
        let (events, cancel) = (EventSink::new(finished), CancellationToken::new());
        let report = session.remove(&data, events, cancel).await?;
        done?;
        anyhow::ensure!(report.succeeded(), "failed to remove it: {report:?}");
        Ok(())
    })
}
