//! Taking everything out of a bucket.

use aws_sdk_s3::Client;
use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use mlops_core::{Error, ErrorKind, Result};

use super::error::wrap;

/// Objects first, then versions and delete markers, then unfinished uploads. Servers without the latter have none.
pub(super) async fn empty(s3: &Client, bucket: &str) -> Result<()> {
    objects(s3, bucket).await?;
    or_not_offered(versions(s3, bucket).await)?;
    or_not_offered(uploads(s3, bucket).await)
}

fn or_not_offered(result: Result<()>) -> Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::Unsupported => Ok(()),
        result => result,
    }
}

async fn objects(s3: &Client, bucket: &str) -> Result<()> {
    let doing = || format!("list the objects of `{bucket}`");
    loop {
        let page = s3
            .list_objects_v2()
            .bucket(bucket)
            .send()
            .await
            .map_err(|error| wrap(error, doing()))?;
        let names: Vec<_> = page
            .contents()
            .iter()
            .filter_map(|object| Some((object.key()?.to_owned(), None)))
            .collect();
        if names.is_empty() {
            return Ok(());
        }
        delete(s3, bucket, names).await?;
    }
}

async fn versions(s3: &Client, bucket: &str) -> Result<()> {
    let status = s3
        .get_bucket_versioning()
        .bucket(bucket)
        .send()
        .await
        .map_err(|error| wrap(error, format!("ask for the versioning of `{bucket}`")))?;
    if status.status().is_none() {
        return Ok(());
    }
    loop {
        let page = s3
            .list_object_versions()
            .bucket(bucket)
            .send()
            .await
            .map_err(|error| wrap(error, format!("list the versions of `{bucket}`")))?;
        let versions = page
            .versions()
            .iter()
            .filter_map(|version| Some((version.key()?, version.version_id())));
        let markers = page
            .delete_markers()
            .iter()
            .filter_map(|marker| Some((marker.key()?, marker.version_id())));
        let names: Vec<_> = versions
            .chain(markers)
            .map(|(key, version)| (key.to_owned(), version.map(str::to_owned)))
            .collect();
        if names.is_empty() {
            return Ok(());
        }
        delete(s3, bucket, names).await?;
    }
}

async fn uploads(s3: &Client, bucket: &str) -> Result<()> {
    loop {
        let page = s3
            .list_multipart_uploads()
            .bucket(bucket)
            .send()
            .await
            .map_err(|error| wrap(error, format!("list the unfinished uploads of `{bucket}`")))?;
        if page.uploads().is_empty() {
            return Ok(());
        }
        for upload in page.uploads() {
            let result = s3
                .abort_multipart_upload()
                .bucket(bucket)
                .set_key(upload.key().map(str::to_owned))
                .set_upload_id(upload.upload_id().map(str::to_owned))
                .send()
                .await
                .map_err(|error| wrap(error, format!("end an unfinished upload of `{bucket}`")));
            match result {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
}

/// At most 1000 names, as a page has.
async fn delete(s3: &Client, bucket: &str, names: Vec<(String, Option<String>)>) -> Result<()> {
    let doing = format!("remove the objects of `{bucket}`");
    let broken =
        |error| Error::new(ErrorKind::InvalidInput, doing.clone()).with_source(Box::new(error));
    let mut request = Delete::builder().quiet(true);
    for (key, version) in names {
        let name = ObjectIdentifier::builder()
            .key(key)
            .set_version_id(version)
            .build()
            .map_err(broken)?;
        request = request.objects(name);
    }
    let answer = s3
        .delete_objects()
        .bucket(bucket)
        .delete(request.build().map_err(broken)?)
        .send()
        .await
        .map_err(|error| wrap(error, doing.clone()))?;
    match answer.errors().first() {
        None => Ok(()),
        Some(error) => {
            let code = error.code().unwrap_or_default();
            let kind = super::error::kind_of_code(code).unwrap_or(ErrorKind::Failed);
            Err(Error::new(kind, doing).with_source(format!(
                "{} of them stayed, `{}` because of {code}: {}",
                answer.errors().len(),
                error.key().unwrap_or_default(),
                error.message().unwrap_or_default()
            )))
        }
    }
}
