//! Who finds nothing to do writes nothing.

use std::time::Instant;

use serde_json::Value;

use super::{Site, WHOLE, calm, node};

/// What the tool asked of the API server since that much of the log was written: verb and resource.
fn requests_since(known: usize, site: &Site) -> Vec<(String, String, String)> {
    let log = node().audit_log();
    let mut requests = Vec::new();
    for line in log[known..].lines() {
        let entry: Value = serde_json::from_str(line).unwrap();
        let text = |path: &str| {
            entry
                .pointer(path)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        // The testkit itself asks as the same user.
        if text("/user/username") != "admin" || text("/userAgent") == "testkit" {
            continue;
        }
        let namespace = text("/objectRef/namespace");
        let is_of_others = !namespace.is_empty() && namespace != site.name;
        if is_of_others || text("/stage") != "ResponseComplete" {
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

#[test]
fn a_second_up_sends_no_write() {
    let _calm = calm();
    let site = Site::of_admin("quiet", WHOLE);
    let begun = Instant::now();
    // What is not there is not made to be taken away or stopped.
    site.run(&["remove", "--yes"]).expect(0);
    site.run(&["down"]).expect(0);
    site.assert_gone();

    site.run(&["up"]).expect(0);
    let known = node().audit_log().len();
    let again = site.run(&["up"]).expect(0);
    let requests = requests_since(known, &site);
    assert!(
        again.out.contains("there was nothing to do"),
        "{}",
        again.out
    );
    assert!(requests.len() > 10, "{requests:?}");
    // The Lease of the run included. A port that leads to a pod is a connection and no write.
    let is_read = |(verb, resource, _): &&(String, String, String)| {
        matches!(verb.as_str(), "get" | "list" | "watch") || resource == "pods/portforward"
    };
    let writes: Vec<_> = requests.iter().filter(|one| !is_read(one)).collect();
    assert!(writes.is_empty(), "{writes:?}");
    println!("quiet: a second up sent {} requests", requests.len());
    site.assert_whole();
    site.remove();
    site.seconds(begun);
}
