//! How the machine and a node reach one another.
#![expect(
    clippy::panic,
    reason = "a test without its server must fail, and say why"
)]

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use mlops_test_cache::Cache;

/// A way of the machine's network into a node.
#[derive(Debug)]
pub struct Way(Vec<String>);

impl Way {
    pub(super) fn open(address: &str, node: &str) -> Self {
        let way = Self(vec![
            format!("{address}/32"),
            "via".to_owned(),
            node.to_owned(),
        ]);
        ip(&way.words("add"));
        way
    }

    fn words<'w>(&'w self, verb: &'w str) -> Vec<&'w str> {
        let head = ["route", verb].into_iter();
        head.chain(self.0.iter().map(String::as_str)).collect()
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        // With the node its cable has gone, and the way with it.
        let _ = Command::new("ip").args(self.words("del")).output();
    }
}

/// Two ends of a cable between the machine and the node: 10.67.N.1 here, 10.67.N.2 there.
pub(super) struct Cable {
    number: u8,
    /// Whoever holds it has the number: the cable itself comes later.
    _claim: File,
}

impl Cable {
    /// A number that no other node of this machine has; numbers of ended ones are free again.
    pub(super) fn choose() -> Self {
        let is_free = |number: u8| !Path::new(&format!("/sys/class/net/mlops{number}")).exists();
        let claimed = |number: u8| is_free(number).then(|| claim(number)).flatten();
        (1..=200)
            .find_map(|number| {
                Some(Self {
                    number,
                    _claim: claimed(number)?,
                })
            })
            .unwrap_or_else(|| panic!("200 nodes run on this machine"))
    }

    pub(super) fn host(&self) -> String {
        format!("10.67.{}.1", self.number)
    }

    pub(super) fn name(&self) -> String {
        format!("mlops{}", self.number)
    }

    pub(super) fn inner(&self) -> String {
        format!("10.67.{}.2", self.number)
    }

    /// Connects the machine with the network of that process, once it has one of its own.
    pub(super) fn plug(&self, pid: u32) {
        let network = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/net")).ok();
        let deadline = Instant::now() + Duration::from_secs(10);
        while network(&pid.to_string()) == network("self") {
            assert!(
                Instant::now() < deadline,
                "the node got no network of its own: is this root?"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        let (name, pid) = (self.name(), pid.to_string());
        ip(&[
            "link", "add", &name, "type", "veth", "peer", "name", "eth0", "netns", &pid,
        ]);
        ip(&[
            "address",
            "add",
            &format!("{}/30", self.host()),
            "dev",
            &name,
        ]);
        ip(&["link", "set", &name, "up"]);
    }
}

/// A lock that ends with its process.
fn claim(number: u8) -> Option<File> {
    let path = Cache::of_user().ok()?.file(&format!("cable-{number}.lock"));
    fs::create_dir_all(path.parent()?).ok()?;
    let file = File::create(path).ok()?;
    file.try_lock().is_ok().then_some(file)
}

fn ip(args: &[&str]) {
    match Command::new("ip").args(args).output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => panic!(
            "ip {}: {}",
            args.join(" "),
            String::from_utf8_lossy(&output.stderr)
        ),
        Err(error) => panic!("cannot start ip (Debian: iproute2): {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_that_begin_at_once_have_cables_of_their_own() {
        let (one, other) = (Cable::choose(), Cable::choose());
        assert_ne!(one.name(), other.name());
    }
}
