//! The command as a person types it, against a real API server.
#![expect(
    clippy::unwrap_used,
    clippy::too_many_lines,
    reason = "helpers of tests fail by panicking, as tests do; a test tells one story"
)]

mod namespaces;
mod versions;
mod waiting;
mod writes;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use mlops_testkit::kubernetes::TestCluster;

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mlops-apply"));
    command.env_clear().stdin(Stdio::null());
    command
}

fn on_cluster() -> Command {
    let mut command = command();
    command
        .arg("--kubeconfig")
        .arg(TestCluster::shared().kubeconfig());
    command
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).unwrap();
}

fn map(name: &str, value: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: {name} }}\ndata: {{ text: '{value}' }}\n"
    )
}

const NAMESPACE: &str = "apiVersion: v1\nkind: Namespace\nmetadata: { name: typed }\n";

#[test]
fn a_folder_is_planned_applied_pruned_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "namespace.yaml", NAMESPACE);
    write(folder.path(), "one.yaml", &map("one", "1"));
    write(folder.path(), "two.yaml", &map("two", "2"));
    let run = |more: &[&str]| {
        let mut command = on_cluster();
        command
            .arg(folder.path())
            .args(["--set", "typed", "-n", "typed"]);
        command.args(more).output().unwrap()
    };

    let plan = run(&["--plan", "--exit-code"]);
    assert_eq!(code(&plan), 3, "{}", err(&plan));
    assert!(
        out(&plan).contains("+ create ConfigMap/one in typed"),
        "{}",
        out(&plan)
    );
    let applied = run(&[]);
    assert_eq!(code(&applied), 0, "{}", err(&applied));
    assert!(
        err(&applied).contains("ConfigMap/one in typed: created"),
        "{}",
        err(&applied)
    );
    let plan = run(&["--plan", "--exit-code"]);
    assert_eq!(
        (
            code(&plan),
            out(&plan).contains("nothing to do for 3 objects")
        ),
        (0, true)
    );

    std::fs::remove_file(folder.path().join("two.yaml")).unwrap();
    write(folder.path(), "one.yaml", &map("one", "other"));
    let plan = run(&["--plan", "--output", "json"]);
    let plan: serde_json::Value = serde_json::from_slice(&plan.stdout).unwrap();
    assert_eq!(plan["changes"].as_array().unwrap().len(), 3);
    let applied = run(&["--quiet"]);
    assert_eq!((code(&applied), err(&applied)), (0, String::new()));
    assert!(
        out(&applied).starts_with("2 done, 1 as wanted, 0 failed"),
        "{}",
        out(&applied)
    );

    let removed = on_cluster()
        .args(["--remove", "--set", "typed", "-n", "typed"])
        .output()
        .unwrap();
    assert_eq!(code(&removed), 0, "{}{}", out(&removed), err(&removed));
    assert!(
        err(&removed).contains("ConfigMap/one in typed: removed"),
        "{}",
        err(&removed)
    );
}

#[test]
fn two_at_once_take_turns_and_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let space = NAMESPACE.replace("typed", "turns");
    write(folder.path(), "namespace.yaml", &space);
    for at in 0..40 {
        let name = format!("map-{at}");
        write(folder.path(), &format!("{name}.yaml"), &map(&name, "1"));
    }
    let start = |more: &[&str]| {
        let mut command = on_cluster();
        command
            .arg(folder.path())
            .args(["--set", "turns", "-n", "turns"]);
        let command = command.args(more).env("USER", "somebody");
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    // One of both does all, and the other finds it done.
    let both = [start(&[]), start(&[])].map(|run| run.wait_with_output().unwrap());
    let mut done: Vec<String> = both
        .iter()
        .map(|run| {
            assert_eq!(code(run), 0, "{}{}", out(run), err(run));
            out(run).split(", ").take(2).collect::<Vec<_>>().join(", ")
        })
        .collect();
    done.sort();
    // The namespace is made before there can be a lease in it, by either or by both at once.
    let is_one_of = |text: &str, both: [&str; 2]| both.contains(&text);
    let idle = ["0 done, 41 as wanted", "1 done, 40 as wanted"];
    assert!(is_one_of(&done[0], idle), "{done:?}");
    let busy = ["40 done, 1 as wanted", "41 done, 0 as wanted"];
    assert!(is_one_of(&done[1], busy), "{done:?}");

    // Somebody else has the lease, and is dead.
    let lease = "apiVersion: coordination.k8s.io/v1\nkind: Lease\nmetadata: { name: mlops-set-turns }\n\
        spec: { holderIdentity: build-7, leaseDurationSeconds: 4, leaseTransitions: 9 }\n";
    let held = folder.path().join("held.yaml");
    write(folder.path(), "held.yaml", lease);
    let taken = on_cluster()
        .arg(&held)
        .args(["-n", "turns", "--adopt", "--take"])
        .output()
        .unwrap();
    assert_eq!(code(&taken), 0, "{}", err(&taken));
    std::fs::remove_file(&held).unwrap();
    // Who finds nothing to do waits for nobody.
    let idle = start(&["--wait-for-lock", "0"]).wait_with_output().unwrap();
    assert_eq!(code(&idle), 0, "{}", err(&idle));
    write(folder.path(), "map-0.yaml", &map("map-0", "2"));
    let refused = start(&["--wait-for-lock", "0"]).wait_with_output().unwrap();
    assert_eq!(code(&refused), 1, "{}", err(&refused));
    assert!(
        err(&refused).contains("caused by: `build-7` holds it"),
        "{}",
        err(&refused)
    );
    let waited = start(&["--wait-for-lock", "30"])
        .wait_with_output()
        .unwrap();
    assert_eq!(code(&waited), 0, "{}", err(&waited));
    assert!(
        err(&waited).contains(
            "Lease.coordination.k8s.io/mlops-set-turns in turns: waits: `build-7` holds it"
        ),
        "{}",
        err(&waited)
    );
    let listed = on_cluster()
        .args(["--remove", "--set", "turns", "-n", "turns"])
        .output()
        .unwrap();
    assert_eq!(code(&listed), 0, "{}", err(&listed));
}

