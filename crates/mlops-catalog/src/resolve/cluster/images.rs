//! The images of the catalogue, or what the platform file says in place of them.

use std::collections::{BTreeMap, BTreeSet};

use mlops_core::platform::{Diagnostics, ImageName, Problem, Problems};
use mlops_core::{ComponentName, Platform, Result};
use serde::Serialize;

use crate::Catalog;
use crate::component::{ClusterRun, ImageRule};
use crate::resolve::work::Work;

/// The image with the program `mlops` itself, in which `mlops check --in-cluster` runs.
pub const TOOLS_IMAGE: &str = concat!("localhost/mlops:", env!("CARGO_PKG_VERSION"));

/// An image that a component runs in a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UsedImage {
    /// The component.
    pub component: ComponentName,
    /// The component's own name for it.
    pub name: String,
    /// The image of the catalogue.
    pub image: ImageName,
    /// The image that runs: another one, where the platform file says so.
    pub used: ImageName,
}

/// The images that a platform runs in a cluster, by component.
///
/// ```
/// use mlops_catalog::{Catalog, images};
/// use mlops_core::Platform;
///
/// let text = "name: demo\ntarget: cluster\nimages: { localhost/mlops-s3: registry.example.org/s3 }\n";
/// let platform = Platform::parse("platform.yaml", text)?;
/// let all = images(&platform, &Catalog::embedded())?;
/// let s3 = all.iter().find(|image| image.component.as_str() == "s3").unwrap();
/// assert_eq!(s3.used.as_str(), "registry.example.org/s3:1.8.0");
/// # Ok::<(), mlops_core::Diagnostics>(())
/// ```
///
/// # Errors
///
/// What is wrong with the platform's choice of components or with their files.
pub fn images(platform: &Platform, catalog: &Catalog) -> Result<Vec<UsedImage>, Diagnostics> {
    let mut work = Work::new(platform, catalog);
    let mut all = Vec::new();
    for member in work.members() {
        let Some(run) = &member.component.cluster else {
            continue;
        };
        for (name, rule) in &run.images {
            match parse(name, rule) {
                Ok(image) => all.push(UsedImage {
                    component: member.name().clone(),
                    name: name.clone(),
                    used: replaced(platform, &image),
                    image,
                }),
                Err(problem) => work.blame_one(&member, problem),
            }
        }
    }
    work.wrong().or(all)
}

/// The image with the program `mlops` itself, in which the checks from inside the cluster run: [`TOOLS_IMAGE`], or what
/// the platform file says in its place. No component runs it, so [`images`] does not name it.
///
/// # Errors
///
/// Never for the constant as it is.
pub fn tools_image(platform: &Platform) -> Result<UsedImage> {
    let image: ImageName = TOOLS_IMAGE.parse()?;
    Ok(UsedImage {
        component: "mlops".parse()?,
        name: "tools".to_owned(),
        used: replaced(platform, &image),
        image,
    })
}

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
            let image = parse(name, rule)?;
            images.insert(name.clone(), replaced(platform, &image).to_string());
            self.asked.insert(image);
        }
        Ok(images)
    }

    /// Every replacement must be of an image that is used.
    pub(in crate::resolve) fn check(&self, platform: &Platform, problems: &mut Problems) {
        let tools: Option<ImageName> = TOOLS_IMAGE.parse().ok();
        for image in platform.images.keys() {
            let mut asked = self.asked.iter().chain(&tools);
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

fn parse(name: &str, rule: &ImageRule) -> Result<ImageName, Problem> {
    let text = format!("{}:{}", rule.name, rule.tag);
    text.parse().map_err(|_| {
        let path = ["cluster", "images", name];
        let message = format!("`{}` is not an image", text.escape_debug());
        Problem::at(path, message)
            .with_hint("the name is [REGISTRY/]PATH in lower case, the tag stands beside it")
    })
}

fn replaced(platform: &Platform, image: &ImageName) -> ImageName {
    let exact = platform.images.get(image);
    let said = exact.or_else(|| {
        let mut all = platform.images.iter();
        all.find(|(name, _)| is_of(image, name)).map(|(_, new)| new)
    });
    let Some(new) = said else {
        return image.clone();
    };
    let version = image.version().filter(|_| new.version().is_none());
    let full = version.and_then(|version| format!("{new}{version}").parse().ok());
    full.unwrap_or_else(|| new.clone())
}
