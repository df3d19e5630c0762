//! From MLflow to MLServer, and from one version to the next under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use mlops_core::{ErrorKind, ModelName, PlatformName};
use mlops_serving::mlflow::Mlflow;
use mlops_serving::oip::{GrpcClient, InferResponse, RestClient};
use mlops_serving::registry::{ModelUri, Sample, register_sample, resolve};
use mlops_serving::serve::{FollowEvent, ModelServer as _, Switcher, Via, follow};

use crate::harness::{broken, endpoint, flower, mlflow, mlserver, model_server, sample, unique};

async fn register(mlflow: &Mlflow, name: &str, sample: &Sample) -> (PlatformName, ModelName) {
    let (platform, model) = ("demo".parse().unwrap(), name.parse().unwrap());
    let alias = "champion".parse().unwrap();
    register_sample(mlflow, &platform, &model, &alias, sample)
        .await
        .unwrap();
    (platform, model)
}

/// Makes the next version of a model from a sample, without any alias.
async fn add_version(mlflow: &Mlflow, name: &str, sample: &Sample) -> String {
    let logged = mlflow
        .create_logged_model("0", name, None, &mlops_serving::mlflow::Tags::new())
        .await
        .unwrap();
    let folder = mlops_serving::mlflow::proxy_path(&logged.artifact_uri).unwrap();
    for (path, content) in &sample.files {
        mlflow
            .put_artifact(&format!("{folder}/{path}"), content.clone())
            .await
            .unwrap();
    }
    mlflow
        .finalize_logged_model(&logged.model_id)
        .await
        .unwrap();
    let mut tags = mlops_serving::mlflow::Tags::new();
    if let Some(probe) = &sample.probe {
        tags.insert(
            "mlops.probe".to_owned(),
            serde_json::to_string(probe).unwrap(),
        );
    }
    mlflow
        .create_model_version(name, &logged.model_id, None, &tags)
        .await
        .unwrap()
        .version
}

fn class(response: &InferResponse) -> i64 {
    response.outputs[0].data().as_slice::<i64>().unwrap()[0]
}

async fn switcher(name: &str, sample: &Sample) -> (Mlflow, Arc<Switcher>) {
    let mlflow = mlflow().await;
    let (platform, model) = register(&mlflow, name, sample).await;
    let switcher = Switcher::new(
        mlserver().await,
        Arc::new(mlflow.clone()),
        platform,
        model,
        None,
    );
    (mlflow, Arc::new(switcher))
}

