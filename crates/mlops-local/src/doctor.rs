//! Whether this machine has what the local target needs.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use mlops_core::Error;
use serde::Serialize;
use tokio::process::Command;

use crate::files;
use crate::ports::{self, PortBook};
use crate::postgres::{PostgresSearch, account, check_reachable};
use crate::programs::passed_on;
use crate::target::{LocalOptions, LocalTarget};

/// What came of looking at one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at, such as `python`.
    pub name: &'static str,
    /// Whether the platform can do with it as it is.
    pub ok: bool,
    /// What was found.
    pub detail: String,
    /// What to do about it, when it is not well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<Hint>,
}

/// What to do, on each system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hint {
    /// On Debian and Ubuntu.
    pub debian: String,
    /// On Fedora and its relatives.
    pub fedora: String,
    /// On macOS.
    pub macos: String,
}

impl Hint {
    fn each(debian: &str, fedora: &str, macos: &str) -> Self {
        Self {
            debian: debian.to_owned(),
            fedora: fedora.to_owned(),
            macos: macos.to_owned(),
        }
    }

    fn everywhere(text: &str) -> Self {
        Self::each(text, text, text)
    }
}

impl Check {
    fn good(name: &'static str, detail: impl Into<String>) -> Self {
        Self {
            name,
            ok: true,
            detail: detail.into(),
            hint: None,
        }
    }

    fn bad(name: &'static str, detail: impl Into<String>, hint: Hint) -> Self {
        Self {
            name,
            ok: false,
            detail: detail.into(),
            hint: Some(hint),
        }
    }

    fn from_error(name: &'static str, error: &Error, hint: Option<Hint>) -> Self {
        let detail = std::iter::once(error.to_string())
            .chain(error.causes())
            .collect::<Vec<_>>()
            .join(": ");
        let hint = hint.unwrap_or_else(|| Hint::everywhere(error.hint().unwrap_or_default()));
        Self::bad(name, detail, hint)
    }
}

/// Bytes that the Python environment and its making need.
const CACHE_BYTES: u64 = 4_000_000_000;
/// Bytes that an empty platform needs.
const DATA_BYTES: u64 = 500_000_000;
/// 2025-01-01, before this program was written: no clock that is right shows less.
const WRITTEN: Duration = Duration::from_hours(482_136);

/// Looks at everything that the local target needs of a machine, side by side. Changes nothing.
pub async fn doctor(options: &LocalOptions) -> Vec<Check> {
    let env = passed_on(&options.env);
    let (python, uv, postgres, ports) = tokio::join!(
        python(options, &env),
        uv(options, &env),
        postgres(options, &env),
        kept_ports(options),
    );
    let mut checks = vec![python, uv, postgres, user(options).await];
    checks.push(folder("data-folder", "XDG_DATA_HOME", &options.roots.data));
    checks.push(folder(
        "cache-folder",
        "XDG_CACHE_HOME",
        &options.roots.cache,
    ));
    checks.push(space("data-space", &options.roots.data, DATA_BYTES));
    checks.push(space("cache-space", &options.roots.cache, CACHE_BYTES));
    checks.push(ports);
    checks.push(clock(options, SystemTime::now()));
    checks
}

async fn said(program: &Path, args: &[&str], env: &BTreeMap<String, String>) -> Option<String> {
    let run = Command::new(program)
        .args(args)
        .env_clear()
        .envs(env)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_secs(20), run)
        .await
        .ok()?
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

fn find(name: &str, env: &BTreeMap<String, String>) -> Option<PathBuf> {
    which::which_in(name, env.get("PATH"), "/").ok()
}

async fn python(options: &LocalOptions, env: &BTreeMap<String, String>) -> Check {
    let hint = Hint::each(
        "apt install python3 python3-venv",
        "dnf install python3",
        "brew install python@3.12",
    );
    let named = options.python.python.clone();
    let programs = [
        "python3.13",
        "python3.12",
        "python3.11",
        "python3.10",
        "python3",
    ]
    .into_iter()
    .filter_map(|name| find(name, env));
    let programs: Vec<PathBuf> = match named {
        Some(program) => vec![program],
        None => programs.collect(),
    };
    let mut seen = Vec::new();
    for program in programs {
        let version = "import sys; print('%d.%d' % sys.version_info[:2])";
        let Some(version) = said(&program, &["-I", "-c", version], env).await else {
            seen.push(format!("`{}` does not run", program.display()));
            continue;
        };
        let minor = version
            .strip_prefix("3.")
            .and_then(|minor| minor.parse::<u32>().ok());
        if !minor.is_some_and(|minor| (10..=13).contains(&minor)) {
            seen.push(format!(
                "`{}` is of version {version}, wanted is 3.10 to 3.13",
                program.display()
            ));
            continue;
        }
        let modules = ["-I", "-c", "import venv, ensurepip; print('there')"];
        if said(&program, &modules, env).await.is_none() {
            seen.push(format!("`{}` has no module `venv`", program.display()));
            continue;
        }
        return Check::good("python", format!("{version} at `{}`", program.display()));
    }
    if seen.is_empty() {
        seen.push("there is no `python3` on `PATH`".to_owned());
    }
    Check::bad("python", seen.join("; "), hint)
}

