//! What the fuzz targets do with a text. Each function panics when something holds that must not.
//!
//! The same functions run with random texts in the ordinary tests of `mlops-catalog` (platform, component, plan),
//! `mlops-storage` (S3) and `mlops-serving` (MLflow, model servers), on a stable compiler.

mod mlflow;
mod model_server;
mod s3;
mod targets;

pub use mlflow::mlflow_answer;
pub use model_server::{grpc_model_server, rest_model_server};
pub use s3::s3_admin;
pub use targets::{component_file, platform_file, saved_plan};
