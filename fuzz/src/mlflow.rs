use http::StatusCode;
use mlops_serving::mlflow::fuzz::{read, refused};
use mlops_serving::mlflow::{
    Experiment, FileInfo, Grant, LoggedModel, Metric, ModelVersion, RegisteredModel, Role, Run,
    Tags, User, proxy_path,
};
use mlops_serving::registry::{MlModel, ModelUri};
use mlops_serving::serve::InferenceProbe;

/// An answer of MLflow is read as any of its types or refused; what a registry holds (`MLmodel` files, test requests)
/// becomes a request that fits or an error.
pub fn mlflow_answer(bytes: &[u8]) {
    let _ = read::<Experiment>(bytes);
    let _ = read::<Run>(bytes).map(|run| run.data.metrics.len());
    let _ = read::<Vec<Metric>>(bytes);
    let _ = read::<Vec<FileInfo>>(bytes);
    let _ = read::<Vec<Role>>(bytes);
    let _ = read::<User>(bytes);
    let _ = read::<Grant>(bytes);
    let _ = read::<Tags>(bytes);
    if let Ok(model) = read::<RegisteredModel>(bytes) {
        for alias in &model.aliases {
            assert!(model.alias(&alias.alias).is_some());
        }
    }
    let _ = read::<ModelVersion>(bytes).map(|version| version.tags.len());
    if let Ok(model) = read::<LoggedModel>(bytes) {
        // What leads out of the artefacts' folder is no path of theirs.
        let leaves = proxy_path(&model.artifact_uri)
            .is_some_and(|path| path.starts_with('/') || path.split('/').any(|part| part == ".."));
        assert!(!leaves, "{}", model.artifact_uri);
    }
    for status in [
        StatusCode::BAD_REQUEST,
        StatusCode::FORBIDDEN,
        StatusCode::BAD_GATEWAY,
    ] {
        for cause in refused(status, bytes).causes() {
            assert!(cause.len() < 4096 && !cause.contains('\n'), "{cause}");
        }
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(model) = MlModel::parse(text)
        && let Some(probe) = model.test_request()
    {
        // A signature without types that JSON lacks has a request.
        assert!(probe.to_request().is_ok(), "{probe:?}");
    }
    if let Ok(probe) = serde_json::from_str::<InferenceProbe>(text) {
        let _ = probe.to_request();
    }
    if let Ok(uri) = text.parse::<ModelUri>() {
        assert_eq!(uri.to_string().parse::<ModelUri>().ok(), Some(uri));
    }
}
