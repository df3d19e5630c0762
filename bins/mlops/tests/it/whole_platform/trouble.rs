//! A machine in a bad state: a clear error or a cure, never damage.

use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::home::{Home, Said, interrupt, psql};

/// Two servers only: enough for trouble that has nothing to do with Python.
pub(super) const SMALL: &str = "\
name: small
components:
  mlflow: { enabled: false }
  model-server: { enabled: false }
models: []
";

pub(super) fn write(home: &Home, text: &str) {
    std::fs::write(home.path("platform.yaml"), text).unwrap();
}

/// Whether one can be root here; what needs it says so in its own words.
pub(super) fn is_root() -> bool {
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
    let whole = home.platform("small").display().to_string();
    for part in [whole.as_str(), "caused by:", "hint:", "XDG_DATA_HOME"] {
        assert!(said.err.contains(part), "no {part} in: {}", said.err);
    }
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
fn a_broken_python_is_named() {
    let home = Home::new();
    let cache = home.path("empty-cache").display().to_string();
    write(&home, "name: broken\nlocal:\n  python: /bin/false\n");
    let said = home.run(&["up", "--cache-dir", &cache]).expect(1);
    assert!(said.err.contains("/bin/false"), "{}", said.err);
    assert!(said.err.contains("hint:"), "{}", said.err);
    home.run(&["remove", "--all-data", "--yes"]).expect(0);
}

/// What the machine's cache has under that name.
pub(super) fn cached(home: &Home, what: &str) -> PathBuf {
    let all = home.run(&["prefetch", "--output", "json"]).expect(0).json();
    let one = all
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["what"] == what);
    one.unwrap()["path"].as_str().unwrap().into()
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

/// Adds the component to the platform; what the command is told then.
pub(super) fn with_notes(home: &Home, more: &str) -> [&'static str; 2] {
    let folder = home.path("components").join("notes");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("component.yaml"), NOTES).unwrap();
    let small = SMALL.replace("components:\n", "components:\n  notes: {}\n");
    write(home, &format!("{small}{more}"));
    ["--catalog", "components"]
}

/// What PostgreSQL answers to its superuser.
fn ask_postgres(home: &Home, sql: &str) -> String {
    let url = home.run(&["open", "postgres", "--print"]).expect(0).out;
    let password = &home.secrets("small")["postgres/superuser-password"];
    psql(&url, password, sql)
}

/// What a stock client of S3 prints that does this with the bucket of the same name.
fn ask_s3(home: &Home, url: &str, python: &Path, script: &str) -> String {
    let script = format!(
        "import boto3, os\n\
         s3 = boto3.client('s3', endpoint_url='{}', region_name='us-east-1', aws_access_key_id='admin', \
         aws_secret_access_key=os.environ['KEY'])\n{script}",
        url.trim()
    );
    let output = Command::new(python)
        .args(["-I", "-c", &script])
        .env("KEY", &home.secrets("small")["s3/admin-secret-key"])
        .output()
        .unwrap();
    Said::from(output).expect(0).out.trim().to_owned()
}

#[test]
fn a_foreign_database_or_bucket_of_the_same_name_is_a_conflict_until_it_is_adopted() {
    let home = Home::new();
    write(&home, SMALL);
    home.run(&["up"]).expect(0);
    let python = cached(&home, "python");
    let s3 = home.run(&["open", "s3", "--print"]).expect(0).out;
    ask_postgres(&home, "CREATE DATABASE notes");
    let make = "s3.create_bucket(Bucket='notes')\ns3.put_object(Bucket='notes', Key='letter', Body=b'kept')";
    ask_s3(&home, &s3, &python, make);
    let args = with_notes(&home, "");
    let said = home.run(&[&["up"][..], &args].concat()).expect(1);
    let foreign = ["postgres-database/notes", "s3-bucket/notes"];
    for part in foreign.into_iter().chain(["adopt"]) {
        assert!(said.err.contains(part), "{}", said.err);
    }
    with_notes(&home, "adopt: [postgres-database/notes, s3-bucket/notes]\n");
    let plan = home.run(&[&["plan"][..], &args].concat()).expect(0);
    for id in foreign {
        assert!(plan.out.contains(&format!("adopt {id}")), "{}", plan.out);
    }
    home.run(&[&["up"][..], &args].concat()).expect(0);
    home.run(&[&["check"][..], &args].concat()).expect(0);
    home.run(&[&["plan", "--exit-code"][..], &args].concat())
        .expect(0);
    let letter = "print(s3.get_object(Bucket='notes', Key='letter')['Body'].read())";
    assert_eq!(ask_s3(&home, &s3, &python, letter), "b'kept'");
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
    chown(&folder, Some(12_345), Some(12_345)).unwrap();
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
    interrupt(child.id());
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(130), "{}", home.started_log());
    home.run(&["up"]).expect(0);
    home.run(&["check"]).expect(0);
    home.run(&["remove", "--all-data", "--yes"]).expect(0);
}
