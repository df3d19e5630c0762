//! The MLflow client against MLflow 3.17.2.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use mlops_core::{ErrorKind, SecretText};
use mlops_serving::mlflow::{Grant, LogBatch, Metric, Mlflow, NewRun, RunStatus, Tag, proxy_path};
use mlops_testkit::mlflow::MlflowServer;
use mlops_testkit::python::python;

use crate::harness::{client_for, endpoint, mlflow, mlflow_server, unique};

#[tokio::test]
async fn health_version_and_signing_in() {
    let url = mlflow_server().await.url();
    let nobody = Mlflow::new(&endpoint(&url)).unwrap();
    assert!(nobody.is_healthy().await.unwrap());
    let error = nobody.check_ready().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    let wrong = Mlflow::new(&endpoint(&url))
        .unwrap()
        .with_basic_auth("admin", &SecretText::new("wrong"))
        .unwrap();
    assert_eq!(
        wrong.current_user().await.unwrap_err().kind(),
        ErrorKind::Unauthenticated
    );
    let admin = mlflow().await;
    admin.check_ready().await.unwrap();
    assert_eq!(admin.version().await.unwrap(), "3.17.2");
    assert!(admin.current_user().await.unwrap().is_admin);
    // The server answers 403 to a host name that it does not know.
    let by_name = url.replace("127.0.0.1", "127.0.0.2");
    let error = client_for(&by_name).check_ready().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "nobody listens there");
}

#[tokio::test]
async fn experiments_and_runs() {
    let mlflow = mlflow().await;
    let name = unique("it's an experiment");
    let tags = BTreeMap::from([("team".to_owned(), "a'b".to_owned())]);
    let id = mlflow.create_experiment(&name, &tags).await.unwrap();
    let again = mlflow.create_experiment(&name, &tags).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::AlreadyExists);
    let found = mlflow.find_experiment(&name).await.unwrap().unwrap();
    assert_eq!(
        (found.experiment_id.as_str(), &found.tags),
        (id.as_str(), &tags)
    );
    assert!(mlflow.find_experiment("no such").await.unwrap().is_none());
    let all = mlflow.search_experiments(None).await.unwrap();
    assert!(all.iter().any(|e| e.experiment_id == id));

    let run = NewRun {
        experiment_id: id.clone(),
        name: Some("one".to_owned()),
        start_time: 1_700_000_000_000,
        tags,
    };
    let run = mlflow.create_run(&run).await.unwrap();
    let metric = |step: i64| Metric {
        key: "loss".to_owned(),
        value: 0.5 / f64::from(i32::try_from(step).unwrap() + 1),
        timestamp: 1_700_000_000_000 + step,
        step,
    };
    let batch = LogBatch {
        metrics: (0..10).map(metric).collect(),
        params: vec![Tag::new("depth", "3")],
        tags: vec![Tag::new("note", "x")],
    };
    mlflow.log_batch(&run.info.run_id, &batch).await.unwrap();
    let changed = LogBatch {
        params: vec![Tag::new("depth", "4")],
        ..LogBatch::default()
    };
    let refused = mlflow
        .log_batch(&run.info.run_id, &changed)
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    mlflow
        .update_run(
            &run.info.run_id,
            RunStatus::Finished,
            Some(1_700_000_001_000),
        )
        .await
        .unwrap();
    let back = mlflow.get_run(&run.info.run_id).await.unwrap();
    assert_eq!(back.info.status, RunStatus::Finished);
    assert_eq!(back.info.end_time, Some(1_700_000_001_000));
    assert_eq!(back.data.metrics, [metric(9)]);
    assert_eq!(back.data.params["depth"], "3");
    let runs = mlflow
        .search_runs(&[&id], Some("metrics.loss < 0.1"))
        .await
        .unwrap();
    assert_eq!(runs.len(), 1);
    mlflow.remove_run(&run.info.run_id).await.unwrap();
    assert!(mlflow.search_runs(&[&id], None).await.unwrap().is_empty());
    let missing = mlflow.get_run("0123").await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn artifacts_go_through_the_proxy_without_being_held() {
    let mlflow = mlflow().await;
    let run = NewRun {
        experiment_id: "0".to_owned(),
        ..NewRun::default()
    };
    let run = mlflow.create_run(&run).await.unwrap();
    let folder = proxy_path(&run.info.artifact_uri).unwrap().to_owned();
    assert!(mlflow.list_artifacts(&folder).await.unwrap().is_empty());
    let small = format!("{folder}/a folder/ü%.txt");
    mlflow
        .put_artifact(&small, Bytes::from_static(b"{\"a\":1}"))
        .await
        .unwrap();
    assert_eq!(mlflow.get_artifact(&small, 100).await.unwrap(), "{\"a\":1}");
    assert_eq!(
        mlflow.get_artifact(&small, 3).await.unwrap_err().kind(),
        ErrorKind::Protocol
    );
    let big = format!("{folder}/big.bin");
    let piece = Bytes::from(vec![7_u8; 1 << 20]);
    let pieces = stream::iter(std::iter::repeat_n(piece, 32)).map(Ok);
    mlflow
        .put_artifact_stream(&big, pieces, Some(32 << 20))
        .await
        .unwrap();
    let length = mlflow
        .get_artifact_stream(&big)
        .await
        .unwrap()
        .try_fold(0, |length, piece| async move { Ok(length + piece.len()) })
        .await
        .unwrap();
    assert_eq!(length, 32 << 20);
    let mut names: Vec<_> = mlflow
        .list_artifacts(&folder)
        .await
        .unwrap()
        .into_iter()
        .map(|file| (file.path, file.is_dir))
        .collect();
    names.sort();
    assert_eq!(
        names,
        [("a folder".to_owned(), true), ("big.bin".to_owned(), false)]
    );
    let none = mlflow.get_artifact(&format!("{folder}/none"), 10).await;
    assert_eq!(none.unwrap_err().kind(), ErrorKind::NotFound);
    mlflow.remove_run(&run.info.run_id).await.unwrap();
}

