//! A consumer on a real server.

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use mlops_core::{Error, ErrorKind, Result};

use super::error::wrap;
use super::model::S3Session;

pub(super) struct RealSession {
    s3: Client,
}

impl RealSession {
    pub(super) fn new(s3: Client) -> Self {
        Self { s3 }
    }
}

#[async_trait]
impl S3Session for RealSession {
    async fn list_buckets(&self) -> Result<Vec<String>> {
        let answer = self
            .s3
            .list_buckets()
            .send()
            .await
            .map_err(|error| wrap(error, "list buckets"))?;
        Ok(answer
            .buckets()
            .iter()
            .filter_map(|bucket| bucket.name().map(str::to_owned))
            .collect())
    }

    async fn put(&self, bucket: &str, key: &str, content: Vec<u8>) -> Result<()> {
        self.s3
            .put_object()
            .bucket(bucket)
            .key(key)
            .body(ByteStream::from(content))
            .send()
            .await
            .map_err(|error| wrap(error, format!("put an object into bucket `{bucket}`")))?;
        Ok(())
    }

    async fn get(&self, bucket: &str, key: &str) -> Result<Vec<u8>> {
        let doing = || format!("get an object from bucket `{bucket}`");
        let answer = self
            .s3
            .get_object()
            .bucket(bucket)
            .key(key)
            .send()
            .await
            .map_err(|error| wrap(error, doing()))?;
        let content = answer
            .body
            .collect()
            .await
            .map_err(|error| Error::new(ErrorKind::Unavailable, doing()).with_source(error))?;
        Ok(content.into_bytes().to_vec())
    }

    async fn list(&self, bucket: &str, prefix: &str) -> Result<Vec<String>> {
        let answer = self
            .s3
            .list_objects_v2()
            .bucket(bucket)
            .prefix(prefix)
            .send()
            .await
            .map_err(|error| wrap(error, format!("list the objects of bucket `{bucket}`")))?;
        Ok(answer
            .contents()
            .iter()
            .filter_map(|object| object.key().map(str::to_owned))
            .collect())
    }

    async fn delete(&self, bucket: &str, key: &str) -> Result<()> {
        self.s3
            .delete_object()
            .bucket(bucket)
            .key(key)
            .send()
            .await
            .map_err(|error| wrap(error, format!("delete an object of bucket `{bucket}`")))?;
        Ok(())
    }
}
