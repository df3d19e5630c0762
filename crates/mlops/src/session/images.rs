//! The images that a platform runs in its cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mlops_core::kubernetes::{OBJECT, ObjectSpec};
use mlops_core::{Error, ErrorKind, Failure, Result};
use serde::Serialize;
use serde_json::Value;

use super::{Network, Session};

/// How long the cluster may take to say what its pods run.
const PATIENCE: Duration = Duration::from_secs(10);

/// The images of a platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Images {
    /// Its name.
    pub platform: String,
    /// Whether it is in a cluster; on one machine there are no images.
    pub in_cluster: bool,
    /// The images, by name.
    pub images: Vec<Image>,
    /// Why the cluster could not be asked what runs; `None` when it was asked, or was not to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unasked: Option<Failure>,
}

/// An image of a platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Image {
    /// The image as pods name it: after the mapping in `images`.
    pub image: String,
    /// The catalogue's, where the platform file has another one in its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub original: Option<String>,
    /// Who runs it.
    pub used_by: Vec<ImageUser>,
    /// Which content it stands for, as far as that is known.
    pub digests: Vec<ImageDigest>,
}

/// A container that runs an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ImageUser {
    /// The component.
    pub component: String,
    /// The object with the pods, as `KIND.NAME`.
    pub object: String,
    /// The container in them.
    pub container: String,
}

/// A digest of an image, and how it is known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ImageDigest {
    /// `sha256:` and 64 digits.
    pub digest: String,
    /// How it is known.
    pub known: DigestSource,
}

/// How a digest is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DigestSource {
    /// The name of the image pins it.
    Pinned,
    /// A node says that it pulled it so.
    Pulled,
    /// A node says that it has it so: the digest of the image's configuration, of one that was imported and not pulled. No
    /// registry gives an image by it.
    Local,
}

impl Session {
    /// Every image that the platform runs in its cluster, with the one of the checks from inside. What the pods really
    /// run is asked of the cluster for 10 seconds at most, with [`Network::Use`] only, and what it does not answer is no
    /// error: the list is the same without.
    ///
    /// # Errors
    ///
    /// When an object of the platform cannot be understood.
    pub async fn images(&self, network: Network) -> Result<Images> {
        let mut images = self.described_images()?;
        let mut unasked = None;
        if let Some(cluster) = self.cluster.as_ref().filter(|_| network == Network::Use) {
            let asked = tokio::time::timeout(PATIENCE, cluster.image_ids()).await;
            let asked = asked.unwrap_or_else(|_| {
                let doing = "look which images the pods run";
                Err(Error::new(ErrorKind::Timeout, doing)
                    .with_source(format!("no answer within {} s", PATIENCE.as_secs())))
            });
            match asked {
                Ok(ids) => add_digests(&mut images, &ids),
                Err(error) => unasked = Some(Failure::from(&error)),
            }
        }
        Ok(Images {
            platform: self.graph.platform.to_string(),
            in_cluster: self.cluster.is_some(),
            images,
            unasked,
        })
    }

    fn described_images(&self) -> Result<Vec<Image>> {
        let mut users: BTreeMap<String, BTreeSet<ImageUser>> = BTreeMap::new();
        for resource in self.graph.resources() {
            if resource.id.kind().as_str() != OBJECT {
                continue;
            }
            let spec: ObjectSpec = resource.typed()?;
            for (container, image) in containers(&spec.object) {
                users.entry(image).or_default().insert(ImageUser {
                    component: resource.component.to_string(),
                    object: resource.id.name().to_owned(),
                    container,
                });
            }
        }
        if let Some(tools) = &self.tools {
            let tools = tools.used.to_string();
            users.entry(tools).or_default().insert(ImageUser {
                component: "mlops".to_owned(),
                object: "job.mlops-check".to_owned(),
                container: "check".to_owned(),
            });
        }
        let mapped = self.mapped_images.iter().chain(&self.tools);
        let originals: BTreeMap<&str, &str> = mapped
            .filter(|one| one.used != one.image)
            .map(|one| (one.used.as_str(), one.image.as_str()))
            .collect();
        let describe = |(image, used_by): (String, BTreeSet<ImageUser>)| Image {
            original: originals.get(image.as_str()).map(|&name| name.to_owned()),
            used_by: used_by.into_iter().collect(),
            digests: pinned(&image).into_iter().collect(),
            image,
        };
        Ok(users.into_iter().map(describe).collect())
    }
}