#[tokio::test]
async fn models_versions_and_aliases() {
    let mlflow = mlflow().await;
    let name = unique("models");
    let tags = BTreeMap::from([("k".to_owned(), "v".to_owned())]);
    mlflow.create_registered_model(&name, &tags).await.unwrap();
    let again = mlflow
        .create_registered_model(&name, &tags)
        .await
        .unwrap_err();
    assert_eq!(again.kind(), ErrorKind::AlreadyExists);
    let mut ids = Vec::new();
    for _ in 0..2 {
        let logged = mlflow
            .create_logged_model("0", &name, None, &tags)
            .await
            .unwrap();
        assert!(!logged.is_ready());
        let done = mlflow
            .finalize_logged_model(&logged.model_id)
            .await
            .unwrap();
        assert!(done.is_ready());
        mlflow
            .create_model_version(&name, &logged.model_id, None, &tags)
            .await
            .unwrap();
        ids.push(logged.model_id);
    }
    mlflow.set_alias(&name, "champion", "1").await.unwrap();
    mlflow.set_alias(&name, "champion", "2").await.unwrap();
    let version = mlflow
        .find_by_alias(&name, "champion")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(version.version, "2");
    assert_eq!(version.source, format!("models:/{}", ids[1]));
    assert_eq!(version.tags, tags);
    let uri = mlflow.download_uri(&name, "2").await.unwrap();
    assert!(proxy_path(&uri).unwrap().contains(&ids[1]), "{uri}");
    assert!(
        mlflow
            .find_by_alias(&name, "other")
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        mlflow
            .find_by_alias("no-such", "x")
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        mlflow
            .find_model_version(&name, "9")
            .await
            .unwrap()
            .is_none()
    );
    assert_eq!(mlflow.list_model_versions(&name).await.unwrap().len(), 2);
    let filter = format!("name = '{name}'");
    let found = mlflow
        .search_registered_models(Some(&filter))
        .await
        .unwrap();
    assert_eq!(found[0].alias("champion"), Some("2"));
    mlflow.remove_alias(&name, "champion").await.unwrap();
    mlflow.remove_alias(&name, "champion").await.unwrap();
    mlflow
        .set_registered_model_tag(&name, "x", "y")
        .await
        .unwrap();
    mlflow
        .remove_registered_model_tag(&name, "x")
        .await
        .unwrap();
    mlflow
        .remove_registered_model_tag(&name, "x")
        .await
        .unwrap();
    let model = mlflow.find_registered_model(&name).await.unwrap().unwrap();
    assert_eq!(model.tags, tags);
    assert!(model.aliases.is_empty());
    for id in &ids {
        mlflow.remove_logged_model(id).await.unwrap();
        mlflow.remove_logged_model(id).await.unwrap();
    }
    mlflow.remove_registered_model(&name).await.unwrap();
    mlflow.remove_registered_model(&name).await.unwrap();
    assert!(mlflow.find_registered_model(&name).await.unwrap().is_none());
}

