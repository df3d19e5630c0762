//! `uv`: the one on the search path, else one from the package index in the cache.

use std::path::{Path, PathBuf};
use std::time::Duration;

use mlops_core::{Digest, Error, ErrorKind, Result};

use super::command::{self, Run};
use super::interpreter::Interpreter;
use super::{PythonOptions, settings};
use crate::files;

/// Relocatable environments, hash checking in `pip sync` and `UV_DEFAULT_INDEX` are in this version.
const OLDEST: (u32, u32, u32) = (0, 5, 0);

const LOCK: &str = include_str!("../../python/uv.lock");

/// A `uv` that does what we need, installed when there is none. Call it under the lock of `folder`.
pub(super) async fn ensure_uv(
    options: &PythonOptions,
    python: &Interpreter,
    folder: &Path,
    progress: &(dyn Fn(&str) + Send + Sync),
) -> Result<PathBuf> {
    if let Some(found) = on_path(options, folder).await? {
        return Ok(found);
    }
    let digest = Digest::of_bytes(LOCK.as_bytes());
    let home = folder.join(format!(
        "uv-{}",
        digest.as_str().get(..16).unwrap_or_default()
    ));
    let program = home.join("bin/uv");
    if program.is_file() {
        return Ok(program);
    }
    if options.offline {
        return Err(Error::new(ErrorKind::Unavailable, "install uv")
            .with_source("it is not in the cache, and the network may not be used")
            .with_hint(super::PREFETCH));
    }
    progress("installing uv, which installs the Python packages");
    let work = super::make::work_folder(folder)?;
    let requirements = work.path().join("uv.lock");
    std::fs::write(&requirements, LOCK)
        .map_err(|error| files::io_error(format!("write `{}`", requirements.display()), error))?;
    let pip = pip(options, python, work.path()).await?;
    let target = install_uv(options, &pip, work.path()).await?;
    // What is there lacks its program, or we would not be here.
    files::remove_tree(&home)?;
    std::fs::rename(&target, &home)
        .map_err(|error| files::io_error(format!("make `{}`", home.display()), error))?;
    Ok(program)
}

/// Installs `uv` with the user's own `pip`, whose settings need no translation, and answers the folder.
async fn install_uv(options: &PythonOptions, pip: &Path, work: &Path) -> Result<PathBuf> {
    let target = work.join("uv");
    command::run(
        Run {
            doing: "install uv".to_owned(),
            program: pip.to_owned(),
            arguments: [
                "-I",
                "-m",
                "pip",
                "install",
                "--disable-pip-version-check",
                "--no-input",
                "--no-deps",
                "--no-compile",
                "--only-binary",
                ":all:",
                "--require-hashes",
                "--requirement",
                "uv.lock",
                "--target",
                "uv",
            ]
            .map(Into::into)
            .into(),
            env: settings::for_pip(&options.env),
            folder: work,
            input: None,
            deadline: Duration::from_mins(10),
        },
        &|_| {},
    )
    .await?;
    if !target.join("bin/uv").is_file() {
        return Err(
            Error::new(ErrorKind::Failed, "install uv").with_source("its package holds no program")
        );
    }
    Ok(target)
}

/// The `uv` of the user. One that is named must do; one on the search path may be too old.
async fn on_path(options: &PythonOptions, folder: &Path) -> Result<Option<PathBuf>> {
    if let Some(chosen) = &options.uv {
        let version = version(options, chosen, folder).await?;
        return if version >= OLDEST {
            Ok(Some(chosen.clone()))
        } else {
            let (major, minor, patch) = version;
            Err(Error::new(
                ErrorKind::Unsupported,
                format!("use `{}`", chosen.display()),
            )
            .with_source(format!(
                "it is uv {major}.{minor}.{patch}; {}.{}.{} is needed",
                OLDEST.0, OLDEST.1, OLDEST.2
            )))
        };
    }
    let path = options.env.get("PATH");
    let Ok(found) = which::which_in("uv", path, ".") else {
        return Ok(None);
    };
    match version(options, &found, folder).await {
        Ok(version) if version >= OLDEST => Ok(Some(found)),
        Ok(_) => Ok(None),
        Err(error) => {
            tracing::debug!(uv = %found.display(), ?error, "this uv does not work; another is installed");
            Ok(None)
        }
    }
}

