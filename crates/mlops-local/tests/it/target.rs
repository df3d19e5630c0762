use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mlops_core::plan::{KindRules, decide};
use mlops_core::{
    Action, Context, Event, EventSink, Graph, Observed, Provider, Resource, ResourceId, SecretText,
    Service,
};
use mlops_local::python::PythonOptions;
use mlops_local::supervisor::Recorded;
use mlops_local::{Follow, LocalOptions, LocalTarget, Roots};
use serde_json::{Value, json};

use crate::world::*;

/// A platform with PostgreSQL and S3.
struct Platform {
    target: LocalTarget,
    graph: Graph,
    _folder: tempfile::TempDir,
}

impl Drop for Platform {
    fn drop(&mut self) {
        let target = self.target.clone();
        let stop = std::thread::spawn(move || {
            tokio::runtime::Runtime::new()
                .unwrap()
                .block_on(target.stop())
        });
        let done = stop.join();
        if !std::thread::panicking() {
            done.unwrap().unwrap();
        }
    }
}

fn target(folder: &std::path::Path) -> LocalTarget {
    let env: BTreeMap<String, String> = [(
        "PATH".to_owned(),
        std::env::var_os("PATH").unwrap().into_string().unwrap(),
    )]
    .into();
    LocalTarget::new(LocalOptions {
        platform: "demo".parse().unwrap(),
        roots: Roots::below(folder),
        supervisor: vec![env!("CARGO_BIN_EXE_mlops-supervisor").into()],
        python: PythonOptions::new(folder.join("cache"), env.clone()),
        env,
        postgres_bin: None,
    })
    .unwrap()
}

fn resource(id: &str, component: &str, needs: &[&str], spec: &Value) -> Resource {
    let mut resource = Resource::new(id.parse().unwrap(), component.parse().unwrap());
    resource.spec = spec.as_object().unwrap().clone();
    for need in needs {
        resource = resource.with_need(need.parse().unwrap());
    }
    resource
}

pub(crate) fn graph(s3_port: Option<u16>, max_connections: u32) -> Graph {
    let services = ["postgres", "s3"];
    let resources = [
        resource("supervisor/local", "local", &[], &json!({"services": {"postgres": null, "s3": s3_port}})),
        resource("data-folder/postgres", "postgres", &[], &json!({
            "layout": "postgres", "superuser": "postgres", "password": "postgres/superuser-password",
        }))
        .with_data(),
        resource("data-folder/s3", "s3", &[], &json!({"layout": "plain"})).with_data(),
        resource("process/postgres", "postgres", &["data-folder/postgres"], &json!({
            "program": "postgres",
            "args": ["-D", "{{ folder('data') }}", "-c", "listen_addresses=127.0.0.1", "-c", "port={{ port('postgres') }}",
                "-c", "unix_socket_directories=", "-c", format!("max_connections={max_connections}")],
            "listens": ["postgres"],
            "services": ["postgres"],
            "ready": {"postgres": {"service": "postgres", "within_seconds": 60}},
            "stop": {"signal": "interrupt", "within_seconds": 30},
        }))
        .with_within("supervisor/local".parse().unwrap()),
        resource("process/s3", "s3", &["data-folder/s3"], &json!({
            "program": "embedded-s3",
            "env": {"ACCESS_KEY": "admin", "SECRET_KEY": "{{ secret('s3/admin-secret-key') }}", "REGION": "us-east-1"},
            "listens": ["s3"],
            "services": ["s3"],
            "secrets": ["s3/admin-secret-key"],
            "ready": {"tcp": {"service": "s3", "within_seconds": 30}},
            "stop": {"signal": "terminate", "within_seconds": 10},
        }))
        .with_within("supervisor/local".parse().unwrap()),
    ];
    let mut graph = Graph::new("demo".parse().unwrap(), resources).unwrap();
    for name in services {
        graph.services.insert(
            name.parse().unwrap(),
            Service {
                name: name.parse().unwrap(),
                component: Some(name.parse().unwrap()),
                scheme: if name == "s3" { "http" } else { "postgresql" }.to_owned(),
                port: s3_port.filter(|_| name == "s3"),
                external: None,
            },
        );
    }
    graph
}

