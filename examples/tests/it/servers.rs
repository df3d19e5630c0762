//! Recipes that need one server.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use mlops_testkit::postgres::TestPostgres;

use crate::home::Home;
use crate::{example, run};

/// The recipe `serve_s3`, running.
struct S3 {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
    url: String,
}

impl S3 {
    fn start(folder: &std::path::Path) -> Self {
        let mut child = admin(&mut example("serve_s3"))
            .arg(folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("S3 at ").unwrap().to_owned();
        Self { child, output, url }
    }

    /// Ctrl-C, and what it says then.
    fn interrupt(mut self) -> String {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        assert!(self.child.wait().unwrap().success());
        line
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _ended = self.child.wait();
    }
}

fn admin(command: &mut Command) -> &mut Command {
    command
        .env("S3_ACCESS_KEY", "admin")
        .env("S3_SECRET_KEY", "a-secret-for-tests")
}

#[test]
fn serve_s3_and_make_bucket_and_key() {
    let folder = tempfile::tempdir().unwrap();
    let server = S3::start(&folder.path().join("objects"));
    let make = |arguments: &[&str]| {
        run(admin(&mut example("make_bucket_and_key"))
            .args(arguments)
            .env("S3_URL", &server.url)
            .env("REPORTS_SECRET_KEY", "another-secret-for-tests"))
    };
    for outcome in ["created", "unchanged"] {
        assert_eq!(
            make(&[]),
            format!("key reports: {outcome}\nbucket reports: {outcome}\nobjects: first.txt\n")
        );
    }
    assert_eq!(make(&["remove"]), "removed\n");
    assert!(make(&[]).starts_with("key reports: created\nbucket reports: created\n"));
    assert_eq!(server.interrupt(), "stopped\n");
}

/// The superuser of a test's server, as variables.
fn superuser<'a>(command: &'a mut Command, server: &TestPostgres) -> &'a mut Command {
    command
        .env("POSTGRES_URL", server.url())
        .env("PGUSER", "postgres")
        .env("PGPASSWORD", TestPostgres::PASSWORD)
}

#[test]
fn make_database_and_role() {
    let server = TestPostgres::shared();
    let make = |arguments: &[&str]| {
        run(superuser(&mut example("make_database_and_role"), server)
            .args(arguments)
            .env("REPORTS_PASSWORD", "a-password-for-tests"))
    };
    for outcome in ["created", "unchanged"] {
        assert_eq!(
            make(&[]),
            format!("role reports: {outcome}\ndatabase reports: {outcome}\nsigns in: true\n")
        );
    }
    assert_eq!(make(&["remove"]), "removed\n");
}

#[test]
fn use_external_postgres() {
    use mlops_core::{Endpoint, SecretText};
    use mlops_storage::postgres::{Connect, Login, PostgresClient};

    let home = Home::new();
    let server = TestPostgres::start();
    let databases = || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let endpoint = Endpoint::new(server.url().parse().unwrap()).unwrap();
            let password = SecretText::new(TestPostgres::PASSWORD);
            let login = Login::new("postgres", password, "postgres");
            let admin = PostgresClient::new()
                .admin(&endpoint, &login)
                .await
                .unwrap();
            // One of somebody else's, made once.
            let foreign = "theirs".parse().unwrap();
            let _there = admin
                .create_database(&foreign, &"postgres".parse().unwrap(), "UTF8")
                .await;
            let names = admin.catalogue().await.unwrap().databases.into_keys();
            names.collect::<Vec<String>>()
        })
    };
    assert_eq!(databases(), ["postgres", "theirs"]);

    let text = run(superuser(
        &mut home.example("use_external_postgres"),
        &server,
    ));
    for line in [
        "create postgres-role/notes",
        "create postgres-database/notes",
        "create process/s3",
        "notes/store passed: true",
        "remove postgres-database/notes",
        "remove data-folder/s3",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
    // Its own server was not started, and what is not its own was not touched.
    assert!(!text.contains("process/postgres"), "{text}");
    assert_eq!(databases(), ["postgres", "theirs"]);
    home.is_left_empty();
}
