//! What every supervisor and every storage promises, the real ones and those in memory alike.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use mlops_core::{ErrorKind, SecretText, ServiceName};
use mlops_local::fake::{FakeStorage, FakeSupervisor};
use mlops_local::supervisor::{PROTOCOL, RenderedProcess, State, SupervisorApi, WireSecret};
use mlops_local::{DiskStorage, Layout, NewData, PostgresSearch, StorageApi};

use crate::world::*;

async fn supervisor_contract(api: &dyn SupervisorApi, process: &RenderedProcess) {
    let within = Duration::from_secs(20);
    // Nothing runs.
    assert_eq!(api.find().await.unwrap(), None);
    assert!(api.status().await.unwrap().is_empty());
    api.stop("web").await.unwrap();
    api.shutdown().await.unwrap();
    let error = api.start("web", process).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    // Ensuring twice is ensuring once.
    let info = api.ensure().await.unwrap();
    assert_eq!(info.protocol, PROTOCOL);
    assert_eq!(api.ensure().await.unwrap(), info);
    assert_eq!(api.find().await.unwrap(), Some(info));
    let error = api
        .wait_until_ready("web", within, &|_| {})
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    // A process is known from the start on, and ready when it was waited for.
    api.start("web", process).await.unwrap();
    let status = api.status().await.unwrap().remove("web").unwrap();
    assert!(matches!(status.state, State::Starting | State::Ready));
    assert_eq!(
        (&status.spec, &status.runs, &status.addresses),
        (&process.spec, &process.runs, &process.addresses)
    );
    let seen = Mutex::new(Vec::new());
    api.wait_until_ready("web", within, &|status| {
        seen.lock().unwrap().push(status.state);
    })
    .await
    .unwrap();
    assert_eq!(seen.lock().unwrap().last(), Some(&State::Ready));
    // The same again is nothing, another one starts anew.
    api.start("web", process).await.unwrap();
    assert!(api.status().await.unwrap()["web"].is_ready());
    let mut other = process.clone();
    other.env.insert("X".to_owned(), WireSecret::new("y"));
    other.spec.env.insert("X".to_owned(), "y".to_owned());
    api.start("web", &other).await.unwrap();
    assert_eq!(api.status().await.unwrap()["web"].spec, other.spec);
    api.wait_until_ready("web", within, &|_| {}).await.unwrap();
    api.stop("web").await.unwrap();
    api.stop("web").await.unwrap();
    assert!(api.status().await.unwrap().is_empty());
    api.start("web", process).await.unwrap();
    api.shutdown().await.unwrap();
    api.shutdown().await.unwrap();
    assert_eq!(api.find().await.unwrap(), None);
    assert!(api.status().await.unwrap().is_empty());
}

#[tokio::test]
async fn the_real_supervisor_keeps_the_contract() {
    let world = World::new();
    let process = web(&world, "web", free_port());
    supervisor_contract(&world.supervisor, &process).await;
}

#[tokio::test]
async fn the_supervisor_in_memory_keeps_the_contract() {
    let world = World::new();
    let process = web(&world, "web", free_port());
    supervisor_contract(&FakeSupervisor::default(), &process).await;
}

async fn storage_contract(api: &dyn StorageApi, postgres: NewData) {
    assert!(api.ports().await.unwrap().is_empty());
    assert!(api.list_data().await.unwrap().is_empty());
    assert_eq!(api.find_data("s3").await.unwrap(), None);
    api.remove_data("s3").await.unwrap();
    api.remove_run("s3").await.unwrap();
    api.clean_up().await.unwrap();
    let name = |text: &str| text.parse::<ServiceName>().unwrap();
    let wanted = BTreeMap::from([(name("mlflow"), None), (name("s3"), Some(free_port()))]);
    api.ensure_ports(&wanted).await.unwrap();
    let ports = api.ports().await.unwrap();
    assert_eq!(ports.get(&name("s3")).copied(), wanted[&name("s3")]);
    assert_ne!(ports[&name("mlflow")], ports[&name("s3")]);
    api.ensure_ports(&wanted).await.unwrap();
    assert_eq!(api.ports().await.unwrap(), ports);
    api.create_data("s3", &NewData::Plain).await.unwrap();
    api.create_data("s3", &NewData::Plain).await.unwrap();
    assert_eq!(api.find_data("s3").await.unwrap(), Some(Layout::Plain));
    api.create_data("postgres", &postgres).await.unwrap();
    api.create_data("postgres", &postgres).await.unwrap();
    assert!(
        matches!(api.find_data("postgres").await.unwrap(), Some(Layout::Postgres(major)) if major >= 14)
    );
    assert_eq!(api.list_data().await.unwrap(), ["postgres", "s3"]);
    api.size_of_data("s3").await.unwrap();
    // Data outlives everything that can be made again.
    api.clean_up().await.unwrap();
    assert!(api.ports().await.unwrap().is_empty());
    assert_eq!(api.list_data().await.unwrap(), ["postgres", "s3"]);
    api.remove_data("postgres").await.unwrap();
    api.remove_data("s3").await.unwrap();
    assert!(api.list_data().await.unwrap().is_empty());
    api.clean_up().await.unwrap();
}

async fn new_postgres() -> NewData {
    let search = PostgresSearch {
        path: std::env::var_os("PATH"),
        ..PostgresSearch::default()
    };
    NewData::Postgres {
        program: search.find(None).await.unwrap(),
        superuser: "postgres".to_owned(),
        password: SecretText::new("postgres-password"),
    }
}

#[tokio::test]
async fn the_disk_keeps_the_contract() {
    let world = World::new();
    storage_contract(
        &DiskStorage::new(world.folders.clone()),
        new_postgres().await,
    )
    .await;
    assert!(
        !world.folders.root().exists(),
        "an empty platform leaves nothing"
    );
}

#[tokio::test]
async fn the_disk_in_memory_keeps_the_contract() {
    storage_contract(&FakeStorage::default(), new_postgres().await).await;
}

#[tokio::test]
async fn a_data_folder_is_complete_or_absent() {
    let world = World::new();
    let storage = DiskStorage::new(world.folders.clone());
    let how = new_postgres().await;
    // Given up at different moments, as a kill would.
    for millis in [1, 50, 200, 400] {
        let make = storage.create_data("postgres", &how);
        drop(tokio::time::timeout(Duration::from_millis(millis), make).await);
        if let Some(found) = storage.find_data("postgres").await.unwrap() {
            assert!(matches!(found, Layout::Postgres(_)));
        }
    }
    storage.create_data("postgres", &how).await.unwrap();
    let data = world.folders.data("postgres");
    assert_eq!(mode(&data), 0o700);
    assert!(data.join("pg_hba.conf").exists());
    let names: Vec<_> = files_below(world.folder.path());
    assert!(
        names
            .iter()
            .all(|path| path.file_name().unwrap() != "password"),
        "{names:?}"
    );
    let size = storage.size_of_data("postgres").await.unwrap();
    assert!(size.files > 500 && size.bytes > 10_000_000, "{size:?}");
}
