//! Register a saved model with an alias, and serve the version that the alias names.
//!
//! Needs:  a platform: what `mlops env` prints; the addresses of its model server in `MODEL_SERVER` and
//!         `MODEL_SERVER_GRPC` (`mlops status`), and in `MODEL_FOLDER` the folder that it loads models from
//! Run:    cargo run -p mlops-examples --example register_and_serve_model -- FOLDER
//!         where FOLDER is what `mlflow.sklearn.save_model` wrote
//! Prints: which version is served, and how long the switch took
//! Undo:   the same command with `remove` in place of FOLDER

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use mlops_core::{Endpoint, ModelName, PlatformName, SecretText};
use mlops_examples::var;
use mlops_serving::mlflow::Mlflow;
use mlops_serving::registry::{Sample, register_sample, remove_registered, resolve};
use mlops_serving::serve::{MlServer, Switcher};

async fn recipe(mlflow: Mlflow, server: MlServer, argument: &str) -> anyhow::Result<()> {
    let (platform, model): (PlatformName, ModelName) = ("recipe".parse()?, "flowers".parse()?);
    if argument == "remove" {
        Switcher::remove_from(&server, &platform, &model).await?;
        remove_registered(&mlflow, &platform, &model).await?;
        println!("removed");
        return Ok(());
    }
    // May be killed anywhere and run again: it goes on from what is there.
    let files = read_files(Path::new(argument), "")?;
    let saved = Sample { files, probe: None };
    register_sample(&mlflow, &platform, &model, &"champion".parse()?, &saved).await?;

    let wanted = resolve(&mlflow, &"models:/flowers@champion".parse()?).await?;
    let switcher = Switcher::new(Arc::new(server), Arc::new(mlflow), platform, model, None);
    // The version must answer under another name before it takes the place of the one that is served.
    if !switcher.is_serving(&wanted).await? {
        let done = switcher.switch_to(&wanted).await?;
        println!("switched in {} ms", done.took_ms);
    }
    println!("version {} is served", wanted.version);
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let at = |name| anyhow::Ok(Endpoint::new(var(name)?.parse()?)?);
    let password = SecretText::new(var("MLFLOW_TRACKING_PASSWORD")?);
    let mlflow = Mlflow::new(&at("MLFLOW_TRACKING_URI")?)?
        .with_basic_auth(&var("MLFLOW_TRACKING_USERNAME")?, &password)?;
    let (rest, grpc) = (at("MODEL_SERVER")?, at("MODEL_SERVER_GRPC")?);
    let server = MlServer::new(&rest, Some(&grpc), Path::new(&var("MODEL_FOLDER")?))?;
    let argument = std::env::args().nth(1);
    let argument = argument.context("the argument is the folder of a model, or `remove`")?;
    recipe(mlflow, server, &argument).await
}

/// The files below a folder, under their paths with `/`.
fn read_files(folder: &Path, prefix: &str) -> anyhow::Result<Vec<(String, bytes::Bytes)>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            files.extend(read_files(&path, &format!("{prefix}{name}/"))?);
        } else {
            files.push((format!("{prefix}{name}"), std::fs::read(&path)?.into()));
        }
    }
    Ok(files)
}
