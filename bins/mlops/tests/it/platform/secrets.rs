//! No secret is anywhere but in the files that are meant to hold it.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::home::{Home, processes_of};

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

    for (name, text) in &secrets {
        for (command, output) in &said {
            assert!(
                !output.contains(text),
                "`{command}` showed {}",
                name.display()
            );
        }
        for (pid, arguments) in processes_of(home.folder.path()) {
            assert!(
                !arguments.contains(text),
                "{} is an argument of process {pid}",
                name.display()
            );
        }
    }
    for path in files(home.folder.path()) {
        // What servers keep in their own data is theirs; it is open to nobody but them.
        let in_data = path.starts_with(root.join("data"));
        let Ok(bytes) = std::fs::read(&path) else {
            continue;
        };
        for (name, text) in &secrets {
            if contains(&bytes, text) {
                let mode = path.metadata().unwrap().permissions().mode() & 0o777;
                let shown = path.display();
                assert_eq!(
                    mode & 0o077,
                    0,
                    "{shown} holds {} and is open",
                    name.display()
                );
                let meant = path.starts_with(root.join("secrets"))
                    || path.starts_with(root.join("run"))
                    || in_data;
                assert!(meant, "{shown} holds {}", name.display());
            }
        }
    }

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
