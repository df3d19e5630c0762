//! Where objects may go.

use super::writes::Watched;
use super::{code, err, map, out, write};

#[test]
fn an_object_of_another_namespace_than_the_one_that_is_said_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let strange = map("strange", "1").replace("{ name", "{ namespace: kube-system, name");
    let text = format!("{}---\n{strange}", map("one", "1"));
    write(folder.path(), "maps.yaml", &text);
    let user = Watched::new("confined-user");
    let path = folder.path().to_str().unwrap();
    for more in [&["--set", "confined"][..], &["--no-check"], &["--plan"]] {
        let refused = user.run(&[&[path, "-n", "default"], more].concat());
        let said = err(&refused);
        assert_eq!(code(&refused), 2, "{said}");
        let place = "maps.yaml:6:1: ConfigMap/strange in kube-system";
        assert!(said.contains(place), "{said}");
        assert!(said.contains("than `default`"), "{said}");
        assert!(said.contains("hint: without `-n`"), "{said}");
    }
    assert_eq!(user.writes(), Vec::<String>::new());
    // Each goes where it says when nothing else is said; that of the cluster has no namespace.
    let planned = user.run(&[path, "--plan"]);
    assert_eq!(code(&planned), 0, "{}", err(&planned));
    for line in [
        "create ConfigMap/one in default",
        "create ConfigMap/strange in kube-system",
    ] {
        assert!(out(&planned).contains(line), "{}", out(&planned));
    }
}