async fn version(options: &PythonOptions, uv: &Path, folder: &Path) -> Result<(u32, u32, u32)> {
    let doing = format!("ask `{}` for its version", uv.display());
    let answer = command::run(
        Run {
            doing: doing.clone(),
            program: uv.to_owned(),
            arguments: vec!["--version".into()],
            env: settings::common(&options.env),
            folder,
            input: None,
            deadline: Duration::from_secs(20),
        },
        &|_| {},
    )
    .await?;
    parse_version(&answer).ok_or_else(|| {
        Error::new(ErrorKind::Protocol, doing)
            .with_source(format!("it answered `{}`", answer.trim()))
    })
}

/// `uv 0.13.8 (x86_64-unknown-linux-gnu)`.
fn parse_version(answer: &str) -> Option<(u32, u32, u32)> {
    let mut words = answer.split_whitespace();
    let ("uv", Some(number)) = (words.next()?, words.next()) else {
        return None;
    };
    let mut parts = number.split(['.', '-', '+']).map(str::parse);
    match (parts.next(), parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor)), Some(Ok(patch))) => Some((major, minor, patch)),
        _ => None,
    }
}

/// A Python with `pip`: the interpreter itself, else a virtual environment of it.
async fn pip(options: &PythonOptions, python: &Interpreter, work: &Path) -> Result<PathBuf> {
    if python.has_pip {
        return Ok(python.executable.clone());
    }
    command::run(
        Run {
            doing: format!("get pip for `{}`, to install uv", python.executable.display()),
            program: python.executable.clone(),
            arguments: ["-I", "-m", "venv", "venv"].map(Into::into).into(),
            env: settings::common(&options.env),
            folder: work,
            input: None,
            deadline: Duration::from_mins(3),
        },
        &|_| {},
    )
    .await
    .map_err(|error| {
        error.with_hint(
            "install uv (https://docs.astral.sh/uv/), or pip: Debian and Ubuntu `apt install python3-venv`, Fedora \
             `dnf install python3-pip`",
        )
    })?;
    Ok(work.join("venv/bin/python"))
}

/// What `pip` is set up with, as `pip` itself says.
pub(super) async fn pip_settings(
    options: &PythonOptions,
    python: &Interpreter,
    folder: &Path,
) -> settings::PipSettings {
    let from_environment = || settings::from_environment(&options.env);
    if !python.has_pip {
        return from_environment();
    }
    let asked = command::run(
        Run {
            doing: "read the settings of pip".to_owned(),
            program: python.executable.clone(),
            arguments: [
                "-I",
                "-m",
                "pip",
                "--disable-pip-version-check",
                "config",
                "list",
            ]
            .map(Into::into)
            .into(),
            env: settings::for_pip(&options.env),
            folder,
            input: None,
            deadline: Duration::from_mins(1),
        },
        &|_| {},
    )
    .await;
    match asked {
        Ok(answer) => settings::parse_config_list(&answer),
        Err(error) => {
            tracing::debug!(?error, "pip does not tell its settings");
            from_environment()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(
            parse_version("uv 0.13.8 (x86_64-unknown-linux-gnu)\n"),
            Some((0, 13, 8))
        );
        assert_eq!(parse_version("uv 0.4.30"), Some((0, 4, 30)));
        assert_eq!(parse_version("pip 23.2.1"), None);
        assert_eq!(parse_version(""), None);
        assert!(Some((0, 4, 30)) < Some(OLDEST));
    }

    #[test]
    fn lock_files_name_no_host() {
        for lock in [LOCK, super::super::LOCK] {
            assert!(
                !lock.contains("://"),
                "a lock file must work with any index"
            );
            assert!(lock.contains("--hash=sha256:"));
        }
    }
}
