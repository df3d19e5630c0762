//! SIGKILL at random moments, then `up`: the same end state, nothing doubled, nothing lost.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use mlops_testkit::home::kill;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

use super::home::{Home, psql, seed};

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

/// The file that belongs to each run.
const FILE: &str = "kept.txt";

/// What must be the same afterwards.
#[derive(Debug, PartialEq)]
struct State {
    secrets: BTreeMap<String, String>,
    status: Value,
    versions: usize,
    /// Of each run its metric and the content of its file.
    runs: BTreeMap<String, (f64, String)>,
    /// The rows of a table.
    rows: Vec<usize>,
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

/// The servers of a platform as their users have them.
struct Servers {
    mlflow: String,
    password: String,
    postgres: String,
    superuser: String,
}

impl Servers {
    fn of(state: &State) -> Self {
        let components = state.status["components"].as_array().unwrap();
        let url = |name: &str| {
            let found = components.iter().find(|one| one["component"] == name);
            found.unwrap()["url"].as_str().unwrap().to_owned()
        };
        Self {
            mlflow: url("mlflow").trim_end_matches('/').to_owned(),
            password: state.secrets["mlflow/admin-password"].clone(),
            postgres: url("postgres"),
            superuser: state.secrets["postgres/superuser-password"].clone(),
        }
    }

    /// What MLflow answers; the password is no argument of the client's.
    fn ask(&self, method: &str, path: &str, body: Option<(&str, &str)>) -> String {
        let mut config = format!(
            "url = \"{}/api/2.0/{path}\"\nuser = \"admin:{}\"\nrequest = \"{method}\"\n",
            self.mlflow, self.password
        );
        if let Some((kind, body)) = body {
            let body = body.replace('"', "\\\"");
            config =
                format!("{config}header = \"content-type: {kind}\"\ndata-binary = \"{body}\"\n");
        }
        let mut client = Command::new("curl")
            .args(["-sS", "--fail-with-body", "-K", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = client.stdin.take().unwrap();
        input.write_all(config.as_bytes()).unwrap();
        drop(input);
        let output = client.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{method} {path}: {text}");
        text
    }

    fn json(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let body = body.map(Value::to_string);
        let body = body.as_deref().map(|body| ("application/json", body));
        let text = self.ask(method, path, body);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    fn sql(&self, sql: &str) -> String {
        psql(&self.postgres, &self.superuser, sql)
    }

    fn versions(&self) -> usize {
        let path = "mlflow/model-versions/search?max_results=100";
        let found = self.json("GET", path, None);
        found["model_versions"].as_array().map_or(0, Vec::len)
    }

    fn runs(&self) -> BTreeMap<String, (f64, String)> {
        let all = json!({ "experiment_ids": ["0"], "max_results": 100 });
        let found = self.json("POST", "mlflow/runs/search", Some(&all));
        let runs = found["runs"].as_array().into_iter().flatten();
        let runs = runs.map(|run| {
            let id = run["info"]["run_id"].as_str().unwrap().to_owned();
            let metrics = run["data"]["metrics"].as_array().unwrap();
            assert_eq!(metrics.len(), 1, "{run:#}");
            let file = self.ask("GET", &file_of(&id), None);
            (id, (metrics[0]["value"].as_f64().unwrap(), file))
        });
        runs.collect()
    }

    fn rows(&self) -> Vec<usize> {
        let is_there = self.sql("SELECT to_regclass('kept') IS NOT NULL");
        if is_there != "t" {
            return Vec::new();
        }
        let rows = self.sql("SELECT number FROM kept ORDER BY number");
        rows.lines().map(|row| row.parse().unwrap()).collect()
    }

    /// Logs a run with a metric and a file, and puts a row into a table. Once this returns the servers have confirmed
    /// all of it.
    fn keep(&self, number: usize, state: &mut State) {
        let begun = json!({ "experiment_id": "0", "run_name": format!("kept-{number}") });
        let run = self.json("POST", "mlflow/runs/create", Some(&begun));
        let id = run["run"]["info"]["run_id"].as_str().unwrap();
        let metric =
            json!({ "run_id": id, "key": "number", "value": number, "timestamp": 1, "step": 0 });
        self.json("POST", "mlflow/runs/log-metric", Some(&metric));
        let text = format!("the file of run {number}");
        let file = Some(("application/octet-stream", text.as_str()));
        self.ask("PUT", &file_of(id), file);
        self.sql(&format!(
            "CREATE TABLE IF NOT EXISTS kept (number int); INSERT INTO kept VALUES ({number})"
        ));
        let metric = metric["value"].as_f64().unwrap();
        state.runs.insert(id.to_owned(), (metric, text));
        state.rows.push(number);
    }
}

/// Where the file of a run goes through MLflow.
fn file_of(run: &str) -> String {
    format!("mlflow-artifacts/artifacts/0/{run}/artifacts/{FILE}")
}

fn state(home: &Home) -> State {
    let mut status = home.run(&["status", "--output", "json"]).expect(0).json();
    for component in status["components"].as_array_mut().unwrap() {
        for field in ["pid", "since_ms", "restarts", "detail"] {
            component.as_object_mut().unwrap().remove(field);
        }
    }
    let mut state = State {
        secrets: home.secrets("local"),
        status,
        versions: 0,
        runs: BTreeMap::new(),
        rows: Vec::new(),
    };
    let servers = Servers::of(&state);
    state.versions = servers.versions();
    state.runs = servers.runs();
    state.rows = servers.rows();
    state
}

#[test]
fn any_kill_at_any_moment_is_survived() {
    let moments: usize = 25;
    let seed = seed();
    let mut random = StdRng::seed_from_u64(seed);

    let home = Home::new();
    let mut known: Option<State> = None;
    for moment in 0..moments {
        // Every fourth run begins from nothing.
        if moment % 4 == 0 {
            home.run(&["remove", "--all-data", "--yes"]).expect(0);
            assert!(!home.platform("local").exists());
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
        // Also of a platform that was never whole a secret is made once.
        let written = home.secrets("local");
        let said = home.run(&["up", "--output", "json"]);
        assert_eq!(
            said.code, 0,
            "seed {seed}, moment {moment}: {}\n{}",
            said.out, said.err
        );
        home.run(&["plan", "--exit-code"]).expect(0);
        // Every binding works, and what a probe left that was killed half way is gone after the next.
        home.run(&["check"]).expect(0);
        let mut now = state(&home);
        for (name, text) in &written {
            assert_eq!(now.secrets.get(name), Some(text), "seed {seed}: {name}");
        }
        assert_eq!(now.versions, 1, "seed {seed}, moment {moment}");
        match &known {
            Some(before) => assert_eq!(*before, now, "seed {seed}, moment {moment}"),
            None => assert!(now.runs.is_empty() && now.rows.is_empty(), "{now:?}"),
        }
        Servers::of(&now).keep(moment, &mut now);
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
