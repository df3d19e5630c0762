//! An administrator on a real server.

use std::collections::BTreeMap;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration, Tag, Tagging};
use mlops_core::{BucketName, Error, ErrorKind, Result};

use super::admin_api::AdminApi;
use super::error::wrap;
use super::model::{BucketFacts, Credentials, Holdings, KeyFacts, Owners, S3Admin};
use super::sweep;

/// Pages of 1000 objects that are counted.
const COUNTED_PAGES: usize = 20;
/// The one region that must not be named when a bucket is made.
const UNNAMED_REGION: &str = "us-east-1";

pub(super) struct RealAdmin {
    s3: Client,
    api: AdminApi,
    region: String,
}

fn to_tags(tags: &BTreeMap<String, String>, doing: &str) -> Result<Vec<Tag>> {
    tags.iter()
        .map(|(key, value)| Tag::builder().key(key).value(value).build())
        .collect::<Result<_, _>>()
        .map_err(|error| Error::new(ErrorKind::InvalidInput, doing).with_source(error))
}

impl RealAdmin {
    pub(super) fn new(s3: Client, api: AdminApi, region: &str) -> Self {
        Self {
            s3,
            api,
            region: region.to_owned(),
        }
    }

    fn location(&self) -> Option<&str> {
        Some(self.region.as_str()).filter(|region| *region != UNNAMED_REGION)
    }

    async fn create_plain(&self, bucket: &BucketName, tags: Option<Vec<Tag>>) -> Result<()> {
        let configuration = CreateBucketConfiguration::builder()
            .set_location_constraint(self.location().map(BucketLocationConstraint::from))
            .set_tags(tags.clone())
            .build();
        let said = tags.is_some() || self.location().is_some();
        self.s3
            .create_bucket()
            .bucket(bucket.as_str())
            .set_create_bucket_configuration(said.then_some(configuration))
            .send()
            .await
            .map_err(|error| wrap(error, format!("create bucket `{bucket}`")))?;
        Ok(())
    }
}

#[async_trait]
impl S3Admin for RealAdmin {
    async fn list_buckets(&self, owners: Owners) -> Result<Vec<BucketFacts>> {
        if owners == Owners::Needed {
            return self.api.list_buckets().await;
        }
        let mut pages = self.s3.list_buckets().into_paginator().send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| wrap(error, "list buckets"))?;
            found.extend(page.buckets().iter().filter_map(|bucket| {
                Some(BucketFacts {
                    name: bucket.name()?.to_owned(),
                    owner: None,
                })
            }));
        }
        Ok(found)
    }

    async fn tags(&self, bucket: &str) -> Result<BTreeMap<String, String>> {
        let doing = format!("read the tags of bucket `{bucket}`");
        let answer = self.s3.get_bucket_tagging().bucket(bucket).send().await;
        match answer {
            Ok(answer) => Ok(answer
                .tag_set()
                .iter()
                .map(|tag| (tag.key().to_owned(), tag.value().to_owned()))
                .collect()),
            Err(error) => {
                let none = error
                    .as_service_error()
                    .is_some_and(|error| error.meta().code() == Some("NoSuchTagSet"));
                if none {
                    return Ok(BTreeMap::new());
                }
                let error = wrap(error, doing);
                Err(if error.kind() == ErrorKind::Unsupported {
                    error.with_hint(
                        "the server has no bucket tags, so nothing there can be marked as ours",
                    )
                } else {
                    error
                })
            }
        }
    }

    async fn create_bucket(
        &self,
        bucket: &BucketName,
        owner: Option<&str>,
        tags: &BTreeMap<String, String>,
    ) -> Result<()> {
        if let Some(owner) = owner {
            let made = self
                .api
                .create_bucket(bucket.as_str(), owner, tags, self.location())
                .await;
            match made {
                // Gateways before 1.0.19 have the rest of the interface, but not this call.
                Err(error) if error.kind() == ErrorKind::Unsupported => {}
                result => return result,
            }
        }
        let tags = to_tags(tags, &format!("tag bucket `{bucket}`"))?;
        match self.create_plain(bucket, Some(tags)).await {
            // Tags at creation are from 2025; older servers take them for broken XML.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::InvalidInput | ErrorKind::Unsupported
                ) =>
            {
                self.create_plain(bucket, None).await
            }
            result => result,
        }
    }

    async fn set_tags(&self, bucket: &BucketName, tags: &BTreeMap<String, String>) -> Result<()> {
        let doing = format!("tag bucket `{bucket}`");
        let tagging = Tagging::builder()
            .set_tag_set(Some(to_tags(tags, &doing)?))
            .build()
            .map_err(|error| Error::new(ErrorKind::InvalidInput, &doing).with_source(error))?;
        self.s3
            .put_bucket_tagging()
            .bucket(bucket.as_str())
            .tagging(tagging)
            .send()
            .await
            .map_err(|error| wrap(error, doing))?;
        Ok(())
    }

    async fn set_owner(&self, bucket: &BucketName, owner: &str) -> Result<()> {
        self.api.set_owner(bucket.as_str(), owner).await
    }

    async fn delete_bucket(&self, bucket: &BucketName) -> Result<()> {
        let result = self
            .s3
            .delete_bucket()
            .bucket(bucket.as_str())
            .send()
            .await
            .map_err(|error| wrap(error, format!("remove bucket `{bucket}`")));
        match result {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            result => result.map(|_| ()),
        }
    }

    async fn empty_bucket(&self, bucket: &BucketName) -> Result<()> {
        sweep::empty(&self.s3, bucket.as_str()).await
    }

    async fn holdings(&self, bucket: &str) -> Result<Holdings> {
        let mut pages = self
            .s3
            .list_objects_v2()
            .bucket(bucket)
            .into_paginator()
            .send();
        let mut holdings = Holdings::default();
        for _ in 0..COUNTED_PAGES {
            let Some(page) = pages.next().await else {
                return Ok(holdings);
            };
            let page =
                page.map_err(|error| wrap(error, format!("list the objects of `{bucket}`")))?;
            for object in page.contents() {
                holdings.objects += 1;
                holdings.bytes += u64::try_from(object.size().unwrap_or(0)).unwrap_or(0);
            }
        }
        holdings.more = pages.next().await.is_some();
        Ok(holdings)
    }

    async fn list_keys(&self) -> Result<Vec<KeyFacts>> {
        self.api.list_keys().await
    }

    async fn create_key(&self, key: &Credentials, project: u32) -> Result<()> {
        self.api.create_key(key, project).await
    }

    async fn update_key(&self, key: &Credentials, project: u32) -> Result<()> {
        self.api.update_key(key, project).await
    }

    async fn delete_key(&self, access_key: &str) -> Result<()> {
        match self.api.delete_key(access_key).await {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }
}