/// The containers of an object's pods with their images, and the images that are volumes of theirs.
fn containers(object: &Value) -> Vec<(String, String)> {
    let pods = match object.get("kind").and_then(Value::as_str) {
        Some("Pod") => "/spec",
        Some("CronJob") => "/spec/jobTemplate/spec/template/spec",
        _ => "/spec/template/spec",
    };
    let Some(pods) = object.pointer(pods) else {
        return Vec::new();
    };
    let list = |name: &str| pods.get(name).and_then(Value::as_array);
    let lists = ["initContainers", "containers", "volumes"].into_iter();
    let items = lists.filter_map(list).flatten();
    items
        .filter_map(|item| {
            let image = item.get("image")?;
            // A volume names its image one step deeper.
            let image = image.get("reference").unwrap_or(image).as_str()?;
            Some((item.get("name")?.as_str()?.to_owned(), image.to_owned()))
        })
        .collect()
}

fn pinned(image: &str) -> Option<ImageDigest> {
    let (_, digest) = image.split_once('@')?;
    Some(ImageDigest {
        digest: digest.to_owned(),
        known: DigestSource::Pinned,
    })
}

/// What nodes say, beside what names say.
fn add_digests(images: &mut [Image], ids: &BTreeMap<String, BTreeSet<String>>) {
    for image in images {
        let ids = ids.get(&image.image).into_iter().flatten();
        let mut digests: BTreeSet<ImageDigest> = image.digests.drain(..).collect();
        for said in ids.filter_map(|id| said(id)) {
            let is_known = digests.iter().any(|known| known.digest == said.digest);
            if !is_known {
                digests.insert(said);
            }
        }
        image.digests = digests.into_iter().collect();
    }
}

/// The digest in a node's words: `NAME@sha256:…`, or `sha256:…` alone for what is there only; older ones put the name of
/// the runtime and `://` before it.
fn said(id: &str) -> Option<ImageDigest> {
    let id = id.split_once("://").map_or(id, |(_, id)| id);
    let (digest, known) = match id.rsplit_once('@') {
        Some((_, digest)) => (digest, DigestSource::Pulled),
        None => (id, DigestSource::Local),
    };
    digest.starts_with("sha256:").then(|| ImageDigest {
        digest: digest.to_owned(),
        known,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn images_are_found_wherever_pods_are_described() {
        let pods = json!({
            "initContainers": [{ "name": "first", "image": "a" }],
            "containers": [{ "name": "main", "image": "b" }],
            "volumes": [{ "name": "model", "image": { "reference": "c" } }, { "name": "tmp", "emptyDir": {} }],
        });
        let expected = [("first", "a"), ("main", "b"), ("model", "c")]
            .map(|(name, image)| (name.to_owned(), image.to_owned()));
        for object in [
            json!({ "kind": "Pod", "spec": pods }),
            json!({ "kind": "Deployment", "spec": { "template": { "spec": pods } } }),
            json!({ "kind": "CronJob", "spec": { "jobTemplate": { "spec": { "template": { "spec": pods } } } } }),
        ] {
            assert_eq!(containers(&object), expected);
        }
        assert!(containers(&json!({ "kind": "ConfigMap" })).is_empty());
    }

    #[test]
    fn a_digest_is_told_with_how_it_is_known() {
        let mut images = vec![Image {
            image: "web@sha256:1".to_owned(),
            original: None,
            used_by: Vec::new(),
            digests: pinned("web@sha256:1").into_iter().collect(),
        }];
        let ids = [
            "docker-pullable://r/web@sha256:1",
            "r/web@sha256:2",
            "sha256:3",
            "?",
        ];
        let ids = ids.map(str::to_owned).into();
        add_digests(&mut images, &[("web@sha256:1".to_owned(), ids)].into());
        let digests = images.remove(0).digests;
        let told: Vec<(&str, DigestSource)> = digests
            .iter()
            .map(|one| (one.digest.as_str(), one.known))
            .collect();
        assert_eq!(
            told,
            [
                ("sha256:1", DigestSource::Pinned),
                ("sha256:2", DigestSource::Pulled),
                ("sha256:3", DigestSource::Local)
            ]
        );
    }
}
