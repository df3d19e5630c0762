//! Follow what the engine does, as typed values.
//!
//! Needs:  nothing
//! Run:    cargo run -p mlops-examples --example follow_events
//! Prints: one line an event: planned, started, finished, done
//! Undo:   nothing is left

use std::sync::Arc;
use std::sync::mpsc;

use mlops::secrets::{Alphabet, SecretProvider, SecretSpec};
use mlops::surroundings::{FixedEndpoints, context};
use mlops::{ApplyOptions, Engine};
use mlops_core::{Event, EventSink, Graph, Resource, ResourceId};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let (send, events) = mpsc::channel();
    // A sink must be quick: a channel is; a terminal is not.
    let sink = EventSink::new(move |event| {
        let _closed = send.send(event);
    });

    apply_two_secrets(sink).await?;

    for event in events {
        match event {
            Event::Started { id, verb } => println!("started {verb} {id}"),
            Event::Finished { id, verb, .. } => println!("finished {verb} {id}"),
            Event::Done { report } => println!("done, {} changed", report.changed()),
            // New kinds of event may come: every event is also one JSON object.
            other => println!("{}", serde_json::to_string(&other)?),
        }
    }
    Ok(())
}

async fn apply_two_secrets(sink: EventSink) -> anyhow::Result<()> {
    let spec = SecretSpec {
        length: 32,
        alphabet: Alphabet::Alphanumeric,
    };
    let first =
        Resource::new(ResourceId::new("secret", "demo/first"), "demo".parse()?).with_spec(&spec)?;
    let second = Resource::new(ResourceId::new("secret", "demo/second"), "demo".parse()?)
        .with_spec(&spec)?
        .with_need(first.id.clone());
    let graph = Graph::new("demo".parse()?, [first, second])?;
    let engine = Engine::new().with_provider(Arc::new(SecretProvider))?;
    let context = context("demo".parse()?, FixedEndpoints::default(), sink);
    let prepared = engine.plan(&graph, &context).await?;
    engine
        .apply(&graph, &prepared, &context, &ApplyOptions::default())
        .await;
    Ok(())
}
