//! The functions of the fuzz targets for MLflow and model servers, with random and with damaged answers.

use proptest::prelude::*;

#[expect(unreachable_pub, reason = "the fuzz targets see it from outside")]
#[path = "../../../../fuzz/src/mlflow.rs"]
mod mlflow;
#[expect(unreachable_pub, reason = "the fuzz targets see it from outside")]
#[path = "../../../../fuzz/src/model_server.rs"]
mod model_server;

const MLFLOW: &[&str] = &[
    r#"{"experiment_id":"0","name":"Default","artifact_location":"mlflow-artifacts:/0","lifecycle_stage":"active","tags":[{"key":"a","value":"b"}]}"#,
    r#"{"info":{"run_id":"1","run_name":"r","experiment_id":"0","status":"FINISHED","start_time":1,"end_time":2,"artifact_uri":"mlflow-artifacts:/0/1/artifacts"},"data":{"metrics":[{"key":"m","value":0.5,"timestamp":3,"step":0}],"params":[{"key":"p","value":"v"}]}}"#,
    r#"{"model_id":"m-1","experiment_id":"0","name":"iris","artifact_uri":"mlflow-artifacts:/0/models/m-1/artifacts","status":"LOGGED_MODEL_READY","tags":[]}"#,
    r#"{"name":"iris","tags":[{"key":"mlops.platform","value":"demo"}],"aliases":[{"alias":"champion","version":"1"},{"alias":"champion","version":"2"}]}"#,
    r#"{"name":"iris","version":"1","creation_timestamp":1,"source":"models:/m-1","run_id":"","status":"READY","aliases":["champion"]}"#,
    r#"[{"id":1,"name":"r","permissions":[{"resource_type":"registered_model","resource_pattern":"*","permission":"READ"}]}]"#,
    r#"{"username":"admin","is_admin":true,"roles":[]}"#,
    r#"[{"path":"MLmodel","is_dir":false,"file_size":12}]"#,
    r#"{"error_code":"RESOURCE_DOES_NOT_EXIST","message":"no such model\n[SQL: SELECT]"}"#,
    r#"{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP64","data":[[1,2.5]],"parameters":{"a":"b"}}],"parameters":{"content_type":"pd"},"expected":[0]}"#,
    include_str!("../fixtures/iris/MLmodel"),
    "models:/iris@champion",
    "mlflow-artifacts:/../x",
];

const REST: &[&str] = &[
    r#"{"model_name":"iris","model_version":"1","id":"a","parameters":{"content_type":"np"},"outputs":[{"name":"y","shape":[2,1],"datatype":"INT64","parameters":{"p":1.5},"data":[0,2]}]}"#,
    r#"{"outputs":[{"name":"t","shape":[1],"datatype":"BYTES","data":["a"]},{"name":"b","shape":[2],"datatype":"BOOL","data":[true,0]},{"name":"h","shape":[1],"datatype":"FP16","data":[0.5]}]}"#,
    "{\"model_name\":\"m\",\"outputs\":[{\"name\":\"y\",\"shape\":[1],\"datatype\":\"FP32\",\"parameters\":{\"binary_data_size\":4}},{\"name\":\"t\",\"shape\":[1],\"datatype\":\"BYTES\",\"parameters\":{\"binary_data_size\":5}}]}\n\0\0\0\x3f\x01\0\0\0a",
    r#"{"name":"iris","versions":["1"],"platform":"","inputs":[{"name":"x","datatype":"FP64","shape":[-1,4]}],"outputs":[{"name":"y","datatype":"INT64","shape":[-1,1]}]}"#,
    r#"{"detail":[{"loc":["body","inputs"],"msg":"field required"}]}"#,
];

/// `ModelInferResponse`s and a `ModelMetadataResponse`, as bytes of the wire.
const GRPC: &[&[u8]] = &[
    b"\x0a\x04iris\x12\x011\x2a\x10\x0a\x01y\x12\x05INT64\x1a\x02\x01\x01\x2a\x00\x32\x08\x02\0\0\0\0\0\0\0",
    b"\x0a\x01m\x2a\x12\x0a\x01y\x12\x05INT64\x1a\x01\x01\x2a\x03\x1a\x01\x02",
    b"\x0a\x01m\x2a\x16\x0a\x01t\x12\x05BYTES\x1a\x01\x02\x2a\x07\x42\x01a\x42\x02bc",
    b"\x0a\x04iris\x12\x011\x22\x0d\x0a\x01x\x12\x04FP64\x1a\x02\x01\x04",
];

