//! The images of the catalogue, or what the platform file says in place of them.

use std::collections::{BTreeMap, BTreeSet};

use mlops_core::Platform;
use mlops_core::platform::{ImageName, Problem, Problems};

use crate::component::ClusterRun;

/// The images that were asked for, to find replacements that replace none.
#[derive(Debug, Default)]
pub(in crate::resolve) struct Images {
    asked: BTreeSet<ImageName>,
}

impl Images {
    /// The images of a component by its own names, as pods name them.
    pub(super) fn of(
        &mut self,
        platform: &Platform,
        run: &ClusterRun,
    ) -> Result<BTreeMap<String, String>, Problem> {
        let mut images = BTreeMap::new();
        for (name, rule) in &run.images {
            let text = format!("{}:{}", rule.name, rule.tag);
            let Ok(image) = text.parse::<ImageName>() else {
                let path = ["cluster", "images", name.as_str()];
                let message = format!("`{}` is not an image", text.escape_debug());
                return Err(Problem::at(path, message).with_hint(
                    "the name is [REGISTRY/]PATH in lower case, the tag stands beside it",
                ));
            };
            images.insert(name.clone(), replaced(platform, &image));
            self.asked.insert(image);
        }
        Ok(images)
    }

    /// Every replacement must be of an image that is used.
    pub(in crate::resolve) fn check(&self, platform: &Platform, problems: &mut Problems) {
        for image in platform.images.keys() {
            let mut asked = self.asked.iter();
            if asked.any(|one| one == image || is_of(one, image)) {
                continue;
            }
            let message = format!("no component of this platform uses the image `{image}`");
            let known = self.asked.iter().map(ImageName::as_str);
            problems.add(
                Problem::at(["images", image.as_str()], message)
                    .of_key()
                    .with_nearest(image.as_str(), known),
            );
        }
    }
}

/// Whether a name without tag and digest stands for an image.
fn is_of(image: &ImageName, name: &ImageName) -> bool {
    name.version().is_none() && name.as_str() == image.path()
}

fn replaced(platform: &Platform, image: &ImageName) -> String {
    let exact = platform.images.get(image);
    let said = exact.or_else(|| {
        let mut all = platform.images.iter();
        all.find(|(name, _)| is_of(image, name)).map(|(_, new)| new)
    });
    match said {
        None => image.to_string(),
        Some(new) if new.version().is_none() => {
            format!("{new}{}", image.version().unwrap_or_default())
        }
        Some(new) => new.to_string(),
    }
}
