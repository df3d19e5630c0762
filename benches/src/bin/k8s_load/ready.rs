//! Pods that become ready, and the report of it.

use std::time::{Duration, Instant};

use anyhow::Result;
use http::Method;
use mlops_k8s::kube::Client;
use mlops_k8s::{ObjectId, Status, WaitOptions, Waiter};
use serde::Serialize;
use serde_json::json;
use tokio::sync::Notify;

use crate::{Place, create, send};

/// How often a pod is made ready.
const PODS: usize = 20;

#[derive(Debug, Serialize)]
pub(crate) struct Reported {
    /// Milliseconds from the server's answer to the write that makes a pod ready, of each pod.
    after_answer: Vec<f64>,
    /// The same from before the write.
    after_sending: Vec<f64>,
}

pub(crate) async fn ready(place: &Place) -> Result<Reported> {
    let client = place.connect().await?;
    let namespace = json!({"metadata": {"name": place.namespace}});
    create(&client, "/api/v1/namespaces", &namespace).await?;
    // Pods need an account, which a controller would make.
    let account = json!({"metadata": {"name": "default"}});
    create(&client, &place.path("serviceaccounts"), &account).await?;
    let mut reported = Reported {
        after_answer: Vec::new(),
        after_sending: Vec::new(),
    };
    for number in 0..PODS {
        let (answer, sending) = pod_ready(&client, place, &format!("pod-{number}")).await?;
        reported.after_answer.push(answer.as_secs_f64() * 1000.0);
        reported.after_sending.push(sending.as_secs_f64() * 1000.0);
    }
    Ok(reported)
}

/// Makes a pod ready that is waited for, and hands back how long the report took from the answer and from the sending.
async fn pod_ready(client: &Client, place: &Place, name: &str) -> Result<(Duration, Duration)> {
    let pod =
        json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "x"}]}});
    create(client, &place.path("pods"), &pod).await?;
    let seen = Notify::new();
    let is_seen = |event: mlops_k8s::WaitEvent| {
        if event.status != Status::Ready {
            seen.notify_one();
        }
    };
    let ids = [ObjectId::new("", "Pod", Some(&place.namespace), name)];
    let options = WaitOptions::new(Duration::from_secs(30));
    let waiter = Waiter::new(client.clone());
    let waiting = async {
        waiter.wait_until_ready(&ids, &options, &is_seen).await?;
        Ok(Instant::now())
    };
    let change = async {
        seen.notified().await;
        // The list told of the pod; its watch begins after that.
        tokio::time::sleep(Duration::from_millis(200)).await;
        let path = format!("{}/{name}/status", place.path("pods"));
        let status = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
        let body = status.to_string().into_bytes();
        let sending = Instant::now();
        send(
            client,
            Method::PATCH,
            &path,
            "application/merge-patch+json",
            body,
        )
        .await?;
        Ok((sending, Instant::now()))
    };
    let (reported, (sending, answered)) = tokio::try_join!(waiting, change)
        .map_err(|error: anyhow::Error| error.context(format!("failed to see {name} ready")))?;
    Ok((
        reported.saturating_duration_since(answered),
        reported.saturating_duration_since(sending),
    ))
}
