//! What only a real PostgreSQL can show.

use std::sync::Arc;
use std::time::Duration;

use mlops_core::{ErrorKind, SecretText};
use mlops_storage::postgres::{
    Connect, DatabaseWish, Login, PostgresClient, RoleWish, Server, Tls, ensure_database,
    ensure_role, remove_database, remove_role,
};
use mlops_storage::{Foreign, Mark, Outcome};
use mlops_testkit::postgres::{ServerTls, TestPostgres};
use tokio_postgres::NoTls;

use crate::harness::{assert_kind, endpoint, unique};

/// Runs SQL as the superuser.
pub(crate) async fn sql(server: &TestPostgres, database: &str, text: &str) {
    let mut config = tokio_postgres::Config::new();
    config
        .host("127.0.0.1")
        .port(server.port())
        .user("postgres")
        .password(TestPostgres::PASSWORD)
        .dbname(database);
    let (client, connection) = config.connect(NoTls).await.unwrap();
    let ended = tokio::spawn(connection);
    client.batch_execute(text).await.unwrap();
    drop(client);
    ended.await.unwrap().unwrap();
}

fn superuser() -> Login {
    Login::new(
        "postgres",
        SecretText::new(TestPostgres::PASSWORD),
        "postgres",
    )
}

fn shared() -> Server {
    Server::new(
        Arc::new(PostgresClient::new()),
        endpoint(&TestPostgres::shared().url()),
        superuser(),
    )
}

#[tokio::test]
async fn the_functions_say_what_they_did() {
    let server = shared();
    let name = unique();
    let mark = Mark::of(&name.parse().unwrap());
    let mut role = RoleWish {
        role: name.parse().unwrap(),
        password: SecretText::new("first it is this"),
    };
    let database = DatabaseWish::new(name.parse().unwrap(), name.parse().unwrap());
    for outcome in [Outcome::Created, Outcome::Unchanged] {
        let did = ensure_role(&server, &role, &mark, Foreign::Refuse)
            .await
            .unwrap();
        assert_eq!(did, outcome);
        let did = ensure_database(&server, &database, &mark, Foreign::Refuse)
            .await
            .unwrap();
        assert_eq!(did, outcome);
    }
    role.password = SecretText::new("then it is that");
    let did = ensure_role(&server, &role, &mark, Foreign::Refuse)
        .await
        .unwrap();
    assert_eq!(did, Outcome::Updated);
    let more = database.clone().with_extensions(["citext", "pgcrypto"]);
    for outcome in [Outcome::Updated, Outcome::Unchanged] {
        let did = ensure_database(&server, &more, &mark, Foreign::Refuse)
            .await
            .unwrap();
        assert_eq!(did, outcome);
    }
    let missing = database.clone().with_extensions(["no_such_extension"]);
    let result = ensure_database(&server, &missing, &mark, Foreign::Refuse).await;
    assert_kind(result, ErrorKind::Unsupported);
    let mut latin = database.clone();
    latin.encoding = "LATIN1".to_owned();
    let result = ensure_database(&server, &latin, &mark, Foreign::Refuse).await;
    assert_kind(result, ErrorKind::Unsupported);

    // It owns a database: the server says so, and nothing is forced.
    let error = assert_kind(
        remove_role(&server, &role.role, &mark).await,
        ErrorKind::Conflict,
    );
    assert!(error.causes()[0].contains(&name), "{:?}", error.causes());
    for _ in 0..2 {
        remove_database(&server, &database.database, &mark)
            .await
            .unwrap();
        remove_role(&server, &role.role, &mark).await.unwrap();
    }
}