#[tokio::test]
async fn users_roles_and_refusals() {
    let mlflow = mlflow().await;
    let (user, role) = (unique("user"), unique("role"));
    let password = SecretText::new("a-password-of-some-length");
    mlflow.create_user(&user, &password).await.unwrap();
    let again = mlflow.create_user(&user, &password).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::AlreadyExists);
    // MLflow quotes its SQL with the password's hash.
    assert!(!format!("{again:?}").contains("scrypt"), "{again:?}");
    let id = mlflow.create_role(&role).await.unwrap();
    let grant = Grant {
        resource: "registered_model".to_owned(),
        pattern: "*".to_owned(),
        permission: "READ".to_owned(),
    };
    for _ in 0..2 {
        mlflow.add_grant(id, &grant).await.unwrap();
        mlflow.assign_role(&user, id).await.unwrap();
    }
    let users = mlflow.list_users().await.unwrap();
    let found = users.iter().find(|known| known.username == user).unwrap();
    assert!(
        found
            .roles
            .iter()
            .any(|r| r.id == id && r.grants == [grant.clone()])
    );

    let sign_in = |password: &str| {
        let password = SecretText::new(password);
        let user = user.clone();
        async move {
            Mlflow::new(&endpoint(&mlflow_server().await.url()))
                .unwrap()
                .with_basic_auth(&user, &password)
                .unwrap()
        }
    };
    let client = sign_in("a-password-of-some-length").await;
    assert!(!client.current_user().await.unwrap().is_admin);
    let refused = client.create_role("mine").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
    mlflow
        .set_password(&user, &SecretText::new("another-password"))
        .await
        .unwrap();
    let old = client.current_user().await.unwrap_err();
    assert_eq!(old.kind(), ErrorKind::Unauthenticated);
    sign_in("another-password")
        .await
        .current_user()
        .await
        .unwrap();
    mlflow.remove_user(&user).await.unwrap();
    mlflow.remove_user(&user).await.unwrap();
    mlflow.remove_role(id).await.unwrap();
    assert!(mlflow.find_user(&user).await.unwrap().is_none());
}

#[tokio::test]
async fn many_calls_share_few_connections() {
    let mlflow = mlflow().await;
    let calls = stream::iter(0..40).map(|_| mlflow.check_ready());
    calls.buffer_unordered(8).try_collect::<()>().await.unwrap();
}

/// uvicorn with two workers loses `TCP_NODELAY`: without prompt acknowledgement each request here takes 44 ms.
#[tokio::test]
async fn a_kept_connection_is_quick_with_two_workers() {
    let server = MlflowServer::start_with_workers(&python(), 2).await;
    let mlflow = client_for(&server.url());
    for _ in 0..20 {
        mlflow.is_healthy().await.unwrap();
    }
    let mut times: Vec<Duration> = Vec::new();
    for _ in 0..200 {
        let begun = Instant::now();
        mlflow.is_healthy().await.unwrap();
        times.push(begun.elapsed());
    }
    times.sort();
    println!("p50 {:?}, p99 {:?}", times[100], times[198]);
    assert!(times[100] < Duration::from_millis(10), "{:?}", times[100]);
}