fn damaged(seeds: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"",
            "null",
            "-1",
            "1e999",
            "0",
            "4294967296",
            "18446744073709551615",
            "\\u0000",
            "\\ud800",
            "FP16",
            "BYTES",
            "BOOL",
            "\"data\":[]",
            "\"shape\":[0]",
            "..",
            "/",
            "&a ",
            "*a",
            "\n",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..6),
    ];
    let change = (any::<prop::sample::Index>(), 0_usize..10, piece);
    (
        prop::sample::select(seeds),
        prop::collection::vec(change, 0..5),
    )
        .prop_map(|(mut bytes, changes)| {
            for (at, cut, piece) in changes {
                let at = at.index(bytes.len() + 1);
                let end = (at + cut).min(bytes.len());
                bytes.splice(at..end, piece);
            }
            bytes
        })
}

fn bytes(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

#[test]
fn answers_as_they_are_pass() {
    for text in MLFLOW {
        mlflow::mlflow_answer(text.as_bytes());
    }
    for text in REST {
        model_server::rest_model_server(text.as_bytes());
    }
    for message in GRPC {
        model_server::grpc_model_server(message);
    }
    // The seeds are what they are said to be.
    let read = |message: &'static [u8]| mlops_serving::oip::fuzz::grpc_answer(message.into());
    assert_eq!(read(GRPC[0]).unwrap().outputs[0].data().len(), 1);
    assert_eq!(read(GRPC[1]).unwrap().outputs[0].data().len(), 1);
    assert_eq!(read(GRPC[2]).unwrap().outputs[0].data().len(), 2);
}

#[test]
fn shapes_that_nobody_can_hold_pass() {
    for shape in [
        "4294967296,4294967296",
        "9223372036854775807",
        "4000000,4000000",
        "0,9223372036854775807",
    ] {
        let tensor = format!(r#"{{"name":"x","datatype":"FP64","shape":[{shape}]}}"#);
        let metadata = format!(r#"{{"name":"m","inputs":[{tensor}]}}"#);
        model_server::rest_model_server(metadata.as_bytes());
        let answer = format!(
            r#"{{"outputs":[{{"name":"x","datatype":"FP64","shape":[{shape}],"data":[]}}]}}"#
        );
        model_server::rest_model_server(answer.as_bytes());
        let signature = format!(
            r#"{{"flavors":{{}},"signature":{{"inputs":"[{{\"type\":\"tensor\",\"tensor-spec\":{{\"dtype\":\"float64\",\"shape\":[{shape}]}}}}]"}}}}"#
        );
        mlflow::mlflow_answer(signature.as_bytes());
    }
}

#[test]
fn deep_and_long_answers_pass() {
    for deep in ["[", "{\"a\":", "{\"outputs\":[{\"data\":", "- ", "? "] {
        let deep = deep.repeat(20_000);
        mlflow::mlflow_answer(deep.as_bytes());
        model_server::rest_model_server(deep.as_bytes());
        model_server::grpc_model_server(deep.as_bytes());
    }
    // Anchors that double at every line.
    let mut bomb = "a0: &a0 [x, x]\n".to_owned();
    for line in 1..40 {
        let before = line - 1;
        let doubled = format!("a{line}: &a{line} [*a{before}, *a{before}]\n");
        bomb.push_str(&doubled);
    }
    mlflow::mlflow_answer(bomb.as_bytes());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_damaged_answer_of_mlflow(bytes in damaged(bytes(MLFLOW))) {
        mlflow::mlflow_answer(&bytes);
    }

    #[test]
    fn a_damaged_answer_by_rest(bytes in damaged(bytes(REST))) {
        model_server::rest_model_server(&bytes);
    }

    #[test]
    fn a_damaged_message_by_grpc(bytes in damaged(GRPC.iter().map(|seed| seed.to_vec()).collect())) {
        model_server::grpc_model_server(&bytes);
    }

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        mlflow::mlflow_answer(&bytes);
        model_server::rest_model_server(&bytes);
        model_server::grpc_model_server(&bytes);
    }
}