/// A role that may not enter the administrator's database: its password is looked at all the same.
#[tokio::test]
async fn a_closed_database_of_the_administrator_hides_no_wrong_password() {
    let (name, closed) = (unique(), unique());
    let running = TestPostgres::shared();
    sql(running, "postgres", &format!("CREATE DATABASE {closed}")).await;
    let close = format!("REVOKE CONNECT ON DATABASE {closed} FROM PUBLIC");
    sql(running, "postgres", &close).await;
    let admin = Login::new("postgres", SecretText::new(TestPostgres::PASSWORD), &closed);
    let client = Arc::new(PostgresClient::new());
    let server = Server::new(client.clone(), endpoint(&running.url()), admin);
    let mark = Mark::of(&name.parse().unwrap());
    let mut role = RoleWish {
        role: name.parse().unwrap(),
        password: SecretText::new("the right one"),
    };
    for outcome in [Outcome::Created, Outcome::Unchanged] {
        let did = ensure_role(&server, &role, &mark, Foreign::Refuse).await;
        assert_eq!(did.unwrap(), outcome);
    }
    let login = Login::new(&name, role.password.clone(), &closed);
    let entered = client.session(&endpoint(&running.url()), &login).await;
    assert_kind(entered, ErrorKind::PermissionDenied);
    assert!(server.signs_in(&role.role, &role.password).await.unwrap());
    let wrong = SecretText::new("the wrong one");
    assert!(!server.signs_in(&role.role, &wrong).await.unwrap());
    role.password = wrong;
    let did = ensure_role(&server, &role, &mark, Foreign::Refuse).await;
    assert_eq!(did.unwrap(), Outcome::Updated);
    remove_role(&server, &role.role, &mark).await.unwrap();
    drop((server, client));
    let drop = format!("DROP DATABASE {closed} WITH (FORCE)");
    sql(running, "postgres", &drop).await;
}

#[tokio::test]
async fn the_password_never_reaches_the_servers_log() {
    let server = shared();
    let name = unique();
    let mark = Mark::of(&name.parse().unwrap());
    for password in ["needle-in-a-haystack-one", "needle-in-a-haystack-two"] {
        let wish = RoleWish {
            role: name.parse().unwrap(),
            password: SecretText::new(password),
        };
        ensure_role(&server, &wish, &mark, Foreign::Refuse)
            .await
            .unwrap();
        assert!(server.signs_in(&wish.role, &wish.password).await.unwrap());
        assert!(
            !server
                .signs_in(&wish.role, &SecretText::new("other"))
                .await
                .unwrap()
        );
    }
    let log = TestPostgres::shared().log();
    assert!(
        log.contains(&format!("CREATE ROLE \"{name}\"")),
        "statements are logged"
    );
    assert!(log.contains(&format!("ALTER ROLE \"{name}\"")));
    assert!(!log.contains("needle-in-a-haystack"));
    remove_role(&server, &name.parse().unwrap(), &mark)
        .await
        .unwrap();
}

#[tokio::test]
async fn an_administrator_who_is_no_superuser_is_enough() {
    let test = TestPostgres::shared();
    let name = unique();
    let admin = format!("{name}_admin");
    let make = format!("CREATE ROLE {admin} LOGIN CREATEDB CREATEROLE PASSWORD 'admins-own'");
    sql(test, "postgres", &make).await;
    let login = Login::new(&admin, SecretText::new("admins-own"), "postgres");
    let server = Server::new(
        Arc::new(PostgresClient::new()),
        endpoint(&test.url()),
        login,
    );
    let mark = Mark::of(&name.parse().unwrap());
    let role = RoleWish {
        role: name.parse().unwrap(),
        password: SecretText::new("consumers"),
    };
    let database = DatabaseWish::new(name.parse().unwrap(), name.parse().unwrap());
    for outcome in [Outcome::Created, Outcome::Unchanged] {
        let did = ensure_role(&server, &role, &mark, Foreign::Refuse)
            .await
            .unwrap();
        assert_eq!(did, outcome);
        let did = ensure_database(&server, &database, &mark, Foreign::Refuse)
            .await
            .unwrap();
        assert_eq!(did, outcome);
    }
    sql(test, "postgres", &format!("ALTER ROLE {name} CREATEDB")).await;
    let did = ensure_role(&server, &role, &mark, Foreign::Refuse)
        .await
        .unwrap();
    assert_eq!(did, Outcome::Updated);
    remove_database(&server, &database.database, &mark)
        .await
        .unwrap();
    // A trusted extension is one that the owner of a database may add.
    let trusted = database.with_extensions(["pgcrypto"]);
    for outcome in [Outcome::Created, Outcome::Unchanged] {
        let did = ensure_database(&server, &trusted, &mark, Foreign::Refuse)
            .await
            .unwrap();
        assert_eq!(did, outcome);
    }
    remove_database(&server, &trusted.database, &mark)
        .await
        .unwrap();
    remove_role(&server, &role.role, &mark).await.unwrap();
    sql(test, "postgres", &format!("DROP ROLE {admin}")).await;
}

