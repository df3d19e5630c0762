//! Tags of buckets.

use std::collections::BTreeMap;

use s3s::{S3Result, s3_error};

/// S3's limit for a bucket.
const MOST: usize = 50;

/// The tags, when they are such as S3 takes.
pub(crate) fn checked(
    pairs: impl IntoIterator<Item = (String, String)>,
) -> S3Result<BTreeMap<String, String>> {
    let mut tags = BTreeMap::new();
    for (key, value) in pairs {
        let fits = (1..=128).contains(&key.chars().count()) && value.chars().count() <= 256;
        if !fits || tags.insert(key, value).is_some() {
            return Err(s3_error!(
                InvalidTag,
                "The tag keys must differ, have 1 to 128 characters and at most 256 in the value."
            ));
        }
    }
    if tags.len() > MOST {
        return Err(s3_error!(InvalidTag, "A bucket takes at most {MOST} tags."));
    }
    Ok(tags)
}