fn provider(providers: &[Arc<dyn Provider>], id: &ResourceId) -> (Arc<dyn Provider>, KindRules) {
    providers
        .iter()
        .find_map(|provider| {
            let rules = provider.rules().remove(id.kind())?;
            Some((Arc::clone(provider), rules))
        })
        .unwrap()
}

/// Does what the engine does, in series, and tells what there was to do.
pub(crate) async fn up(
    graph: &Graph,
    providers: &[Arc<dyn Provider>],
    cx: &Context,
) -> mlops_core::Result<Vec<String>> {
    let mut done = Vec::new();
    for resource in graph.ordered() {
        let (provider, rules) = provider(providers, &resource.id);
        let observed = provider.observe(&[resource], cx).await.remove(0).1;
        let action = decide(resource, &observed, &rules)?;
        if action.is_change() {
            done.push(format!("{} {}", action.verb(), resource.id));
            provider.apply(resource, &action, cx).await?;
            let observed = provider.observe(&[resource], cx).await.remove(0).1;
            assert!(
                matches!(&observed, Observed::Found(found) if found.ready),
                "{observed:?}"
            );
            assert_eq!(decide(resource, &observed, &rules)?, Action::Nothing);
        }
    }
    Ok(done)
}

impl Platform {
    async fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("mlops-").tempdir().unwrap();
        set_mode(folder.path(), 0o711);
        let target = target(folder.path());
        for name in ["postgres/superuser-password", "s3/admin-secret-key"] {
            let made = target
                .secrets()
                .create(
                    &name.parse().unwrap(),
                    SecretText::new("A-secret-of-32-characters-in-all"),
                )
                .await;
            made.unwrap();
        }
        Self {
            target,
            graph: graph(None, 20),
            _folder: folder,
        }
    }

    fn provider(&self, id: &ResourceId) -> (Arc<dyn Provider>, KindRules) {
        provider(&self.target.providers(), id)
    }

    async fn up(&self) -> mlops_core::Result<Vec<String>> {
        let cx = self.target.context(&self.graph, EventSink::none());
        let _lock = self.target.lock(&cx.events).await?;
        up(&self.graph, &self.target.providers(), &cx).await
    }

    async fn remove(&self, id: &str) {
        let cx = self.target.context(&self.graph, EventSink::none());
        let id: ResourceId = id.parse().unwrap();
        let resource = self.graph.find(&id).unwrap();
        self.provider(&id)
            .0
            .apply(resource, &Action::Remove, &cx)
            .await
            .unwrap();
    }

    async fn sql(&self, text: &str) -> Vec<String> {
        let cx = self.target.context(&self.graph, EventSink::none());
        let place = cx.endpoint(&"postgres".parse().unwrap()).await.unwrap();
        let password = cx
            .secret(&"postgres/superuser-password".parse().unwrap())
            .await
            .unwrap();
        let mut config = tokio_postgres::Config::new();
        config
            .host(place.host())
            .port(place.port())
            .user("postgres")
            .password(password.expose())
            .dbname("postgres");
        let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        let rows = client.simple_query(text).await.unwrap();
        drop(client);
        connection.await.unwrap().unwrap();
        rows.into_iter()
            .filter_map(|message| match message {
                tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
                _ => None,
            })
            .collect()
    }

    async fn pid(&self, name: &str) -> Option<u32> {
        self.target.status().await.unwrap().unwrap()[name].pid
    }
}

pub(crate) const EVERYTHING: [&str; 5] = [
    "create data-folder/postgres",
    "create data-folder/s3",
    "create supervisor/local",
    "create process/postgres",
    "create process/s3",
];

pub(crate) fn sorted<T: Into<String> + Clone>(lines: &[T]) -> BTreeSet<String> {
    lines.iter().cloned().map(Into::into).collect()
}