#[tokio::test]
async fn a_dropped_call_leaves_the_shared_connection_usable() {
    let client = PostgresClient::new();
    let place = endpoint(&TestPostgres::shared().url());
    let admin = client.admin(&place, &superuser()).await.unwrap();
    for _ in 0..20 {
        let _ = tokio::time::timeout(Duration::from_micros(50), admin.catalogue()).await;
    }
    assert!(admin.catalogue().await.unwrap().superuser);
}

#[tokio::test]
async fn a_connection_that_the_server_ended_is_made_anew() {
    let test = TestPostgres::start();
    let client = PostgresClient::new();
    let place = endpoint(&test.url());
    let admin = client.admin(&place, &superuser()).await.unwrap();
    admin.catalogue().await.unwrap();
    let end =
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'mlops'";
    sql(&test, "postgres", end).await;
    // The one in hand may fail once, as one that may be repeated; asking again gives a new one.
    if let Err(error) = admin.catalogue().await {
        assert!(error.is_retryable(), "{error}: {:?}", error.causes());
    }
    let mut again = Err(mlops_core::Error::new(ErrorKind::Failed, "never asked"));
    for _ in 0..20 {
        again = client
            .admin(&place, &superuser())
            .await
            .unwrap()
            .catalogue()
            .await;
        if again.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(again.unwrap().superuser);
    drop(test);
    let gone = PostgresClient::new().admin(&place, &superuser()).await;
    assert_kind(gone.map(|_| ()), ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_is_refused() {
    let signed = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let pem = signed.cert.pem();
    let test = TestPostgres::start_with(Some(&ServerTls {
        certificate: pem.clone(),
        key: signed.signing_key.serialize_pem(),
    }));
    let place = endpoint(&test.url());

    let strict = PostgresClient::new().with_tls(Tls::Always);
    let error = assert_kind(
        strict.admin(&place, &superuser()).await.map(|_| ()),
        ErrorKind::Failed,
    );
    assert!(
        error.causes().join(" ").contains("certificate"),
        "{:?}",
        error.causes()
    );

    let trusting = PostgresClient::new()
        .with_tls(Tls::Always)
        .with_root_certificates(&pem)
        .unwrap();
    let admin = trusting.admin(&place, &superuser()).await.unwrap();
    assert!(admin.catalogue().await.unwrap().superuser);

    // A server without TLS is never fallen back to.
    let plain = endpoint(&TestPostgres::shared().url());
    assert!(trusting.admin(&plain, &superuser()).await.is_err());
}

#[tokio::test]
async fn the_wrong_password_and_a_missing_database_are_told_apart() {
    let client = PostgresClient::new();
    let place = endpoint(&TestPostgres::shared().url());
    let wrong = Login::new("postgres", SecretText::new("wrong"), "postgres");
    let error = assert_kind(
        client.admin(&place, &wrong).await.map(|_| ()),
        ErrorKind::Unauthenticated,
    );
    assert!(error.hint().is_some());
    assert!(!format!("{error:?}").contains(TestPostgres::PASSWORD));
    let missing = Login::new(
        "postgres",
        SecretText::new(TestPostgres::PASSWORD),
        "no_such",
    );
    assert_kind(
        client.session(&place, &missing).await.map(|_| ()),
        ErrorKind::NotFound,
    );
}
