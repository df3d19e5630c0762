//! What a node looks like, for the output of a test that failed.

use std::fmt::Write as _;

use serde_json::Value;

use super::TestNode;

/// How many events and lines of a log are shown: the last ones say most.
const LAST: usize = 25;

impl TestNode {
    /// Its pods, what happened last, and the end of the kubelet's log, for people. Never fails: what the API server does
    /// not answer is left out.
    pub fn state(&self) -> String {
        let list = |path: &str| {
            let answer: Value = serde_json::from_str(&self.get(path)).unwrap_or_default();
            list_of(&answer, "/items").to_vec()
        };
        let mut text = format!("--- state of the node {}\n", self.folder().display());
        for pod in list("/api/v1/pods") {
            line(&mut text, &described(&pod));
        }
        let mut events = list("/api/v1/events");
        events.sort_by_key(|event| word(event, "/metadata/resourceVersion").parse::<u64>().ok());
        for event in events.iter().rev().take(LAST).rev() {
            let of = |pointer| word(event, pointer);
            line(
                &mut text,
                &format!(
                    "{} {} {}/{}: {}: {}",
                    of("/metadata/creationTimestamp"),
                    of("/involvedObject/kind"),
                    of("/involvedObject/namespace"),
                    of("/involvedObject/name"),
                    of("/reason"),
                    of("/message"),
                ),
            );
        }
        let log = self.log("kubelet");
        let lines: Vec<&str> = log.lines().collect();
        for said in lines.iter().rev().take(LAST).rev() {
            line(&mut text, said);
        }
        text
    }
}

/// A pod with what each of its containers does.
fn described(pod: &Value) -> String {
    let mut text = format!(
        "pod {}/{}: {} {}",
        word(pod, "/metadata/namespace"),
        word(pod, "/metadata/name"),
        word(pod, "/status/phase"),
        word(pod, "/status/reason"),
    );
    for field in ["/status/initContainerStatuses", "/status/containerStatuses"] {
        for container in list_of(pod, field) {
            let of = |pointer| container.pointer(pointer).unwrap_or(&Value::Null);
            // Writing to a `String` cannot fail.
            let _ = write!(
                text,
                "; {}: {}, started again {} times, before {}",
                word(container, "/name"),
                of("/state"),
                of("/restartCount"),
                of("/lastState"),
            );
        }
    }
    text
}

fn list_of<'v>(value: &'v Value, pointer: &str) -> &'v [Value] {
    let list = value.pointer(pointer).and_then(Value::as_array);
    list.map(Vec::as_slice).unwrap_or_default()
}

fn word<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// One line; what a cluster says has no power over a terminal.
fn line(text: &mut String, said: &str) {
    let clean: String = said.chars().filter(|c| !c.is_control()).collect();
    // Writing to a `String` cannot fail.
    let _ = writeln!(text, "  {clean}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pod_is_one_line_with_its_containers() {
        let pod = json!({
            "metadata": { "namespace": "a", "name": "web" },
            "status": { "phase": "Running", "containerStatuses": [
                { "name": "web", "restartCount": 2, "state": { "waiting": { "reason": "CrashLoopBackOff" } }, "lastState": {} },
            ] },
        });
        assert_eq!(
            described(&pod).as_str(),
            "pod a/web: Running ; web: {\"waiting\":{\"reason\":\"CrashLoopBackOff\"}}, started again 2 times, before {}"
        );
        let mut text = String::new();
        line(&mut text, "a\u{1b}[2Jb");
        assert_eq!(text, "  a[2Jb\n");
    }
}
