//! Running a child with a chosen environment, and telling what it said without telling secrets.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use mlops_core::{Error, ErrorKind, Result};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

use crate::files;

/// How much of what a child said goes into an error.
const LAST_LINES: usize = 12;

/// One run of a program. It sees nothing of our own environment but what is given.
#[derive(Debug)]
pub(super) struct Run<'a> {
    pub(super) doing: String,
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<OsString>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) folder: &'a Path,
    pub(super) input: Option<&'a str>,
    pub(super) deadline: Duration,
}

/// What a child that ended well wrote to its standard output.
pub(super) async fn run(run: Run<'_>, on_line: &(dyn Fn(&str) + Send + Sync)) -> Result<String> {
    let secrets = secrets_of(&run.env);
    let doing = run.doing.clone();
    let mut child = spawn(&run)?;
    let talk = converse(&mut child, run.input, on_line, &secrets);
    let Ok(said) = tokio::time::timeout(run.deadline, talk).await else {
        return Err(Error::new(ErrorKind::Timeout, doing)
            .with_source(format!("no end after {} s", run.deadline.as_secs())));
    };
    let (output, errors) = said.map_err(|error| files::io_error(doing.clone(), error))?;
    let status = child
        .wait()
        .await
        .map_err(|error| files::io_error(doing.clone(), error))?;
    if status.success() {
        return Ok(output);
    }
    // Before shortening: the last words of `pip` are what it lacks, the first why.
    let (kind, hint) = meaning(&format!("{output}\n{errors}"));
    let said = if errors.trim().is_empty() {
        &output
    } else {
        &errors
    };
    let said = last_lines(&redact(said, &secrets));
    let error = Error::new(kind, doing).with_source(if said.is_empty() {
        format!(
            "`{}` ended with {status} and said nothing",
            run.program.display()
        )
    } else {
        said
    });
    Err(match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    })
}

fn spawn(run: &Run<'_>) -> Result<Child> {
    Command::new(&run.program)
        .args(&run.arguments)
        .env_clear()
        .envs(&run.env)
        .current_dir(run.folder)
        .stdin(if run.input.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // A key press in the terminal is for us; we end the child when our own work is dropped.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| files::io_error(run.doing.clone(), error))
}

async fn converse(
    child: &mut Child,
    input: Option<&str>,
    on_line: &(dyn Fn(&str) + Send + Sync),
    secrets: &[String],
) -> std::io::Result<(String, String)> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let give = async {
        if let (Some(mut stdin), Some(input)) = (stdin, input) {
            stdin.write_all(input.as_bytes()).await?;
            stdin.shutdown().await?;
        }
        std::io::Result::Ok(())
    };
    let listen = async {
        let mut output = Vec::new();
        if let Some(mut stdout) = stdout {
            stdout.read_to_end(&mut output).await?;
        }
        std::io::Result::Ok(String::from_utf8_lossy(&output).into_owned())
    };
    let watch = async {
        let mut errors = String::new();
        if let Some(stderr) = stderr {
            let mut lines = BufReader::new(stderr).split(b'\n');
            while let Some(line) = lines.next_segment().await? {
                let line = String::from_utf8_lossy(&line);
                on_line(&redact(line.trim(), secrets));
                errors.push_str(line.trim_end());
                errors.push('\n');
            }
        }
        std::io::Result::Ok(errors)
    };
    let (given, output, errors) = tokio::join!(give, listen, watch);
    // A child that ends without reading its input has said why.
    if let Err(error) = given
        && error.kind() != std::io::ErrorKind::BrokenPipe
    {
        return Err(error);
    }
    Ok((output?, errors?))
}

const NETWORK: &str = "check the network, the proxy (`HTTPS_PROXY`) and the package index (`UV_DEFAULT_INDEX` or \
     `PIP_INDEX_URL`); with a full cache (`mlops prefetch`) no network is needed";

/// The table: what a caller can do about what `uv`, `pip` or Python said.
const TABLE: &[(&[&str], ErrorKind, Option<&str>)] = &[
    (
        &["No space left on device", "Disk quota exceeded"],
        ErrorKind::Exhausted,
        Some("the Python environment takes 1.2 GB: make room and run the same command again"),
    ),
    (
        &["Hash mismatch", "DO NOT MATCH THE HASHES"],
        ErrorKind::Protocol,
        Some(
            "the package index answered other files than those of the lock file: do not trust it, try another",
        ),
    ),
    (
        &["401 Unauthorized", "403 Forbidden", "Missing credentials"],
        ErrorKind::Unauthenticated,
        Some("the package index refuses: check the credentials in your `uv` or `pip` settings"),
    ),
    (
        &["certificate", "invalid peer"],
        ErrorKind::Unavailable,
        Some(
            "the package index shows a certificate that is not trusted: name yours by `SSL_CERT_FILE`",
        ),
    ),
    (
        &[
            "error sending request",
            "Could not connect",
            "Failed to establish a new connection",
            "Connection refused",
            "dns error",
            "Temporary failure in name resolution",
            "operation timed out",
            "Read timed out",
            "etwork connectivity",
            "network is disabled",
            "Max retries exceeded",
            "ConnectTimeoutError",
            "ProxyError",
            "Network is unreachable",
        ],
        ErrorKind::Unavailable,
        Some(NETWORK),
    ),
    (
        &[
            "No matching distribution",
            "No solution found",
            "was not found in the package registry",
        ],
        ErrorKind::NotFound,
        Some(
            "the package index lacks a package of the lock file: check `UV_DEFAULT_INDEX` or `PIP_INDEX_URL`",
        ),
    ),
    (
        &["Permission denied", "Read-only file system"],
        ErrorKind::PermissionDenied,
        Some("choose a cache folder that you may write, by `XDG_CACHE_HOME`"),
    ),
];

