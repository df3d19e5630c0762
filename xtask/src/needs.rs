//! The servers that the tests run against: found on the machine, or installed.
//!
//! Their places reach the tests as environment variables. A test whose variable is missing fails; none is skipped.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::cache::Cache;
use crate::shell::{capture, run, say};

/// Where the folder of PostgreSQL's server programs is (`postgres`, `initdb`).
const POSTGRES: &str = "MLOPS_TEST_POSTGRES_BIN";

/// Where the interpreter of the Python environment is, the one `mlops up` uses.
const PYTHON: &str = "MLOPS_TEST_PYTHON";

/// Where the Versity S3 gateway is, against which the contract of S3 is held.
const VERSITYGW: &str = "MLOPS_TEST_VERSITYGW";

/// <https://github.com/versity/versitygw>.
pub(crate) const VERSITYGW_VERSION: &str = "1.8.0";

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Needs {
    pub(crate) postgres: Option<PathBuf>,
    pub(crate) python: Option<PathBuf>,
    pub(crate) versitygw: Option<PathBuf>,
    /// Whether the programs of a Kubernetes node are there.
    pub(crate) kubernetes: bool,
}

impl Needs {
    /// Finds everything, installs what is missing and can be installed.
    pub(crate) fn gather() -> Result<Self> {
        let cache = Cache::of_user()?;
        Ok(Self {
            postgres: Some(postgres()?),
            python: optional("the Python environment", python()),
            versitygw: optional("the Versity S3 gateway", versitygw(&cache)),
            kubernetes: optional("Kubernetes", crate::node::build()).is_some(),
        })
    }

    /// The environment variables that tell the tests.
    pub(crate) fn variables(&self) -> Vec<(&'static str, OsString)> {
        [
            (POSTGRES, &self.postgres),
            (PYTHON, &self.python),
            (VERSITYGW, &self.versitygw),
        ]
        .into_iter()
        .filter_map(|(name, place)| Some((name, place.as_ref()?.into())))
        .collect()
    }
}

/// The other tests are worth running without it; those that need it fail and say what they miss.
pub(crate) fn optional<T>(what: &str, place: Result<T>) -> Option<T> {
    place
        .inspect_err(|error| {
            say(format_args!(
                "{what} is missing, and the tests that need it will fail: {error:#}"
            ));
        })
        .ok()
}

/// The folder of PostgreSQL's server programs.
///
/// A client package alone brings `pg_config` without the server, so both programs are looked for.
fn postgres() -> Result<PathBuf> {
    if let Some(folder) = installed_postgres() {
        return Ok(folder);
    }
    if !(is_root() && which::which("apt-get").is_ok()) {
        bail!(
            "PostgreSQL's server programs are missing: install the server package of your system \
             (Debian: `apt-get install postgresql`, Fedora: `dnf install postgresql-server`, \
             macOS: `brew install postgresql`)"
        );
    }
    say("installing PostgreSQL with apt-get");
    apt_get(&["update"])?;
    apt_get(&["install", "--yes", "--no-install-recommends", "postgresql"])?;
    installed_postgres().context("apt-get installed PostgreSQL, yet `initdb` is not to be found")
}

fn installed_postgres() -> Option<PathBuf> {
    let has_server = |folder: &Path| {
        ["postgres", "initdb"]
            .iter()
            .all(|name| folder.join(name).is_file())
    };
    let asked = which::which("pg_config").ok().and_then(|program| {
        let output = Command::new(program)
            .arg("--bindir")
            .stdin(Stdio::null())
            .output()
            .ok()?;
        Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim()))
    });
    // Debian keeps every version in a folder of its own, and `pg_config` may be of another package.
    let mut debian: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|version| Some(version.ok()?.path().join("bin")))
        .collect();
    debian.sort();
    asked
        .into_iter()
        .chain(debian.into_iter().rev())
        .find(|folder| has_server(folder))
}

pub(crate) fn apt_get(arguments: &[&str]) -> Result<()> {
    run(Command::new("apt-get")
        .arg("-qq")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        // The terminal's output belongs to the tests.
        .stdout(std::io::stderr()))
}

pub(crate) fn is_root() -> bool {
    capture(Command::new("id").arg("-u")).is_ok_and(|text| text.trim() == "0")
}

/// One line of what `mlops prefetch --output json` prints.
#[derive(Debug, Deserialize)]
struct Prefetched {
    what: String,
    path: PathBuf,
}

/// The interpreter of the environment that the program itself makes: the tests use what the users get.
pub(crate) fn python() -> Result<PathBuf> {
    let text = capture(crate::built::mlops()?.args(["prefetch", "--output", "json"]))?;
    interpreter(&text)
}

fn interpreter(text: &str) -> Result<PathBuf> {
    let list: Vec<Prefetched> =
        serde_json::from_str(text).context("failed to read the answer of `mlops prefetch`")?;
    list.into_iter()
        .find(|entry| entry.what == "python")
        .map(|entry| entry.path)
        .context("`mlops prefetch` names no `python`")
}

/// The gateway, built from its sources as Go's module proxy serves them.
pub(crate) fn versitygw(cache: &Cache) -> Result<PathBuf> {
    let folder = cache.entry(&format!("versitygw-{VERSITYGW_VERSION}"), |partial| {
        let go = which::which("go").context("Go is needed to build it: install `golang`")?;
        let package = format!("github.com/versity/versitygw/cmd/versitygw@v{VERSITYGW_VERSION}");
        run(Command::new(go)
            .arg("install")
            .arg(package)
            .env("GOBIN", partial.join("bin"))
            .current_dir(partial)
            .stdout(std::io::stderr()))
    })?;
    Ok(folder.join("bin/versitygw"))
}

/// The HTTP load generator <https://github.com/wg/wrk>.
pub(crate) fn wrk() -> Result<PathBuf> {
    if let Ok(found) = which::which("wrk") {
        return Ok(found);
    }
    if !(is_root() && which::which("apt-get").is_ok()) {
        bail!("`wrk` is missing: install the package `wrk` of your system");
    }
    apt_get(&["update"])?;
    apt_get(&["install", "--yes", "--no-install-recommends", "wrk"])?;
    which::which("wrk").context("apt-get installed `wrk`, yet it is not to be found")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interpreter_is_found_among_what_was_prefetched() {
        let text = r#"[{"what":"postgresql","path":"/usr/lib/postgresql/15/bin"},
                       {"what":"python","path":"/cache/env/bin/python"}]"#;
        assert_eq!(
            interpreter(text).unwrap(),
            Path::new("/cache/env/bin/python")
        );
    }

    #[test]
    fn an_answer_without_an_interpreter_is_an_error() {
        assert_eq!(
            interpreter("[]").unwrap_err().to_string(),
            "`mlops prefetch` names no `python`"
        );
        assert!(interpreter("").is_err());
    }
}
