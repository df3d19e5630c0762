//! A namespace of a test on a node that it shares with others.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::TestNode;

/// The label of the namespaces of tests; its value says of which test.
pub const TEST_LABEL: &str = "mlops.dev/test";

/// A namespace that no other test has, whose pods can start.
///
/// When it is dropped it is removed with all that is in it, which is not waited for. When the test has failed by then,
/// the state of the node is shown before.
#[derive(Debug)]
pub struct OwnNamespace<'n> {
    node: &'n TestNode,
    name: String,
}

impl TestNode {
    /// Makes a namespace for a test; its name begins with this word.
    ///
    /// # Panics
    ///
    /// When the API server refuses it, or nobody makes the account of its pods.
    pub fn own_namespace(&self, test: &str) -> OwnNamespace<'_> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let digits = now.unwrap_or_default().as_nanos() & 0xff_ffff_ffff;
        let own = OwnNamespace {
            node: self,
            name: format!("{test}-{digits:x}"),
        };
        let (name, path) = (own.name(), own.path());
        let object = format!(
            "apiVersion: v1\nkind: Namespace\nmetadata: {{ name: {name}, labels: {{ {TEST_LABEL}: {test} }} }}\n"
        );
        self.apply(&path, &object);
        // Without it pods are refused.
        let account = format!("{path}/serviceaccounts/default");
        let deadline = Instant::now() + Duration::from_secs(30);
        while !self.get(&account).contains(r#""uid""#) {
            assert!(Instant::now() < deadline, "{name} has no account for pods");
            std::thread::sleep(Duration::from_millis(50));
        }
        own
    }
}

impl OwnNamespace<'_> {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn path(&self) -> String {
        format!("/api/v1/namespaces/{}", self.name)
    }
}

impl Drop for OwnNamespace<'_> {
    #[expect(
        clippy::print_stderr,
        reason = "a test that fails shows what it saw; one that fails already must not panic again"
    )]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.node.state());
        }
        let url = format!("{}{}", self.node.url(), self.path());
        let mut curl = self.node.curl();
        curl.args(["--fail-with-body", "--request", "DELETE", &url]);
        if !curl.output().is_ok_and(|output| output.status.success()) {
            eprintln!("the namespace {} stays", self.name);
        }
    }
}
