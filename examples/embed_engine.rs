//! Use the engine for a system of your own: here, files in a folder.
//!
//! Needs:  nothing
//! Run:    cargo run -p mlops-examples --example embed_engine
//! Prints: the plan, then that a second plan is empty
//! Undo:   the folder is temporary

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use mlops::surroundings::{FixedEndpoints, context};
use mlops::{ApplyOptions, Engine};
use mlops_core::plan::{KindRules, Rules};
use mlops_core::{
    Action, Context, Error, ErrorKind, EventSink, Found, Graph, Kind, Observed, Provider, Resource,
    ResourceId, Result,
};

/// Keeps one file for each resource of the kind `file`.
struct Files(PathBuf);

#[async_trait]
impl Provider for Files {
    fn rules(&self) -> Rules {
        Rules::from([(Kind::new("file"), KindRules::default())])
    }

    async fn observe(&self, wanted: &[&Resource], _: &Context) -> Vec<(ResourceId, Observed)> {
        let look = |resource: &&Resource| {
            let observed = match std::fs::read_to_string(self.0.join(resource.id.name())) {
                Ok(text) => {
                    Observed::Found(Found::ours(serde_json::from_str(&text).unwrap_or_default()))
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Observed::Absent,
                // Could not ask: never the same as absent.
                Err(error) => Observed::Unknown((&failed(error)).into()),
            };
            (resource.id.clone(), observed)
        };
        wanted.iter().map(look).collect()
    }

    async fn apply(&self, resource: &Resource, action: &Action, _: &Context) -> Result<()> {
        let path = self.0.join(resource.id.name());
        let text = serde_json::Value::from(resource.spec.clone()).to_string();
        let done = match action {
            Action::Remove => std::fs::remove_file(path),
            _ => std::fs::write(path, text),
        };
        done.map_err(failed)
    }
}

fn failed(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Failed, "keep a file").with_source(error)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let folder = std::env::temp_dir().join(format!("embed-engine-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let first = Resource::new(ResourceId::new("file", "first"), "demo".parse()?);
    let second = Resource::new(ResourceId::new("file", "second"), "demo".parse()?)
        .with_need(first.id.clone())
        .with_spec(&serde_json::json!({"colour": "blue"}))?;
    let graph = Graph::new("demo".parse()?, [first, second])?;

    let engine = Engine::new().with_provider(Arc::new(Files(folder.clone())))?;
    let (endpoints, events) = (FixedEndpoints::default(), EventSink::none());
    let context = context("demo".parse()?, endpoints, events);
    let prepared = engine.plan(&graph, &context).await?;
    println!("{}", prepared.plan);
    let options = ApplyOptions::default();
    let report = engine.apply(&graph, &prepared, &context, &options).await;
    println!("changed: {}", report.changed());
    println!("{}", engine.plan(&graph, &context).await?.plan);
    std::fs::remove_dir_all(folder)?;
    Ok(())
}
