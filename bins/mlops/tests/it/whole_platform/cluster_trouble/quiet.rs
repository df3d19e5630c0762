//! Who finds nothing to do writes nothing.

use serde_json::Value;

use super::{LIGHT, Site, calm, node};

/// A request: verb, resource, name.
type Asked = (String, String, String);

/// What a user asked of the API server about a platform since that much of the log was written.
fn requests_since(known: usize, user: &str, namespace: &str) -> Vec<Asked> {
    let log = node().audit_log();
    let mut requests = Vec::new();
    for line in log[known..].lines() {
        let entry: Value = serde_json::from_str(line).unwrap();
        let text = |path: &str| {
            let found = entry.pointer(path).and_then(Value::as_str);
            found.unwrap_or_default()
        };
        let place = text("/objectRef/namespace");
        let is_about = place.is_empty() || place == namespace;
        let is_by = text("/user/username") == user;
        if !is_about || !is_by || text("/stage") != "ResponseComplete" {
            continue;
        }
        let resource = match (text("/objectRef/resource"), text("/objectRef/subresource")) {
            ("", _) => text("/requestURI").to_owned(),
            (resource, "") => resource.to_owned(),
            (resource, sub) => format!("{resource}/{sub}"),
        };
        let name = text("/objectRef/name").to_owned();
        requests.push((text("/verb").to_owned(), resource, name));
    }
    requests
}

/// The platform is up, and this user brings it up once more.
#[track_caller]
pub(super) fn assert_second_up_sends_no_write(site: &Site, user: &str) {
    let known = node().audit_log().len();
    let again = site.run(&["up"]).expect(0);
    let out = &again.out;
    assert!(out.contains("there was nothing to do"), "{out}");
    let requests = requests_since(known, user, &site.name);
    assert!(requests.len() > 10, "{requests:?}");
    // The Lease of the run included. A port that leads to a pod is a connection and no write.
    let is_read = |(verb, resource, _): &&Asked| {
        matches!(verb.as_str(), "get" | "list" | "watch") || resource == "pods/portforward"
    };
    let writes: Vec<_> = requests.iter().filter(|one| !is_read(one)).collect();
    assert!(writes.is_empty(), "{writes:?}");
    println!(
        "{}: a second up sent {} requests",
        site.name,
        requests.len()
    );
}

#[test]
fn what_is_not_there_is_not_made_to_be_taken_away() {
    let _calm = calm();
    let site = Site::of_admin("nowhere", LIGHT);
    site.run(&["remove", "--yes"]).expect(0);
    site.run(&["down"]).expect(0);
    site.assert_gone();
}
