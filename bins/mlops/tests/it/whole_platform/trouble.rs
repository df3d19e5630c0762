//! A machine in a bad state: a clear error or a cure, never damage.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use super::home::Home;

/// Two servers only: enough for trouble that has nothing to do with Python.
const SMALL: &str = "\
name: small
components:
  mlflow: { enabled: false }
  model-server: { enabled: false }
models: []
";

fn write(home: &Home, text: &str) {
    std::fs::write(home.path("platform.yaml"), text).unwrap();
}

/// Whether one can be root here; what needs it says so in its own words.
fn is_root() -> bool {
    rustix::process::getuid().is_root()
}

fn run(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output().unwrap();
    assert!(
        output.status.success(),
        "`{program} {}`: {}",
        args.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A file system of its own in a folder, unmounted at the end. Without root it is made in a user namespace's stead
/// by permissions, see the callers.
struct Mount(String);

impl Mount {
    fn tmpfs(folder: &Path, options: &str) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let folder = folder.display().to_string();
        run("mount", &["-t", "tmpfs", "-o", options, "tmpfs", &folder]);
        Self(folder)
    }

    fn remount(&self, options: &str) {
        run("mount", &["-o", &format!("remount,{options}"), &self.0]);
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _gone = Command::new("umount").args(["-l", &self.0]).output();
    }
}

#[test]
fn a_taken_port_is_named_and_the_next_run_cures_it() {
    let home = Home::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    write(&home, &format!("{SMALL}ports: {{ s3: {port} }}\n"));
    let said = home.run(&["up"]).expect(1);
    assert!(said.err.contains(&port.to_string()), "{}", said.err);
    assert!(said.err.contains("hint:"), "{}", said.err);
    drop(taken);
    home.run(&["up"]).expect(0);
    home.run(&["plan", "--exit-code"]).expect(0);
    home.run(&["remove", "--all-data", "--yes"]).expect(0);
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let home = Home::new();
    write(&home, SMALL);
    let folder = home.path("data");
    let mount = is_root().then(|| Mount::tmpfs(&folder, "ro,size=1m"));
    if mount.is_none() {
        use std::os::unix::fs::PermissionsExt;
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o555)).unwrap();
    }
    let said = home.run(&["up"]).expect(1);
    assert!(said.err.contains("data"), "{}", said.err);
    assert!(said.err.contains("caused by:"), "{}", said.err);
    assert!(home.processes().is_empty());
    if let Some(mount) = &mount {
        mount.remount("rw,size=1g,mode=755");
        home.run(&["up"]).expect(0);
        home.run(&["remove", "--all-data", "--yes"]).expect(0);
    }
}

#[test]
fn a_full_disk_is_an_error_and_with_room_the_next_run_goes_on() {
    assert!(
        is_root(),
        "a full disk is made by mounting a small one, which only root may"
    );
    let home = Home::new();
    write(&home, SMALL);
    let mount = Mount::tmpfs(&home.path("data"), "size=12m,mode=755");
    let said = home.run(&["up"]).expect(1);
    let told = said.err.to_lowercase();
    assert!(
        told.contains("no space") || told.contains("disk"),
        "{}",
        said.err
    );
    mount.remount("size=1g");
    home.run(&["up"]).expect(0);
    home.run(&["check"]).expect(0);
    home.run(&["remove", "--all-data", "--yes"]).expect(0);
}

