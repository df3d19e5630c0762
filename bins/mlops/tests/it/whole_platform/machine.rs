//! Machines that lack something, or have something else than most: no network, half a cache, PostgreSQL from the
//! package index, a user who is not root.

use std::os::unix::fs::{chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::home::{Home, Said};
use super::trouble::{SMALL, cached, is_root, with_notes, write};

/// A package index that nobody listens at, and no packages anywhere else.
fn without_packages<'a>(home: &Home, command: &'a mut Command) -> &'a mut Command {
    command
        .env("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
        // With none at all `pip` does not say what it met.
        .env("PIP_RETRIES", "1")
        .env("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
        .env("UV_HTTP_RETRIES", "0")
        .env("UV_CACHE_DIR", home.path("uv-cache"))
        .env_remove("PIP_FIND_LINKS")
        .env_remove("UV_FIND_LINKS")
}

#[test]
fn without_a_network_and_without_a_cache_it_says_how_to_get_one() {
    let home = Home::new();
    let cache = home.path("empty-cache");
    let mut command = home.command(&["up", "--cache-dir", &cache.display().to_string()]);
    command.env(
        "PATH",
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    );
    let output = without_packages(&home, &mut command).output().unwrap();
    let said = Said::from(output).expect(1);
    assert!(said.err.contains("hint:"), "{}", said.err);
    assert!(
        said.err.contains("prefetch") || said.err.contains("network"),
        "{}",
        said.err
    );
    home.run(&["remove", "--all-data", "--yes"]).expect(0);
}

/// The folder of the machine's Python environment.
fn environment(home: &Home) -> PathBuf {
    cached(home, "python").ancestors().nth(2).unwrap().into()
}

/// A cache with links to the machine's Python environment, enough to find it there, and to run what is no Python. The
/// interpreter itself may lie where only root gets at it, and is an empty file.
fn half_a_cache(cache: &Path, environment: &Path) {
    let folder = cache.join("python");
    let place = folder.join(environment.file_name().unwrap());
    std::fs::create_dir_all(place.join("bin")).unwrap();
    std::fs::write(place.join("bin/python"), "").unwrap();
    for entry in environment.read_dir().unwrap().flatten() {
        if entry.file_name() != "bin" {
            symlink(entry.path(), place.join(entry.file_name())).unwrap();
        }
    }
    for entry in environment.parent().unwrap().read_dir().unwrap().flatten() {
        let (path, place) = (entry.path(), folder.join(entry.file_name()));
        let name = entry.file_name().into_string().unwrap();
        if name.starts_with("choice-") {
            std::fs::copy(&path, &place).unwrap();
        } else if name.starts_with("uv-") {
            symlink(&path, &place).unwrap();
        }
    }
}

#[test]
fn offline_a_full_cache_is_enough_and_half_a_one_is_told() {
    assert!(
        is_root(),
        "a network of its own with nobody else in it takes root"
    );
    let home = Home::new();
    write(&home, SMALL);
    let alone = |script: &str| -> Said {
        let mut command = home.program("unshare");
        let script = format!("ip link set lo up\n{script}");
        command.args(["--net", "sh", "-euc", &script]);
        command.arg(env!("CARGO_BIN_EXE_mlops"));
        let output = without_packages(&home, &mut command).output().unwrap();
        output.into()
    };
    alone("\"$0\" up --offline\n\"$0\" check\n\"$0\" remove --all-data --yes").expect(0);

    // All that a quick look sees is there.
    half_a_cache(&home.path("half"), &environment(&home));
    for cache in ["empty", "half"] {
        let said = alone(&format!("\"$0\" up --offline --cache-dir {cache}")).expect(1);
        assert!(said.err.contains("mlops prefetch"), "{cache}: {}", said.err);
        assert!(home.processes().is_empty());
        assert!(!home.platform("small").exists());
    }
}

#[test]
fn the_postgresql_of_the_python_environment_serves() {
    let home = Home::new();
    let bin = cached(&home, "postgres");
    let args = with_notes(
        &home,
        &format!("local: {{ postgres: {} }}\n", bin.display()),
    );
    let run = |verb: &[&str]| home.run(&[verb, &args].concat()).expect(0);
    run(&["up"]);
    let server = bin.join("postgres").display().to_string();
    let is_its = |(_, arguments): &(u32, String)| arguments.starts_with(&server);
    assert!(home.processes().iter().any(is_its), "{server}");
    run(&["check"]);
    run(&["down"]);
    run(&["up"]);
    run(&["plan", "--exit-code"]);
    run(&["remove", "--all-data", "--yes"]);
}

#[test]
fn a_user_who_is_not_root_has_a_platform_too() {
    const NOBODY: u32 = 65_534;
    assert!(is_root(), "only root can become another user");
    let home = Home::new();
    let cache = home.path("cache");
    half_a_cache(&cache, &environment(&home));
    let args = with_notes(&home, "");
    // The command may lie where only root gets at it.
    let command = home.path("mlops");
    let built = env!("CARGO_BIN_EXE_mlops");
    std::fs::hard_link(built, &command)
        .or_else(|_| std::fs::copy(built, &command).map(drop))
        .unwrap();
    give(home.folder.path(), NOBODY);
    let run = |verb: &[&str]| -> Said {
        let mut program = home.program("setpriv");
        program
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(&command)
            .args(verb)
            .args(args)
            .arg("--cache-dir")
            .arg(&cache)
            .env("HOME", home.folder.path());
        Said::from(program.output().unwrap()).expect(0)
    };
    run(&["up"]);
    for (pid, arguments) in home.processes() {
        use std::os::unix::fs::MetadataExt as _;
        let owner = std::fs::metadata(format!("/proc/{pid}")).unwrap().uid();
        assert_eq!(owner, NOBODY, "{arguments}");
    }
    run(&["check"]);
    run(&["down"]);
    run(&["up"]);
    run(&["plan", "--exit-code"]);
    run(&["remove", "--all-data", "--yes"]);
    assert!(home.processes().is_empty(), "{:?}", home.processes());
    assert!(!home.platform("small").exists());
}

/// Gives a folder and all in it to a user; what links lead to stays whose it is.
fn give(folder: &Path, user: u32) {
    for entry in folder.read_dir().unwrap().flatten() {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            give(&entry.path(), user);
        } else if kind.is_file() && entry.file_name() != "mlops" {
            chown(entry.path(), Some(user), Some(user)).unwrap();
        }
    }
    chown(folder, Some(user), Some(user)).unwrap();
}
