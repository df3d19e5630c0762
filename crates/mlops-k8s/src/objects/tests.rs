use super::*;

#[test]
fn lists_are_taken_apart_and_empty_documents_skipped() {
    let text = "---\n# nothing\n---\napiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: ConfigMap\n  \
                metadata: {name: a}\n- apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: b}\n---\n---\n\
                apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: c, namespace: n}\n";
    let set = ObjectSet::from_yaml("x.yaml", text).unwrap();
    let seen: Vec<String> = set
        .iter()
        .map(|object| format!("{} {}", object.id(), object.place().unwrap()))
        .collect();
    assert_eq!(
        seen,
        [
            "ConfigMap/a x.yaml:7:3",
            "ConfigMap/b x.yaml:10:3",
            "Deployment.apps/c in n x.yaml:15:1"
        ]
    );
}

#[test]
fn a_key_or_an_identity_twice_is_an_error_with_places() {
    let error = ObjectSet::from_yaml("a.yaml", "apiVersion: v1\nkind: A\nkind: B\n").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(
        error.causes()[0].starts_with("a.yaml:3:1"),
        "{:?}",
        error.causes()
    );

    let one = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";
    let error = ObjectSet::from_files([("a.yaml", one), ("b.yaml", one)]).unwrap_err();
    assert_eq!(
        error.causes(),
        ["it is at a.yaml:1:1 and again at b.yaml:1:1"]
    );
}

#[test]
fn what_is_no_object_is_refused() {
    for (text, wanted) in [
        ("[1]", "map"),
        ("kind: A", "`apiVersion` is missing"),
        ("apiVersion: v1\nkind: A", "`metadata.name` is missing"),
        (
            "apiVersion: v1\nkind: A\nmetadata: {generateName: x}",
            "another object each time",
        ),
        (
            "apiVersion: v1\nkind: A\nmetadata: {name: \"a\\e[2J\"}",
            "control characters",
        ),
        ("apiVersion: v1\nkind: A\nmetadata: {name: ../x}", "slashes"),
        (
            "apiVersion: v1\nkind: A\nmetadata: {name: 5}",
            "must be a text",
        ),
    ] {
        let error = ObjectSet::from_yaml("x.yaml", text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(
            error.causes().concat().contains(wanted),
            "{text}: {:?}",
            error.causes()
        );
    }
}

#[test]
fn a_folder_is_read_in_order_and_deep() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("b")).unwrap();
    for (file, name) in [
        ("z.yml", "z"),
        ("a.yaml", "a"),
        ("b/c.json", "c"),
        (".hidden.yaml", "h"),
        ("r.txt", "r"),
    ] {
        let text = format!(
            r#"{{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {{"name": "{name}"}}}}"#
        );
        std::fs::write(folder.path().join(file), text).unwrap();
    }
    let set = ObjectSet::read_folder(folder.path()).unwrap();
    let names: Vec<&str> = set.iter().map(|object| object.id().name.as_str()).collect();
    assert_eq!(names, ["a", "c", "z"]);
    let error = ObjectSet::read_folder(&folder.path().join("no")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn debug_shows_no_content() {
    let set = ObjectSet::from_yaml(
        "x",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {p: hunter2}",
    )
    .unwrap();
    assert!(!format!("{set:?}").contains("hunter2"));
}
