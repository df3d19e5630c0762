//! MLflow in memory.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt as _};
use mlops_core::hook::{Hook, NoHook};
use mlops_core::{Endpoint, Error, ErrorKind, Result, SecretText};

use crate::mlflow::{
    Alias, FileInfo, Grant, LogBatch, LoggedModel, ModelVersion, RegisteredModel, Role, Run,
    RunData, RunInfo, RunStatus, Tags, User,
};
use crate::registry::{ConnectRegistry, Registry};

/// MLflow in memory, with an administrator; every connection shares its state. Whoever is not an administrator may only
/// read.
#[derive(Clone)]
pub struct FakeMlflow {
    state: Arc<Mutex<State>>,
    hook: Hook,
}

impl fmt::Debug for FakeMlflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FakeMlflow")
    }
}

#[derive(Default)]
struct State {
    next: u64,
    users: BTreeMap<String, Account>,
    roles: BTreeMap<i64, Role>,
    registered: BTreeMap<String, RegisteredModel>,
    versions: BTreeMap<String, Vec<ModelVersion>>,
    logged: BTreeMap<String, LoggedModel>,
    artifacts: BTreeMap<String, Bytes>,
    runs: BTreeMap<String, Run>,
}

struct Account {
    password: SecretText,
    is_admin: bool,
    roles: Vec<i64>,
}

impl State {
    fn id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

impl FakeMlflow {
    /// An empty server with this administrator.
    pub fn new(admin: &str, password: SecretText) -> Self {
        Self::with_hook(admin, password, Arc::new(NoHook))
    }

    /// As [`Self::new`]; `hook` is asked before and after every write.
    pub fn with_hook(admin: &str, password: SecretText, hook: Hook) -> Self {
        let mut state = State::default();
        let account = Account {
            password,
            is_admin: true,
            roles: Vec::new(),
        };
        state.users.insert(admin.to_owned(), account);
        Self {
            state: Arc::new(Mutex::new(state)),
            hook,
        }
    }

