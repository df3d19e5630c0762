use mlops::session::{ComponentStatus, ModelStatus};
use mlops_core::report::{Entry, Outcome};
use mlops_core::{ResourceId, Spec};

use super::*;

const URL: &str = "http://127.0.0.1:8080/v2/models/iris/infer";

fn report() -> Report {
    let id = ResourceId::new("process", "mlflow");
    let mut report = Report::new("demo".parse().unwrap());
    report.took_ms = 17_300;
    report.critical_path = vec![id.clone()];
    report.entries = vec![Entry {
        id,
        outcome: Outcome::Done {
            verb: "create".to_owned(),
        },
        start_ms: 0,
        took_ms: 12_000,
        waited_for: None,
    }];
    report
}

fn status() -> Status {
    Status {
        platform: "demo".to_owned(),
        running: true,
        components: vec![ComponentStatus {
            component: "mlflow".to_owned(),
            state: "ready".to_owned(),
            ready: true,
            pid: Some(7),
            url: Some("http://127.0.0.1:5000".to_owned()),
            restarts: 0,
            since_ms: None,
            detail: None,
        }],
        models: vec![ModelStatus {
            name: "iris".to_owned(),
            uri: "models:/iris@champion".to_owned(),
            version: Some("1".to_owned()),
            ready: true,
            url: Some(URL.to_owned()),
        }],
    }
}

fn login() -> Credential {
    Credential {
        name: "mlflow/login".to_owned(),
        capability: "tracking".to_owned(),
        url: None,
        facts: Spec::from_iter([("user".to_owned(), json!("admin"))]),
        secrets: [(
            "password".to_owned(),
            "mlflow/admin-password".parse().unwrap(),
        )]
        .into(),
    }
}

fn describe(report: &Report, example: Option<Example>) -> String {
    Where {
        report,
        status: &status(),
        credentials: &[login()],
        example,
        command: "mlops".to_owned(),
    }
    .describe(Paint::new(false))
}

#[test]
fn it_says_where_everything_is() {
    let inputs =
        json!([{"name": "x", "shape": [2, 2], "datatype": "FP64", "data": [5.1, 3, 1.4, 0.2]}]);
    let example = Example {
        model: "iris".to_owned(),
        url: URL.to_owned(),
        row: first_row(&inputs),
        body: json!({ "inputs": [] }),
    };
    assert_eq!(
        describe(&report(), Some(example)),
        "Platform `demo` is up: 1 done, 0 as described, in 17.3s.\n\
         Longest path: process/mlflow 12.0s\n\n\
         COMPONENT  URL                    SIGN IN\n\
         mlflow     http://127.0.0.1:5000  admin, `mlops credentials mlflow/admin-password --show`\n\n\
         MODEL  STATE  FROM                   VERSION  URL\n\
         iris   ready  models:/iris@champion  1        http://127.0.0.1:8080/v2/models/iris/infer\n\n\
         Try it:\n  \
         mlops predict iris --row 5.1,3\n  \
         curl -s http://127.0.0.1:8080/v2/models/iris/infer -H 'Content-Type: application/json' -d '{\"inputs\":[]}'\n  \
         eval \"$(mlops env)\"    # for MLflow clients in this shell"
    );
}

#[test]
fn nothing_to_do_is_said_so() {
    let mut idle = report();
    idle.took_ms = 310;
    idle.entries.clear();
    let text = describe(&idle, None);
    assert!(
        text.starts_with("Platform `demo` is up: there was nothing to do (0.3s).\n\nCOMPONENT")
    );
    assert!(!text.contains("curl"));
}

#[test]
fn only_a_table_of_numbers_is_a_row() {
    for inputs in [
        json!([]),
        json!([{"shape": [1, 2], "data": ["a", "b"]}]),
        json!([{"shape": [2], "data": [1, 2]}]),
        json!([{"shape": [1, 3], "data": [1, 2]}]),
        json!([{"shape": [1, 1], "data": [1]}, {"shape": [1, 2], "data": [1, 2]}]),
    ] {
        assert_eq!(first_row(&inputs), None, "{inputs}");
    }
    assert_eq!(
        first_only(&json!([{"name": "x", "shape": [2, 2], "data": [1, 2, 3, 4]}])),
        json!([{"name": "x", "shape": [1, 2], "data": [1, 2]}])
    );
    let odd = json!([{"shape": [3, 9], "data": [1]}]);
    assert_eq!(first_only(&odd), odd);
    let columns = json!([{"shape": [2, 1], "data": [5.1, 1]}, {"shape": [2], "data": [3, 2]}]);
    assert_eq!(first_row(&columns).as_deref(), Some("5.1,3"));
}
