//! Make a bucket, and a key that may use this bucket and nothing else.
//!
//! Needs:  an S3 server with the admin interface of the Versity gateway, such as the recipe `serve_s3`: `S3_URL`,
//!         `S3_ACCESS_KEY` and `S3_SECRET_KEY` of its administrator; `REPORTS_SECRET_KEY` for the key that is made
//! Run:    cargo run -p mlops-examples --example make_bucket_and_key
//! Prints: "created" for both, "unchanged" when run again, and what the key has written
//! Undo:   the same command with `-- remove`; a bucket that is not empty stays

use std::sync::Arc;

use mlops_core::{Endpoint, SecretText};
use mlops_examples::var;
use mlops_storage::s3::{BucketWish, Connect, Content, Credentials, KeyWish, S3Client, Store};
use mlops_storage::s3::{ensure_bucket, ensure_key, remove_bucket, remove_key};
use mlops_storage::{Foreign, Mark};

const REGION: &str = "us-east-1";

async fn make(
    store: &Store,
    mark: &Mark,
    key: &KeyWish,
    bucket: &BucketWish,
) -> anyhow::Result<()> {
    // A key or bucket of that name without our mark is somebody else's: left alone, and an error.
    let outcome = ensure_key(store, key, mark, Foreign::Refuse).await?;
    println!("key reports: {outcome}");
    let outcome = ensure_bucket(store, bucket, mark, Foreign::Refuse).await?;
    println!("bucket reports: {outcome}");
    Ok(())
}

/// What its consumer does with the key.
async fn use_it(endpoint: &Endpoint, key: &Credentials) -> anyhow::Result<()> {
    let session = S3Client::new().session(endpoint, REGION, key).await?;
    session
        .put("reports", "first.txt", b"hello".to_vec())
        .await?;
    println!("objects: {}", session.list("reports", "").await?.join(", "));
    session.delete("reports", "first.txt").await?;
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let endpoint = Endpoint::new(var("S3_URL")?.parse()?)?;
    let admin = Credentials::new(
        var("S3_ACCESS_KEY")?,
        SecretText::new(var("S3_SECRET_KEY")?),
    );
    let store = Store::new(Arc::new(S3Client::new()), endpoint.clone(), REGION, admin);
    let mark = Mark::of(&"recipe".parse()?);
    let secret = SecretText::new(var("REPORTS_SECRET_KEY")?);
    let key = KeyWish {
        key: Credentials::new("reports", secret),
    };
    let bucket = BucketWish {
        bucket: "reports".parse()?,
        owner: Some("reports".to_owned()),
    };
    if std::env::args().nth(1).as_deref() == Some("remove") {
        remove_bucket(&store, &bucket, &mark, Content::Keep).await?;
        remove_key(&store, &key.key, &mark).await?;
        println!("removed");
        return Ok(());
    }
    make(&store, &mark, &key, &bucket).await?;
    use_it(&endpoint, &key.key).await
}