/// PostgreSQL never runs as root, nor with any right of root's groups.
fn assert_unprivileged(pid: u32) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let uids = status
        .lines()
        .find(|line| line.starts_with("Uid:"))
        .unwrap();
    assert!(
        uids.split_whitespace().skip(1).all(|uid| uid != "0"),
        "{uids}"
    );
    let groups = status
        .lines()
        .find(|line| line.starts_with("Groups:"))
        .unwrap();
    assert!(
        !groups.split_whitespace().skip(1).any(|gid| gid == "0"),
        "{groups}"
    );
}

#[tokio::test]
async fn up_twice_down_and_up_again() {
    let platform = Platform::new().await;
    assert_eq!(sorted(&platform.up().await.unwrap()), sorted(&EVERYTHING));
    assert!(platform.up().await.unwrap().is_empty());
    platform
        .sql("create table kept (x int); insert into kept values (42)")
        .await;
    let pid = platform.pid("postgres").await.unwrap();
    assert_unprivileged(pid);
    // Whoever is no superuser is kept out of the databases that every server has.
    let open = "select datname from pg_database where has_database_privilege('public', oid, 'connect') and datallowconn";
    assert_eq!(platform.sql(open).await, [""; 0]);
    let cx = platform.target.context(&platform.graph, EventSink::none());
    let place = cx.endpoint(&"s3".parse().unwrap()).await.unwrap();
    let mut s3 = std::net::TcpStream::connect((place.host(), place.port())).unwrap();
    std::io::Write::write_all(
        &mut s3,
        b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    )
    .unwrap();
    let answer = std::io::read_to_string(&mut s3).unwrap();
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    let data = platform
        .graph
        .find(&"data-folder/postgres".parse().unwrap())
        .unwrap();
    let holds = platform
        .provider(&data.id)
        .0
        .holdings(data, &cx)
        .await
        .unwrap()
        .unwrap();
    assert!(
        holds.contains(" files, ") && holds.ends_with(" MB"),
        "{holds}"
    );
    let stopped = platform.target.stop().await.unwrap();
    assert_eq!(stopped, ["postgres", "s3"]);
    assert!(!is_alive(pid));
    assert_eq!(platform.target.status().await.unwrap(), None);
    assert!(platform.target.stop().await.unwrap().is_empty());
    let place_before = place.port();
    assert_eq!(platform.up().await.unwrap().len(), 3);
    assert_eq!(
        cx.endpoint(&"s3".parse().unwrap()).await.unwrap().port(),
        place_before
    );
    assert_eq!(platform.sql("select x from kept").await, ["42"]);
}

#[tokio::test]
async fn kills_lose_nothing() {
    let platform = Platform::new().await;
    platform.up().await.unwrap();
    platform.sql("create table kept (x int)").await;
    // The server alone: it comes back by itself.
    let pid = platform.pid("postgres").await.unwrap();
    kill(pid);
    let supervisor = platform.target.supervisor();
    eventually("the server is seen to be dead", || !is_alive(pid)).await;
    while platform.pid("postgres").await == Some(pid) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    supervisor
        .wait_until_ready("postgres", Duration::from_secs(20), &|_| {})
        .await
        .unwrap();
    platform.sql("insert into kept values (1)").await;
    // The supervisor: everything ends, and comes back with the next run.
    let info = supervisor.find().await.unwrap().unwrap();
    let pid = platform.pid("postgres").await.unwrap();
    kill(info.pid);
    eventually("the server follows its supervisor", || !is_alive(pid)).await;
    assert_eq!(platform.up().await.unwrap().len(), 3);
    platform.sql("insert into kept values (2)").await;
    // Both at once.
    let info = supervisor.find().await.unwrap().unwrap();
    kill(platform.pid("postgres").await.unwrap());
    kill(info.pid);
    eventually("the supervisor is gone", || !is_alive(info.pid)).await;
    platform.up().await.unwrap();
    assert_eq!(platform.sql("select count(*) from kept").await, ["2"]);
    assert!(platform.up().await.unwrap().is_empty());
}

