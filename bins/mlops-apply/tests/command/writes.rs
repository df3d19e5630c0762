//! What the program does not write, by the audit log of the server.

use std::process::Output;

use mlops_testkit::kubernetes::TestCluster;

use super::{NAMESPACE, code, command, err, map, on_cluster, out, write};

/// A user of the shared server who may do everything, whose requests the audit log tells apart.
pub(crate) struct Watched {
    name: &'static str,
    folder: tempfile::TempDir,
}

impl Watched {
    pub(crate) fn new(name: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = TestCluster::shared().kubeconfig_of(name, Some("system:masters"));
        write(folder.path(), "kubeconfig", &text);
        Self { name, folder }
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        let mut command = command();
        command
            .arg("--kubeconfig")
            .arg(self.folder.path().join("kubeconfig"));
        command.args(args).output().unwrap()
    }

    /// What it asked of the server so far that is no mere look: verb and path of each request.
    pub(crate) fn writes(&self) -> Vec<String> {
        let log = TestCluster::shared().audit_log();
        let events = log
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let text = |event: &serde_json::Value, path: &str| {
            event.pointer(path).unwrap().as_str().unwrap().to_owned()
        };
        let asked = events.filter(|event| {
            let verb = text(event, "/verb");
            text(event, "/user/username") == self.name
                && text(event, "/stage") == "ResponseComplete"
                && !["get", "list", "watch"].contains(&&*verb)
        });
        asked
            .map(|event| format!("{} {}", text(&event, "/verb"), text(&event, "/requestURI")))
            .collect()
    }
}

#[test]
fn a_run_with_nothing_to_do_or_that_is_refused_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let claim = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: { name: data }\n\
        spec: { accessModes: [ReadWriteOnce], resources: { requests: { storage: 1Mi } } }\n";
    write(
        folder.path(),
        "space.yaml",
        &NAMESPACE.replace("typed", "still"),
    );
    write(folder.path(), "one.yaml", &map("one", "1"));
    write(folder.path(), "claim.yaml", claim);
    let user = Watched::new("still-user");
    let of_set = ["--set", "still", "-n", "still"];
    let run = |more: &[&str]| user.run(&[&[path], &of_set[..], more].concat());

    let made = run(&["--no-wait"]);
    assert_eq!(code(&made), 0, "{}", err(&made));
    assert!(
        out(&made).starts_with("3 done, 0 as wanted"),
        "{}",
        out(&made)
    );
    let writes = user.writes();
    let is_lease = |write: &String| write.contains("leases/mlops-set-still");
    assert!(writes.iter().any(is_lease), "{writes:?}");

    // Nothing to do, and nothing to do but to keep what is wanted no more and holds data.
    let again = run(&["--no-wait"]);
    assert_eq!(code(&again), 0, "{}", err(&again));
    assert!(
        out(&again).starts_with("0 done, 3 as wanted"),
        "{}",
        out(&again)
    );
    std::fs::remove_file(folder.path().join("claim.yaml")).unwrap();
    let kept = run(&[]);
    assert_eq!(code(&kept), 0, "{}", err(&kept));
    assert!(out(&kept).contains("data in still: kept"), "{}", out(&kept));
    assert!(err(&kept).contains("all is ready"), "{}", err(&kept));
    assert_eq!(user.writes(), writes);

    // An object of another set is in the way, or one is too large for the store.
    write(folder.path(), "other.yaml", &map("other", "1"));
    let other = folder.path().join("other.yaml");
    let foreign = on_cluster()
        .arg(&other)
        .args(["--set", "neighbour", "-n", "still"])
        .output()
        .unwrap();
    assert_eq!(code(&foreign), 0, "{}", err(&foreign));
    let refused = run(&[]);
    assert_eq!(code(&refused), 1, "{}", err(&refused));
    assert!(
        err(&refused).contains("conflict ConfigMap/other in still"),
        "{}",
        err(&refused)
    );
    write(
        folder.path(),
        "other.yaml",
        &map("large", &"x".repeat(1_500_000)),
    );
    let refused = run(&["--no-check"]);
    assert_eq!(code(&refused), 2, "{}", err(&refused));
    assert!(err(&refused).contains("bytes as JSON"), "{}", err(&refused));
    assert_eq!(user.writes(), writes);
}
