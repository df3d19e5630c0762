//! The Python environment, made for real. The package index is asked once: all share one cache of `uv`.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use mlops_core::{Error, ErrorKind};
use mlops_local::python::{PythonEnvironment, PythonOptions};

/// Names the cache for the child of [`a_kill_leaves_none_and_the_next_run_completes`].
const CHILD: &str = "MLOPS_TEST_PYTHON_CACHE";
/// Nothing listens there: it is a port that only root may take.
const CLOSED: &str = "127.0.0.1:1";

/// On the file system of the shared cache, so that packages are linked and not copied.
fn folder() -> tempfile::TempDir {
    tempfile::Builder::new()
        .prefix("python-")
        .tempdir_in(env!("CARGO_TARGET_TMPDIR"))
        .unwrap()
}

fn options(cache: &Path) -> PythonOptions {
    let mut env: BTreeMap<String, String> = std::env::vars().collect();
    let shared = Path::new(env!("CARGO_TARGET_TMPDIR")).join("uv-cache");
    env.entry("UV_CACHE_DIR".to_owned())
        .or_insert(shared.display().to_string());
    PythonOptions::new(cache, env).without_bytecode()
}

/// Options that can reach no package index, nor a cache.
fn cut_off(cache: &Path) -> PythonOptions {
    let mut options = options(cache);
    options
        .env
        .retain(|name, _| !name.starts_with("UV_") && !name.starts_with("PIP_"));
    for (name, value) in [
        ("UV_CACHE_DIR", cache.join("empty").display().to_string()),
        ("UV_HTTP_RETRIES", "0".to_owned()),
        ("PIP_RETRIES", "1".to_owned()),
        (
            "PIP_CACHE_DIR",
            cache.join("empty-pip").display().to_string(),
        ),
        (
            "PIP_INDEX_URL",
            format!("http://lovelace:hunter2@{CLOSED}/simple"),
        ),
    ] {
        options.env.insert(name.to_owned(), value);
    }
    options
}

async fn ensure(options: &PythonOptions) -> Result<(PythonEnvironment, Vec<String>), Error> {
    let told = Mutex::new(Vec::new());
    let made =
        PythonEnvironment::ensure(options, &|what| told.lock().unwrap().push(what.to_owned()))
            .await?;
    Ok((made, told.into_inner().unwrap()))
}

/// Everything that a person could read of an error.
fn text_of(error: &Error) -> String {
    format!(
        "{error:?} {error} {} {}",
        error.causes().join(" "),
        error.hint().unwrap_or_default()
    )
}

fn installs(told: &[String]) -> bool {
    told.iter()
        .any(|what| what.starts_with("installing MLflow"))
}

