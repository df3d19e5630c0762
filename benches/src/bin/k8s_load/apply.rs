//! The file applied by `mlops-k8s`, and by a loop that does nothing else.

use std::fs;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context as Task, Poll};
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use futures::stream::{self, TryStreamExt as _};
use http::{Method, Request, Response};
use mlops_k8s::kube::Client;
use mlops_k8s::kube::client::Body;
use mlops_k8s::{Applier, ApplyOptions, ObjectSet, Outcome};
use serde::Serialize;

use crate::{Place, send};

/// How many requests the loop by hand has in flight.
const IN_FLIGHT: usize = 32;

#[derive(Debug, Serialize)]
pub(crate) struct Applied {
    /// From the connection to the last answer, with the file read before.
    seconds: f64,
    /// Reading the file.
    reading_seconds: f64,
    /// All requests of another apply, with nothing to do.
    requests: usize,
    /// The most memory that the process ever held, before the requests were counted.
    peak_megabytes: f64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Sent {
    seconds: f64,
}

pub(crate) async fn apply(place: &Place, file: &Path, is_unchanged: bool) -> Result<Applied> {
    let started = Instant::now();
    let text = fs::read_to_string(file)?;
    let set = ObjectSet::from_yaml(&file.display().to_string(), &text)?;
    drop(text);
    let reading_seconds = started.elapsed().as_secs_f64();
    let wanted = if is_unchanged {
        Outcome::Unchanged
    } else {
        Outcome::Created
    };
    let started = Instant::now();
    let client = place.connect().await?;
    apply_once(client.clone(), place, &set, &wanted).await?;
    let seconds = started.elapsed().as_secs_f64();
    let peak_megabytes = peak_megabytes()?;
    let mut requests = 0;
    if is_unchanged {
        let count = Arc::new(AtomicUsize::new(0));
        let counting = Counting {
            inner: client,
            count: Arc::clone(&count),
        };
        let client = Client::new(counting, "default");
        apply_once(client, place, &set, &Outcome::Unchanged).await?;
        requests = count.load(Ordering::Relaxed);
    }
    Ok(Applied {
        seconds,
        reading_seconds,
        requests,
        peak_megabytes,
    })
}

async fn apply_once(
    client: Client,
    place: &Place,
    set: &ObjectSet,
    wanted: &Outcome,
) -> Result<()> {
    let applier = Applier::new(client).with_set("bench", &place.namespace);
    let report = applier
        .apply(set, &ApplyOptions::default(), &|_| {})
        .await?;
    if let Some((id, outcome)) = report.problems().next() {
        bail!("{id}: {outcome:?}");
    }
    ensure!(
        report.count(wanted) == set.len(),
        "only {} of {} objects are {wanted:?}",
        report.count(wanted),
        set.len()
    );
    Ok(())
}

/// A client that counts what it sends.
struct Counting {
    inner: Client,
    count: Arc<AtomicUsize>,
}

impl tower::Service<Request<Body>> for Counting {
    type Response = Response<Body>;
    type Error = mlops_k8s::kube::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Task<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.count.fetch_add(1, Ordering::Relaxed);
        let client = self.inner.clone();
        Box::pin(async move { client.send(request).await })
    }
}

pub(crate) async fn raw(place: &Place, file: &Path) -> Result<Sent> {
    let set = ObjectSet::from_yaml(&file.display().to_string(), &fs::read_to_string(file)?)?;
    let folder = place.path("configmaps");
    let bodies: Vec<(String, Vec<u8>)> = set
        .iter()
        .map(|object| {
            let name = &object.id().name;
            let path =
                format!("{folder}/{name}?fieldManager=raw&fieldValidation=Strict&force=false");
            (path, object.json().to_string().into_bytes())
        })
        .collect();
    let started = Instant::now();
    let client = place.connect().await?;
    let client = &client;
    stream::iter(bodies.into_iter().map(Ok::<_, anyhow::Error>))
        .try_for_each_concurrent(IN_FLIGHT, |(path, body)| async move {
            send(
                client,
                Method::PATCH,
                &path,
                "application/apply-patch+yaml",
                body,
            )
            .await
        })
        .await?;
    Ok(Sent {
        seconds: started.elapsed().as_secs_f64(),
    })
}

/// The most memory that this process ever held.
fn peak_megabytes() -> Result<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let kib: f64 = status
        .lines()
        .find_map(|line| {
            line.strip_prefix("VmHWM:")?
                .split_whitespace()
                .next()?
                .parse()
                .ok()
        })
        .context("the system does not tell a process's peak memory")?;
    Ok(kib * 1024.0 / 1e6)
}