fn meaning(said: &str) -> (ErrorKind, Option<&'static str>) {
    TABLE
        .iter()
        .find(|(words, ..)| words.iter().any(|word| said.contains(word)))
        .map_or((ErrorKind::Failed, None), |(_, kind, hint)| (*kind, *hint))
}

/// The values that no text may hold: what names itself a secret, and the user part of addresses.
fn secrets_of(env: &BTreeMap<String, String>) -> Vec<String> {
    let mut secrets: Vec<String> = env
        .iter()
        .filter(|(name, value)| {
            let name = name.to_uppercase();
            value.len() > 2
                && ["PASSWORD", "TOKEN", "SECRET"]
                    .iter()
                    .any(|word| name.contains(word))
        })
        .map(|(_, value)| value.clone())
        .collect();
    for value in env.values() {
        for part in value.split([' ', ',', '\n', '\t']) {
            if let Some(user) = user_part(part) {
                secrets.extend(
                    user.split(':')
                        .skip(1)
                        .filter(|part| part.len() > 2)
                        .map(str::to_owned),
                );
            }
        }
    }
    secrets
}

/// The text between `://` and `@` of an address.
fn user_part(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    authority.rsplit_once('@').map(|(user, _)| user)
}

/// The text without secrets and without the user part of any address.
pub(super) fn redact(text: &str, secrets: &[String]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        out.push_str(before);
        out.push_str("://");
        let end = after
            .find(|c: char| c == '/' || c.is_whitespace())
            .unwrap_or(after.len());
        let (authority, tail) = after.split_at(end);
        match authority.rsplit_once('@') {
            Some((_, host)) => {
                out.push_str("***@");
                out.push_str(host);
            }
            None => out.push_str(authority),
        }
        rest = tail;
    }
    out.push_str(rest);
    for secret in secrets {
        out = out.replace(secret.as_str(), "***");
    }
    out
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.trim().is_empty() && !is_progress(line))
        .collect();
    let from = lines.len().saturating_sub(LAST_LINES);
    lines.get(from..).unwrap_or_default().join("\n")
}

/// Lines of `uv` that say what it does, not what went wrong.
fn is_progress(line: &str) -> bool {
    [
        "Using Python ",
        "Using CPython ",
        "Resolved ",
        "Downloading ",
        "Downloaded ",
        "Prepared ",
        "Building ",
        "Built ",
    ]
    .iter()
    .any(|start| line.trim_start().starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn no_credential_survives() {
        let env = env(&[
            (
                "UV_INDEX",
                "https://a:hunter2@one.example/simple https://token-xyz@two.example/simple",
            ),
            ("UV_INDEX_INNER_PASSWORD", "deep secret"),
        ]);
        let secrets = secrets_of(&env);
        let said = redact(
            "Failed to fetch https://a:hunter2@one.example/simple/uv (hunter2) and https://token-xyz@two.example, deep secret",
            &secrets,
        );
        assert_eq!(
            said,
            "Failed to fetch https://***@one.example/simple/uv (***) and https://***@two.example, ***"
        );
        assert_eq!(redact("nothing here: a@b", &secrets), "nothing here: a@b");
    }

    #[test]
    fn what_a_child_said_decides_the_kind() {
        for (said, kind) in [
            (
                "tcp connect error\n Connection refused (os error 111)",
                ErrorKind::Unavailable,
            ),
            (
                "Network connectivity is disabled, but the requested data wasn't found in the cache for: `six`",
                ErrorKind::Unavailable,
            ),
            ("error: Hash mismatch for `six`", ErrorKind::Protocol),
            (
                "write: No space left on device (os error 28)",
                ErrorKind::Exhausted,
            ),
            (
                "HTTP status client error (401 Unauthorized)",
                ErrorKind::Unauthenticated,
            ),
            (
                "ERROR: No matching distribution found for uv",
                ErrorKind::NotFound,
            ),
            ("something new", ErrorKind::Failed),
        ] {
            assert_eq!(meaning(said).0, kind, "{said}");
        }
    }

    #[tokio::test]
    async fn a_failing_child_is_told_with_its_last_words() {
        let folder = tempfile::tempdir().unwrap();
        let child = |script: &str, seconds| Run {
            doing: "try".to_owned(),
            program: PathBuf::from("/bin/sh"),
            arguments: vec!["-c".into(), script.into()],
            env: env(&[("THE_TOKEN", "abcdef")]),
            folder: folder.path(),
            input: Some("given"),
            deadline: Duration::from_secs(seconds),
        };
        let error = run(
            child("echo Resolved 3; echo it broke $THE_TOKEN >&2; exit 3", 5),
            &|_| {},
        )
        .await
        .unwrap_err();
        assert_eq!(error.causes(), ["it broke ***"]);
        let silent = run(child("exit 3", 5), &|_| {}).await.unwrap_err();
        assert!(
            silent.causes()[0].contains("said nothing"),
            "{:?}",
            silent.causes()
        );
        let late = run(child("sleep 20", 0), &|_| {}).await.unwrap_err();
        assert_eq!(late.kind(), ErrorKind::Timeout);
        let output = run(child("cat; env | wc -l", 5), &|_| {}).await.unwrap();
        assert!(output.starts_with("given"));
    }
}
