//! Ports that are chosen once and kept.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use mlops_core::{Digest, Endpoint, Endpoints, Error, ErrorKind, Result, Service, ServiceName};
use url::Url;

use crate::files;
use crate::inspect;

/// Below the ports that Linux and macOS give to outgoing connections, so that none of those takes one of ours.
const FIRST: u16 = 20_000;
/// How many ports there are to choose from.
const COUNT: u16 = 10_000;

/// The ports of a platform's services, kept in a file.
#[derive(Debug, Clone)]
pub struct PortBook {
    path: PathBuf,
}

impl PortBook {
    /// Keeps ports in the file `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The ports that are kept; none when nothing was chosen yet.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or understood.
    pub fn read(&self) -> Result<BTreeMap<ServiceName, u16>> {
        let Some(text) = files::read_if_there(&self.path)? else {
            return Ok(BTreeMap::new());
        };
        serde_json::from_str(&text).map_err(|error| {
            Error::new(
                ErrorKind::Failed,
                format!("understand `{}`", self.path.display()),
            )
            .with_source(error)
            .with_hint("remove the file to have ports chosen anew")
        })
    }

    /// Sees to it that every wanted service has a port: the given one, otherwise the kept one, otherwise a free one.
    /// Services that are not wanted keep theirs.
    ///
    /// # Errors
    ///
    /// When two services ask for the same port, or the file cannot be written.
    pub fn ensure(
        &self,
        wanted: &BTreeMap<ServiceName, Option<u16>>,
    ) -> Result<BTreeMap<ServiceName, u16>> {
        let kept = self.read()?;
        let others = self.ports_of_others();
        let ports = choose(&kept, wanted, &self.path, |port| {
            !others.contains(&port) && is_free(port)
        })?;
        if ports != kept {
            let text = serde_json::to_vec_pretty(&ports).map_err(|error| {
                Error::new(ErrorKind::Failed, "write the ports").with_source(error)
            })?;
            files::replace_private(&self.path, &text)?;
        }
        Ok(ports)
    }

    /// Ports that this user's other platforms keep, running or not.
    fn ports_of_others(&self) -> BTreeSet<u16> {
        let (Some(folder), Some(file)) = (self.path.parent(), self.path.file_name()) else {
            return BTreeSet::new();
        };
        let Some(platforms) = folder.parent() else {
            return BTreeSet::new();
        };
        files::names_in(platforms)
            .unwrap_or_default()
            .into_iter()
            .map(|name| platforms.join(name))
            .filter(|other| other != folder)
            .filter_map(|other| Self::new(other.join(file)).read().ok())
            .flat_map(BTreeMap::into_values)
            .collect()
    }
}

/// The choice itself. `seed` only decides where in the range a search starts, so that platforms do not meet.
fn choose(
    kept: &BTreeMap<ServiceName, u16>,
    wanted: &BTreeMap<ServiceName, Option<u16>>,
    seed: &Path,
    is_free: impl Fn(u16) -> bool,
) -> Result<BTreeMap<ServiceName, u16>> {
    let mut ports = BTreeMap::new();
    let mut taken: BTreeMap<u16, &ServiceName> = BTreeMap::new();
    let given = wanted
        .iter()
        .filter_map(|(name, port)| port.map(|port| (name, port)));
    for (name, port) in given {
        if let Some(other) = taken.insert(port, name) {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("give port {port} to service `{name}`"),
            )
            .with_source(format!("service `{other}` asks for it as well"))
            .with_hint("give each service a port of its own, or none to have one chosen"));
        }
        ports.insert(name.clone(), port);
    }
    for (name, port) in kept {
        let free_to_choose = wanted.get(name).is_none_or(Option::is_none);
        if free_to_choose && !taken.contains_key(port) {
            taken.insert(*port, name);
            ports.insert(name.clone(), *port);
        }
    }
    for name in wanted.keys() {
        if ports.contains_key(name) {
            continue;
        }
        let port = search(seed, name)
            .find(|port| !taken.contains_key(port) && is_free(*port))
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::Exhausted,
                    format!("find a free port for service `{name}`"),
                )
                .with_source(format!(
                    "none of {FIRST} to {} is free",
                    FIRST + (COUNT - 1)
                ))
            })?;
        taken.insert(port, name);
        ports.insert(name.clone(), port);
    }
    Ok(ports)
}

/// All ports of the range, from a place that depends on platform and service.
fn search(seed: &Path, name: &ServiceName) -> impl Iterator<Item = u16> {
    let digest = Digest::of_bytes(format!("{}:{name}", seed.display()).as_bytes());
    let start = digest
        .as_str()
        .get(..4)
        .and_then(|digits| u16::from_str_radix(digits, 16).ok())
        .unwrap_or_default()
        % COUNT;
    (0..COUNT).map(move |step| FIRST + (start + step) % COUNT)
}

/// Whether nobody listens at a port of the loopback address.
pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Refuses to start something at a port where a stranger listens: our own readiness check would take the stranger's
/// answer for that of our server.
pub(crate) fn check_free(name: &ServiceName, port: u16) -> Result<()> {
    let Err(error) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) else {
        return Ok(());
    };
    let cause = match (error.kind(), inspect::listener(port)) {
        (std::io::ErrorKind::AddrInUse, Some(who)) => format!("{who} listens there"),
        (std::io::ErrorKind::AddrInUse, None) => "another process listens there".to_owned(),
        _ => error.to_string(),
    };
    Err(Error::new(
        ErrorKind::Conflict,
        format!("listen at port {port} for service `{name}`"),
    )
    .with_source(cause)
    .with_hint(format!(
        "stop that process, or give the service another port by `ports: {{ {name}: PORT }}` in the platform file"
    )))
}

