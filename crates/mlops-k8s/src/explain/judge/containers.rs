//! Containers that cannot be made, do not start, fail, or do not answer their probes.

use super::super::codes::CauseCode;
use super::super::facts::{Event, number, text};
use super::readiness::{Container, containers};
use super::refusal::between;
use super::volumes::missing;
use super::{Finding, Rule, Scene};

const POD: &[&str] = &["Pod"];

pub(super) const RULES: &[Rule] = &[
    Rule::fault(CauseCode::ContainerConfigWrong, POD, config_wrong),
    Rule::fault(CauseCode::ContainerFailed, POD, failed),
    Rule::fault(CauseCode::StartupProbeFailing, POD, |s| {
        probe(s, CauseCode::StartupProbeFailing)
    }),
    Rule::fault(CauseCode::ReadinessProbeFailing, POD, |s| {
        probe(s, CauseCode::ReadinessProbeFailing)
    }),
];

/// A container that cannot be made from what the pod says.
fn config_wrong(scene: &Scene<'_>) -> Option<Finding> {
    let pod = scene.object;
    let container = containers(pod).find(|container| {
        matches!(
            container.waits_for(),
            "CreateContainerConfigError" | "CreateContainerError"
        )
    })?;
    let message = container.waiting_message();
    let finding = if let Some(name) = between(message, "secret \"", "\" not found") {
        missing(pod, "Secret", name).with_code(CauseCode::SecretMissing)
    } else if let Some(name) = between(message, "configmap \"", "\" not found") {
        missing(pod, "ConfigMap", name).with_code(CauseCode::ConfigMapMissing)
    } else if message.contains("couldn't find key ") {
        Finding::new(message).with_code(CauseCode::KeyMissing)
    } else if message.contains("runAsNonRoot") {
        // The message ends with the whole pod in parentheses; the sentence before it says all.
        let said = message.split(" (pod:").next().unwrap_or(message);
        Finding::new(said).with_code(CauseCode::RunAsNonRootRefused)
    } else if is_start_error(message) {
        Finding::new(message).with_code(CauseCode::CommandNotFound)
    } else {
        Finding::new(message)
    };
    Some(finding.with([container.evidence()]))
}

/// A container that ended with an error, or is ended again and again.
fn failed(scene: &Scene<'_>) -> Option<Finding> {
    let container = containers(scene.object).find(|container| is_failing(scene, container))?;
    if let Some((finding, ended)) = container
        .failed()
        .and_then(|end| Some((special(end)?, end)))
    {
        let after_limit = number(ended, "/exitCode");
        return Some(finding_with_state(scene, &container, finding, after_limit));
    }
    for code in [
        CauseCode::LivenessProbeFailing,
        CauseCode::StartupProbeFailing,
    ] {
        if let Some(event) = ended_by_probe(scene, &container, code) {
            let finding = Finding::new(&event.message)
                .with_code(code)
                .with([event.evidence()]);
            return Some(finding);
        }
    }
    let exit_code = container.ended().map_or(0, |end| number(end, "/exitCode"));
    let finding = if exit_code == KILLED && is_killed_by_kernel(&container) {
        Finding::new("was killed, most likely for using more memory than its limit")
            .with_code(CauseCode::OutOfMemory)
    } else {
        ordinary(&container, exit_code)
    };
    Some(finding_with_state(scene, &container, finding, exit_code))
}

/// The code of a program that SIGKILL ended.
const KILLED: i64 = 137;

/// Whether nobody but the kernel is known who kills this container: it has a limit of memory, no probe may end it, and
/// its pod stays. The kubelet says `OOMKilled` only when it reads the kernel's word before the container is gone.
fn is_killed_by_kernel(container: &Container<'_>) -> bool {
    let Some(spec) = spec_of(container) else {
        return false;
    };
    let probed = ["/livenessProbe", "/startupProbe"];
    !text(spec, "/resources/limits/memory").is_empty()
        && !probed.iter().any(|probe| spec.pointer(probe).is_some())
        && !container.pod.has("/metadata/deletionTimestamp")
}

fn is_failing(scene: &Scene<'_>, container: &Container<'_>) -> bool {
    if container.waits_for() == "CrashLoopBackOff" || container.waits_for() == "RunContainerError" {
        return true;
    }
    let ended_now = container.status.pointer("/state/terminated").is_some();
    let ready = container
        .status
        .get("ready")
        .and_then(serde_json::Value::as_bool)
        == Some(true);
    // Between two starts it runs for a moment: how it ended before still tells.
    let again = container.is_running() && container.restarts() > 0 && !ready;
    let failed = container.failed().is_some();
    (ended_now && failed) || (again && (failed || restarted_by_probe(scene, container)))
}

fn restarted_by_probe(scene: &Scene<'_>, container: &Container<'_>) -> bool {
    ended_by_probe(scene, container, CauseCode::LivenessProbeFailing).is_some()
        || ended_by_probe(scene, container, CauseCode::StartupProbeFailing).is_some()
}

