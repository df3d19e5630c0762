//! What every verb is handed: the printer, the surroundings, and the way to the platform.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mlops::session::{Network, Session, SessionOptions, handed_name};
use mlops_catalog::Catalog;
use mlops_core::platform::Target;
use mlops_core::{Error, ErrorKind, Result, SecretSource};
use mlops_k8s::target::Access;
use mlops_local::{Roots, default_roots};

use crate::args::Global;
use crate::catalog;
use crate::file::{self, Described, Origin};
use crate::printer::{Input, Printer};
use crate::shell::quote_if_needed;
use crate::tool::{find_kubeconfig, read_access};

/// What every verb is handed.
pub(crate) struct Cx {
    pub(crate) printer: Arc<Printer>,
    pub(crate) input: Arc<Input>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) program: PathBuf,
    pub(crate) global: Global,
    /// Whether it matters enough that there is no platform file to say so unasked.
    pub(crate) tells_profile: bool,
    /// The platform file, as it was named.
    pub(crate) file: Option<PathBuf>,
}

impl Cx {
    /// The platform, and where it was described. Says so when that is nowhere.
    fn describe(&self, catalog: &Catalog) -> Result<Described> {
        let described = file::read_platform(
            self.file.as_deref(),
            Path::new(""),
            self.global.name.as_ref(),
            catalog,
        )?;
        if described.origin == Origin::Profile {
            let notice = format!(
                "There is no `{}` here: this is the profile `{}`. `mlops init` writes it as a file.",
                file::PLATFORM_FILE,
                file::DEFAULT_PROFILE
            );
            if self.tells_profile {
                self.printer.say(&notice);
            } else {
                self.printer.tell(&notice);
            }
        }
        Ok(described)
    }

    /// The described platform, resolved. Asks nobody.
    pub(crate) fn session(&self, network: Network) -> Result<Session> {
        self.session_from(network, None)
    }

    /// The same in a pod that checks the platform from inside; secrets that it was handed are in that folder.
    pub(crate) fn session_inside(&self, handed: &Path) -> Result<Session> {
        self.session_from(Network::Avoid, Some(handed))
    }

    fn session_from(&self, network: Network, handed: Option<&Path>) -> Result<Session> {
        let mut catalog = Catalog::embedded();
        for folder in &self.global.catalog {
            catalog = catalog.with_folder(catalog::read_folder(folder)?)?;
        }
        let described = self.describe(&catalog)?;
        let (env, folder) = (self.env.clone(), file::folder_of(&described.origin));
        let cluster = match handed {
            Some(_) => Some(Access::Within),
            None => self.cluster(&described)?,
        };
        let handed = handed.map(Path::to_owned);
        let options = SessionOptions {
            roots: self.roots()?,
            env: self.env.clone(),
            supervisor: vec![self.program.clone().into(), "__supervise".into()],
            secret_reader: Arc::new(move |source: &SecretSource| match &handed {
                Some(handed) => {
                    let file = SecretSource::File(handed.join(handed_name(source)));
                    file::read_secret(&file, &env, &folder)
                }
                None => file::read_secret(source, &env, &folder),
            }),
            network,
            cluster,
        };
        Session::open(&described.platform, &catalog, options)
    }

    /// How the cluster of a platform is reached, if it is in one. Nobody is asked yet, so that plans can be made
    /// without any.
    fn cluster(&self, described: &Described) -> Result<Option<Access>> {
        if described.platform.target != Target::Cluster {
            return Ok(None);
        }
        let said = &described.platform.cluster;
        // What the file names lies beside it.
        let folder = file::folder_of(&described.origin);
        let beside = said.kubeconfig.as_ref().map(|path| folder.join(path));
        let named = self.global.kubeconfig.as_deref();
        let file = find_kubeconfig(named.or(beside.as_deref()), &self.env);
        let context = self.global.context.as_deref();
        let context = context.or(said.context.as_deref());
        file.map_or(Ok(Some(Access::InCluster)), |file| {
            let access = read_access(&self.printer, &file, context)?;
            Ok(Some(Access::Kubeconfig(Box::new(access))))
        })
    }

    /// The command with the options that lead to the same platform again, for what the user may type next.
    pub(crate) fn command(&self) -> String {
        let path = |path: &Path| quote_if_needed(&path.display().to_string());
        let mut command = "mlops".to_owned();
        let mut add = |option: &str, value: String| {
            command.push(' ');
            command.push_str(option);
            command.push(' ');
            command.push_str(&value);
        };
        if let Some(file) = &self.file {
            add("-f", path(file));
        }
        if let Some(name) = &self.global.name {
            add("--name", name.to_string());
        }
        if let Some(file) = &self.global.kubeconfig {
            add("--kubeconfig", path(file));
        }
        if let Some(context) = &self.global.context {
            add("--context", context.clone());
        }
        if let Some(folder) = &self.global.data_dir {
            add("--data-dir", path(folder));
        }
        if let Some(folder) = &self.global.cache_dir {
            add("--cache-dir", path(folder));
        }
        for folder in &self.global.catalog {
            add("--catalog", path(folder));
        }
        command
    }

    /// The folders that everything is in: those of the user, or the ones that were given.
    fn roots(&self) -> Result<Roots> {
        let absolute = |path: &Path| {
            std::path::absolute(path).map_err(|error| {
                Error::new(
                    ErrorKind::InvalidInput,
                    format!("use folder `{}`", path.display()),
                )
                .with_source(error)
            })
        };
        let mut env = self.env.clone();
        // A user without a home can still say where everything goes.
        for (given, variable) in [
            (&self.global.data_dir, "XDG_DATA_HOME"),
            (&self.global.cache_dir, "XDG_CACHE_HOME"),
        ] {
            if given.is_some() {
                env.insert(variable.to_owned(), "/".to_owned());
            }
        }
        let mut roots = default_roots(&env, rustix::process::geteuid().as_raw())?;
        if let Some(folder) = &self.global.data_dir {
            roots.data = absolute(folder)?;
        }
        if let Some(folder) = &self.global.cache_dir {
            roots.cache = absolute(folder)?;
        }
        Ok(roots)
    }
}
