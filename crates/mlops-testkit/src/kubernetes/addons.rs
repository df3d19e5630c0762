//! What a cluster usually has and Kubernetes itself does not bring: names, metrics and volumes.

use std::path::Path;

use super::images::Image;
use super::programs::Programs;

/// A shell with the usual tools, for pods of tests: `/bin/sh`.
pub const BUSYBOX: &str = "localhost/busybox:1";

/// The images of the node itself.
pub(super) fn images(programs: &Programs, busybox: &Path) -> Vec<Image> {
    let shell = |name: &str| {
        Image::new(name)
            .with_file("bin/busybox", busybox)
            .with_link("bin/sh", "busybox")
    };
    let mut tools = shell(BUSYBOX);
    for tool in [
        "cat", "chmod", "cp", "df", "echo", "env", "false", "grep", "head", "hostname", "httpd",
        "id", "kill", "ls", "mkdir", "mount", "nc", "nslookup", "printf", "ps", "rm", "sed",
        "sleep", "stat", "tail", "tar", "test", "touch", "tr", "true", "wc", "wget", "yes",
    ] {
        tools = tools.with_link(format!("bin/{tool}"), "busybox");
    }
    let pause = "trap 'exit 0' TERM INT; while :; do sleep 3600 & wait; done";
    vec![
        shell("localhost/pause:1")
            .with_link("bin/sleep", "busybox")
            .with_entrypoint(&["/bin/sh", "-c", pause]),
        tools,
        Image::new("localhost/coredns:1")
            .with_file("coredns", programs.addon("coredns"))
            .with_entrypoint(&["/coredns"]),
        Image::new("localhost/metrics-server:1")
            .with_file("metrics-server", programs.addon("metrics-server"))
            .with_entrypoint(&["/metrics-server"]),
        shell("localhost/local-path-provisioner:1")
            .with_file(
                "local-path-provisioner",
                programs.addon("local-path-provisioner"),
            )
            .with_entrypoint(&["/local-path-provisioner"]),
    ]
}

/// The objects, each with the path under which the API server has it.
pub(super) fn objects(volumes: &Path) -> Vec<(String, String)> {
    let text = include_str!("addons.yaml").replace("VOLUMES", &volumes.display().to_string());
    text.split("\n---\n")
        .skip(1)
        .filter_map(|document| {
            let (path, object) = document.strip_prefix("# ")?.split_once('\n')?;
            Some((path.to_owned(), object.to_owned()))
        })
        .collect()
}
