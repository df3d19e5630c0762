use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, CompleteMultipartUploadInput,
    CompleteMultipartUploadOutput, CopyObjectInput, CopyObjectOutput, CreateBucketInput,
    CreateBucketOutput, CreateMultipartUploadInput, CreateMultipartUploadOutput, DeleteBucketInput,
    DeleteBucketOutput, DeleteBucketTaggingInput, DeleteBucketTaggingOutput, DeleteObjectInput,
    DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, GetBucketLocationInput,
    GetBucketLocationOutput, GetBucketTaggingInput, GetBucketTaggingOutput, GetObjectInput,
    GetObjectOutput, HeadBucketInput, HeadBucketOutput, HeadObjectInput, HeadObjectOutput,
    ListBucketsInput, ListBucketsOutput, ListMultipartUploadsInput, ListMultipartUploadsOutput,
    ListObjectsInput, ListObjectsOutput, ListObjectsV2Input, ListObjectsV2Output, ListPartsInput,
    ListPartsOutput, PostObjectInput, PostObjectOutput, PutBucketTaggingInput,
    PutBucketTaggingOutput, PutObjectInput, PutObjectOutput, UploadPartCopyInput,
    UploadPartCopyOutput, UploadPartInput, UploadPartOutput,
};
use s3s::{S3, S3Request, S3Response, S3Result};

use super::{Handler, not_offered};

/// One line for each call; the work is in the modules beside this one, in a
/// method of the same name with `do_` before it.
macro_rules! offer {
    (
        waiting { $($name:ident => $work:ident($input:ty) -> $output:ty;)+ }
        at_once { $($quick:ident => $now:ident($quick_input:ty) -> $quick_output:ty;)+ }
    ) => {
        #[async_trait::async_trait]
        impl S3 for Handler {
            $(async fn $name(&self, req: S3Request<$input>) -> S3Result<S3Response<$output>> {
                self.$work(req).await
            })+

            $(async fn $quick(&self, req: S3Request<$quick_input>) -> S3Result<S3Response<$quick_output>> {
                self.$now(&req)
            })+

            // The library would turn it into a plain upload.
            async fn post_object(&self, _: S3Request<PostObjectInput>) -> S3Result<S3Response<PostObjectOutput>> {
                Err(not_offered("uploads by HTML forms"))
            }
        }
    };
}

offer! {
    waiting {
    create_bucket => do_create_bucket(CreateBucketInput) -> CreateBucketOutput;
    delete_bucket => do_delete_bucket(DeleteBucketInput) -> DeleteBucketOutput;
    put_bucket_tagging => do_put_bucket_tagging(PutBucketTaggingInput) -> PutBucketTaggingOutput;
    delete_bucket_tagging => do_delete_bucket_tagging(DeleteBucketTaggingInput) -> DeleteBucketTaggingOutput;
    put_object => do_put_object(PutObjectInput) -> PutObjectOutput;
    get_object => do_get_object(GetObjectInput) -> GetObjectOutput;
    head_object => do_head_object(HeadObjectInput) -> HeadObjectOutput;
    copy_object => do_copy_object(CopyObjectInput) -> CopyObjectOutput;
    delete_object => do_delete_object(DeleteObjectInput) -> DeleteObjectOutput;
    delete_objects => do_delete_objects(DeleteObjectsInput) -> DeleteObjectsOutput;
    list_objects => do_list_objects(ListObjectsInput) -> ListObjectsOutput;
    list_objects_v2 => do_list_objects_v2(ListObjectsV2Input) -> ListObjectsV2Output;
    create_multipart_upload => do_create_multipart_upload(CreateMultipartUploadInput) -> CreateMultipartUploadOutput;
    upload_part => do_upload_part(UploadPartInput) -> UploadPartOutput;
    upload_part_copy => do_upload_part_copy(UploadPartCopyInput) -> UploadPartCopyOutput;
    complete_multipart_upload => do_complete_multipart_upload(CompleteMultipartUploadInput) -> CompleteMultipartUploadOutput;
    abort_multipart_upload => do_abort_multipart_upload(AbortMultipartUploadInput) -> AbortMultipartUploadOutput;
    list_parts => do_list_parts(ListPartsInput) -> ListPartsOutput;
    list_multipart_uploads => do_list_multipart_uploads(ListMultipartUploadsInput) -> ListMultipartUploadsOutput;
    }
    at_once {
    head_bucket => do_head_bucket(HeadBucketInput) -> HeadBucketOutput;
    list_buckets => do_list_buckets(ListBucketsInput) -> ListBucketsOutput;
    get_bucket_location => do_get_bucket_location(GetBucketLocationInput) -> GetBucketLocationOutput;
    get_bucket_tagging => do_get_bucket_tagging(GetBucketTaggingInput) -> GetBucketTaggingOutput;
    }
}
