//! Exit codes, plans without a platform, and how errors look.

use std::process::Stdio;

use crate::support::World;

#[test]
fn plan_from_nothing_needs_nobody() {
    let world = World::new();
    let ran = world.run(&["plan", "--offline"]);
    assert_eq!(ran.code, Some(0));
    insta::assert_snapshot!("plan_offline", ran.all());
    assert_eq!(std::fs::read_dir(world.home.path()).unwrap().count(), 0);
}

#[test]
fn changes_have_their_exit_code() {
    let world = World::new();
    world.write("platform.yaml", "name: demo\n");
    assert_eq!(
        world.run(&["plan", "--offline", "--exit-code"]).code,
        Some(3)
    );
    assert_eq!(world.run(&["plan", "--offline"]).code, Some(0));
}

#[test]
fn a_plan_is_one_json_document() {
    let world = World::new();
    let ran = world.run(&["plan", "--offline", "--output", "json", "--name", "demo"]);
    assert_eq!(ran.code, Some(0));
    let plan: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(plan["platform"], "demo");
    assert_eq!(plan["direction"], "apply");
    let changes = plan["changes"].as_array().unwrap();
    assert!(
        changes
            .iter()
            .any(|change| change["id"] == "process/mlflow" && change["do"] == "create")
    );
}

#[test]
fn quiet_leaves_the_result() {
    let world = World::new();
    let ran = world.run(&["plan", "--offline", "--quiet"]);
    assert_eq!(ran.err, "");
    assert!(ran.out.contains("+ create process/mlflow"));
    assert_eq!(world.run(&["plan", "--quiet", "--verbose"]).code, Some(2));
}

#[test]
fn what_runs_for_credentials_is_named_before_it_runs_also_to_the_quiet() {
    let world = World::new();
    world.write("platform.yaml", "name: demo\ntarget: cluster\n");
    // It gives no credentials, so that nothing after it is reached.
    let program = "exec: {apiVersion: client.authentication.k8s.io/v1, command: sh, \
                   args: [-c, 'touch ran; exit 1'], interactiveMode: Never}";
    let kubeconfig = format!(
        "current-context: one\n\
         contexts: [{{name: one, context: {{cluster: c, user: u}}}}]\n\
         clusters: [{{name: c, cluster: {{server: 'https://127.0.0.1:1'}}}}]\n\
         users: [{{name: u, user: {{{program}}}}}]\n"
    );
    world.write("kubeconfig", &kubeconfig);
    let ran =
        |args: &[&str]| world.run(&[&["--kubeconfig", "kubeconfig", "--quiet"], args].concat());
    let named = "`kubeconfig` has a program run for the credentials: sh -c touch ran; exit 1\n";
    let planned = ran(&["plan", "--offline"]);
    assert_eq!((planned.code, planned.err.as_str()), (Some(0), named));
    assert!(!world.path().join("ran").exists());
    let status = ran(&["status"]);
    assert_ne!(status.code, Some(0));
    assert!(status.err.starts_with(named), "{}", status.err);
    assert!(world.path().join("ran").exists());
}

#[test]
fn colour_is_by_wish() {
    let world = World::new();
    let coloured = world.run(&["plan", "--offline", "--color", "always"]).out;
    assert!(coloured.contains("\u{1b}[32m+ create process/mlflow\u{1b}[0m"));
    let plain = world.run(&["plan", "--offline"]).out;
    assert!(!plain.contains('\u{1b}'));
}

#[test]
fn everything_wrong_with_the_file_is_said_at_once() {
    let world = World::new();
    world.write(
        "platform.yaml",
        "name: demo\nsizes: small\ntarget: local\ncomponents:\n  mlfow: {}\n",
    );
    let ran = world.run(&["plan", "--offline"]);
    assert_eq!(ran.code, Some(2));
    insta::assert_snapshot!("wrong_file", ran.all());
    let ran = world.run(&["plan", "--offline", "--output", "json"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""));
    let error: serde_json::Value = serde_json::from_str(&ran.err).unwrap();
    assert_eq!(error["error"]["kind"], "invalid-input");
    assert_eq!(error["diagnostics"][0]["line"], 2);
}

#[test]
fn files_that_cannot_be_used() {
    let world = World::new();
    insta::assert_snapshot!(
        "missing_file",
        world.run(&["plan", "-f", "none.yaml"]).all()
    );
    world.write("platform.yml", "name: demo\n");
    insta::assert_snapshot!("similar_file", world.run(&["plan", "--offline"]).all());
    insta::assert_snapshot!(
        "missing_catalog",
        world
            .run(&[
                "plan",
                "-f",
                "platform.yml",
                "--offline",
                "--catalog",
                "none"
            ])
            .all()
    );
    world.write("plan.json", "{\"format\": 1}");
    insta::assert_snapshot!(
        "wrong_plan",
        world
            .run(&["up", "-f", "platform.yml", "--plan", "plan.json"])
            .all()
    );
}