#[test]
fn what_holds_data_stays_and_is_named_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let claim = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: { name: data }\n\
        spec: { accessModes: [ReadWriteOnce], resources: { requests: { storage: 1Mi } } }\n";
    write(folder.path(), "claim.yaml", claim);
    write(folder.path(), "one.yaml", &map("one", "1"));
    let run = |args: &[&str]| {
        let mut command = on_cluster();
        let command = command.args(args).args(["--set", "stays", "-n", "default"]);
        command.output().unwrap()
    };
    let path = folder.path().to_str().unwrap();
    let applied = run(&[path, "--no-wait"]);
    assert_eq!(code(&applied), 0, "{}", err(&applied));
    let removed = run(&["--remove"]);
    assert_eq!(code(&removed), 0, "{}", err(&removed));
    let text = out(&removed);
    assert!(
        text.contains("PersistentVolumeClaim/data in default: kept: it holds data"),
        "{text}"
    );
    assert!(text.starts_with("1 done, 0 as wanted"), "{text}");
    let data = "PersistentVolumeClaim/data in default";
    let removed = run(&["--remove", "--data", data, "--within", "5"]);
    // Nobody takes the finalizer of the claim away here, and that is said.
    assert_eq!(code(&removed), 1, "{}", out(&removed));
    assert!(
        err(&removed).contains("kubernetes.io/pvc-protection"),
        "{}",
        err(&removed)
    );
}

#[test]
fn a_server_that_does_not_answer_is_named_with_the_cause() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "one.yaml", &map("one", "1"));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let text = format!(
        "{{apiVersion: v1, kind: Config, current-context: c, contexts: [{{name: c, context: {{cluster: c, user: u}}}}],
          clusters: [{{name: c, cluster: {{server: 'https://{address}'}}}}], users: [{{name: u, user: {{}}}}]}}"
    );
    write(folder.path(), "kubeconfig", &text);
    let failed = command()
        .arg(folder.path().join("one.yaml"))
        .arg("--kubeconfig")
        .arg(folder.path().join("kubeconfig"))
        .output()
        .unwrap();
    let said = err(&failed);
    assert_eq!(code(&failed), 1, "{said}");
    assert!(
        said.contains(&format!(
            "no answer from `https://{address}`: Connection refused"
        )),
        "{said}"
    );
    assert!(
        said.contains("hint: check that the API server runs"),
        "{said}"
    );
}

#[test]
fn without_a_cluster_everything_is_a_create() {
    let mut child = command()
        .args(["-", "--offline", "-n", "models"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(map("one", "1").as_bytes()).unwrap();
    drop(stdin);
    let planned = child.wait_with_output().unwrap();
    assert_eq!(
        (code(&planned), out(&planned).as_str()),
        (
            0,
            "+ create ConfigMap/one in models\n1 to create, 0 to change, 0 to remove\n"
        )
    );
}

#[test]
fn wrong_input_has_its_place_and_its_code() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "wrong.yaml", "apiVersion: v1\nkind: [\n");
    let wrong = command()
        .arg(folder.path())
        .arg("--offline")
        .output()
        .unwrap();
    assert_eq!(code(&wrong), 2);
    assert!(err(&wrong).contains("wrong.yaml"), "{}", err(&wrong));

    let empty = tempfile::tempdir().unwrap();
    let empty = command()
        .arg(empty.path())
        .arg("--offline")
        .output()
        .unwrap();
    assert_eq!(code(&empty), 2, "{}", err(&empty));
    let unsaid = command().output().unwrap();
    assert_eq!(code(&unsaid), 2);
    let unreachable = folder.path().join("no-kubeconfig");
    write(folder.path(), "wrong.yaml", &map("one", "1"));
    let unreachable = command()
        .arg(folder.path())
        .arg("--kubeconfig")
        .arg(unreachable)
        .output()
        .unwrap();
    assert_eq!(code(&unreachable), 2, "{}", err(&unreachable));
}

#[test]
fn what_a_kubeconfig_runs_is_said_before() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "one.yaml", &map("one", "1"));
    let text = format!(
        "{{apiVersion: v1, kind: Config, current-context: c, contexts: [{{name: c, context: {{cluster: c, user: u}}}}],
          clusters: [{{name: c, cluster: {{server: '{}'}}}}],
          users: [{{name: u, user: {{exec: {{apiVersion: client.authentication.k8s.io/v1, command: /bin/false, args: [token], interactiveMode: Never}}}}}}]}}",
        TestCluster::shared().url()
    );
    write(folder.path(), "kubeconfig", &text);
    let failed = command()
        .arg(folder.path().join("one.yaml"))
        .arg("--kubeconfig")
        .arg(folder.path().join("kubeconfig"))
        .output()
        .unwrap();
    let (said, error) = (
        err(&failed).find("/bin/false token"),
        err(&failed).find("error:"),
    );
    assert_eq!(code(&failed), 1, "{}", err(&failed));
    assert!(said.is_some() && said < error, "{}", err(&failed));
}

#[test]
fn completions_and_manual_page_are_printed() {
    let bash = command().args(["--completions", "bash"]).output().unwrap();
    assert!(out(&bash).contains("_mlops__apply()"));
    let man = command().arg("--man").output().unwrap();
    assert_eq!(code(&man), 0);
    assert!(out(&man).starts_with(".ie"), "{}", out(&man));
}