#[tokio::test]
async fn changes_are_seen_and_made() {
    let mut platform = Platform::new().await;
    platform.up().await.unwrap();
    platform.graph = graph(None, 30);
    assert_eq!(platform.up().await.unwrap(), ["update process/postgres"]);
    assert_eq!(platform.sql("show max_connections").await, ["30"]);
    let port = free_port();
    platform.graph = graph(Some(port), 30);
    assert_eq!(
        platform.up().await.unwrap(),
        ["update supervisor/local", "update process/s3"]
    );
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    // What is left out of the description is not wanted any more.
    let mut next = graph(Some(port), 30);
    let mut resources: Vec<Resource> = next.resources().cloned().collect();
    resources.retain(|resource| resource.id.name() != "s3");
    next = Graph::new(next.platform.clone(), resources).unwrap();
    let cx = platform.target.context(&platform.graph, EventSink::none());
    let mut strays = Vec::new();
    for provider in platform.target.providers() {
        strays.extend(provider.find_strays(&next, &cx).await.unwrap());
    }
    let strays: BTreeMap<String, bool> = strays
        .iter()
        .map(|stray| (stray.id.to_string(), stray.holds_data))
        .collect();
    assert_eq!(
        strays,
        BTreeMap::from([
            ("data-folder/s3".to_owned(), true),
            ("process/s3".to_owned(), false)
        ])
    );
}

#[tokio::test]
async fn removal_keeps_data_that_was_not_named() {
    let platform = Platform::new().await;
    platform.up().await.unwrap();
    for id in [
        "process/postgres",
        "process/s3",
        "data-folder/postgres",
        "supervisor/local",
    ] {
        platform.remove(id).await;
        platform.remove(id).await;
    }
    let folders = platform.target.folders();
    assert!(folders.data("s3").is_dir());
    assert!(
        !folders.data("postgres").exists() && !folders.logs().exists() && !folders.ports().exists()
    );
    platform.remove("data-folder/s3").await;
    for name in platform.target.secrets().list().await.unwrap() {
        platform.target.secrets().remove(&name).await.unwrap();
    }
    let lock = platform.target.lock(&EventSink::none()).await.unwrap();
    platform.target.sweep(lock).unwrap();
    assert!(!folders.root().exists());
}

#[tokio::test]
async fn logs_and_records_can_be_read() {
    let platform = Platform::new().await;
    let seen = Arc::new(Mutex::new(0));
    let count = Arc::clone(&seen);
    platform.up().await.unwrap();
    let sink = platform
        .target
        .record(EventSink::new(move |_| *count.lock().unwrap() += 1));
    sink.progress(&"process/postgres".parse().unwrap(), "a test");
    assert_eq!(*seen.lock().unwrap(), 1);
    let recorded: Vec<Recorded> = platform.target.recorded().unwrap();
    let is = |wanted: &str| {
        recorded.iter().any(|recorded| matches!(&recorded.event, Event::Process { name, what, .. } if name == "postgres" && what == wanted))
    };
    assert!(is("started") && is("ready"), "{recorded:?}");
    assert!(recorded.iter().any(
        |recorded| matches!(&recorded.event, Event::Progress { text, .. } if text == "a test")
    ));
    assert_eq!(platform.target.logged().unwrap(), ["postgres"]);
    let mut log = platform.target.logs("postgres", Follow::No, 100).unwrap();
    let mut lines = Vec::new();
    while let Some(line) = log.next().await.unwrap() {
        lines.push(line);
    }
    assert!(
        lines
            .iter()
            .any(|line| line.contains("ready to accept connections")),
        "{lines:?}"
    );
    let error = platform
        .target
        .logs("postgers", Follow::No, 10)
        .unwrap_err();
    assert!(error.hint().unwrap().contains("`postgres`"), "{error:?}");
    let mut events = platform.target.events(Follow::Yes, 1).unwrap();
    assert!(events.next().await.unwrap().unwrap().contains("a test"));
    sink.progress(&"process/postgres".parse().unwrap(), "more");
    assert!(events.next().await.unwrap().unwrap().contains("more"));
}

