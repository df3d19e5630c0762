//! A platform on a node whose database and object store are servers outside of it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::thread;

use mlops_testkit::kubernetes::TestNode;
use mlops_testkit::postgres::{ServerTls, TestPostgres};
use mlops_testkit::versity::TestVersity;

use super::home::{Home, Said};

const NAME: &str = "outside";

/// The same server at an address that pods reach: every connection is handed on to a port of 127.0.0.1.
fn relay(address: &str, port: u16) -> u16 {
    let listener = TcpListener::bind((address, 0)).unwrap();
    let there = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else {
                continue;
            };
            let ends = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || pass_on(ends.0, server));
            thread::spawn(move || pass_on(ends.1, client));
        }
    });
    there
}

fn pass_on(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(length) = from.read(&mut buffer) {
        if length == 0 || to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    // The other side may be gone already.
    let _ = to.shutdown(Shutdown::Write);
}

/// The names of the databases and roles that are not the server's own.
fn of_others(server: &TestPostgres) -> String {
    let query = "select datname from pg_database where datname not in ('postgres', 'template0', 'template1') \
                 union select rolname from pg_roles where rolname !~ '^pg_' and rolname <> 'postgres' order by 1";
    let output = Command::new(server.binaries().join("psql"))
        .args(["-h", "127.0.0.1", "-p", &server.port().to_string()])
        .args(["-U", "postgres", "-At", "-c", query])
        .env("PGPASSWORD", TestPostgres::PASSWORD)
        .output()
        .unwrap();
    let said = Said::from(output).expect(0);
    said.out.lines().collect::<Vec<_>>().join(" ")
}

#[test]
fn servers_outside_are_used_proven_and_left_as_they_were() {
    let environment = mlops_testkit::python::python();
    let node = TestNode::shared();
    node.import_platform(environment.ancestors().nth(2).unwrap());
    let here = node.machine_address();
    let signed = rcgen::generate_simple_self_signed(vec![here.clone()]).unwrap();
    let database = TestPostgres::start_with(Some(&ServerTls {
        certificate: signed.cert.pem(),
        key: signed.signing_key.serialize_pem(),
    }));
    let store = TestVersity::start();
    let home = Home::on_node();
    let trusted = home.path("trusted.pem");
    std::fs::write(&trusted, signed.cert.pem()).unwrap();
    let text = format!(
        "name: {NAME}
target: cluster
models: []
components: {{ model-server: {{ enabled: false }} }}
external:
  postgres:
    url: postgresql://{here}:{}
    user: postgres
    password: {{ env: TEST_DATABASE_PASSWORD }}
  s3:
    url: http://{here}:{}
    access_key: {}
    secret_key: {{ env: TEST_STORE_KEY }}
    keys: made
",
        relay(&here, database.port()),
        relay(&here, store.port()),
        TestVersity::ACCESS_KEY,
    );
    std::fs::write(home.path("platform.yaml"), text).unwrap();
    let run = |args: &[&str]| -> Said {
        let output = home
            .command(args)
            .env("KUBECONFIG", node.kubeconfig())
            .env("SSL_CERT_FILE", &trusted)
            .env("TEST_DATABASE_PASSWORD", TestPostgres::PASSWORD)
            .env("TEST_STORE_KEY", TestVersity::SECRET_KEY)
            .output();
        output.unwrap().into()
    };

    assert_eq!(of_others(&database), "");
    let up = run(&["up"]).expect(0);
    assert!(!up.out.contains("statefulset"), "{}", up.out);
    assert_eq!(of_others(&database), "mlflow mlflow_auth");
    run(&["plan", "--exit-code"]).expect(0);
    // MLflow's own check logs a run with an artefact: it is kept in both servers.
    let check = run(&["check", "--output", "json"]).expect(0);
    assert!(check.out.contains("mlflow/store"), "{}", check.out);
    assert!(check.out.contains("mlflow/artifacts"), "{}", check.out);
    run(&["remove", "--yes", "--all-data"]).expect(0);
    assert_eq!(of_others(&database), "");
}
