//! Help, usage errors, init, schema, completions and manual pages.

use crate::support::World;

fn verbs() -> Vec<String> {
    mlops_cli::command()
        .get_subcommands()
        .map(|verb| verb.get_name().to_owned())
        .collect()
}

#[test]
fn help_of_the_command() {
    let ran = World::new().run(&["--help"]);
    assert_eq!(ran.code, Some(0));
    insta::assert_snapshot!(ran.all());
}

#[test]
fn help_of_every_verb() {
    let world = World::new();
    let verbs = verbs();
    assert!(verbs.len() >= 20);
    for verb in verbs {
        let ran = world.run(&[&verb, "--help"]);
        insta::assert_snapshot!(format!("help_{verb}"), ran.all());
    }
}

#[test]
fn version() {
    let ran = World::new().run(&["--version"]);
    assert_eq!(ran.out, format!("mlops {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn no_verb_and_wrong_ones() {
    let world = World::new();
    let ran = world.run(&[]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""));
    assert!(ran.err.contains("Usage: mlops"));
    insta::assert_snapshot!("unknown_verb", world.run(&["upp"]).all());
    insta::assert_snapshot!("unknown_option", world.run(&["plan", "--ofline"]).all());
    insta::assert_snapshot!("unknown_shell", world.run(&["env", "--shell", "csh"]).all());
    insta::assert_snapshot!(
        "predict_without_input",
        world.run(&["predict", "iris"]).all()
    );
    insta::assert_snapshot!(
        "show_without_name",
        world.run(&["credentials", "--show"]).all()
    );
    insta::assert_snapshot!("wrong_name", world.run(&["plan", "--name", "No!"]).all());
}

#[test]
fn init_writes_a_file_that_is_right() {
    let world = World::new();
    insta::assert_snapshot!("init", world.run(&["init"]).all());
    insta::assert_snapshot!("init_platform_yaml", world.read("platform.yaml"));
    let schema: serde_json::Value =
        serde_json::from_str(&world.read("platform.schema.json")).unwrap();
    assert_eq!(schema["title"], "platform.yaml");
    let plan = world.run(&["plan", "--offline"]);
    assert_eq!((plan.code, plan.err.as_str()), (Some(0), ""));
}

#[test]
fn init_overwrites_only_when_told_to() {
    let world = World::new();
    world.write("platform.yaml", "name: mine\n");
    insta::assert_snapshot!("init_refuses", world.run(&["init"]).all());
    assert_eq!(world.read("platform.yaml"), "name: mine\n");
    assert!(!world.path().join("platform.schema.json").exists());
    assert_eq!(
        world.run(&["init", "--force", "--name", "demo"]).code,
        Some(0)
    );
    assert!(world.read("platform.yaml").contains("\nname: demo\n"));
}

#[test]
fn init_leaves_a_foreign_schema_alone() {
    let world = World::new();
    world.write("demo.schema.json", "{\"title\": \"another thing\"}");
    insta::assert_snapshot!(
        "init_foreign_schema",
        world.run(&["init", "-f", "demo.yaml"]).all()
    );
    assert!(!world.path().join("demo.yaml").exists());
    // Its own, of an earlier version, is written anew.
    world.write("demo.schema.json", "{\"title\": \"platform.yaml\"}");
    assert_eq!(world.run(&["init", "-f", "demo.yaml"]).code, Some(0));
    assert!(world.read("demo.schema.json").len() > 1000);
}

#[test]
fn init_as_json() {
    let ran = World::new().run(&["init", "--output", "json", "-f", "x.yaml"]);
    let written: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(
        written,
        serde_json::json!({"file": "x.yaml", "schema": "x.schema.json"})
    );
}

#[test]
fn schema_is_json_schema() {
    let ran = World::new().run(&["schema"]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    let schema: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(schema["title"], "platform.yaml");
    assert_eq!(schema["properties"]["name"]["$ref"], "#/$defs/PlatformName");
    assert_eq!(schema["additionalProperties"], false);
}

#[test]
fn completions_for_every_shell() {
    let world = World::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let ran = world.run(&["completions", shell]);
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{shell}");
        for verb in verbs() {
            assert!(ran.out.contains(&verb), "{shell} does not know {verb}");
        }
    }
}

#[test]
fn completions_are_valid_in_bash() {
    let world = World::new();
    world.write("completions", &world.run(&["completions", "bash"]).out);
    let status = std::process::Command::new("bash")
        .args(["-n", "completions"])
        .current_dir(world.path())
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn manual_pages() {
    let world = World::new();
    let page = world.run(&["man"]).out;
    assert!(page.contains(".TH mlops 1"), "{page}");
    let ran = world.run(&["man", "pages"]);
    let files: Vec<&str> = ran.out.lines().collect();
    assert_eq!(files.len(), verbs().len() + 1);
    for file in files {
        assert!(world.read(file).contains(".SH SYNOPSIS"), "{file}");
    }
    assert!(world.read("pages/mlops-up.1").contains("mlops up"));
}

#[test]
fn help_is_coloured_only_when_wanted() {
    let world = World::new();
    assert!(!world.run(&["--help"]).out.contains('\u{1b}'));
    let output = world
        .command(&["--help"])
        .env("CLICOLOR_FORCE", "1")
        .output()
        .unwrap();
    assert!(world.ran(&output).out.contains('\u{1b}'));
}
