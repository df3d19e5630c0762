//! Work at a real API server with `mlops-k8s`, and the same by hand.
//!
//! Each command is a process of its own, so that its memory is that of one piece of work.
//!
//! Needs:  an API server, as the example `cluster` of `mlops-testkit` runs it
//! Prints: one line of JSON a command

#![expect(
    clippy::print_stdout,
    reason = "a program for the benchmarks: it prints its figures"
)]

mod apply;
mod faults;
mod objects;
mod ready;

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use clap::{Args, Parser};
use http::{Method, Request};
use mlops_k8s::ClusterAccess;
use mlops_k8s::kube::Client;
use mlops_k8s::kube::client::Body;
use serde_json::Value;

/// What is asked for in answers to writes: the metadata, as `mlops-k8s` does.
const METADATA: &str =
    "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";

#[derive(Debug, Parser)]
enum Work {
    /// Make a namespace, and write a file of objects for it.
    Prepare {
        #[command(flatten)]
        place: Place,
        file: PathBuf,
        #[arg(long)]
        objects: usize,
        #[arg(long, value_enum, default_value = "one")]
        kinds: objects::Kinds,
    },
    /// Apply the file with `mlops-k8s`.
    Apply {
        #[command(flatten)]
        place: Place,
        file: PathBuf,
        /// Nothing may be there to do. It is done again through a client that counts the requests.
        #[arg(long)]
        unchanged: bool,
    },
    /// Send every `ConfigMap` of the file as a PATCH, 32 at a time, and do nothing else.
    Raw {
        #[command(flatten)]
        place: Place,
        file: PathBuf,
    },
    /// Remove the namespace's `ConfigMap`s.
    Clear {
        #[command(flatten)]
        place: Place,
    },
    /// Make pods ready by hand, and see when it is reported.
    Ready {
        #[command(flatten)]
        place: Place,
    },
    /// Make pods that cannot become ready, and see when the cause is named; needs a whole node.
    Faults {
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, Args)]
struct Place {
    kubeconfig: PathBuf,
    namespace: String,
}

impl Place {
    async fn connect(&self) -> Result<Client> {
        let access = ClusterAccess::read(&self.kubeconfig, None)?;
        Ok(access.connect().await?)
    }

    fn path(&self, plural: &str) -> String {
        format!("/api/v1/namespaces/{}/{plural}", self.namespace)
    }
}

/// One request by hand, which must succeed.
async fn send(
    client: &Client,
    method: Method,
    path: &str,
    content: &str,
    body: Vec<u8>,
) -> Result<()> {
    let doing = || format!("{method} {path}");
    let accept = match method {
        Method::DELETE => "application/json",
        _ => METADATA,
    };
    let request = Request::builder()
        .method(&method)
        .uri(path)
        .header("accept", accept)
        .header("content-type", content)
        .body(Body::from(body))?;
    let answer = client.send(request).await.with_context(doing)?;
    let status = answer.status();
    let bytes = answer
        .into_body()
        .collect_bytes()
        .await
        .with_context(doing)?;
    ensure!(
        status.is_success(),
        "{} got {status}: {}",
        doing(),
        String::from_utf8_lossy(&bytes)
    );
    Ok(())
}

async fn create(client: &Client, path: &str, body: &Value) -> Result<()> {
    let body = body.to_string().into_bytes();
    send(client, Method::POST, path, "application/json", body).await
}

async fn clear(place: &Place) -> Result<()> {
    let client = place.connect().await?;
    let path = place.path("configmaps");
    send(
        &client,
        Method::DELETE,
        &path,
        "application/json",
        Vec::new(),
    )
    .await
}

#[tokio::main]
async fn main() -> Result<()> {
    let figures = match Work::parse() {
        Work::Prepare {
            place,
            file,
            objects,
            kinds,
        } => {
            objects::prepare(&place, &file, objects, kinds).await?;
            Value::Null
        }
        Work::Apply {
            place,
            file,
            unchanged,
        } => serde_json::to_value(apply::apply(&place, &file, unchanged).await?)?,
        Work::Raw { place, file } => serde_json::to_value(apply::raw(&place, &file).await?)?,
        Work::Clear { place } => {
            clear(&place).await?;
            Value::Null
        }
        Work::Ready { place } => serde_json::to_value(ready::ready(&place).await?)?,
        Work::Faults { place } => serde_json::to_value(faults::explained(&place).await?)?,
    };
    println!("{figures}");
    Ok(())
}
