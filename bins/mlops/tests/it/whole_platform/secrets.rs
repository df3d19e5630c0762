//! No secret is anywhere but in the files that are meant to hold it.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::home::Home;

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            match path.symlink_metadata() {
                Ok(meta) if meta.is_dir() => open.push(path),
                Ok(meta) if meta.is_file() => found.push(path),
                _ => {}
            }
        }
    }
    found
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

/// Neither in any output nor among the arguments of any process.
fn not_in_what_was_said(home: &Home, secrets: &BTreeMap<PathBuf, String>, said: &[(&str, &str)]) {
    let processes = home.processes();
    for (name, text) in secrets {
        let name = name.display();
        for (command, output) in said {
            assert!(!output.contains(text), "`{command}` showed {name}");
        }
        for (pid, arguments) in &processes {
            let told = arguments.contains(text);
            assert!(!told, "{name} is an argument of process {pid}");
        }
    }
}

/// In no file but those that are meant to hold it, and these are open to nobody else.
fn only_in_files_of_its_own(home: &Home, secrets: &BTreeMap<PathBuf, String>) {
    let root = home.platform("local");
    // What servers keep in their own data is theirs; it is open to nobody but them.
    let meant = ["secrets", "run", "data"].map(|folder| root.join(folder));
    for path in files(home.folder.path()) {
        let Ok(bytes) = std::fs::read(&path) else {
            continue;
        };
        for (name, text) in secrets {
            if contains(&bytes, text) {
                let mode = path.metadata().unwrap().permissions().mode() & 0o777;
                let (shown, name) = (path.display(), name.display());
                assert_eq!(mode & 0o077, 0, "{shown} holds {name} and is open");
                let meant = meant.iter().any(|folder| path.starts_with(folder));
                assert!(meant, "{shown} holds {name}");
            }
        }
    }
}

#[test]
fn no_secret_is_where_it_does_not_belong() {
    let home = Home::new();
    let mut said = Vec::new();
    let mut listen = |args: &[&str]| {
        let output = home.run(args);
        said.push((args.join(" "), format!("{}{}", output.out, output.err)));
    };
    listen(&["up", "-vv", "--output", "json"]);
    for args in [
        &["plan"][..],
        &["plan", "--output", "json", "--save", "plan.json"],
        &["diff"],
        &["status", "--output", "json"],
        &["check", "--output", "json", "--save", "report.json"],
        &["logs"],
        &["events"],
        &["credentials"],
        &["credentials", "--output", "json"],
        &["doctor"],
        &["up", "-vv"],
        &["predict", "iris", "--row", "1,2,3"],
    ] {
        listen(args);
    }
    let root = home.platform("local");
    let secrets: BTreeMap<PathBuf, String> = files(&root.join("secrets"))
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            (path, text.trim().to_owned())
        })
        .collect();
    assert!(secrets.len() >= 5, "{:?}", secrets.keys());

    let said: Vec<(&str, &str)> = said.iter().map(|(c, o)| (&**c, &**o)).collect();
    not_in_what_was_said(&home, &secrets, &said);
    only_in_files_of_its_own(&home, &secrets);

    // Shown only when asked by name.
    let name = "mlflow/admin-password";
    let shown = home.run(&["credentials", name, "--show"]).expect(0);
    let text = secrets
        .iter()
        .find(|(path, _)| path.ends_with(name))
        .map(|(_, text)| text.clone())
        .unwrap();
    assert_eq!(shown.out.trim(), text);
}