#[tokio::test]
async fn a_registered_model_is_served_and_goes_away() {
    let name = unique("iris");
    let (mlflow, switcher) = switcher(&name, &sample("iris", Some(flower(0)))).await;
    let uri: ModelUri = format!("models:/{name}@champion").parse().unwrap();
    let wanted = resolve(&mlflow, &uri).await.unwrap();
    assert_eq!(wanted.version, "1");
    assert_eq!(wanted.probe, Some(flower(0)));
    assert!(!switcher.is_serving(&wanted).await.unwrap());
    let done = switcher.switch_to(&wanted).await.unwrap();
    assert_eq!((done.from, done.to.as_str()), (None, "1"));
    assert!(switcher.is_serving(&wanted).await.unwrap());

    let server = mlserver().await;
    let request = flower(0).to_request().unwrap();
    for via in [Via::Rest, Via::Grpc] {
        let answer = server.infer(via, &name, &request).await.unwrap();
        assert_eq!(class(&answer), 0, "{via:?}");
    }
    let metadata = server.metadata(&name).await.unwrap();
    assert_eq!(metadata.versions, ["1"]);
    assert_eq!(metadata.inputs.len(), 4);
    // One entry, one fetched version, no candidate.
    assert_eq!(
        server.find_entry(&name).await.unwrap().unwrap().version,
        "1"
    );
    let entries = server.entries().await.unwrap();
    assert_eq!(entries.iter().filter(|e| e.model == name).count(), 1);

    Switcher::remove_from(&*server, &"demo".parse().unwrap(), &name.parse().unwrap())
        .await
        .unwrap();
    assert!(switcher.serving().await.unwrap().is_none());
    assert!(!model_server().await.models().join(&name).exists());
    assert!(
        !model_server()
            .await
            .models()
            .join(".versions")
            .join(&name)
            .exists()
    );
    // Another platform's model is left alone.
    switcher.switch_to(&wanted).await.unwrap();
    let other = "other".parse().unwrap();
    let refused = Switcher::remove_from(&*server, &other, &name.parse().unwrap()).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn versions_switch_under_load_without_a_refused_or_wrong_request() {
    let name = unique("iris");
    let (mlflow, switcher) = switcher(&name, &sample("iris", Some(flower(0)))).await;
    let second = add_version(&mlflow, &name, &sample("iris-plus-ten", Some(flower(10)))).await;
    assert_eq!(second, "2");
    let uri: ModelUri = format!("models:/{name}@champion").parse().unwrap();
    switcher
        .switch_to(&resolve(&mlflow, &uri).await.unwrap())
        .await
        .unwrap();

    let server = model_server().await;
    let (stop, asked) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let mut tasks = Vec::new();
    for number in 0..6 {
        let rest = RestClient::new(&endpoint(&server.url())).unwrap();
        let grpc = GrpcClient::new(&endpoint(&server.grpc_url())).unwrap();
        let (stop, asked, name) = (Arc::clone(&stop), Arc::clone(&asked), name.clone());
        tasks.push(tokio::spawn(async move {
            let request = flower(0).to_request().unwrap();
            while !stop.load(Ordering::Relaxed) {
                let answer = match number % 2 {
                    0 => rest.infer(&name, &request).await,
                    _ => grpc.infer(&name, &request).await,
                };
                let class = class(&answer.unwrap());
                assert!(class == 0 || class == 10, "{class}");
                asked.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    let mut events = Box::pin(follow(
        Arc::clone(&switcher),
        uri,
        Duration::from_millis(100),
    ));
    assert_eq!(
        events.next().await.unwrap(),
        FollowEvent::Serving {
            version: "1".to_owned()
        }
    );
    let rest = RestClient::new(&endpoint(&server.url())).unwrap();
    let mut slowest = 0;
    for round in 0..6 {
        let (version, expected) = if round % 2 == 0 { ("2", 10) } else { ("1", 0) };
        mlflow.set_alias(&name, "champion", version).await.unwrap();
        let FollowEvent::Switched(done) = events.next().await.unwrap() else {
            panic!("no switch");
        };
        assert_eq!(done.to, version);
        slowest = slowest.max(done.took_ms);
        // From now on every answer is the new version's.
        let answer = rest.infer(&name, &flower(0).to_request().unwrap()).await;
        assert_eq!(class(&answer.unwrap()), expected);
    }
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.unwrap();
    }
    println!(
        "{} requests, none refused or wrong; the slowest of 6 switches took {slowest} ms",
        asked.load(Ordering::Relaxed)
    );
    assert!(asked.load(Ordering::Relaxed) > 50);
}

#[tokio::test]
async fn a_version_that_fails_leaves_the_old_one() {
    let name = unique("iris");
    let (mlflow, switcher) = switcher(&name, &sample("iris", Some(flower(0)))).await;
    let wrong = add_version(&mlflow, &name, &sample("iris-plus-ten", Some(flower(0)))).await;
    let unloadable = add_version(&mlflow, &name, &broken()).await;
    let uri: ModelUri = format!("models:/{name}@champion").parse().unwrap();
    let first = resolve(&mlflow, &uri).await.unwrap();
    switcher.switch_to(&first).await.unwrap();

    let mut events = Box::pin(follow(
        Arc::clone(&switcher),
        uri,
        Duration::from_millis(50),
    ));
    events.next().await.unwrap();
    for version in [&wrong, &unloadable] {
        mlflow.set_alias(&name, "champion", version).await.unwrap();
        let FollowEvent::Refused {
            version: refused,
            failure,
        } = events.next().await.unwrap()
        else {
            panic!("not refused");
        };
        assert_eq!(&refused, version);
        assert!(
            failure
                .hint
                .as_ref()
                .unwrap()
                .contains("version 1 is still served"),
            "{failure:?}"
        );
        println!("{failure:?}");
        assert!(switcher.is_serving(&first).await.unwrap());
        // It is not tried again while the alias stays.
        let more = tokio::time::timeout(Duration::from_millis(400), events.next()).await;
        assert!(more.is_err(), "{more:?}");
    }
    let entries = mlserver().await.entries().await.unwrap();
    assert_eq!(entries.iter().filter(|e| e.model == name).count(), 1);
    mlflow.set_alias(&name, "champion", "1").await.unwrap();
    assert_eq!(
        events.next().await.unwrap(),
        FollowEvent::Serving {
            version: "1".to_owned()
        }
    );
}

#[tokio::test]
async fn health_is_told_apart() {
    let server = model_server().await;
    let rest = RestClient::new(&endpoint(&server.url())).unwrap();
    let grpc = GrpcClient::new(&endpoint(&server.grpc_url())).unwrap();
    assert!(rest.is_server_live().await.unwrap() && grpc.is_server_live().await.unwrap());
    assert!(rest.is_server_ready().await.unwrap() && grpc.is_server_ready().await.unwrap());
    assert!(!rest.is_model_ready("none").await.unwrap());
    assert_eq!(rest.server_metadata().await.unwrap().name, "mlserver");
    assert_eq!(grpc.server_metadata().await.unwrap().name, "mlserver");
    let request = flower(0).to_request().unwrap();
    for error in [
        rest.infer("none", &request).await.unwrap_err(),
        grpc.infer("none", &request).await.unwrap_err(),
        rest.load_model("none").await.unwrap_err(),
        rest.model_metadata("none").await.unwrap_err(),
        grpc.model_metadata("none").await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
    }
    rest.unload_model("none").await.unwrap();
    rest.repository_index().await.unwrap();
    let begun = Instant::now();
    let nowhere = RestClient::new(&endpoint("http://127.0.0.1:1")).unwrap();
    assert_eq!(
        nowhere.is_server_live().await.unwrap_err().kind(),
        ErrorKind::Unavailable
    );
    assert!(begun.elapsed() < Duration::from_secs(2));
}
