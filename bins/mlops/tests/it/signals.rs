//! Ctrl-C and SIGTERM.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::World;

/// A run of `mlops events -f` that listens, since it has printed the one event that is recorded.
fn listening(world: &World) -> Child {
    world.write("platform.yaml", "name: demo\n");
    let record = world.home.path().join("data/mlops/platforms/demo");
    std::fs::create_dir_all(&record).unwrap();
    std::fs::write(
        record.join("events.jsonl"),
        "{\"at\":\"2026-01-02T03:04:05Z\",\"event\":\"process\",\"name\":\"s3\",\"what\":\"started\"}\n",
    )
    .unwrap();
    let mut child = world
        .command(&["events", "-f"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "2026-01-02T03:04:05.000Z  process `s3` started\n");
    child
}

fn code_after(signal: Signal) -> Option<i32> {
    let world = World::new();
    let mut child = listening(&world);
    let pid = Pid::from_child(&child);
    kill_process(pid, signal).unwrap();
    let begin = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        if begin.elapsed() > Duration::from_secs(20) {
            child.kill().unwrap();
            panic!("it does not end");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn interrupt_ends_with_130() {
    assert_eq!(code_after(Signal::INT), Some(130));
}

#[test]
fn terminate_ends_with_130() {
    assert_eq!(code_after(Signal::TERM), Some(130));
}
