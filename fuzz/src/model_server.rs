use bytes::Bytes;
use http::StatusCode;
use mlops_core::ErrorKind;
use mlops_serving::oip::fuzz::{grpc_answer, grpc_metadata, refused, rest_answer, rest_metadata};
use mlops_serving::oip::{InferResponse, ModelMetadata};
use mlops_serving::serve::InferenceProbe;

/// A model server's answer by REST, as JSON and with raw tensors behind it, is read or refused.
pub fn rest_model_server(bytes: &[u8]) {
    let body = Bytes::copy_from_slice(bytes);
    // What the header says is the server's word as well: the whole body, its first line, or a lie.
    let line = bytes.iter().position(|byte| *byte == b'\n');
    let lengths = [
        None,
        Some(bytes.len()),
        line,
        Some(bytes.len() + 1),
        Some(usize::MAX),
    ];
    for length in lengths {
        match rest_answer(&body, length) {
            Ok(answer) => is_whole(&answer, bytes.len()),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Protocol),
        }
    }
    if let Ok(metadata) = rest_metadata(bytes) {
        can_be_asked(&metadata);
    }
    for cause in refused(StatusCode::INTERNAL_SERVER_ERROR, bytes).causes() {
        assert!(cause.len() < 8192, "{cause}");
    }
}

/// The same by gRPC.
pub fn grpc_model_server(bytes: &[u8]) {
    match grpc_answer(Bytes::copy_from_slice(bytes)) {
        Ok(answer) => is_whole(&answer, bytes.len()),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Protocol),
    }
    if let Ok(metadata) = grpc_metadata(Bytes::copy_from_slice(bytes)) {
        can_be_asked(&metadata);
    }
}

/// Every tensor holds what its shape says, and no more than was sent.
fn is_whole(answer: &InferResponse, sent: usize) {
    for output in &answer.outputs {
        let data = output.data();
        assert_eq!(output.shape().iter().product::<usize>(), data.len());
        // A digit and a comma become eight bytes, and an empty text a length of four.
        assert!(data.as_wire().len() <= 8 * sent, "{output:?}");
        assert_eq!(
            data.byte_strings().count() > 0,
            data.datatype().size().is_none() && !data.is_empty()
        );
        let _ = data.to_f64();
    }
    let _ = InferenceProbe::default().check(answer);
}

/// A request that is made up from what a model says of itself fits, or there is none.
fn can_be_asked(metadata: &ModelMetadata) {
    if let Some(probe) = InferenceProbe::zeros(&metadata.inputs) {
        let request = probe.to_request();
        assert!(request.is_ok_and(|request| request.inputs().len() == metadata.inputs.len()));
    }
}