/// Ends that say by themselves what they are.
fn special(ended: &serde_json::Value) -> Option<Finding> {
    let (reason, message) = (text(ended, "/reason"), text(ended, "/message"));
    match reason {
        "OOMKilled" => Some(
            Finding::new("was ended for using more memory than its limit")
                .with_code(CauseCode::OutOfMemory),
        ),
        "StartError" | "ContainerCannotRun"
            if message.contains("container init was OOM-killed") =>
        {
            Some(
                Finding::new("needs more memory to start than its limit")
                    .with_code(CauseCode::OutOfMemory),
            )
        }
        "StartError" | "ContainerCannotRun" => {
            Some(Finding::new(start_error(message)).with_code(CauseCode::CommandNotFound))
        }
        _ => None,
    }
}

fn is_start_error(message: &str) -> bool {
    message.contains("executable file not found")
        || message.contains("exec format error")
        || (message.contains("exec:")
            && (message.contains("no such file") || message.contains("permission denied")))
}

/// The part of runc's long message that matters: what it says of the program.
fn start_error(message: &str) -> String {
    message
        .find("exec: ")
        .and_then(|start| message.get(start..))
        .unwrap_or(message)
        .to_owned()
}

fn ordinary(container: &Container<'_>, exit_code: i64) -> Finding {
    let name = container.name();
    let code = if container.init {
        CauseCode::InitContainerFailing
    } else if container.waits_for() == "CrashLoopBackOff" || container.restarts() > 0 {
        CauseCode::CrashLoop
    } else {
        CauseCode::ContainerFailed
    };
    let times = match container.restarts() {
        0 => String::new(),
        1 => ", started again once".to_owned(),
        times => format!(", started again {times} times"),
    };
    Finding::new(format!(
        "container {name} ended with code {exit_code}{times}"
    ))
    .with_code(code)
}

fn finding_with_state(
    scene: &Scene<'_>,
    container: &Container<'_>,
    finding: Finding,
    exit_code: i64,
) -> Finding {
    let log = scene.facts.log(scene.object, container.name());
    let limit = (exit_code == KILLED).then(|| limit_of(container)).flatten();
    finding
        .with(container.end_evidence().or(Some(container.evidence())))
        .with(limit)
        .with(log)
}

/// What the pod asks for this container.
fn spec_of<'a>(container: &Container<'a>) -> Option<&'a serde_json::Value> {
    let all = container
        .pod
        .list("/spec/containers")
        .iter()
        .chain(container.pod.list("/spec/initContainers"));
    all.into_iter()
        .find(|spec| text(spec, "/name") == container.name())
}

fn limit_of(container: &Container<'_>) -> Option<super::Evidence> {
    let spec = spec_of(container)?;
    let limit = text(spec, "/resources/limits/memory");
    (!limit.is_empty()).then(|| {
        container
            .pod
            .field("spec.containers.resources.limits.memory", limit)
    })
}

fn words_of(code: CauseCode) -> &'static str {
    match code {
        CauseCode::LivenessProbeFailing => "Liveness probe ",
        CauseCode::StartupProbeFailing => "Startup probe ",
        _ => "Readiness probe ",
    }
}

/// The event of a failed probe of a container.
fn unhealthy<'a>(
    scene: &Scene<'a>,
    container: &Container<'_>,
    code: CauseCode,
) -> Option<&'a Event> {
    let part = format!("{{{}}}", container.name());
    scene.facts.events_of(scene.object).find(|event| {
        event.reason == "Unhealthy"
            && event.message.starts_with(words_of(code))
            && (event.part.is_empty() || event.part.ends_with(&part))
    })
}

/// A failed probe after which the kubelet ended the container.
fn ended_by_probe<'a>(
    scene: &Scene<'a>,
    container: &Container<'_>,
    code: CauseCode,
) -> Option<&'a Event> {
    let killed = scene.facts.events_of(scene.object).any(|event| {
        let probe = if code == CauseCode::LivenessProbeFailing {
            "failed liveness probe"
        } else {
            "failed startup probe"
        };
        event.reason == "Killing" && event.message.contains(probe)
    });
    killed.then(|| unhealthy(scene, container, code)).flatten()
}

/// A container that runs, and whose probe fails.
fn probe(scene: &Scene<'_>, code: CauseCode) -> Option<Finding> {
    let waiting = |container: &Container<'_>| {
        let flag = if code == CauseCode::StartupProbeFailing {
            "started"
        } else {
            "ready"
        };
        container.is_running()
            && container
                .status
                .get(flag)
                .and_then(serde_json::Value::as_bool)
                != Some(true)
    };
    // `failed` has told of a container that was ended for it.
    let container = containers(scene.object)
        .filter(waiting)
        .find(|container| !is_failing(scene, container))?;
    let event = unhealthy(scene, &container, code)?;
    Some(Finding::new(&event.message).with([event.evidence()]))
}
