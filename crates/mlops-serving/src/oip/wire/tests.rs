use super::*;

fn request() -> InferRequest {
    InferRequest::new([
        Tensor::new("x", [1, 2], TensorData::from_vec(vec![0.5_f64, -1.0]))
            .unwrap()
            .with_parameter("content_type", Parameter::Text("np".to_owned())),
        Tensor::new(
            "t",
            [2],
            TensorData::from_byte_strings(["a", "\"é"]).unwrap(),
        )
        .unwrap(),
    ])
    .with_id("7")
    .with_output("y")
}

#[test]
fn a_json_request_has_these_bytes() {
    let encoded = encode(&request(), RestForm::Json).unwrap();
    assert_eq!(encoded.json_length, None);
    assert_eq!(encoded.pieces.len(), 1);
    assert_eq!(
        std::str::from_utf8(&encoded.pieces[0]).unwrap(),
        r#"{"id":"7","inputs":[{"name":"x","shape":[1,2],"datatype":"FP64","parameters":{"content_type":"np"},"data":[0.5,-1.0]},{"name":"t","shape":[2],"datatype":"BYTES","data":["a","\"é"]}],"outputs":[{"name":"y"}]}"#
    );
}

#[test]
fn a_binary_request_has_these_bytes() {
    let encoded = encode(&request(), RestForm::Binary).unwrap();
    let json = r#"{"id":"7","parameters":{"binary_data_output":true},"inputs":[{"name":"x","shape":[1,2],"datatype":"FP64","parameters":{"binary_data_size":16,"content_type":"np"}},{"name":"t","shape":[2],"datatype":"BYTES","parameters":{"binary_data_size":12}}],"outputs":[{"name":"y","parameters":{"binary_data":true}}]}"#;
    assert_eq!(std::str::from_utf8(&encoded.pieces[0]).unwrap(), json);
    assert_eq!(encoded.json_length, Some(json.len()));
    let raw: Vec<u8> = encoded.pieces.iter().skip(1).flatten().copied().collect();
    assert_eq!(
        raw,
        b"\0\0\0\0\0\0\xe0\x3f\0\0\0\0\0\0\xf0\xbf\x01\0\0\0a\x03\0\0\0\"\xc3\xa9"
    );
}

#[test]
fn an_empty_request_is_json_too() {
    let encoded = encode(&InferRequest::default(), RestForm::Json).unwrap();
    assert_eq!(&*encoded.pieces[0], br#"{"inputs":[]}"#);
}

fn read(text: &str) -> Result<InferResponse> {
    decode(&Bytes::copy_from_slice(text.as_bytes()), None)
}

#[test]
fn null_absent_and_empty_are_the_same() {
    for text in [
        r#"{"model_name":"m","outputs":[]}"#,
        r#"{"model_name":"m","model_version":null,"id":null,"parameters":null,"outputs":null}"#,
        r#"{"model_name":"m","model_version":"","id":"","parameters":{},"outputs":[],"extra":{"a":[1]}}"#,
    ] {
        let response = read(text).unwrap();
        assert_eq!(response.model_name, "m");
        assert_eq!(response.model_version, None);
        assert_eq!(response.id, None);
        assert!(response.outputs.is_empty() && response.parameters.is_empty());
    }
}

#[test]
fn fields_come_in_any_order() {
    let one = read(r#"{"outputs":[{"name":"y","shape":[1,1],"datatype":"INT64","parameters":{"content_type":"np","list":[1]},"data":[10]}],"model_version":2}"#).unwrap();
    let two = read(r#"{"model_version":"2","outputs":[{"data":[[10]],"parameters":{"content_type":"np"},"datatype":"INT64","shape":[1,1],"name":"y"}]}"#).unwrap();
    assert_eq!(one, two);
    assert_eq!(one.output("y").unwrap().shape(), [1, 1]);
    assert_eq!(one.model_version.as_deref(), Some("2"));
    assert!(one.output("z").is_err());
}

#[test]
fn what_is_not_an_answer_is_refused() {
    for text in [
        "",
        "null",
        "[]",
        "{}",
        r#"{"error":"out of memory"}"#,
        "not json",
        r#"{"outputs":[{"name":"y","shape":[2],"datatype":"INT64","data":[1]}]}"#,
        r#"{"outputs":[{"name":"y","shape":[1],"datatype":"INT65","data":[1]}]}"#,
        r#"{"outputs":[{"name":"y","shape":[-1],"datatype":"INT64","data":[1]}]}"#,
        r#"{"outputs":[{"name":"y","shape":[1],"datatype":"INT64"}]}"#,
        r#"{"outputs":[{"name":"y","shape":[1],"datatype":"INT64","data":null}]}"#,
        r#"{"outputs":[{"shape":[1],"datatype":"INT64","data":[1]}]}"#,
        r#"{"outputs":[{"name":"y","shape":[1],"datatype":"FP64","parameters":{"binary_data_size":8}}]}"#,
    ] {
        let error = read(text).unwrap_err();
        assert_eq!(error.kind(), mlops_core::ErrorKind::Protocol, "{text}");
    }
}

#[test]
fn a_binary_answer_is_cut_by_the_header() {
    let json = r#"{"model_name":"m","outputs":[{"name":"a","shape":[2],"datatype":"FP32","parameters":{"binary_data_size":8}},{"name":"b","shape":[1],"datatype":"INT64","data":[5]},{"name":"c","shape":[1],"datatype":"UINT8","parameters":{"binary_data_size":1}}]}"#;
    let mut body = json.as_bytes().to_vec();
    body.extend_from_slice(&1.5_f32.to_le_bytes());
    body.extend_from_slice(&2.5_f32.to_le_bytes());
    body.push(9);
    let body = Bytes::from(body);
    let response = decode(&body, Some(json.len())).unwrap();
    assert_eq!(response.outputs[0].data().to_f64().unwrap(), [1.5, 2.5]);
    assert_eq!(response.outputs[1].data().to_f64().unwrap(), [5.0]);
    assert_eq!(response.outputs[2].data().to_f64().unwrap(), [9.0]);
    // Too short, too long, and a header that points beyond the end.
    assert!(decode(&body.slice(..body.len() - 1), Some(json.len())).is_err());
    assert!(decode(&Bytes::from([&body[..], b"x"].concat()), Some(json.len())).is_err());
    assert!(decode(&body, Some(body.len() + 1)).is_err());
}

proptest::proptest! {
    #[test]
    fn any_answer_is_read_or_refused(text in "\\PC{0,60}", length in proptest::option::of(0_usize..80)) {
        let _ = decode(&Bytes::from(text), length);
    }
}
