//! The catalogue that is part of the program.

/// A file of the catalogue: its name and its text.
pub(crate) type File = (&'static str, &'static str);

macro_rules! files {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../", $path)))),*]
    };
}

/// Every file; a test compares this list with the folders.
pub(crate) const FILES: &[File] = files![
    "components/mlflow/component.yaml",
    "components/mlflow/docs.md",
    "components/mlflow/files/migrate.py",
    "components/mlflow/objects/config.yaml",
    "components/mlflow/objects/disruption.yaml",
    "components/mlflow/objects/migration.yaml",
    "components/mlflow/objects/scripts.yaml",
    "components/mlflow/objects/server.yaml",
    "components/model-server/component.yaml",
    "components/model-server/docs.md",
    "components/model-server/files/ready.py",
    "components/model-server/files/serve.py",
    "components/model-server/objects/autoscaler.yaml",
    "components/model-server/objects/config.yaml",
    "components/model-server/objects/disruption.yaml",
    "components/model-server/objects/models.yaml",
    "components/model-server/objects/scripts.yaml",
    "components/model-server/objects/server.yaml",
    "components/postgres/component.yaml",
    "components/postgres/docs.md",
    "components/postgres/files/passwd",
    "components/postgres/files/pg_hba.conf",
    "components/postgres/files/ready.sh",
    "components/postgres/files/start.sh",
    "components/postgres/objects/config.yaml",
    "components/postgres/objects/data.yaml",
    "components/postgres/objects/server.yaml",
    "components/s3/component.yaml",
    "components/s3/docs.md",
    "components/s3/objects/data.yaml",
    "components/s3/objects/server.yaml",
    "profiles/local.yaml",
    "samples/iris.yaml",
];
