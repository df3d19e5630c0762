//! SIGKILL at random moments, then `up`: the same end state, nothing doubled, nothing lost.

use std::io::Write as _;
use std::time::{Duration, Instant};

use mlops_testkit::home::kill;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;

use super::home::Home;

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Command,
    Supervisor,
    Server(&'static str),
}

const VICTIMS: [Victim; 6] = [
    Victim::Command,
    Victim::Command,
    Victim::Supervisor,
    Victim::Server("postgres"),
    Victim::Server("mlflow_server"),
    Victim::Server("model_server"),
];

/// What must be the same afterwards.
#[derive(Debug, PartialEq)]
struct State {
    credentials: Vec<(String, String)>,
    status: Value,
    versions: usize,
    runs: usize,
}

fn find(home: &Home, victim: Victim) -> Option<u32> {
    let wanted = match victim {
        Victim::Command => return None,
        Victim::Supervisor => "__supervise",
        Victim::Server(name) => name,
    };
    home.processes()
        .into_iter()
        .filter(|(_, arguments)| arguments.contains(wanted) && !arguments.contains("__child"))
        .map(|(pid, _)| pid)
        .min()
}

fn curl(home: &Home, password: &str, path: &str, body: Option<&str>) -> Value {
    let url = home.run(&["open", "mlflow", "--print"]).expect(0).out;
    let mut command = std::process::Command::new("curl");
    command.args(["-sS", "--fail-with-body", "-K", "-"]);
    let mut config = format!(
        "url = \"{}{path}\"\nuser = \"admin:{password}\"\n",
        url.trim()
    );
    if let Some(body) = body {
        config.push_str("header = \"content-type: application/json\"\n");
        let body = body.replace('"', "\\\"");
        config = format!("{config}data = \"{body}\"\n");
    }
    let mut child = command
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(config.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn state(home: &Home) -> State {
    let mut credentials = Vec::new();
    let list = home
        .run(&["credentials", "--output", "json"])
        .expect(0)
        .json();
    let mut names: Vec<String> = list
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|entry| entry["secrets"].as_object().unwrap().values())
        .map(|name| name.as_str().unwrap().to_owned())
        .collect();
    names.sort();
    names.dedup();
    for name in names {
        let text = home.run(&["credentials", &name, "--show"]).expect(0).out;
        credentials.push((name, text));
    }
    let password = credentials
        .iter()
        .find(|(name, _)| name == "mlflow/admin-password")
        .map(|(_, text)| text.trim().to_owned())
        .unwrap();
    let mut status = home.run(&["status", "--output", "json"]).expect(0).json();
    for component in status["components"].as_array_mut().unwrap() {
        for field in ["pid", "since_ms", "restarts", "detail"] {
            component.as_object_mut().unwrap().remove(field);
        }
    }
    let count = |value: &Value, field: &str| value[field].as_array().map_or(0, Vec::len);
    let versions = curl(
        home,
        &password,
        "/api/2.0/mlflow/model-versions/search?max_results=100",
        None,
    );
    let runs = curl(
        home,
        &password,
        "/api/2.0/mlflow/runs/search",
        Some("{\"experiment_ids\":[\"0\"],\"max_results\":100}"),
    );
    State {
        credentials,
        status,
        versions: count(&versions, "model_versions"),
        runs: count(&runs, "runs"),
    }
}

#[test]
fn any_kill_at_any_moment_is_survived() {
    let moments: usize = 25;
    let seed: u64 = std::env::args()
        .find_map(|argument| argument.strip_prefix("--kill-seed=")?.parse().ok())
        .or_else(|| option_env!("MLOPS_TEST_SEED")?.parse().ok())
        .unwrap_or_else(|| rand::rng().random());
    println!("seed {seed}: replay with MLOPS_TEST_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);

    let home = Home::new();
    let mut known: Option<State> = None;
    for moment in 0..moments {
        // Every fourth run begins from nothing.
        if moment % 4 == 0 {
            home.run(&["remove", "--all-data", "--yes"]);
            known = None;
        }
        let victim = VICTIMS[random.random_range(0..VICTIMS.len())];
        let is_running = known.is_some() && random.random_bool(0.5);
        if known.is_some() && !is_running {
            home.run(&["down"]).expect(0);
        }
        // About as long as `up` takes.
        let longest = if is_running { 600 } else { 6000 };
        let delay = Duration::from_millis(random.random_range(0..longest));
        println!("{moment}: kill {victim:?} after {delay:?}");
        strike(&home, victim, delay);
        let said = home.run(&["up", "--output", "json"]);
        assert_eq!(
            said.code, 0,
            "seed {seed}, moment {moment}: {}\n{}",
            said.out, said.err
        );
        home.run(&["plan", "--exit-code"]).expect(0);
        // Every binding works, and what a probe left that was killed half way is gone after the next.
        home.run(&["check"]).expect(0);
        let now = state(&home);
        assert_eq!(now.versions, 1, "seed {seed}, moment {moment}");
        if let Some(before) = &known {
            assert_eq!(*before, now, "seed {seed}, moment {moment}");
        }
        known = Some(now);
    }
}

/// Starts `up` and kills the victim after a while; a server that is not there yet is waited for, up to the end of `up`.
fn strike(home: &Home, victim: Victim, delay: Duration) {
    let mut command = home.start(&["up"]);
    let begin = Instant::now();
    std::thread::sleep(delay);
    if victim == Victim::Command {
        kill(command.id());
        command.wait().unwrap();
        return;
    }
    while begin.elapsed() < Duration::from_mins(1) {
        if let Some(pid) = find(home, victim) {
            kill(pid);
            break;
        }
        if command.try_wait().unwrap().is_some() {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    // It may fail now, or cure it; it may not hang.
    let deadline = Instant::now() + Duration::from_mins(2);
    while command.try_wait().unwrap().is_none() {
        assert!(
            Instant::now() < deadline,
            "`up` hangs: {}",
            home.started_log()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}
