use std::time::{Duration, Instant};

use mlops_core::ErrorKind;
use mlops_core::process::{Ready, StopSignal};
use mlops_local::supervisor::{State, SupervisorApi, WireSecret};

use crate::world::*;

#[tokio::test]
async fn a_process_starts_answers_stops_and_leaves_nothing() {
    let world = World::new();
    assert!(world.supervisor.find().await.unwrap().is_none());
    assert!(world.supervisor.status().await.unwrap().is_empty());
    let info = world.supervisor.ensure().await.unwrap();
    assert_eq!(world.supervisor.ensure().await.unwrap().pid, info.pid);
    let port = free_port();
    let process = web(&world, "web", port);
    world.supervisor.start("web", &process).await.unwrap();
    ready(&world, "web").await.unwrap();
    let first = pid_of(&world, "web").await;
    // The same again changes nothing, another one replaces it.
    world.supervisor.start("web", &process).await.unwrap();
    ready(&world, "web").await.unwrap();
    assert_eq!(pid_of(&world, "web").await, first);
    let mut other = process.clone();
    other.env.insert("X".to_owned(), WireSecret::new("y"));
    world.supervisor.start("web", &other).await.unwrap();
    ready(&world, "web").await.unwrap();
    assert_ne!(pid_of(&world, "web").await, first);
    assert!(!is_alive(first));
    let status = world
        .supervisor
        .status()
        .await
        .unwrap()
        .remove("web")
        .unwrap();
    assert_eq!(
        (status.state, status.restarts, status.spec),
        (State::Ready, 0, process.spec)
    );
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    let pid = status.pid.unwrap();
    world.supervisor.stop("web").await.unwrap();
    world.supervisor.stop("web").await.unwrap();
    assert!(!is_alive(pid));
    assert!(world.supervisor.status().await.unwrap().is_empty());
    world.supervisor.shutdown().await.unwrap();
    world.supervisor.shutdown().await.unwrap();
    assert!(!is_alive(info.pid));
    assert!(!world.folders.socket().exists());
}

#[tokio::test]
async fn users_stop_before_what_they_use_and_slow_ones_are_killed() {
    let world = World::new();
    world.supervisor.ensure().await.unwrap();
    let log = world.folder.path().join("order");
    let script = |name: &str, port: u16| {
        format!(
            "trap 'sleep 0.2; echo {name} >> {}; kill $!; exit 0' TERM; python3 -m http.server --bind 127.0.0.1 {port} & wait",
            log.display()
        )
    };
    let (below, above, stubborn) = (free_port(), free_port(), free_port());
    let below_process = shell(&world, "a-below", below, &script("below", below));
    let mut above_process = shell(&world, "b-above", above, &script("above", above));
    above_process
        .spec
        .services
        .insert("a-below".parse().unwrap());
    let deaf = format!(
        "trap '' TERM; while true; do python3 -m http.server --bind 127.0.0.1 {stubborn}; sleep 0.1; done"
    );
    let mut deaf = shell(&world, "deaf", stubborn, &deaf);
    deaf.spec.stop.within_seconds = 1;
    for (name, process) in [
        ("a-below", &below_process),
        ("b-above", &above_process),
        ("deaf", &deaf),
    ] {
        world.supervisor.start(name, process).await.unwrap();
    }
    for name in ["a-below", "b-above", "deaf"] {
        ready(&world, name).await.unwrap();
    }
    let pids: Vec<u32> = world
        .supervisor
        .status()
        .await
        .unwrap()
        .values()
        .filter_map(|status| status.pid)
        .collect();
    assert_eq!(pids.len(), 3);
    let began = Instant::now();
    world.supervisor.shutdown().await.unwrap();
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(std::fs::read_to_string(&log).unwrap(), "above\nbelow\n");
    assert!(!pids.into_iter().any(is_alive));
    for port in [below, above, stubborn] {
        assert!(
            std::net::TcpListener::bind(("127.0.0.1", port)).is_ok(),
            "{port} is still held"
        );
    }
}