#[tokio::test]
async fn two_runs_at_once_take_turns() {
    let platform = Platform::new().await;
    let (one, two) = tokio::join!(platform.up(), platform.up());
    let (one, two) = (one.unwrap(), two.unwrap());
    let (worked, idle) = if one.is_empty() {
        (two, one)
    } else {
        (one, two)
    };
    assert_eq!(sorted(&worked), sorted(&EVERYTHING));
    assert!(idle.is_empty());
}

/// The other user of these tests: `nobody` when we are root, ourselves in front of a closed folder otherwise.
fn as_another(command: &mut std::process::Command) -> &mut std::process::Command {
    use std::os::unix::process::CommandExt;
    if rustix::process::geteuid().is_root() {
        return command.uid(65_534).gid(65_534);
    }
    command
}

#[tokio::test]
async fn a_closed_folder_is_told() {
    let folder = tempfile::tempdir().unwrap();
    set_mode(folder.path(), 0o555);
    let output = as_another(&mut std::process::Command::new(env!(
        "CARGO_BIN_EXE_mlops-supervisor"
    )))
    .args([folder.path(), &folder.path().join("s.sock")])
    .output()
    .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("supervisor.lock") && said.contains("Permission denied"),
        "{said}"
    );
    // A file system that nobody can write to, not even root.
    let target = target(std::path::Path::new("/proc/sys"));
    let error = target.lock(&EventSink::none()).await.unwrap_err();
    assert!(error.to_string().contains("/proc/sys/data"), "{error}");
}

#[tokio::test]
async fn another_user_is_refused_at_both_doors() {
    let world = World::new();
    mlops_local::supervisor::SupervisorApi::ensure(&world.supervisor)
        .await
        .unwrap();
    let socket = world.folders.socket();
    assert_eq!(mode(&socket), 0o600);
    for above in socket
        .ancestors()
        .skip(1)
        .take_while(|above| above.starts_with(world.folder.path()))
    {
        set_mode(above, 0o711);
    }
    let script = "import socket, sys\n\
        s = socket.socket(socket.AF_UNIX)\n\
        s.settimeout(5)\n\
        try:\n    s.connect(sys.argv[1])\n\
        except PermissionError:\n    print('closed'); sys.exit()\n\
        try:\n    s.sendall(b'{\"hello\":{\"protocol\":1}}\\n')\n    print(repr(s.recv(100)))\n\
        except (BrokenPipeError, ConnectionResetError):\n    print(repr(b''))";
    let ask = || {
        let output = as_another(&mut std::process::Command::new("/usr/bin/env"))
            .args(["PATH=/usr/bin:/bin", "python3", "-c", script])
            .arg(&socket)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    if rustix::process::geteuid().is_root() {
        assert_eq!(ask(), "closed");
        set_mode(&socket, 0o666);
        assert_eq!(ask(), "b''");
    } else {
        // Without a second user the other side of the door is what can be seen: we are let in.
        assert!(ask().contains("protocol"));
    }
    assert!(
        mlops_local::supervisor::SupervisorApi::find(&world.supervisor)
            .await
            .unwrap()
            .is_some()
    );
}

#[tokio::test]
async fn a_path_too_long_for_a_socket_works_all_the_same() {
    let folder = tempfile::Builder::new().prefix("mlops-").tempdir().unwrap();
    let deep = folder.path().join("a-folder-with-a-long-name".repeat(4));
    let runtime = tempfile::Builder::new()
        .prefix("mlops-run-")
        .tempdir()
        .unwrap();
    let mut options = target(&deep).options().clone();
    options.roots.runtime = runtime.path().join("r");
    let target = LocalTarget::new(options).unwrap();
    let _lock = target.lock(&EventSink::none()).await.unwrap();
    target.supervisor().ensure().await.unwrap();
    assert!(target.folders().socket().starts_with(runtime.path()));
    assert_eq!(mode(target.folders().socket().parent().unwrap()), 0o700);
    assert_eq!(target.status().await.unwrap(), Some(BTreeMap::new()));
    target.stop().await.unwrap();
}
