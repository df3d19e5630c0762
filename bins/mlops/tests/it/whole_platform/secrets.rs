//! No secret is anywhere but in the files that are meant to hold it.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::Value;

use super::home::{Home, Said};

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
    let text = text.as_bytes();
    let first = |window: &[u8]| window.iter().position(|byte| *byte == text[0]);
    let mut rest = bytes;
    while let Some(at) = first(rest) {
        rest = &rest[at..];
        if rest.starts_with(text) {
            return true;
        }
        rest = &rest[1..];
    }
    false
}

/// The arguments of every process of the machine, looked at again and again: those of a program that lives for a moment
/// are seen as well.
struct Watch {
    is_over: Arc<AtomicBool>,
    seen: JoinHandle<BTreeSet<String>>,
}

impl Watch {
    fn start() -> Self {
        let is_over = Arc::<AtomicBool>::default();
        let until = is_over.clone();
        let seen = std::thread::spawn(move || {
            let mut seen = BTreeSet::new();
            while !until.load(Ordering::Relaxed) {
                for process in std::fs::read_dir("/proc").unwrap().flatten() {
                    let arguments = std::fs::read(process.path().join("cmdline"));
                    // It is no process, or it has ended.
                    let arguments = arguments.unwrap_or_default();
                    let arguments = String::from_utf8_lossy(&arguments).replace('\0', " ");
                    if !seen.contains(&arguments) {
                        seen.insert(arguments);
                    }
                }
                std::thread::sleep(Duration::from_millis(4));
            }
            seen
        });
        Self { is_over, seen }
    }

    fn end(self) -> BTreeSet<String> {
        self.is_over.store(true, Ordering::Relaxed);
        self.seen.join().unwrap()
    }
}

/// A secret as it is, as a part of an address, and as the header that signs one of these users in.
fn forms(text: &str, users: &BTreeSet<String>) -> BTreeSet<String> {
    let percent = |byte: u8| match byte {
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    let mut forms = BTreeSet::from([text.to_owned(), text.bytes().map(percent).collect()]);
    let pairs = users.iter().map(|user| format!("{user}:{text}"));
    for plain in pairs.chain([text.to_owned()]) {
        forms.extend([
            STANDARD_NO_PAD.encode(&plain),
            URL_SAFE_NO_PAD.encode(&plain),
        ]);
    }
    forms
}

#[test]
fn secrets_are_known_in_their_disguises() {
    let forms = forms("a+b", &BTreeSet::from(["admin".to_owned()]));
    for form in ["a+b", "a%2Bb", "YSti", "YWRtaW46YSti"] {
        assert!(forms.contains(form), "{forms:?}");
    }
    assert!(contains(b"xxaa+b", "a+b") && !contains(b"a+", "a+b"));
}

/// Who signs in anywhere.
fn users(credentials: &Value) -> BTreeSet<String> {
    let facts = credentials.as_array().unwrap().iter();
    let facts = facts.flat_map(|one| one["facts"].as_object().unwrap());
    let named = facts.filter(|(name, _)| ["user", "role", "access_key"].contains(&name.as_str()));
    let users = named.map(|(_, user)| user.as_str().unwrap().to_owned());
    let users: BTreeSet<String> = users.chain(["postgres".to_owned()]).collect();
    assert!(users.contains("admin") && users.len() >= 4, "{users:?}");
    users
}

/// What a user may see or hear of a platform.
struct Ears<'a> {
    home: &'a Home,
    said: Vec<(String, String)>,
}

impl Ears<'_> {
    fn listen(&mut self, args: &[&str], code: i32) -> Said {
        let said = self.home.run(args).expect(code);
        let output = format!("{}{}", said.out, said.err);
        self.said.push((args.join(" "), output));
        said
    }
}

/// All secrets of the platform in every form, by their names.
type Secrets = BTreeMap<String, BTreeSet<String>>;

/// In none of these texts.
fn not_in(texts: &[(String, String)], secrets: &Secrets) {
    for (name, forms) in secrets {
        for (whence, text) in texts {
            let told = forms.iter().find(|form| text.contains(form.as_str()));
            assert!(told.is_none(), "{name} is in {whence}");
        }
    }
}

/// In no file but those that are meant to hold it, and these are open to nobody else.
fn only_in_files_of_its_own(home: &Home, secrets: &Secrets) {
    let root = home.platform("local");
    // What servers keep in their own data is theirs; it is open to nobody but them.
    let meant = ["secrets", "run", "data"].map(|folder| root.join(folder));
    for path in files(home.folder.path()) {
        let Ok(bytes) = std::fs::read(&path) else {
            continue;
        };
        let is_meant = meant.iter().any(|folder| path.starts_with(folder));
        let mode = path.metadata().unwrap().permissions().mode();
        let of_others = mode & 0o077;
        if is_meant && of_others == 0 {
            continue;
        }
        let shown = path.display();
        for (name, forms) in secrets {
            let told = forms.iter().any(|form| contains(&bytes, form));
            assert!(!told, "{shown} of mode {mode:o} holds {name}");
        }
    }
}

#[test]
fn no_secret_is_where_it_does_not_belong() {
    let home = Home::new();
    let watch = Watch::start();
    let mut ears = Ears {
        home: &home,
        said: Vec::new(),
    };
    ears.listen(&["up", "-vv", "--output", "json"], 0);
    for args in [
        &["plan"][..],
        &["plan", "--output", "json", "--save", "plan.json"],
        &["diff"],
        &["status", "--output", "json"],
        &["check", "--output", "json", "--save", "report.json"],
        &["logs"],
        &["events"],
        &["events", "--output", "json"],
        &["credentials"],
        &["doctor"],
        &["open", "mlflow", "--print"],
        &["serve", "-vv"],
        &["up", "-vv"],
    ] {
        ears.listen(args, 0);
    }
    // Three values are one too few.
    ears.listen(&["predict", "iris", "--row", "1,2,3"], 2);
    let list = ears.listen(&["credentials", "--output", "json"], 0).json();
    let users = users(&list);
    let texts = home.secrets("local");
    assert!(texts.len() >= 5, "{:?}", texts.keys());
    let secrets: Secrets = texts
        .iter()
        .map(|(name, text)| (name.clone(), forms(text, &users)))
        .collect();
    only_in_files_of_its_own(&home, &secrets);

    // Shown only when asked by name.
    let name = "mlflow/admin-password";
    let shown = home.run(&["credentials", name, "--show"]).expect(0);
    assert_eq!(shown.out.trim(), texts[name]);

    ears.listen(&["down", "-vv"], 0);
    ears.listen(&["remove", "--yes", "-vv"], 0);
    only_in_files_of_its_own(&home, &secrets);
    ears.listen(&["remove", "--all-data", "--yes", "--output", "json"], 0);
    not_in(&ears.said, &secrets);

    let arguments: Vec<(String, String)> = watch
        .end()
        .into_iter()
        .map(|arguments| ("the arguments of a process".to_owned(), arguments))
        .collect();
    for program in ["initdb", "--single", "__supervise", "mlflow_server"] {
        let is_seen = arguments.iter().any(|(_, one)| one.contains(program));
        assert!(is_seen, "`{program}` was not seen at work");
    }
    not_in(&arguments, &secrets);
}
