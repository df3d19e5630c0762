//! Artifacts through the server's proxy (`mlflow-artifacts:/…`).

use std::io;

use bytes::Bytes;
use futures::stream::{BoxStream, Stream, StreamExt as _};
use http::Method;
use mlops_core::{Error, ErrorKind, Result};
use serde::Deserialize;

use super::types::FileInfo;
use super::{Mlflow, found};
use crate::http::{Answer, Payload, escape};

/// The path below the proxy's root that an artifact address names, when it goes through the proxy at all.
///
/// `mlflow-artifacts:/0/x` and `mlflow-artifacts://host/0/x` give `0/x`.
pub fn proxy_path(uri: &str) -> Option<&str> {
    let rest = uri.strip_prefix("mlflow-artifacts:")?;
    let path = match rest.strip_prefix("//") {
        Some(with_host) => with_host.split_once('/').map_or("", |(_, path)| path),
        None => rest,
    };
    Some(path.trim_matches('/'))
}

fn url_of(path: &str) -> String {
    let mut url = "/api/2.0/mlflow-artifacts/artifacts".to_owned();
    for segment in path.split('/').filter(|segment| !segment.is_empty()) {
        url.push('/');
        url.extend(escape(segment));
    }
    url
}

impl Mlflow {
    /// Writes an artifact from memory, over what is there.
    ///
    /// # Errors
    ///
    /// When the server or its store refuses.
    pub async fn put_artifact(&self, path: &str, content: Bytes) -> Result<()> {
        // A piece of its own kind, so that it is not sent as JSON.
        self.put(path, Payload::Many([content].into())).await
    }

    /// Writes an artifact as it comes, so that it may be longer than memory.
    ///
    /// # Errors
    ///
    /// When the stream fails, or the server or its store refuses.
    pub async fn put_artifact_stream(
        &self,
        path: &str,
        pieces: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
        length: Option<u64>,
    ) -> Result<()> {
        self.put(path, Payload::stream(pieces, length)).await
    }

    async fn put(&self, path: &str, payload: Payload) -> Result<()> {
        let doing = format!("write artifact `{path}`");
        let answer = self
            .send(Method::PUT, &url_of(path), payload, &doing)
            .await?;
        self.body(answer, &doing).await.map(drop)
    }

    async fn open(&self, path: &str, doing: &str) -> Result<Answer> {
        let answer = self
            .send(Method::GET, &url_of(path), Payload::Empty, doing)
            .await?;
        if answer.status().is_success() {
            Ok(answer)
        } else {
            let status = answer.status();
            // Reads the refusal; a success cannot come back here.
            match self.body(answer, doing).await {
                Err(error) => Err(error),
                Ok(_) => Err(Error::new(ErrorKind::Protocol, doing)
                    .with_source(format!("MLflow answered {status}"))),
            }
        }
    }

    /// Reads an artifact of at most `limit` bytes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] when there is none; when it is longer.
    pub async fn get_artifact(&self, path: &str, limit: usize) -> Result<Bytes> {
        let doing = format!("read artifact `{path}`");
        let mut answer = self.open(path, &doing).await?;
        answer
            .bytes(limit)
            .await
            .map_err(|error| error.into_error(doing))
    }

    /// Reads an artifact piece by piece.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] when there is none; the stream fails when the connection breaks.
    pub async fn get_artifact_stream(
        &self,
        path: &str,
    ) -> Result<BoxStream<'static, Result<Bytes>>> {
        let doing = format!("read artifact `{path}`");
        let answer = self.open(path, &doing).await?;
        let pieces = futures::stream::try_unfold((answer, doing), |(mut answer, doing)| async {
            match answer.chunk().await {
                Ok(Some(piece)) => Ok(Some((piece, (answer, doing)))),
                Ok(None) => Ok(None),
                Err(error) => Err(error.into_error(doing)),
            }
        });
        Ok(pieces.boxed())
    }

    /// What is directly below a path; nothing when there is no such path.
    ///
    /// # Errors
    ///
    /// When the server or its store refuses.
    pub async fn list_artifacts(&self, path: &str) -> Result<Vec<FileInfo>> {
        #[derive(Deserialize)]
        struct Files {
            #[serde(default)]
            files: Vec<FileInfo>,
        }
        let files: Result<Files> = self
            .get(
                "/api/2.0/mlflow-artifacts/artifacts",
                &[("path", path)],
                &format!("list artifacts below `{path}`"),
            )
            .await;
        Ok(found(files)?.map_or_else(Vec::new, |files| files.files))
    }

    /// Deletes an artifact or a folder of them; fine when there is none.
    ///
    /// # Errors
    ///
    /// When the server or its store refuses.
    pub async fn remove_artifact(&self, path: &str) -> Result<()> {
        let doing = format!("delete artifact `{path}`");
        let answer = self
            .send(Method::DELETE, &url_of(path), Payload::Empty, &doing)
            .await?;
        found(self.body(answer, &doing).await).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_through_the_proxy_are_known() {
        assert_eq!(proxy_path("mlflow-artifacts:/0/a"), Some("0/a"));
        assert_eq!(proxy_path("mlflow-artifacts://host:1/0/a/"), Some("0/a"));
        assert_eq!(proxy_path("mlflow-artifacts://host"), Some(""));
        assert_eq!(proxy_path("s3://bucket/0/a"), None);
        assert_eq!(
            url_of("/0/a b/ü%/x"),
            "/api/2.0/mlflow-artifacts/artifacts/0/a%20b/%C3%BC%25/x"
        );
    }
}
