use std::collections::BTreeMap;

use s3s::dto::{
    Bucket as BucketLine, BucketLocationConstraint, CreateBucketInput, CreateBucketOutput,
    DeleteBucketInput, DeleteBucketOutput, DeleteBucketTaggingInput, DeleteBucketTaggingOutput,
    GetBucketLocationInput, GetBucketLocationOutput, GetBucketTaggingInput, GetBucketTaggingOutput,
    HeadBucketInput, HeadBucketOutput, ListBucketsInput, ListBucketsOutput, ObjectOwnership, Owner,
    PutBucketTaggingInput, PutBucketTaggingOutput, Tag,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::{Handler, blocking, caller, not_offered};
use crate::accounts::Role;
use crate::file::timestamp;
use crate::tags;

/// A bucket is made where the server is.
pub(crate) fn check_location(wanted: Option<&str>, region: &str) -> S3Result<()> {
    if wanted.is_none_or(|wanted| wanted == region) {
        return Ok(());
    }
    Err(s3_error!(
        InvalidLocationConstraint,
        "The specified location-constraint is not valid: this server is in {region}."
    ))
}

fn check_new(input: &CreateBucketInput, region: &str) -> S3Result<()> {
    refuse!(
        input,
        grant_full_control,
        grant_read,
        grant_read_acp,
        grant_write,
        grant_write_acp
    );
    if input.acl.as_ref().is_some_and(|a| a.as_str() != "private") {
        return Err(not_offered("access control lists"));
    }
    if input.object_lock_enabled_for_bucket == Some(true) {
        return Err(not_offered("object lock"));
    }
    let enforced = ObjectOwnership::BUCKET_OWNER_ENFORCED;
    if input
        .object_ownership
        .as_ref()
        .is_some_and(|o| o.as_str() != enforced)
    {
        return Err(not_offered("object ownership besides BucketOwnerEnforced"));
    }
    let Some(wanted) = &input.create_bucket_configuration else {
        return Ok(());
    };
    refuse!(wanted, bucket, location);
    let location = wanted.location_constraint.as_ref();
    check_location(location.map(BucketLocationConstraint::as_str), region)
}

impl Handler {
    pub(super) async fn do_create_bucket(
        &self,
        req: S3Request<CreateBucketInput>,
    ) -> S3Result<S3Response<CreateBucketOutput>> {
        check_new(&req.input, &self.guard.region)?;
        let owner = caller(&req)?.access_key.clone();
        let store = self.store();
        let name = req.input.bucket;
        let location = Some(format!("/{name}"));
        blocking(move || store.create_bucket(&name, &owner, BTreeMap::new())).await?;
        Ok(S3Response::new(CreateBucketOutput { location }))
    }

    pub(super) fn do_head_bucket(
        &self,
        req: &S3Request<HeadBucketInput>,
    ) -> S3Result<S3Response<HeadBucketOutput>> {
        self.bucket(&req.input.bucket, req.input.expected_bucket_owner.as_ref())?;
        Ok(S3Response::new(HeadBucketOutput {
            bucket_region: Some(self.guard.region.to_string()),
            ..HeadBucketOutput::default()
        }))
    }

    pub(super) fn do_list_buckets(
        &self,
        req: &S3Request<ListBucketsInput>,
    ) -> S3Result<S3Response<ListBucketsOutput>> {
        let caller = caller(req)?;
        let input = &req.input;
        let prefix = input.prefix.as_deref().unwrap_or_default();
        let after = input.continuation_token.as_deref().unwrap_or_default();
        let mut found = self.guard.store.all_buckets();
        found.retain(|b| {
            (caller.role == Role::Admin || b.is_owned_by(&caller.access_key))
                && b.name.starts_with(prefix)
                && b.name.as_str() > after
        });
        let limit = input
            .max_buckets
            .and_then(|m| usize::try_from(m).ok())
            .unwrap_or(usize::MAX);
        let more = found.len() > limit;
        found.truncate(limit);
        let token = found.last().filter(|_| more).map(|b| b.name.clone());
        let buckets = found
            .iter()
            .map(|b| BucketLine {
                bucket_region: Some(self.guard.region.to_string()),
                creation_date: Some(timestamp(b.info().created)),
                name: Some(b.name.clone()),
            })
            .collect();
        Ok(S3Response::new(ListBucketsOutput {
            buckets: Some(buckets),
            continuation_token: token,
            owner: Some(Owner {
                id: Some(caller.access_key.clone()),
                ..Owner::default()
            }),
            prefix: input.prefix.clone(),
        }))
    }

    pub(super) async fn do_delete_bucket(
        &self,
        req: S3Request<DeleteBucketInput>,
    ) -> S3Result<S3Response<DeleteBucketOutput>> {
        self.bucket(&req.input.bucket, req.input.expected_bucket_owner.as_ref())?;
        let store = self.store();
        blocking(move || store.delete_bucket(&req.input.bucket)).await?;
        Ok(S3Response::new(DeleteBucketOutput::default()))
    }

    pub(super) fn do_get_bucket_location(
        &self,
        req: &S3Request<GetBucketLocationInput>,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        self.bucket(&req.input.bucket, req.input.expected_bucket_owner.as_ref())?;
        // The oldest region has no name here.
        let named = Some(self.guard.region.to_string()).filter(|r| r != "us-east-1");
        Ok(S3Response::new(GetBucketLocationOutput {
            location_constraint: named.map(BucketLocationConstraint::from),
        }))
    }

    pub(super) fn do_get_bucket_tagging(
        &self,
        req: &S3Request<GetBucketTaggingInput>,
    ) -> S3Result<S3Response<GetBucketTaggingOutput>> {
        let bucket = self.bucket(&req.input.bucket, req.input.expected_bucket_owner.as_ref())?;
        let tags = bucket.info().tags;
        if tags.is_empty() {
            return Err(s3_error!(NoSuchTagSet, "The TagSet does not exist"));
        }
        let tag_set = tags
            .into_iter()
            .map(|(key, value)| Tag {
                key: Some(key),
                value: Some(value),
            })
            .collect();
        Ok(S3Response::new(GetBucketTaggingOutput { tag_set }))
    }

    pub(super) async fn do_put_bucket_tagging(
        &self,
        req: S3Request<PutBucketTaggingInput>,
    ) -> S3Result<S3Response<PutBucketTaggingOutput>> {
        let S3Request { input, .. } = req;
        self.bucket(&input.bucket, input.expected_bucket_owner.as_ref())?;
        let tags = input.tagging.tag_set.into_iter();
        let tags = tags::checked(
            tags.map(|tag| (tag.key.unwrap_or_default(), tag.value.unwrap_or_default())),
        )?;
        let store = self.store();
        blocking(move || store.change_bucket(&input.bucket, |info| info.tags = tags)).await?;
        Ok(S3Response::new(PutBucketTaggingOutput::default()))
    }

    pub(super) async fn do_delete_bucket_tagging(
        &self,
        req: S3Request<DeleteBucketTaggingInput>,
    ) -> S3Result<S3Response<DeleteBucketTaggingOutput>> {
        let S3Request { input, .. } = req;
        self.bucket(&input.bucket, input.expected_bucket_owner.as_ref())?;
        let store = self.store();
        blocking(move || store.change_bucket(&input.bucket, |info| info.tags.clear())).await?;
        Ok(S3Response::new(DeleteBucketTaggingOutput::default()))
    }
}