/// Where the services of a platform are: ours at their kept ports on 127.0.0.1, external ones at their addresses.
#[derive(Debug, Clone)]
pub struct LocalEndpoints {
    book: PortBook,
    services: BTreeMap<ServiceName, Service>,
}

impl LocalEndpoints {
    /// Finds `services` with the ports of `book`.
    pub fn new(book: PortBook, services: BTreeMap<ServiceName, Service>) -> Self {
        Self { book, services }
    }
}

/// The address of one of our own services.
pub(crate) fn loopback(scheme: &str, port: u16) -> Result<Endpoint> {
    let text = format!("{scheme}://127.0.0.1:{port}");
    let url: Url = text.parse().map_err(|error| {
        Error::new(
            ErrorKind::InvalidInput,
            format!("use `{text}` as an address"),
        )
        .with_source(Box::<dyn std::error::Error + Send + Sync>::from(error))
    })?;
    Endpoint::new(url)
}

#[async_trait]
impl Endpoints for LocalEndpoints {
    async fn get(&self, name: &ServiceName) -> Result<Endpoint> {
        let doing = || format!("find service `{name}`");
        let service = self.services.get(name).ok_or_else(|| {
            let known = self.services.keys().map(ServiceName::as_str);
            let near = mlops_core::nearest(name.as_str(), known);
            let error = Error::new(ErrorKind::NotFound, doing())
                .with_source("the platform has no such service");
            match near {
                Some(near) => error.with_hint(format!("did you mean `{near}`?")),
                None => error,
            }
        })?;
        if let Some(url) = &service.external {
            return Endpoint::new(url.clone());
        }
        match self.book.read()?.get(name) {
            Some(port) => loopback(&service.scheme, *port),
            None => Err(Error::new(ErrorKind::NotFound, doing())
                .with_source("it has no port yet")
                .with_hint("ports are chosen when the platform is set up: run `mlops up`")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(text: &str) -> ServiceName {
        text.parse().unwrap()
    }

    #[test]
    fn ports_are_kept_and_given_ones_honoured() {
        let folder = tempfile::tempdir().unwrap();
        let book = PortBook::new(folder.path().join("a/ports.json"));
        std::fs::create_dir(folder.path().join("a")).unwrap();
        std::fs::create_dir(folder.path().join("b")).unwrap();
        let wanted = BTreeMap::from([(name("s3"), Some(9000)), (name("mlflow"), None)]);
        let first = book.ensure(&wanted).unwrap();
        assert_eq!(first[&name("s3")], 9000);
        assert_eq!(book.ensure(&wanted).unwrap(), first);
        // A kept port gives way to a given one.
        let wanted = BTreeMap::from([
            (name("other"), Some(first[&name("mlflow")])),
            (name("mlflow"), None),
        ]);
        let second = book.ensure(&wanted).unwrap();
        assert_ne!(second[&name("mlflow")], first[&name("mlflow")]);
        assert_eq!(second[&name("s3")], 9000);
        let clash = BTreeMap::from([(name("a"), Some(1)), (name("b"), Some(1))]);
        let error = book.ensure(&clash).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        // Another platform of this user does not get them.
        let other = PortBook::new(folder.path().join("b/ports.json"));
        assert_eq!(other.ports_of_others(), second.values().copied().collect());
    }

    #[test]
    fn a_taken_port_names_its_holder() {
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = held.local_addr().unwrap().port();
        let error = check_free(&name("mlflow"), port).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.to_string().contains(&port.to_string()), "{error}");
        assert!(
            error.causes()[0].contains(&std::process::id().to_string()),
            "{:?}",
            error.causes()
        );
        drop(held);
        check_free(&name("mlflow"), port).unwrap();
    }

    proptest! {
        #[test]
        fn no_port_is_given_twice(
            kept in proptest::collection::btree_map("[a-f]{1,2}", 20_000_u16..20_020, 0..6),
            wanted in proptest::collection::btree_map("[a-f]{1,2}", proptest::option::of(20_000_u16..20_040), 0..12),
        ) {
            let kept: BTreeMap<ServiceName, u16> = kept.iter().map(|(k, v)| (name(k), *v)).collect();
            let wanted: BTreeMap<ServiceName, Option<u16>> = wanted.iter().map(|(k, v)| (name(k), *v)).collect();
            let given: Vec<u16> = wanted.values().copied().flatten().collect();
            let distinct: BTreeSet<u16> = given.iter().copied().collect();
            match choose(&kept, &wanted, Path::new("/x"), |port| port % 3 != 0) {
                Err(_) => prop_assert!(distinct.len() < given.len()),
                Ok(ports) => {
                    prop_assert!(wanted.keys().all(|service| ports.contains_key(service)));
                    let different: BTreeSet<u16> = ports.values().copied().collect();
                    prop_assert_eq!(different.len(), ports.len());
                    for (service, port) in &wanted {
                        if let Some(port) = port {
                            prop_assert_eq!(ports[service], *port);
                        }
                    }
                }
            }
        }
    }
}