    /// The same server with another hook, as another run of a simulation sees it.
    #[must_use]
    pub fn hooked(&self, hook: Hook) -> Self {
        Self {
            state: Arc::clone(&self.state),
            hook,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConnectRegistry for FakeMlflow {
    fn connect(
        &self,
        _endpoint: &Endpoint,
        user: &str,
        password: &SecretText,
    ) -> Result<Arc<dyn Registry>> {
        Ok(Arc::new(Connection {
            server: self.clone(),
            user: user.to_owned(),
            password: password.clone(),
        }))
    }
}

#[derive(Debug)]
struct Connection {
    server: FakeMlflow,
    user: String,
    password: SecretText,
}

fn refuse(kind: ErrorKind, doing: &str, cause: &str) -> Error {
    Error::new(kind, doing).with_source(cause.to_owned())
}

fn missing(what: &str, name: &str) -> Error {
    refuse(
        ErrorKind::NotFound,
        &format!("find {what} `{name}`"),
        "there is none of that name",
    )
}

fn present(what: &str, name: &str) -> Error {
    refuse(
        ErrorKind::AlreadyExists,
        &format!("create {what} `{name}`"),
        "there is one of that name",
    )
}

impl Connection {
    fn check(&self, state: &State, writes: bool) -> Result<()> {
        let account = state
            .users
            .get(&self.user)
            .filter(|account| account.password.is_same(&self.password));
        let Some(account) = account else {
            return Err(refuse(
                ErrorKind::Unauthenticated,
                "call MLflow",
                "user or password is wrong",
            ));
        };
        if writes && !account.is_admin {
            return Err(refuse(
                ErrorKind::PermissionDenied,
                "change MLflow",
                "the user may not",
            ));
        }
        Ok(())
    }

    fn read<T>(&self, look: impl FnOnce(&State) -> Result<T>) -> Result<T> {
        let state = self.server.lock();
        self.check(&state, false)?;
        look(&state)
    }

    async fn write<T: Send>(
        &self,
        what: &str,
        change: impl FnOnce(&mut State) -> Result<T> + Send,
    ) -> Result<T> {
        self.server.hook.before(what).await?;
        let done = {
            let mut state = self.server.lock();
            self.check(&state, true)?;
            change(&mut state)?
        };
        self.server.hook.after(what).await?;
        Ok(done)
    }

    fn admin<T>(&self, look: impl FnOnce(&State) -> Result<T>) -> Result<T> {
        let state = self.server.lock();
        self.check(&state, true)?;
        look(&state)
    }
}

fn has_tag(tags: &Tags, tag: &str, value: &str) -> bool {
    tags.get(tag).map(String::as_str) == Some(value)
}

fn with_aliases(state: &State, version: &ModelVersion) -> ModelVersion {
    let mut version = version.clone();
    if let Some(model) = state.registered.get(&version.name) {
        let named = model
            .aliases
            .iter()
            .filter(|a| a.version == version.version);
        version.aliases = named.map(|a| a.alias.clone()).collect();
    }
    version
}

#[async_trait]
impl Registry for Connection {
    async fn current_user(&self) -> Result<User> {
        self.read(|state| {
            Ok(User {
                username: self.user.clone(),
                is_admin: state.users.get(&self.user).is_some_and(|a| a.is_admin),
                roles: Vec::new(),
            })
        })
    }

    async fn list_users(&self) -> Result<Vec<User>> {
        self.admin(|state| {
            let users = state.users.iter().map(|(name, account)| User {
                username: name.clone(),
                is_admin: account.is_admin,
                roles: account
                    .roles
                    .iter()
                    .filter_map(|id| state.roles.get(id).cloned())
                    .collect(),
            });
            Ok(users.collect())
        })
    }

    async fn create_user(&self, user: &str, password: &SecretText) -> Result<()> {
        self.write("create user", |state| {
            if state.users.contains_key(user) {
                return Err(present("user", user));
            }
            if password.expose().len() < 12 {
                return Err(refuse(
                    ErrorKind::InvalidInput,
                    "create a user",
                    "the password is shorter than 12 characters",
                ));
            }
            let account = Account {
                password: password.clone(),
                is_admin: false,
                roles: Vec::new(),
            };
            state.users.insert(user.to_owned(), account);
            Ok(())
        })
        .await
    }

    async fn set_password(&self, user: &str, password: &SecretText) -> Result<()> {
        self.write("set password", |state| {
            let account = state.users.get_mut(user);
            account.ok_or_else(|| missing("user", user))?.password = password.clone();
            Ok(())
        })
        .await
    }

    async fn remove_user(&self, user: &str) -> Result<()> {
        self.write("remove user", |state| {
            state.users.remove(user);
            Ok(())
        })
        .await
    }

    async fn list_roles(&self) -> Result<Vec<Role>> {
        self.admin(|state| Ok(state.roles.values().cloned().collect()))
    }

    async fn create_role(&self, name: &str) -> Result<i64> {
        self.write("create role", |state| {
            if state.roles.values().any(|role| role.name == name) {
                return Err(present("role", name));
            }
            let id = i64::try_from(state.id()).unwrap_or(i64::MAX);
            let role = Role {
                id,
                name: name.to_owned(),
                grants: Vec::new(),
            };
            state.roles.insert(id, role);
            Ok(id)
        })
        .await
    }

    async fn add_grant(&self, role: i64, grant: &Grant) -> Result<()> {
        self.write("add grant", |state| {
            let found = state.roles.get_mut(&role);
            let found = found.ok_or_else(|| missing("role", &role.to_string()))?;
            if !found.grants.contains(grant) {
                found.grants.push(grant.clone());
            }
            Ok(())
        })
        .await
    }

    async fn assign_role(&self, user: &str, role: i64) -> Result<()> {
        self.write("assign role", |state| {
            if !state.roles.contains_key(&role) {
                return Err(missing("role", &role.to_string()));
            }
            let account = state.users.get_mut(user);
            let account = account.ok_or_else(|| missing("user", user))?;
            if !account.roles.contains(&role) {
                account.roles.push(role);
            }
            Ok(())
        })
        .await
    }

    async fn remove_role(&self, role: i64) -> Result<()> {
        self.write("remove role", |state| {
            state.roles.remove(&role);
            for account in state.users.values_mut() {
                account.roles.retain(|id| *id != role);
            }
            Ok(())
        })
        .await
    }

    async fn find_registered_model(&self, name: &str) -> Result<Option<RegisteredModel>> {
        self.read(|state| Ok(state.registered.get(name).cloned()))
    }

    async fn create_registered_model(&self, name: &str, tags: &Tags) -> Result<()> {
        self.write("create registered model", |state| {
            if state.registered.contains_key(name) {
                return Err(present("registered model", name));
            }
            let model = RegisteredModel {
                name: name.to_owned(),
                tags: tags.clone(),
                aliases: Vec::new(),
            };
            state.registered.insert(name.to_owned(), model);
            Ok(())
        })
        .await
    }

    async fn remove_registered_model(&self, name: &str) -> Result<()> {
        self.write("remove registered model", |state| {
            state.registered.remove(name);
            state.versions.remove(name);
            Ok(())
        })
        .await
    }

    async fn remove_registered_model_tag(&self, name: &str, key: &str) -> Result<()> {
        self.write("remove tag", |state| {
            if let Some(model) = state.registered.get_mut(name) {
                model.tags.remove(key);
            }
            Ok(())
        })
        .await
    }

    async fn list_model_versions(&self, name: &str) -> Result<Vec<ModelVersion>> {
        self.read(|state| Ok(state.versions.get(name).cloned().unwrap_or_default()))
    }

    async fn find_model_version(&self, name: &str, version: &str) -> Result<Option<ModelVersion>> {
        self.read(|state| {
            let versions = state.versions.get(name).into_iter().flatten();
            let mut versions = versions.filter(|known| known.version == version);
            Ok(versions.next().map(|version| with_aliases(state, version)))
        })
    }

    async fn find_by_alias(&self, name: &str, alias: &str) -> Result<Option<ModelVersion>> {
        let version = self.read(|state| {
            let model = state.registered.get(name);
            Ok(model.and_then(|model| model.alias(alias).map(str::to_owned)))
        })?;
        match version {
            Some(version) => self.find_model_version(name, &version).await,
            None => Ok(None),
        }
    }

    async fn create_model_version(
        &self,
        name: &str,
        model_id: &str,
        tags: &Tags,
    ) -> Result<ModelVersion> {
        self.write("create model version", |state| {
            if !state.registered.contains_key(name) {
                return Err(missing("registered model", name));
            }
            let time = i64::try_from(state.id()).unwrap_or(i64::MAX);
            let versions = state.versions.entry(name.to_owned()).or_default();
            let version = ModelVersion {
                name: name.to_owned(),
                version: (versions.len() + 1).to_string(),
                creation_timestamp: time,
                source: format!("models:/{model_id}"),
                run_id: String::new(),
                status: "READY".to_owned(),
                tags: tags.clone(),
                aliases: Vec::new(),
            };
            versions.push(version.clone());
            Ok(version)
        })
        .await
    }

    async fn set_alias(&self, name: &str, alias: &str, version: &str) -> Result<()> {
        self.write("set alias", |state| {
            let versions = state.versions.get(name).into_iter().flatten();
            if !versions.into_iter().any(|known| known.version == version) {
                return Err(missing("version", version));
            }
            let model = state.registered.get_mut(name);
            let model = model.ok_or_else(|| missing("registered model", name))?;
            model.aliases.retain(|known| known.alias != alias);
            model.aliases.push(Alias {
                alias: alias.to_owned(),
                version: version.to_owned(),
            });
            Ok(())
        })
        .await
    }

    async fn download_uri(&self, name: &str, version: &str) -> Result<String> {
        self.read(|state| {
            let versions = state.versions.get(name).into_iter().flatten();
            let found = versions.into_iter().find(|known| known.version == version);
            let source = &found.ok_or_else(|| missing("version", version))?.source;
            let logged = source.strip_prefix("models:/");
            let logged = logged.and_then(|id| state.logged.get(id));
            Ok(logged
                .ok_or_else(|| missing("logged model", source))?
                .artifact_uri
                .clone())
        })
    }

    async fn find_logged_models(&self, tag: &str, value: &str) -> Result<Vec<LoggedModel>> {
        self.read(|state| {
            let found = state
                .logged
                .values()
                .filter(|m| has_tag(&m.tags, tag, value));
            Ok(found.cloned().collect())
        })
    }

    async fn get_logged_model(&self, model_id: &str) -> Result<LoggedModel> {
        self.read(|state| {
            let found = state.logged.get(model_id).cloned();
            found.ok_or_else(|| missing("logged model", model_id))
        })
    }

    async fn create_logged_model(&self, name: &str, tags: &Tags) -> Result<LoggedModel> {
        self.write("create logged model", |state| {
            let id = format!("m-{:032x}", state.id());
            let model = LoggedModel {
                artifact_uri: format!("mlflow-artifacts:/0/models/{id}/artifacts"),
                model_id: id.clone(),
                experiment_id: "0".to_owned(),
                name: name.to_owned(),
                status: "LOGGED_MODEL_PENDING".to_owned(),
                tags: tags.clone(),
            };
            state.logged.insert(id, model.clone());
            Ok(model)
        })
        .await
    }

    async fn finalize_logged_model(&self, model_id: &str) -> Result<()> {
        self.write("complete logged model", |state| {
            let found = state.logged.get_mut(model_id);
            let found = found.ok_or_else(|| missing("logged model", model_id))?;
            "LOGGED_MODEL_READY".clone_into(&mut found.status);
            Ok(())
        })
        .await
    }

    async fn remove_logged_model(&self, model_id: &str) -> Result<()> {
        self.write("remove logged model", |state| {
            state.logged.remove(model_id);
            Ok(())
        })
        .await
    }

    async fn put_artifact(&self, path: &str, content: Bytes) -> Result<()> {
        self.write("put artifact", |state| {
            state.artifacts.insert(path.to_owned(), content);
            Ok(())
        })
        .await
    }

    async fn list_artifacts(&self, path: &str) -> Result<Vec<FileInfo>> {
        self.read(|state| {
            let mut found = BTreeMap::new();
            for (known, content) in &state.artifacts {
                let below = known.strip_prefix(path).and_then(|b| b.strip_prefix('/'));
                let Some(below) = below else { continue };
                let (name, size) = match below.split_once('/') {
                    Some((folder, _)) => (folder, None),
                    None => (below, u64::try_from(content.len()).ok()),
                };
                let info = FileInfo {
                    path: name.to_owned(),
                    is_dir: size.is_none(),
                    file_size: size,
                };
                found.insert(name.to_owned(), info);
            }
            Ok(found.into_values().collect())
        })
    }

    async fn get_artifact_stream(&self, path: &str) -> Result<BoxStream<'static, Result<Bytes>>> {
        let content = self.read(|state| {
            let found = state.artifacts.get(path).cloned();
            found.ok_or_else(|| missing("artifact", path))
        })?;
        Ok(futures::stream::iter([Ok(content)]).boxed())
    }

    async fn create_run(&self, name: &str, tags: &Tags) -> Result<Run> {
        self.write("create run", |state| {
            let id = format!("{:032x}", state.id());
            let run = Run {
                info: RunInfo {
                    run_id: id.clone(),
                    run_name: name.to_owned(),
                    experiment_id: "0".to_owned(),
                    status: RunStatus::Running,
                    start_time: Some(0),
                    end_time: None,
                    artifact_uri: format!("mlflow-artifacts:/0/{id}/artifacts"),
                    lifecycle_stage: "active".to_owned(),
                },
                data: RunData {
                    tags: tags.clone(),
                    ..RunData::default()
                },
            };
            state.runs.insert(id, run.clone());
            Ok(run)
        })
        .await
    }

    async fn find_runs(&self, tag: &str, value: &str) -> Result<Vec<Run>> {
        self.read(|state| {
            let runs = state.runs.values();
            let found = runs.filter(|run| has_tag(&run.data.tags, tag, value));
            Ok(found.cloned().collect())
        })
    }

    async fn get_run(&self, run_id: &str) -> Result<Run> {
        self.read(|state| {
            let found = state.runs.get(run_id).cloned();
            found.ok_or_else(|| missing("run", run_id))
        })
    }

    async fn log_batch(&self, run_id: &str, batch: &LogBatch) -> Result<()> {
        self.write("log", |state| {
            let run = state.runs.get_mut(run_id);
            let run = run.ok_or_else(|| missing("run", run_id))?;
            run.data.metrics.extend(batch.metrics.iter().cloned());
            for tag in &batch.params {
                run.data.params.insert(tag.key.clone(), tag.value.clone());
            }
            for tag in &batch.tags {
                run.data.tags.insert(tag.key.clone(), tag.value.clone());
            }
            Ok(())
        })
        .await
    }

    async fn remove_run(&self, run_id: &str) -> Result<()> {
        self.write("remove run", |state| {
            state.runs.remove(run_id);
            Ok(())
        })
        .await
    }
}
