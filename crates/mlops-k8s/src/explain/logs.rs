//! The last lines of containers that ended badly.

use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, LogParams};

use super::facts::{Facts, Log, number, text};
use super::judge::reach;
use super::text::bounded;

/// How many lines are kept, of how many characters.
const LINES: usize = 5;
const LONGEST: usize = 300;

/// Of how many containers the lines are read.
const CONTAINERS: usize = 8;

/// What to ask for: a container, and whether for its run before this one.
struct Wanted {
    namespace: String,
    pod: String,
    container: String,
    previous: bool,
}

/// Reads the last lines of each container under the subject that ended with an error.
///
/// A log that is not to be had is left out: its container's state says as much without it.
pub(super) async fn read(client: &Client, facts: &Facts) -> Vec<Log> {
    let mut wanted = Vec::new();
    for (object, _) in reach(facts) {
        if object.id.kind != "Pod" || object.is_condition("Ready", "True") {
            continue;
        }
        let init = object.list("/status/initContainerStatuses").iter();
        for status in init.chain(object.list("/status/containerStatuses")) {
            let now = status.pointer("/state/terminated");
            let before = status.pointer("/lastState/terminated");
            let Some(ended) = now
                .or(before)
                .filter(|ended| number(ended, "/exitCode") != 0)
            else {
                continue;
            };
            // A container that never started has written nothing.
            if text(ended, "/reason") == "StartError" {
                continue;
            }
            wanted.push(Wanted {
                namespace: object.id.namespace.clone().unwrap_or_default(),
                pod: object.id.name.clone(),
                container: text(status, "/name").to_owned(),
                previous: now.is_none(),
            });
        }
    }
    wanted.truncate(CONTAINERS);
    join_all(wanted.iter().map(|wanted| last_lines(client, wanted)))
        .await
        .into_iter()
        .flatten()
        .collect()
}

async fn last_lines(client: &Client, wanted: &Wanted) -> Option<Log> {
    let api: Api<Pod> = Api::namespaced(client.clone(), &wanted.namespace);
    let params = LogParams {
        container: Some(wanted.container.clone()),
        previous: wanted.previous,
        tail_lines: Some(i64::try_from(LINES).unwrap_or(5)),
        limit_bytes: Some(64 * 1024),
        ..LogParams::default()
    };
    let asked = api.logs(&wanted.pod, &params);
    let text = tokio::time::timeout(std::time::Duration::from_secs(5), asked)
        .await
        .ok()?
        .ok()?;
    let lines = bounded_lines(&text);
    (!lines.is_empty()).then(|| Log {
        pod: wanted.pod.clone(),
        container: wanted.container.clone(),
        lines,
    })
}

/// The last lines that say something.
fn bounded_lines(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text
        .lines()
        .map(|line| bounded(line, LONGEST))
        .filter(|line| !line.is_empty())
        .collect();
    lines.drain(..lines.len().saturating_sub(LINES));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_few_and_short() {
        let lines: Vec<String> = (1..=9)
            .map(|n| {
                format!(
                    "line {n}

"
                )
            })
            .collect();
        let text = lines.concat() + &"x".repeat(1_000);
        let lines = bounded_lines(&text);
        assert_eq!(lines.len(), LINES);
        assert_eq!(lines[0], "line 6");
        assert_eq!(lines[4].chars().count(), LONGEST + 1);
    }
}
