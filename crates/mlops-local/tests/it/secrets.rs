use mlops_core::{ErrorKind, SecretName, SecretStore, SecretText};
use mlops_local::FileSecretStore;

use crate::world::*;

fn name() -> SecretName {
    "mlflow/admin-password".parse().unwrap()
}

#[tokio::test]
async fn a_secret_is_made_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileSecretStore::new(folder.path().join("secrets"));
    assert!(store.find(&name()).await.unwrap().is_none());
    assert!(store.list().await.unwrap().is_empty());
    store.remove(&name()).await.unwrap();
    let makers = (0..16).map(|number| {
        let store = store.clone();
        tokio::task::spawn_blocking(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap();
            let text = SecretText::new(format!("secret {number}"));
            runtime.block_on(store.create(&name(), text)).unwrap()
        })
    });
    let made = futures::future::try_join_all(makers).await.unwrap();
    assert!(made.iter().all(|text| text.is_same(&made[0])));
    assert!(
        store
            .find(&name())
            .await
            .unwrap()
            .unwrap()
            .is_same(&made[0])
    );
    assert_eq!(store.list().await.unwrap(), [name()]);
    assert_eq!(mode(&store.path(&name())), 0o600);
    assert_eq!(mode(&folder.path().join("secrets")), 0o700);
    assert_eq!(files_below(folder.path()).len(), 1);
    store.remove(&name()).await.unwrap();
    assert!(store.find(&name()).await.unwrap().is_none());
}

#[tokio::test]
async fn what_a_kill_left_is_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileSecretStore::new(folder.path());
    std::fs::create_dir(folder.path().join("mlflow")).unwrap();
    let half = folder.path().join("mlflow/.new-x7");
    std::fs::write(&half, "hal").unwrap();
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_hours(1);
    std::fs::File::open(&half)
        .unwrap()
        .set_modified(long_ago)
        .unwrap();
    assert!(store.list().await.unwrap().is_empty());
    store
        .create(&name(), SecretText::new("whole"))
        .await
        .unwrap();
    assert_eq!(store.list().await.unwrap(), [name()]);
    assert!(!half.exists());
}

#[tokio::test]
async fn a_file_that_is_no_secret_any_more_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileSecretStore::new(folder.path());
    store
        .create(&name(), SecretText::new("hunter2"))
        .await
        .unwrap();
    let path = store.path(&name());
    set_mode(&path, 0o644);
    let error = store.find(&name()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(error.hint().unwrap().contains("chmod 600"), "{error:?}");
    assert!(!format!("{error:?}").contains("hunter2"));
    // Nor is it overwritten.
    assert!(
        store
            .create(&name(), SecretText::new("other"))
            .await
            .is_err()
    );
    set_mode(&path, 0o600);
    assert_eq!(
        store.find(&name()).await.unwrap().unwrap().expose(),
        "hunter2"
    );
    std::fs::write(&path, "").unwrap();
    let error = store.find(&name()).await.unwrap_err();
    assert!(error.causes()[0].contains("empty"), "{error:?}");
    assert!(error.hint().is_some());
    // An editor adds a line end.
    std::fs::write(&path, "edited\n").unwrap();
    assert_eq!(
        store.find(&name()).await.unwrap().unwrap().expose(),
        "edited"
    );
}

#[tokio::test]
async fn another_users_file_is_refused() {
    // Only root can give a file away; everybody else finds one that root owns and cannot open.
    let folder = tempfile::tempdir().unwrap();
    let store = FileSecretStore::new(folder.path());
    store
        .create(&name(), SecretText::new("hunter2"))
        .await
        .unwrap();
    let path = store.path(&name());
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&path, Some(65_534), Some(65_534)).unwrap();
    } else {
        set_mode(&path, 0o000);
    }
    let error = store.find(&name()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(error.hint().is_some());
}