#[test]
fn escape_sequences_in_a_file_stay_on_paper() {
    let world = World::new();
    world.write("platform.yaml", "name: demo\n\"\\e]0;owned\\a\": 1\n");
    let ran = world.run(&["plan", "--offline"]);
    assert_eq!(ran.code, Some(2));
    assert!(!ran.err.contains(['\u{1b}', '\u{7}']), "{}", ran.err);
}

#[test]
fn wrong_rust_log_is_wrong_input() {
    let world = World::new();
    let output = world
        .command(&["plan", "--offline"])
        .env("RUST_LOG", "mlops=nonsense")
        .output()
        .unwrap();
    let ran = world.ran(&output);
    assert_eq!(ran.code, Some(2));
    assert!(
        ran.err
            .starts_with("error: failed to understand `RUST_LOG`\n")
    );
}

#[test]
fn a_full_disk_behind_standard_output_is_an_error() {
    let world = World::new();
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let output = world
        .command(&["plan", "--offline"])
        .stdout(full)
        .output()
        .unwrap();
    let ran = world.ran(&output);
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.err
            .contains("error: failed to write to standard output\n")
    );
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let world = World::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = world
        .command(&["plan", "--offline"])
        .stdout(Stdio::from(writer))
        .output()
        .unwrap();
    let ran = world.ran(&output);
    assert_eq!(ran.code, Some(0));
    assert!(!ran.err.contains("error"), "{}", ran.err);
}

#[test]
fn a_platform_that_never_ran() {
    let world = World::new();
    world.write("platform.yaml", "name: demo\n");
    insta::assert_snapshot!("status_of_nothing", world.run(&["status"]).all());
    insta::assert_snapshot!("down_of_nothing", world.run(&["down"]).all());
    insta::assert_snapshot!("check_of_nothing", world.run(&["check"]).all());
    insta::assert_snapshot!("events_of_nothing", world.run(&["events"]).all());
    insta::assert_snapshot!("logs_of_nothing", world.run(&["logs", "mlflow"]).all());
    insta::assert_snapshot!("logs_of_nobody", world.run(&["logs", "mflow"]).all());
    insta::assert_snapshot!("env_of_nothing", world.run(&["env"]).all());
    insta::assert_snapshot!("open_nobody", world.run(&["open", "mflow"]).all());
    insta::assert_snapshot!("credentials_of_nothing", world.run(&["credentials"]).all());
    insta::assert_snapshot!(
        "credentials_of_nobody",
        world.run(&["credentials", "mflow"]).all()
    );
    insta::assert_snapshot!(
        "remove_data_of_nobody",
        world.run(&["remove", "--data", "postgers"]).all()
    );
    insta::assert_snapshot!(
        "predict_wrong_row",
        world.run(&["predict", "iris", "--row", "1,x"]).all()
    );
}

#[test]
fn nothing_is_removed_unasked() {
    use std::os::unix::fs::PermissionsExt;

    let world = World::new();
    world.write("platform.yaml", "name: demo\n");
    let nothing = world.run(&["remove"]);
    assert_eq!((nothing.code, nothing.out.as_str()), (Some(0), ""));
    assert!(
        nothing
            .err
            .ends_with("Platform `demo` has nothing to remove.\n")
    );

    let folder = world
        .home
        .path()
        .join("data/mlops/platforms/demo/secrets/s3");
    let secret = folder.join("admin-secret-key");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(&secret, "hidden").unwrap();
    std::fs::set_permissions(&secret, PermissionsExt::from_mode(0o600)).unwrap();
    let refused = world.run(&["remove"]);
    insta::assert_snapshot!("remove_unasked", refused.all());
    assert!(secret.exists());
    let refused = world.run(&["remove", "--output", "json"]);
    assert_eq!((refused.code, refused.out.as_str()), (Some(2), ""));
    assert!(secret.exists());

    let removed = world.run(&["remove", "--yes", "--output", "json"]);
    assert_eq!(removed.code, Some(0), "{}", removed.err);
    let last: serde_json::Value =
        serde_json::from_str(removed.out.lines().last().unwrap()).unwrap();
    assert_eq!(last["event"], "done");
    assert!(!removed.out.contains("hidden"));
    assert!(!secret.exists());
}