async fn uv(options: &LocalOptions, env: &BTreeMap<String, String>) -> Check {
    let named = options.python.uv.clone();
    let hint = Hint::each("pipx install uv", "dnf install uv", "brew install uv");
    match (named.clone().or_else(|| find("uv", env)), named) {
        (None, _) => Check::good(
            "uv",
            "not on `PATH`; it is installed into the cache when it is needed",
        ),
        (Some(program), named) => match said(&program, &["--version"], env).await {
            Some(version) => Check::good("uv", format!("{version} at `{}`", program.display())),
            None if named.is_none() => Check::good(
                "uv",
                format!(
                    "`{}` does not run; another is installed into the cache when it is needed",
                    program.display()
                ),
            ),
            None => Check::bad("uv", format!("`{}` does not run", program.display()), hint),
        },
    }
}

async fn postgres(options: &LocalOptions, env: &BTreeMap<String, String>) -> Check {
    let search = PostgresSearch {
        setting: options.postgres_bin.clone(),
        path: env.get("PATH").map(Into::into),
        python: None,
    };
    match search.find(None).await {
        Ok(found) => Check::good(
            "postgres",
            format!("{} at `{}`", found.major, found.bin.display()),
        ),
        Err(_) if options.postgres_bin.is_none() => Check::good(
            "postgres",
            "not on this machine; the one of the Python environment is taken",
        ),
        Err(error) => {
            let hint = Hint::each(
                "apt install postgresql",
                "dnf install postgresql-server",
                "brew install postgresql@17",
            );
            Check::from_error("postgres", &error, Some(hint))
        }
    }
}

/// Root needs somebody else to run PostgreSQL as, who can get at its folder.
async fn user(options: &LocalOptions) -> Check {
    let name = "postgres-user";
    let account = match account().await {
        Ok(None) => return Check::good(name, "this user"),
        Ok(Some(account)) => account,
        Err(error) => {
            let hint = Hint::each(
                "adduser --system postgres",
                "useradd --system postgres",
                "run as a user who is not root",
            );
            return Check::from_error(name, &error, Some(hint));
        }
    };
    for root in [&options.roots.data, &options.roots.cache] {
        // Only what is there can be closed; what is made later is made passable.
        if let Err(error) = check_reachable(&existing(root).join("."), &account) {
            return Check::from_error(name, &error, None);
        }
    }
    Check::good(name, format!("`{}`, because this is root", account.name))
}

/// The nearest folder above that is there.
fn existing(path: &Path) -> PathBuf {
    files::ancestors(path)
        .find(|folder| folder.is_dir())
        .unwrap_or_else(|| PathBuf::from("/"))
}

fn folder(name: &'static str, variable: &str, path: &Path) -> Check {
    let there = existing(path);
    let written = tempfile::Builder::new()
        .prefix(files::UNFINISHED)
        .tempfile_in(&there);
    match written {
        Ok(_) => Check::good(name, format!("`{}` can be written", path.display())),
        Err(error) => Check::bad(
            name,
            format!("`{}` cannot be written: {error}", there.display()),
            Hint::everywhere(&format!("set `{variable}` to a folder of yours")),
        ),
    }
}

fn space(name: &'static str, path: &Path, needed: u64) -> Check {
    let hint = || {
        Hint::everywhere(
            "make room, or choose folders on another disk by `XDG_DATA_HOME` and `XDG_CACHE_HOME`",
        )
    };
    match rustix::fs::statvfs(existing(path)) {
        Ok(found) => {
            let free = found.f_bavail.saturating_mul(found.f_frsize);
            let text = format!("{} MB free at `{}`", free / 1_000_000, path.display());
            if free >= needed {
                Check::good(name, text)
            } else {
                Check::bad(
                    name,
                    format!("{text}, wanted are {} MB", needed / 1_000_000),
                    hint(),
                )
            }
        }
        Err(error) => Check::bad(name, format!("`{}`: {error}", path.display()), hint()),
    }
}