fn script(path: &Path, text: &str) {
    std::fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_at_once_make_one_and_damage_is_healed() {
    let cache = folder();
    let options = options(cache.path());
    assert_eq!(PythonEnvironment::find(&options).await.unwrap(), None);

    let (one, two) = tokio::join!(ensure(&options), ensure(&options));
    let ((one, first), (two, second)) = (one.unwrap(), two.unwrap());
    assert_eq!(one, two);
    assert!(
        installs(&first) != installs(&second),
        "{first:?} {second:?}"
    );
    let waited = if installs(&first) { &second } else { &first };
    assert!(
        waited
            .iter()
            .any(|what| what.starts_with("waiting for process ")),
        "{waited:?}"
    );

    let started = Instant::now();
    assert_eq!(
        PythonEnvironment::find(&options).await.unwrap().unwrap(),
        one
    );
    let took = started.elapsed();
    assert!(took < Duration::from_millis(100), "finding took {took:?}");

    is_usable(&one);
    let site = one
        .postgres_bin_dir()
        .unwrap()
        .ancestors()
        .nth(3)
        .unwrap()
        .to_owned();

    // Deep inside: only a run that is about to use it looks so closely.
    let lost = site.join("mlserver/rest/app.py");
    std::fs::remove_file(&lost).unwrap();
    assert!(PythonEnvironment::find(&options).await.unwrap().is_some());
    nobody_is_asked_offline(cache.path()).await;
    // What the cache of `uv` holds is enough.
    let (healed, told) = ensure(&options.clone().offline()).await.unwrap();
    assert!(installs(&told) && lost.is_file());
    assert_eq!(healed, one);

    // Nothing to do: nothing told.
    assert!(ensure(&options).await.unwrap().1.is_empty());

    std::fs::remove_file(&one.python).unwrap();
    assert_eq!(PythonEnvironment::find(&options).await.unwrap(), None);
    assert!(installs(&ensure(&options).await.unwrap().1));
    is_usable(&one);
    assert_eq!(leftovers(cache.path()), Vec::<String>::new());
}

/// With an empty cache of `uv` nothing can be healed.
async fn nobody_is_asked_offline(cache: &Path) {
    let index = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    index.set_nonblocking(true).unwrap();
    let mut options = cut_off(cache).offline();
    let url = format!("http://{}/simple", index.local_addr().unwrap());
    options.env.insert("PIP_INDEX_URL".to_owned(), url);
    let error = ensure(&options).await.unwrap_err();
    let hint = Some("run `mlops prefetch` while there is a network");
    assert_eq!(error.hint(), hint, "{}", text_of(&error));
    let asked = index.accept().map(|_| ());
    assert_eq!(asked.unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

fn is_usable(environment: &PythonEnvironment) {
    let version = |program: PathBuf| {
        let output = Command::new(program).arg("--version").output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let bin = environment.postgres_bin_dir().unwrap();
    assert!(version(bin.join("postgres")).starts_with("postgres (PostgreSQL) 18"));
    assert!(version(bin.join("initdb")).starts_with("initdb (PostgreSQL) 18"));
    for path in [
        environment.mlflow_launcher(),
        environment.model_server_launcher(),
        environment.warm_up_model(),
    ] {
        assert!(path.exists(), "{}", path.display());
    }
    let answer = Command::new(&environment.python)
        .args([
            "-I",
            "-c",
            "import importlib.metadata as m; print(m.version('mlflow'), m.version('mlserver'))",
        ])
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8(answer.stdout).unwrap().trim(),
        "3.17.2 1.7.1"
    );
}

fn leftovers(cache: &Path) -> Vec<String> {
    std::fs::read_dir(cache.join("python"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with(".making-"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn bytecode_is_there_before_the_first_start() {
    let cache = folder();
    let mut options = options(cache.path());
    options.bytecode = true;
    let (environment, told) = ensure(&options).await.unwrap();
    assert!(
        told.iter().any(|what| what.starts_with("compiling")),
        "{told:?}"
    );
    let check = "import importlib.util as u, sys, os; names = [n.strip() for n in sys.stdin if n.strip()]; \
        site = sys.argv[1]; there = [n for n in names if os.path.exists(os.path.join(site, n))]; \
        done = [n for n in there if os.path.exists(u.cache_from_source(os.path.join(site, n)))]; \
        print(len(there), len(done))";
    let site = environment
        .postgres_bin_dir()
        .unwrap()
        .ancestors()
        .nth(3)
        .unwrap()
        .to_owned();
    let names = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/bytecode.txt");
    let answer = Command::new(&environment.python)
        .args(["-I", "-c", check])
        .arg(site)
        .stdin(std::fs::File::open(names).unwrap())
        .output()
        .unwrap();
    let answer = String::from_utf8(answer.stdout).unwrap();
    let (there, done) = answer.trim().split_once(' ').unwrap();
    assert_eq!(there, done);
    assert!(there.parse::<usize>().unwrap() > 3000, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_leaves_none_and_the_next_run_completes() {
    let cache = folder();
    let work = || !leftovers(cache.path()).is_empty();
    for delay in [0, 400] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "python::child_makes_the_environment",
                "--ignored",
            ])
            .env(CHILD, cache.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_mins(2);
        while !(cache.path().join("python").is_dir() && work()) {
            assert!(
                child.try_wait().unwrap().is_none(),
                "the child ended before it was killed"
            );
            assert!(Instant::now() < deadline, "the child does not begin");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(Duration::from_millis(delay)).await;
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(
            PythonEnvironment::find(&options(cache.path()))
                .await
                .unwrap(),
            None
        );
        assert!(work(), "the kill came too late to prove anything");
    }
    let (environment, _) = ensure(&options(cache.path())).await.unwrap();
    is_usable(&environment);
    assert_eq!(leftovers(cache.path()), Vec::<String>::new());
}

#[tokio::test]
#[ignore = "the child of a_kill_leaves_none_and_the_next_run_completes"]
async fn child_makes_the_environment() {
    let cache = std::env::var_os(CHILD).unwrap();
    ensure(&options(Path::new(&cache))).await.unwrap();
}

#[tokio::test]
async fn a_python_that_does_not_fit_is_named_with_its_reason() {
    let cache = folder();
    let bin = cache.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    script(
        &bin.join("python3.12"),
        "echo cannot open shared object >&2; exit 127",
    );
    script(
        &bin.join("python3"),
        "echo '{\"executable\": \"/x\", \"version\": [3, 8], \"tag\": \"t\", \"implementation\": \"cpython\", \"is_64_bit\": true, \"has_pip\": true}'",
    );
    script(&bin.join("python"), "echo Python 2.7.18");
    let mut options = options(cache.path());
    options
        .env
        .insert("PATH".to_owned(), bin.display().to_string());
    let error = ensure(&options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(error.to_string(), "failed to find Python 3.10 to 3.13");
    let causes = error.causes().join(" ");
    for part in [
        "python3.12` does not work: cannot open shared object",
        "python3` is Python 3.8",
        "python` does not work: its answer is not",
    ] {
        assert!(causes.contains(part), "{causes}");
    }
    assert!(
        error.hint().unwrap().contains("apt install python3"),
        "{:?}",
        error.hint()
    );

    let named = ensure(&options.clone().with_python(bin.join("python3")))
        .await
        .unwrap_err();
    assert!(
        named
            .to_string()
            .contains("bin/python3` as Python 3.10 to 3.13"),
        "{named}"
    );

    options.env.insert("PATH".to_owned(), String::new());
    let none = ensure(&options).await.unwrap_err();
    assert!(
        none.causes().join(" ").contains("is on the search path"),
        "{:?}",
        none.causes()
    );
}

#[tokio::test]
async fn without_a_network_it_says_so_and_tells_no_password() {
    let cache = folder();
    let ours = options(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("python-tools"));
    let (_, uv) = tools(&ours).await;

    // `uv` is asked for packages at the index that `pip` is set up with.
    let packages = ensure(&cut_off(cache.path()).with_uv(uv))
        .await
        .unwrap_err();
    // And `pip` for `uv`, when there is none.
    let mut no_uv = cut_off(cache.path());
    no_uv.python = Some(python3());
    no_uv.env.insert("PATH".to_owned(), String::new());
    let installer = ensure(&no_uv).await.unwrap_err();
    for (error, doing) in [
        (packages, "install the Python packages"),
        (installer, "install uv"),
    ] {
        let text = text_of(&error);
        assert_eq!(error.doing(), doing, "{text}");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{text}");
        assert!(error.hint().unwrap().contains("mlops prefetch"), "{text}");
        assert!(
            !text.contains("hunter2") && !text.contains("lovelace"),
            "{text}"
        );
    }
    assert_eq!(
        PythonEnvironment::find(&cut_off(cache.path()))
            .await
            .unwrap(),
        None
    );
    assert_eq!(leftovers(cache.path()), Vec::<String>::new());
}

#[tokio::test]
async fn a_python_without_pip_gets_uv_all_the_same() {
    let (python, uv) = tools(&options(
        &Path::new(env!("CARGO_TARGET_TMPDIR")).join("python-tools"),
    ))
    .await;
    let cache = folder();
    // An environment of `uv` has no `pip`.
    let bare = cache.path().join("bare");
    assert!(
        Command::new(&uv)
            .args(["venv", "--quiet", "--python"])
            .arg(&python)
            .arg(&bare)
            .status()
            .unwrap()
            .success()
    );
    let mut options = options(cache.path()).with_python(bare.join("bin/python"));
    options.env.insert("PATH".to_owned(), String::new());
    let (environment, told) = ensure(&options).await.unwrap();
    assert!(
        told.iter().any(|what| what.starts_with("installing uv")),
        "{told:?}"
    );
    is_usable(&environment);
}

/// A Python outside of any environment of ours, and a `uv`: the one of this machine, else one that we install.
async fn tools(options: &PythonOptions) -> (PathBuf, PathBuf) {
    let (environment, _) = ensure(options).await.unwrap();
    let python = std::fs::canonicalize(&environment.python).unwrap();
    let folder = options.cache.join("python");
    let installed = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().join("bin/uv"))
        .find(|path| path.is_file());
    (python, installed.unwrap_or_else(|| which("uv")))
}

fn python3() -> PathBuf {
    let answer = Command::new(which("python3"))
        .args(["-c", "import sys; print(sys.executable)"])
        .output()
        .unwrap();
    String::from_utf8(answer.stdout).unwrap().trim().into()
}

fn which(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
        .unwrap()
}
