//! What is told of objects that do not get ready.

use std::time::{Duration, Instant};

use super::{NAMESPACE, code, err, on_cluster, write};

/// A pod that nobody starts, and the word of a scheduler that it does not fit.
const NO_ROOM: &str = "
{apiVersion: v1, kind: ServiceAccount, metadata: {name: default}}
---
{apiVersion: v1, kind: Pod, metadata: {name: web},
  spec: {serviceAccountName: default, containers: [{name: web, image: 'localhost/web:1'}]}}
---
{apiVersion: v1, kind: Event, metadata: {name: web.1, namespace: unready}, type: Warning, reason: FailedScheduling,
  involvedObject: {apiVersion: v1, kind: Pod, namespace: unready, name: web},
  message: '0/1 nodes are available: 1 Insufficient cpu.'}
";

#[test]
fn what_does_not_get_ready_is_told_and_explained() {
    let folder = tempfile::tempdir().unwrap();
    let space = NAMESPACE.replace("typed", "unready");
    write(folder.path(), "namespace.yaml", &space);
    write(folder.path(), "pod.yaml", NO_ROOM);
    let run = |within: &str| {
        let mut command = on_cluster();
        command.arg(folder.path()).args(["-n", "unready"]);
        let started = Instant::now();
        let output = command.args(["--within", within]).output().unwrap();
        (output, started.elapsed())
    };

    // There may be room in a while: it is told at once, waited for, and explained when time is up.
    let (late, took) = run("4");
    let said = err(&late);
    assert_eq!(code(&late), 4, "{said}");
    assert!(took >= Duration::from_secs(4), "{took:?}: {said}");
    let (waiting, ended) = said.split_once("error: ").unwrap();
    let cause = |line: &&str| {
        line.starts_with("Pod unready/web: ") && line.ends_with("(unschedulable-cpu)")
    };
    assert_eq!(waiting.lines().filter(cause).count(), 1, "{said}");
    assert!(ended.contains("within 4 s"), "{said}");
    assert!(
        ended.contains("\nunschedulable-cpu: Pod unready/web: "),
        "{said}"
    );
    assert!(ended.contains("\n  remedy: "), "{said}");
    // What is ready needs no explanation.
    assert!(!ended.contains("ServiceAccount"), "{said}");

    // No waiting makes a storage class.
    let claim = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: { name: data }\nspec:\n  \
        { accessModes: [ReadWriteOnce], storageClassName: nowhere, resources: { requests: { storage: 1Mi } } }\n";
    write(folder.path(), "pod.yaml", claim);
    let (hopeless, took) = run("300");
    let said = err(&hopeless);
    assert_eq!(code(&hopeless), 4, "{said}");
    assert!(took < Duration::from_mins(1), "{took:?}: {said}");
    let error =
        "error: failed to see PersistentVolumeClaim unready/data become ready\n  caused by: ";
    assert!(said.contains(error), "{said}");
    assert!(said.contains("(storage-class-missing)\n\nhint: "), "{said}");
    assert!(
        said.contains("\nstorage-class-missing: PersistentVolumeClaim unready/data: "),
        "{said}"
    );
}