/// Whether something can listen here, and whether a stranger took a port while the platform was down.
async fn kept_ports(options: &LocalOptions) -> Check {
    let name = "ports";
    if let Err(error) = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)) {
        let hint = Hint::everywhere(
            "bring the loopback interface up: `ip link set lo up`, or `ifconfig lo0 up`",
        );
        return Check::bad(name, format!("cannot listen at 127.0.0.1: {error}"), hint);
    }
    let target = match LocalTarget::new(options.clone()) {
        Ok(target) => target,
        Err(error) => return Check::from_error(name, &error, None),
    };
    let kept = match PortBook::new(target.folders().ports()).read() {
        Ok(kept) => kept,
        Err(error) => return Check::from_error(name, &error, None),
    };
    match target.status().await {
        Err(error) => return Check::from_error(name, &error, None),
        Ok(Some(_)) => return Check::good(name, format!("{} in use by the platform", kept.len())),
        Ok(None) => {}
    }
    for (service, port) in &kept {
        if let Err(error) = ports::check_free(service, *port) {
            return Check::from_error(name, &error, None);
        }
    }
    Check::good(name, "free")
}

/// Signed requests and sign-in need a clock that is nearly right, and certificates one that is not years off.
fn clock(options: &LocalOptions, now: SystemTime) -> Check {
    let hint = || {
        Hint::each(
            "timedatectl set-ntp true",
            "timedatectl set-ntp true",
            "sntp -sS time.apple.com",
        )
    };
    let since = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    if since < WRITTEN {
        return Check::bad(
            "clock",
            "it shows a time before this program was written",
            hint(),
        );
    }
    let newest = std::fs::metadata(&options.roots.data)
        .and_then(|found| found.modified())
        .ok();
    let ahead = newest.and_then(|newest| newest.duration_since(now).ok());
    match ahead {
        Some(ahead) if ahead > Duration::from_hours(1) => Check::bad(
            "clock",
            format!(
                "`{}` was changed {} hours in the future",
                options.roots.data.display(),
                ahead.as_secs() / 3600
            ),
            hint(),
        ),
        _ => Check::good("clock", "plausible"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths::Roots;
    use crate::python::PythonOptions;

    fn options(folder: &Path, path: &str) -> LocalOptions {
        let env: BTreeMap<String, String> = [("PATH".to_owned(), path.to_owned())].into();
        LocalOptions {
            platform: "demo".parse().unwrap(),
            roots: Roots::below(folder),
            supervisor: vec!["/bin/false".into()],
            python: PythonOptions::new(folder.join("cache"), env.clone()),
            env,
            postgres_bin: None,
        }
    }

    fn check<'a>(checks: &'a [Check], name: &str) -> &'a Check {
        checks.iter().find(|check| check.name == name).unwrap()
    }

    #[tokio::test]
    async fn an_empty_machine_lacks_python_only() {
        let folder = tempfile::tempdir().unwrap();
        files::set_mode(folder.path(), 0o711).unwrap();
        let mut options = options(folder.path(), "/nowhere");
        let checks = doctor(&options).await;
        let bad: Vec<&str> = checks
            .iter()
            .filter(|check| !check.ok)
            .map(|check| check.name)
            .collect();
        assert_eq!(bad, ["python"], "{checks:?}");
        let hint = check(&checks, "python").hint.as_ref().unwrap();
        assert!(hint.debian.starts_with("apt install") && hint.macos.starts_with("brew install"));
        assert_eq!(
            std::fs::read_dir(folder.path()).unwrap().count(),
            0,
            "it changes nothing"
        );
        options.postgres_bin = Some("/nowhere".into());
        options.roots.cache = "/proc/sys/x".into();
        let checks = doctor(&options).await;
        for name in ["postgres", "cache-folder"] {
            assert!(!check(&checks, name).ok, "{checks:?}");
            assert!(check(&checks, name).hint.is_some());
        }
    }

    #[tokio::test]
    async fn a_stranger_at_a_kept_port_and_a_wrong_clock_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let options = options(folder.path(), "/usr/bin:/bin");
        let target = LocalTarget::new(options.clone()).unwrap();
        target.folders().ensure().unwrap();
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = held.local_addr().unwrap().port();
        let wanted = [("mlflow".parse().unwrap(), Some(port))].into();
        PortBook::new(target.folders().ports())
            .ensure(&wanted)
            .unwrap();
        let found = kept_ports(&options).await;
        assert!(
            !found.ok && found.detail.contains(&port.to_string()),
            "{found:?}"
        );
        assert!(!clock(&options, SystemTime::UNIX_EPOCH).ok);
        assert!(clock(&options, SystemTime::now()).ok);
        let yesterday = SystemTime::now() - Duration::from_hours(24);
        assert!(!clock(&options, yesterday).ok);
    }
}
