//! Finding a Python that the lock file is for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use mlops_core::{Error, ErrorKind, Result};
use serde::Deserialize;

use super::command::{self, Run};
use super::settings;

/// The first and the last version of Python that the lock file was tried with.
const OLDEST: (u32, u32) = (3, 10);
const NEWEST: (u32, u32) = (3, 13);

/// Newest first, then whatever is called `python`.
const NAMES: &[&str] = &[
    "python3.13",
    "python3.12",
    "python3.11",
    "python3.10",
    "python3",
    "python",
];

/// What an interpreter says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Interpreter {
    /// Where it is, as it says itself: behind the shims of a version manager.
    pub(super) executable: PathBuf,
    /// Major and minor.
    pub(super) version: (u32, u32),
    /// What compiled modules are for, as `cpython-311-x86_64-linux-gnu`.
    pub(super) tag: String,
    implementation: String,
    is_64_bit: bool,
    /// Whether it can install packages at once.
    pub(super) has_pip: bool,
}

/// Asked of each candidate; old ones must understand it as well.
const QUESTION: &str = "import importlib.util as u, json, sys, sysconfig as s; print(json.dumps({\
    'executable': sys.executable, 'version': sys.version_info[:2], 'tag': s.get_config_var('SOABI') or s.get_platform(), \
    'implementation': sys.implementation.name, 'is_64_bit': sys.maxsize > 2**32, \
    'has_pip': u.find_spec('pip') is not None}))";

impl Interpreter {
    /// Why the lock file is not for it.
    fn objection(&self) -> Option<String> {
        let (major, minor) = self.version;
        if self.version < OLDEST || self.version > NEWEST {
            return Some(format!("is Python {major}.{minor}"));
        }
        if self.implementation != "cpython" {
            return Some(format!("is {}, not CPython", self.implementation));
        }
        (!self.is_64_bit).then(|| "is a 32-bit Python".to_owned())
    }
}

/// The interpreter of the user's choice, else the newest fitting one on the search path.
pub(super) async fn search(
    chosen: Option<&Path>,
    env: &BTreeMap<String, String>,
    folder: &Path,
) -> Result<Interpreter> {
    let mut looked_at = Vec::new();
    for candidate in candidates(chosen, env) {
        match ask(&candidate, env, folder).await {
            Ok(found) => match found.objection() {
                None => return Ok(found),
                Some(reason) => looked_at.push(format!("`{}` {reason}", candidate.display())),
            },
            Err(reason) => {
                looked_at.push(format!("`{}` does not work: {reason}", candidate.display()));
            }
        }
    }
    let wanted = format!(
        "Python {}.{} to {}.{}",
        OLDEST.0, OLDEST.1, NEWEST.0, NEWEST.1
    );
    let doing = match chosen {
        Some(path) => format!("use `{}` as {wanted}", path.display()),
        None => format!("find {wanted}"),
    };
    let looked_at = if looked_at.is_empty() {
        format!("none of {} is on the search path", NAMES.join(", "))
    } else {
        looked_at.join("; ")
    };
    Err(Error::new(ErrorKind::NotFound, doing).with_source(looked_at).with_hint(
        "install one: Debian and Ubuntu `apt install python3 python3-venv`, Fedora `dnf install python3.13`, macOS \
         `brew install python@3.13`; or name one that is elsewhere",
    ))
}

/// The programs to ask, each file once.
fn candidates(chosen: Option<&Path>, env: &BTreeMap<String, String>) -> Vec<PathBuf> {
    let path = env.get("PATH").map(String::as_str);
    if let Some(chosen) = chosen {
        return which::which_in(chosen, path, ".")
            .map_or_else(|_| vec![chosen.to_owned()], |found| vec![found]);
    }
    let mut seen = BTreeSet::new();
    NAMES
        .iter()
        .flat_map(|name| which::which_in_all(name, path, ".").into_iter().flatten())
        // The shims of version managers are one program under many names: the name stays part of what is the same.
        .filter(|found| {
            seen.insert((
                found.file_name().map(ToOwned::to_owned),
                found.canonicalize().ok(),
            ))
        })
        .collect()
}

async fn ask(
    candidate: &Path,
    env: &BTreeMap<String, String>,
    folder: &Path,
) -> Result<Interpreter, String> {
    let answer = command::run(
        Run {
            doing: format!("ask `{}` for its version", candidate.display()),
            program: candidate.to_owned(),
            arguments: vec!["-I".into(), "-c".into(), QUESTION.into()],
            env: settings::common(env),
            folder,
            input: None,
            deadline: Duration::from_secs(20),
        },
        &|_| {},
    )
    .await
    .map_err(|error| {
        let causes = error.causes();
        causes
            .first()
            .and_then(|text| text.lines().next())
            .unwrap_or("it says nothing")
            .to_owned()
    })?;
    serde_json::from_str(answer.trim())
        .map_err(|_| "its answer is not that of a Python 3".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_tried_is_taken() {
        let python = |version, implementation: &str, is_64_bit| Interpreter {
            executable: "/p".into(),
            version,
            tag: "t".to_owned(),
            implementation: implementation.to_owned(),
            is_64_bit,
            has_pip: true,
        };
        assert_eq!(python((3, 10), "cpython", true).objection(), None);
        assert_eq!(python((3, 13), "cpython", true).objection(), None);
        assert_eq!(
            python((3, 9), "cpython", true).objection().unwrap(),
            "is Python 3.9"
        );
        assert_eq!(
            python((3, 14), "cpython", true).objection().unwrap(),
            "is Python 3.14"
        );
        assert_eq!(
            python((3, 11), "pypy", true).objection().unwrap(),
            "is pypy, not CPython"
        );
        assert!(python((3, 11), "cpython", false).objection().is_some());
    }
}