#[tokio::test]
async fn what_dies_is_started_again_with_growing_pauses() {
    let world = World::new();
    world.supervisor.ensure().await.unwrap();
    let process = web(&world, "web", free_port());
    world.supervisor.start("web", &process).await.unwrap();
    ready(&world, "web").await.unwrap();
    let mut took = Vec::new();
    for restarts in 1..=3 {
        let pid = pid_of(&world, "web").await;
        let began = Instant::now();
        kill(pid);
        loop {
            let status = world
                .supervisor
                .status()
                .await
                .unwrap()
                .remove("web")
                .unwrap();
            if status.restarts == restarts && status.pid.is_some() {
                assert_eq!(status.last_exit.as_deref(), Some("signal 9"));
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        took.push(began.elapsed());
        ready(&world, "web").await.unwrap();
    }
    assert!(
        took[0] >= Duration::from_millis(200) && took[0] < Duration::from_secs(2),
        "{took:?}"
    );
    assert!(
        took[1] >= Duration::from_millis(400) && took[2] >= Duration::from_millis(800),
        "{took:?}"
    );
    let events = std::fs::read_to_string(world.folders.events()).unwrap();
    assert_eq!(events.matches(r#""what":"exited""#).count(), 3, "{events}");
    assert_eq!(events.matches(r#""what":"ready""#).count(), 4, "{events}");
}

#[tokio::test]
async fn what_never_works_fails_with_its_last_lines() {
    let world = World::new();
    world.supervisor.ensure().await.unwrap();
    let process = shell(
        &world,
        "broken",
        free_port(),
        "echo one; echo no such setting >&2; exit 7",
    );
    let began = Instant::now();
    world.supervisor.start("broken", &process).await.unwrap();
    let error = ready(&world, "broken").await.unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(5));
    let causes = error.causes().join("\n");
    assert!(
        causes.contains("exit code 7") && causes.contains("no such setting"),
        "{causes}"
    );
    let status = world
        .supervisor
        .status()
        .await
        .unwrap()
        .remove("broken")
        .unwrap();
    assert_eq!(
        (status.state, status.failed_starts, status.pid),
        (State::Failed, 3, None)
    );
    // Asking again tries again; what was mended works.
    world.supervisor.start("broken", &process).await.unwrap();
    assert!(ready(&world, "broken").await.is_err());
    let mended = web(&world, "broken", free_port());
    world.supervisor.start("broken", &mended).await.unwrap();
    ready(&world, "broken").await.unwrap();
    // A program that is not there is told as such.
    let mut missing = shell(&world, "missing", free_port(), "");
    missing.runs = mlops_local::supervisor::Runs::Program {
        path: "/no/such/program".into(),
        account: None,
        postgres_data: None,
    };
    world.supervisor.start("missing", &missing).await.unwrap();
    let error = ready(&world, "missing").await.unwrap_err();
    assert!(
        error.causes().join("\n").contains("/no/such/program"),
        "{error:?}"
    );
    // One that runs and never answers fails in time.
    let mut silent = shell(
        &world,
        "silent",
        free_port(),
        "echo thinking; exec sleep 1000",
    );
    silent.spec.ready = Ready::Tcp {
        service: "silent".parse().unwrap(),
        within_seconds: 1,
    };
    world.supervisor.start("silent", &silent).await.unwrap();
    let error = ready(&world, "silent").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed);
    assert!(error.causes().join("\n").contains("thinking"), "{error:?}");
}

#[tokio::test]
async fn a_taken_port_is_told_and_its_holder_named() {
    let world = World::new();
    world.supervisor.ensure().await.unwrap();
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = held.local_addr().unwrap().port();
    world
        .supervisor
        .start("web", &web(&world, "web", port))
        .await
        .unwrap();
    let error = ready(&world, "web").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains(&port.to_string()), "{error}");
    assert!(
        error
            .causes()
            .join(" ")
            .contains(&std::process::id().to_string()),
        "{error:?}"
    );
    assert!(error.hint().unwrap().contains("port"));
    drop(held);
    world
        .supervisor
        .start("web", &web(&world, "web", port))
        .await
        .unwrap();
    ready(&world, "web").await.unwrap();
}

#[tokio::test]
async fn children_end_with_a_killed_supervisor_and_a_new_one_takes_over() {
    let world = World::new();
    let info = world.supervisor.ensure().await.unwrap();
    let (port, stubborn) = (free_port(), free_port());
    let process = web(&world, "web", port);
    // It ignores the signal that tells it of its parent's death, and so does its child.
    let deaf = format!("trap '' TERM; python3 -m http.server --bind 127.0.0.1 {stubborn}");
    let deaf = shell(&world, "deaf", stubborn, &deaf);
    world.supervisor.start("web", &process).await.unwrap();
    world.supervisor.start("deaf", &deaf).await.unwrap();
    ready(&world, "web").await.unwrap();
    ready(&world, "deaf").await.unwrap();
    let (pid, deaf_pid) = (pid_of(&world, "web").await, pid_of(&world, "deaf").await);
    kill(info.pid);
    eventually("the child ends by itself", || !is_alive(pid)).await;
    assert!(is_alive(deaf_pid));
    assert!(world.supervisor.find().await.unwrap().is_none());
    assert!(
        world.folders.socket().exists(),
        "the socket of the dead one is in the way"
    );
    let began = Instant::now();
    let next = world.supervisor.ensure().await.unwrap();
    assert_ne!(next.pid, info.pid);
    assert!(!is_alive(deaf_pid));
    assert!(
        began.elapsed() < Duration::from_secs(25),
        "{:?}",
        began.elapsed()
    );
    world.supervisor.start("web", &process).await.unwrap();
    world.supervisor.start("deaf", &deaf).await.unwrap();
    ready(&world, "web").await.unwrap();
    ready(&world, "deaf").await.unwrap();
}

#[tokio::test]
async fn down_after_a_killed_supervisor_leaves_nothing() {
    let world = World::new();
    let info = world.supervisor.ensure().await.unwrap();
    let port = free_port();
    let deaf = format!("trap '' INT; python3 -m http.server --bind 127.0.0.1 {port}");
    let mut deaf = shell(&world, "deaf", port, &deaf);
    deaf.spec.stop.signal = StopSignal::Interrupt;
    world.supervisor.start("deaf", &deaf).await.unwrap();
    ready(&world, "deaf").await.unwrap();
    let pid = pid_of(&world, "deaf").await;
    kill(info.pid);
    eventually("the supervisor is gone", || !is_alive(info.pid)).await;
    world.supervisor.shutdown().await.unwrap();
    assert!(!is_alive(pid));
    assert!(std::net::TcpListener::bind(("127.0.0.1", port)).is_ok());
}

#[tokio::test]
async fn there_is_one_supervisor_only() {
    let world = World::new();
    let starts = (0..4).map(|_| world.supervisor.ensure());
    let infos = futures::future::try_join_all(starts).await.unwrap();
    assert!(
        infos.iter().all(|info| info.pid == infos[0].pid),
        "{infos:?}"
    );
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_mlops-supervisor"))
        .args([world.folders.root(), &world.folders.socket()])
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains(&format!("process {}", infos[0].pid)),
        "{said}"
    );
    assert_eq!(
        world.supervisor.find().await.unwrap().unwrap().pid,
        infos[0].pid
    );
}

#[tokio::test]
async fn sigterm_is_an_orderly_stop() {
    let world = World::new();
    let info = world.supervisor.ensure().await.unwrap();
    world
        .supervisor
        .start("web", &web(&world, "web", free_port()))
        .await
        .unwrap();
    ready(&world, "web").await.unwrap();
    let pid = pid_of(&world, "web").await;
    let supervisor = rustix::process::Pid::from_raw(i32::try_from(info.pid).unwrap()).unwrap();
    // The end of the terminal is no reason to stop.
    rustix::process::kill_process(supervisor, rustix::process::Signal::HUP).unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(pid_of(&world, "web").await, pid);
    rustix::process::kill_process(supervisor, rustix::process::Signal::TERM).unwrap();
    eventually("the supervisor ends", || !is_alive(info.pid)).await;
    assert!(!is_alive(pid));
    assert!(!world.folders.socket().exists());
    let events = std::fs::read_to_string(world.folders.events()).unwrap();
    assert!(events.contains(r#""what":"stopped""#), "{events}");
}

#[tokio::test]
async fn secrets_are_in_memory_and_private_files_only() {
    let world = World::new();
    world.supervisor.ensure().await.unwrap();
    let secret = "hunter2-hunter2-hunter2";
    let port = free_port();
    let script = format!(
        "echo my password is $PASSWORD; cat conf/auth.ini; exec python3 -u -m http.server --bind 127.0.0.1 {port}"
    );
    let mut process = shell(&world, "web", port, &script);
    process
        .env
        .insert("PASSWORD".to_owned(), WireSecret::new(secret));
    process.files.insert(
        "conf/auth.ini".to_owned(),
        WireSecret::new(format!("password={secret}\n")),
    );
    process.hidden.push(WireSecret::new(secret));
    assert!(!format!("{process:?}").contains(secret));
    world.supervisor.start("web", &process).await.unwrap();
    ready(&world, "web").await.unwrap();
    let file = world.folders.run("web").join("conf/auth.ini");
    assert_eq!(
        std::fs::read_to_string(&file).unwrap(),
        format!("password={secret}\n")
    );
    assert_eq!(mode(&file), 0o600);
    for path in files_below(world.folder.path()) {
        assert_eq!(mode(&path) & 0o077, 0, "{}", path.display());
        let holds = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).contains(secret);
        assert_eq!(holds, path == file, "{}", path.display());
    }
    let log = std::fs::read_to_string(world.folders.log("web")).unwrap();
    assert!(log.contains("my password is …"), "{log}");
    for process in std::fs::read_dir("/proc").unwrap() {
        let line = std::fs::read(process.unwrap().path().join("cmdline")).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&line).contains(secret));
    }
    let status = serde_json::to_string(&world.supervisor.status().await.unwrap()).unwrap();
    assert!(!status.contains(secret));
}
