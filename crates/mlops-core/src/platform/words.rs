//! What the validator knows of single definitions: the rules of names, and words for people.

use std::str::FromStr;

use super::cluster::{ImageName, NamespaceName, PullSecretName, StorageClassName};
use super::external::Address;
use super::model::ModelUri;
use crate::error::{Error, Result};
use crate::name::{
    BucketName, CapabilityName, ComponentName, DatabaseName, ModelAlias, ModelName, PlatformName,
    RoleName, SecretName, ServiceName,
};
use crate::resource::ResourceId;

/// Message and hint when `text` may not be used as the definition `name`.
pub(super) fn check(name: &str, text: &str) -> Option<(String, Option<String>)> {
    let result = match name {
        "PlatformName" => parse::<PlatformName>(text),
        "ComponentName" => parse::<ComponentName>(text),
        "CapabilityName" => parse::<CapabilityName>(text),
        "ServiceName" => parse::<ServiceName>(text),
        "SecretName" => parse::<SecretName>(text),
        "BucketName" => parse::<BucketName>(text),
        "RoleName" => parse::<RoleName>(text),
        "DatabaseName" => parse::<DatabaseName>(text),
        "ModelName" => parse::<ModelName>(text),
        "ModelAlias" => parse::<ModelAlias>(text),
        "ModelUri" => parse::<ModelUri>(text),
        "NamespaceName" => parse::<NamespaceName>(text),
        "StorageClassName" => parse::<StorageClassName>(text),
        "PullSecretName" => parse::<PullSecretName>(text),
        "ImageName" => parse::<ImageName>(text),
        "Address" => parse::<Address>(text),
        "ResourceId" => parse::<ResourceId>(text),
        _ => return None,
    };
    let error = result.err()?;
    let hint = error.hint().map(str::to_owned);
    Some(match error.causes().first() {
        Some(rule) => (rule.clone(), hint),
        None => (hint.unwrap_or_else(|| error.to_string()), None),
    })
}

fn parse<T: FromStr<Err = Error>>(text: &str) -> Result<()> {
    text.parse::<T>().map(|_| ())
}

/// What to say of a word that will be known one day.
pub(super) fn not_yet(name: &str, text: &str) -> Option<String> {
    (name == "Target" && text == "export").then(|| format!("the target `{text}` is not there yet"))
}

/// What to do when something of another type stands where this is expected.
pub(super) fn hint(name: &str) -> Option<&'static str> {
    match name {
        "SecretSource" => {
            Some("a secret is never written here: say where it is, `{env: NAME}` or `{file: PATH}`")
        }
        _ => None,
    }
}

/// Whether what stands in the place of this definition may be a secret.
pub(super) fn is_secret(name: &str) -> bool {
    name == "SecretSource"
}
