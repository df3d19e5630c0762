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
    "components/model-server/component.yaml",
    "components/model-server/docs.md",
    "components/postgres/component.yaml",
    "components/postgres/docs.md",
    "components/s3/component.yaml",
    "components/s3/docs.md",
    "profiles/local.yaml",
    "samples/iris.yaml",
];