#[test]
fn without_a_network_and_without_a_cache_it_says_how_to_get_one() {
    let home = Home::new();
    let cache = home.path("empty-cache");
    let output = home
        .command(&["up", "--cache-dir", &cache.display().to_string()])
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .env("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
        .env("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
        .env("UV_CACHE_DIR", home.path("uv-cache"))
        .env_remove("PIP_FIND_LINKS")
        .env_remove("UV_FIND_LINKS")
        .output()
        .unwrap();
    let said: super::home::Said = output.into();
    let said = said.expect(1);
    assert!(said.err.contains("hint:"), "{}", said.err);
    assert!(
        said.err.contains("prefetch") || said.err.contains("network"),
        "{}",
        said.err
    );
    home.run(&["remove", "--all-data", "--yes"]).expect(0);
}

#[test]
fn a_broken_python_is_named() {
    let home = Home::new();
    let cache = home.path("empty-cache").display().to_string();
    write(&home, "name: broken\nlocal:\n  python: /bin/false\n");
    let said = home.run(&["up", "--cache-dir", &cache]).expect(1);
    assert!(said.err.contains("/bin/false"), "{}", said.err);
    assert!(said.err.contains("hint:"), "{}", said.err);
    home.run(&["remove", "--all-data", "--yes"]).expect(0);
}

/// A component of the user's own that wants a database and a bucket.
const NOTES: &str = "\
name: notes
title: Notes
description: A component for tests that wants a database and a bucket.
keeps: Its database and its bucket.
bindings:
  store:
    capability: postgres
    database: notes
  files:
    capability: s3
    bucket: notes
";

fn psql(home: &Home, sql: &str) {
    let url = home.run(&["open", "postgres", "--print"]).expect(0).out;
    let authority = url.trim().rsplit('/').next().unwrap().to_owned();
    let (host, port) = authority.rsplit_once(':').unwrap();
    let password = home
        .run(&["credentials", "postgres/superuser-password", "--show"])
        .expect(0)
        .out;
    let output = Command::new("psql")
        .args([
            "-v",
            "ON_ERROR_STOP=1",
            "-h",
            host,
            "-p",
            port,
            "-U",
            "postgres",
            "-c",
            sql,
            "postgres",
        ])
        .env("PGPASSWORD", password.trim())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn a_foreign_database_of_the_same_name_is_a_conflict_until_it_is_adopted() {
    let home = Home::new();
    write(&home, SMALL);
    home.run(&["up"]).expect(0);
    psql(&home, "CREATE DATABASE notes");
    let catalog = home.path("components");
    std::fs::create_dir_all(catalog.join("notes")).unwrap();
    std::fs::write(catalog.join("notes/component.yaml"), NOTES).unwrap();
    let with_notes = SMALL.replace("components:\n", "components:\n  notes: {}\n");
    write(&home, &with_notes);
    let args = ["--catalog", "components"];
    let said = home.run(&[&["up"][..], &args].concat()).expect(1);
    assert!(said.err.contains("postgres-database/notes"), "{}", said.err);
    assert!(said.err.contains("adopt"), "{}", said.err);
    write(
        &home,
        &format!("{with_notes}adopt: [postgres-database/notes]\n"),
    );
    let plan = home.run(&[&["plan"][..], &args].concat()).expect(0);
    assert!(
        plan.out.contains("adopt postgres-database/notes"),
        "{}",
        plan.out
    );
    home.run(&[&["up"][..], &args].concat()).expect(0);
    home.run(&[&["check"][..], &args].concat()).expect(0);
    home.run(&[&["plan", "--exit-code"][..], &args].concat())
        .expect(0);
    home.run(&[&["remove", "--all-data", "--yes"][..], &args].concat())
        .expect(0);
}

#[test]
fn another_users_folder_is_refused() {
    assert!(is_root(), "only root can give a folder to another user");
    let home = Home::new();
    write(&home, SMALL);
    let folder = home.platform("small");
    std::fs::create_dir_all(&folder).unwrap();
    std::os::unix::fs::chown(&folder, Some(12_345), Some(12_345)).unwrap();
    let said = home.run(&["up"]).expect(1);
    assert!(said.err.contains("small"), "{}", said.err);
    assert!(said.err.contains("hint:"), "{}", said.err);
    assert_eq!(
        std::fs::read_dir(&folder).unwrap().count(),
        0,
        "nothing was written into it"
    );
}

#[test]
fn files_from_another_time_do_not_matter() {
    let home = Home::new();
    write(&home, SMALL);
    home.run(&["up"]).expect(0);
    for date in ["2001-01-01T00:00:00", "2099-01-01T00:00:00"] {
        run(
            "find",
            &[
                &home.platform("small").display().to_string(),
                "-exec",
                "touch",
                "-h",
                "-d",
                date,
                "{}",
                "+",
            ],
        );
        home.run(&["status"]).expect(0);
        home.run(&["plan", "--exit-code"]).expect(0);
        home.run(&["down"]).expect(0);
        home.run(&["up"]).expect(0);
        home.run(&["check"]).expect(0);
    }
    home.run(&["remove", "--all-data", "--yes"]).expect(0);
}

#[test]
fn a_saved_plan_is_refused_when_the_world_has_changed() {
    let home = Home::new();
    write(&home, SMALL);
    home.run(&["plan", "--save", "plan.json"]).expect(0);
    home.run(&["up"]).expect(0);
    let said = home.run(&["up", "--plan", "plan.json"]).expect(1);
    assert!(said.err.contains("changed since"), "{}", said.err);
    home.run(&["plan", "--save", "empty.json"]).expect(0);
    home.run(&["up", "--plan", "empty.json"]).expect(0);
    home.run(&["remove", "--all-data", "--yes"]).expect(0);
}

#[test]
fn an_interrupted_run_says_130_and_the_next_goes_on() {
    let home = Home::new();
    let mut child = home.start(&["up"]);
    std::thread::sleep(std::time::Duration::from_millis(1500));
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(130), "{}", home.started_log());
    home.run(&["up"]).expect(0);
    home.run(&["check"]).expect(0);
    home.run(&["remove", "--all-data", "--yes"]).expect(0);
}
