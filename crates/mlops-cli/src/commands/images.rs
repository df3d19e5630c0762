//! `mlops images`: what the platform runs in its cluster.

use std::collections::BTreeSet;

use mlops::session::{DigestSource, Images, Network};
use mlops_core::Result;

use crate::args::ImagesArgs;
use crate::cx::Cx;
use crate::exit::Exit;
use crate::report;
use crate::text::{Paint, table};

/// Lists the images, and asks the cluster for what their names do not say unless told not to.
pub(crate) async fn images(cx: &Cx, args: &ImagesArgs) -> Result<Exit> {
    let network = if args.offline {
        Network::Avoid
    } else {
        Network::Use
    };
    let session = cx.session(Network::Avoid)?;
    let images = session.images(network).await?;
    cx.printer.show(&images, |paint| describe(paint, &images))?;
    if let Some(failure) = images.unasked.as_ref().filter(|_| !cx.printer.is_json()) {
        let why = report::explain_failure(cx.printer.err_paint(), failure);
        cx.printer.say(&format!(
            "\nThe cluster could not be asked which digests run (`--offline` does not ask):\n{why}"
        ));
    }
    Ok(Exit::Done)
}

/// A line for each image.
fn describe(paint: Paint, images: &Images) -> String {
    if !images.in_cluster {
        return format!(
            "Platform `{}` runs on this machine: it has no images.",
            images.platform
        );
    }
    let or_dash = |texts: Vec<String>| {
        if texts.is_empty() {
            "-".to_owned()
        } else {
            texts.join(" ")
        }
    };
    let rows: Vec<[String; 4]> = images
        .images
        .iter()
        .map(|image| {
            let users = image.used_by.iter();
            // Two objects of a component may each have a container of that name.
            let users: BTreeSet<String> = users
                .map(|user| format!("{}/{}", user.component, user.container))
                .collect();
            let digests = image.digests.iter();
            let digests = digests.map(|one| match one.known {
                DigestSource::Pinned | DigestSource::Pulled => one.digest.clone(),
                DigestSource::Local => format!("{}(local)", one.digest),
            });
            [
                image.image.clone(),
                or_dash(image.original.clone().into_iter().collect()),
                or_dash(users.into_iter().collect()),
                or_dash(digests.collect()),
            ]
        })
        .collect();
    table(paint, ["IMAGE", "IN PLACE OF", "USED BY", "DIGEST"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mlops::session::{Image, ImageDigest, ImageUser};

    #[test]
    fn a_line_for_each_image() {
        let user = |component: &str, object: &str| ImageUser {
            component: component.to_owned(),
            object: object.to_owned(),
            container: "server".to_owned(),
        };
        let mut images = Images {
            platform: "demo".to_owned(),
            in_cluster: true,
            images: vec![
                Image {
                    image: "example.org/python:1".to_owned(),
                    original: Some("localhost/python:1".to_owned()),
                    used_by: vec![
                        user("mlflow", "deployment.mlflow"),
                        user("m", "deployment.m"),
                    ],
                    digests: vec![ImageDigest {
                        digest: "sha256:ab".to_owned(),
                        known: DigestSource::Local,
                    }],
                },
                Image {
                    image: "localhost/s3:1".to_owned(),
                    original: None,
                    used_by: vec![user("s3", "statefulset.s3")],
                    digests: Vec::new(),
                },
            ],
            unasked: None,
        };
        assert_eq!(
            describe(Paint::new(false), &images),
            "IMAGE                 IN PLACE OF         USED BY                 DIGEST\n\
             example.org/python:1  localhost/python:1  m/server mlflow/server  sha256:ab(local)\n\
             localhost/s3:1        -                   s3/server               -"
        );
        images.in_cluster = false;
        assert_eq!(
            describe(Paint::new(false), &images),
            "Platform `demo` runs on this machine: it has no images."
        );
    }
}
