//! A PostgreSQL server in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use mlops_core::hook::{Hook, NoHook};
use mlops_core::{DatabaseName, Endpoint, Error, ErrorKind, Result, RoleName, SecretText};

use crate::postgres::{
    Catalogue, Connect, DatabaseFacts, Inside, Login, PostgresAdmin, PostgresSession, RoleChange,
    RoleFacts,
};

/// A PostgreSQL server in memory, reached at every address. Clones are the same server.
#[derive(Clone)]
pub struct FakePostgres {
    state: Arc<Mutex<State>>,
    hook: Hook,
}

#[derive(Debug, Default)]
struct State {
    reachable: bool,
    roles: BTreeMap<String, Role>,
    databases: BTreeMap<String, Database>,
}

#[derive(Debug, Clone)]
struct Role {
    facts: RoleFacts,
    password: Option<SecretText>,
}

#[derive(Debug, Clone)]
struct Database {
    facts: DatabaseFacts,
    extensions: BTreeSet<String>,
    /// Each with the role that made it.
    tables: BTreeMap<String, String>,
    public_owner: String,
}

impl Database {
    fn new(owner: &str, encoding: &str) -> Self {
        Self {
            facts: DatabaseFacts {
                owner: owner.to_owned(),
                encoding: encoding.to_owned(),
                comment: None,
                public_connect: true,
            },
            extensions: BTreeSet::from(["plpgsql".to_owned()]),
            tables: BTreeMap::new(),
            public_owner: "pg_database_owner".to_owned(),
        }
    }
}

impl fmt::Debug for FakePostgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FakePostgres")
    }
}

fn refuse(kind: ErrorKind, doing: &str, why: impl Into<String>) -> Error {
    Error::new(kind, doing).with_source(why.into())
}

impl FakePostgres {
    /// A fresh server with this superuser and the database `postgres`, as this toolkit makes one: nobody else may connect
    /// to that database.
    pub fn new(superuser: &str, password: SecretText) -> Self {
        let role = Role {
            facts: RoleFacts {
                login: true,
                superuser: true,
                create_role: true,
                create_database: true,
                replication: true,
                bypass_rls: true,
                comment: None,
            },
            password: Some(password),
        };
        let mut maintenance = Database::new(superuser, "UTF8");
        maintenance.facts.public_connect = false;
        let state = State {
            reachable: true,
            roles: BTreeMap::from([(superuser.to_owned(), role)]),
            databases: BTreeMap::from([("postgres".to_owned(), maintenance)]),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            hook: Arc::new(NoHook),
        }
    }

    /// The same server, asking `hook` before and after every write.
    #[must_use]
    pub fn with_hook(mut self, hook: Hook) -> Self {
        self.hook = hook;
        self
    }

    /// Whether it answers; one that does not is unavailable.
    pub fn set_reachable(&self, reachable: bool) {
        self.lock().reachable = reachable;
    }

    /// Puts a role there as somebody else would.
    pub fn put_role(&self, name: &str, password: SecretText, comment: Option<&str>) {
        let role = Role {
            facts: RoleFacts {
                login: true,
                comment: comment.map(str::to_owned),
                ..RoleFacts::default()
            },
            password: Some(password),
        };
        self.lock().roles.insert(name.to_owned(), role);
    }

    /// Puts a database there as somebody else would.
    pub fn put_database(&self, name: &str, owner: &str, comment: Option<&str>) {
        let mut database = Database::new(owner, "UTF8");
        database.facts.comment = comment.map(str::to_owned);
        self.lock().databases.insert(name.to_owned(), database);
    }

    /// Changes what the catalogue says of a role, as somebody else would.
    ///
    /// # Errors
    ///
    /// When there is no such role.
    pub fn change_role(&self, name: &str, change: impl FnOnce(&mut RoleFacts)) -> Result<()> {
        match self.lock().roles.get_mut(name) {
            Some(role) => {
                change(&mut role.facts);
                Ok(())
            }
            None => Err(refuse(
                ErrorKind::NotFound,
                "change a role",
                format!("role \"{name}\" does not exist"),
            )),
        }
    }

    /// Lets only its owner and superusers into a database from now on.
    ///
    /// # Errors
    ///
    /// When there is no such database.
    pub fn close(&self, database: &str) -> Result<()> {
        self.database(database, "close a database", |found| {
            found.facts.public_connect = false;
        })
    }

    /// Puts a table into a database, as somebody else would.
    ///
    /// # Errors
    ///
    /// When there is no such database.
    pub fn put_table(&self, database: &str, table: &str) -> Result<()> {
        self.database(database, "create a table", |found| {
            found.tables.insert(table.to_owned(), "somebody".to_owned());
        })
    }

    /// Puts a table into a database, as its owner would.
    ///
    /// # Errors
    ///
    /// When there is no such database.
    pub fn put_own_table(&self, database: &str, table: &str) -> Result<()> {
        self.database(database, "create a table", |found| {
            let owner = found.facts.owner.clone();
            found.tables.insert(table.to_owned(), owner);
        })
    }

    /// Everything there is, without passwords, for comparison.
    pub fn snapshot(&self) -> String {
        let state = self.lock();
        let roles: Vec<_> = state
            .roles
            .iter()
            .map(|(name, role)| (name, &role.facts))
            .collect();
        format!("{roles:#?}\n{:#?}", state.databases)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn database<T>(
        &self,
        name: &str,
        doing: &str,
        change: impl FnOnce(&mut Database) -> T,
    ) -> Result<T> {
        let mut state = self.lock();
        let found = state.databases.get_mut(name);
        found.map(change).ok_or_else(|| {
            refuse(
                ErrorKind::NotFound,
                doing,
                format!("database \"{name}\" does not exist"),
            )
        })
    }

    /// What the server does when somebody signs in, in the order in which it does it.
    fn sign_in(&self, login: &Login) -> Result<RoleFacts> {
        let doing = format!(
            "sign in to database `{}` as `{}`",
            login.database, login.user
        );
        let state = self.lock();
        if !state.reachable {
            return Err(refuse(ErrorKind::Unavailable, &doing, "connection refused"));
        }
        let known = state.roles.get(&login.user).filter(|role| {
            let password = role.password.as_ref();
            password.is_some_and(|password| password.is_same(&login.password))
        });
        let Some(role) = known.filter(|role| role.facts.login) else {
            let why = format!("password authentication failed for user \"{}\"", login.user);
            return Err(refuse(ErrorKind::Unauthenticated, &doing, why));
        };
        let Some(database) = state.databases.get(&login.database) else {
            let why = format!("database \"{}\" does not exist", login.database);
            return Err(refuse(ErrorKind::NotFound, &doing, why));
        };
        let open = role.facts.superuser
            || database.facts.public_connect
            || database.facts.owner == login.user;
        if !open {
            let why = format!("permission denied for database \"{}\"", login.database);
            return Err(refuse(ErrorKind::PermissionDenied, &doing, why));
        }
        Ok(role.facts.clone())
    }

    async fn write(
        &self,
        what: &str,
        change: impl FnOnce(&Self) -> Result<()> + Send,
    ) -> Result<()> {
        self.hook.before(what).await?;
        if !self.lock().reachable {
            return Err(refuse(ErrorKind::Unavailable, what, "connection refused"));
        }
        change(self)?;
        self.hook.after(what).await
    }
}

#[async_trait]
impl Connect for FakePostgres {
    async fn admin(&self, _endpoint: &Endpoint, login: &Login) -> Result<Arc<dyn PostgresAdmin>> {
        self.sign_in(login)?;
        Ok(Arc::new(self.clone()))
    }

    async fn session(
        &self,
        _endpoint: &Endpoint,
        login: &Login,
    ) -> Result<Arc<dyn PostgresSession>> {
        let facts = self.sign_in(login)?;
        Ok(Arc::new(Session {
            server: self.clone(),
            login: login.clone(),
            facts,
        }))
    }
}

#[async_trait]
impl PostgresAdmin for FakePostgres {
    async fn catalogue(&self) -> Result<Catalogue> {
        let state = self.lock();
        if !state.reachable {
            return Err(refuse(
                ErrorKind::Unavailable,
                "read roles and databases",
                "connection refused",
            ));
        }
        Ok(Catalogue {
            version: 180_000,
            superuser: true,
            roles: state
                .roles
                .iter()
                .map(|(name, role)| (name.clone(), role.facts.clone()))
                .collect(),
            databases: state
                .databases
                .iter()
                .map(|(name, database)| (name.clone(), database.facts.clone()))
                .collect(),
        })
    }

    async fn inside(&self, database: &str) -> Result<Inside> {
        self.database(
            database,
            &format!("look into database `{database}`"),
            |found| {
                let count = |tables: usize| u64::try_from(tables).unwrap_or(u64::MAX);
                let tables = count(found.tables.len());
                let makers = found.tables.values();
                let foreign = makers.filter(|maker| **maker != found.facts.owner);
                Inside {
                    extensions: found.extensions.clone(),
                    tables,
                    foreign_objects: count(foreign.count()),
                    bytes: 7_000_000 + 8192 * tables,
                    public_owner: Some(found.public_owner.clone()),
                }
            },
        )
    }

    async fn create_role(
        &self,
        role: &RoleName,
        password: &SecretText,
        comment: &str,
    ) -> Result<()> {
        let doing = format!("create role `{role}`");
        self.write(&doing, |server| {
            if server.lock().roles.contains_key(role.as_str()) {
                let why = format!("role \"{role}\" already exists");
                return Err(refuse(ErrorKind::AlreadyExists, &doing, why));
            }
            server.put_role(role.as_str(), password.clone(), Some(comment));
            Ok(())
        })
        .await
    }

    async fn alter_role(&self, role: &RoleName, change: &RoleChange) -> Result<()> {
        let doing = format!("change role `{role}`");
        self.write(&doing, |server| {
            let mut state = server.lock();
            let Some(found) = state.roles.get_mut(role.as_str()) else {
                let why = format!("role \"{role}\" does not exist");
                return Err(refuse(ErrorKind::NotFound, &doing, why));
            };
            if let Some(password) = &change.password {
                found.password = Some(password.clone());
            }
            if change.plain_login.is_some() {
                found.facts = RoleFacts {
                    login: true,
                    comment: found.facts.comment.clone(),
                    ..RoleFacts::default()
                };
            }
            if let Some(comment) = &change.comment {
                found.facts.comment = Some(comment.clone());
            }
            Ok(())
        })
        .await
    }

    async fn create_database(
        &self,
        database: &DatabaseName,
        owner: &RoleName,
        encoding: &str,
    ) -> Result<()> {
        let doing = format!("create database `{database}`");
        self.write(&doing, |server| {
            let mut state = server.lock();
            if !state.roles.contains_key(owner.as_str()) {
                let why = format!("role \"{owner}\" does not exist");
                return Err(refuse(ErrorKind::NotFound, &doing, why));
            }
            if state.databases.contains_key(database.as_str()) {
                let why = format!("database \"{database}\" already exists");
                return Err(refuse(ErrorKind::AlreadyExists, &doing, why));
            }
            let made = Database::new(owner.as_str(), encoding);
            state.databases.insert(database.as_str().to_owned(), made);
            Ok(())
        })
        .await
    }

    async fn set_database_owner(&self, database: &DatabaseName, owner: &RoleName) -> Result<()> {
        let doing = format!("give database `{database}` to `{owner}`");
        self.write(&doing, |server| {
            server.database(database.as_str(), &doing, |found| {
                owner.as_str().clone_into(&mut found.facts.owner);
            })
        })
        .await
    }

    async fn furnish_database(
        &self,
        database: &DatabaseName,
        _owner: &RoleName,
        extensions: &[String],
    ) -> Result<()> {
        let doing = format!("furnish database `{database}`");
        self.write(&doing, |server| {
            server.database(database.as_str(), &doing, |found| {
                found.extensions.extend(extensions.iter().cloned());
            })
        })
        .await
    }

    async fn close_database(&self, database: &DatabaseName, comment: &str) -> Result<()> {
        let doing = format!("close and mark database `{database}`");
        self.write(&doing, |server| {
            server.database(database.as_str(), &doing, |found| {
                found.facts.public_connect = false;
                found.facts.comment = Some(comment.to_owned());
            })
        })
        .await
    }

    async fn drop_database(&self, database: &DatabaseName) -> Result<()> {
        self.write(&format!("drop database `{database}`"), |server| {
            server.lock().databases.remove(database.as_str());
            Ok(())
        })
        .await
    }

    async fn drop_role(&self, role: &RoleName) -> Result<()> {
        let doing = format!("drop role `{role}`");
        self.write(&doing, |server| {
            let mut state = server.lock();
            let owned = state
                .databases
                .iter()
                .find(|(_, database)| database.facts.owner == role.as_str());
            if let Some((name, _)) = owned {
                let why = format!("role \"{role}\" cannot be dropped: owner of database {name}");
                return Err(refuse(ErrorKind::Conflict, &doing, why));
            }
            state.roles.remove(role.as_str());
            Ok(())
        })
        .await
    }
}

struct Session {
    server: FakePostgres,
    login: Login,
    facts: RoleFacts,
}

impl Session {
    fn allowed(&self, allowed: bool, doing: &str) -> Result<()> {
        if allowed || self.facts.superuser {
            return Ok(());
        }
        Err(refuse(
            ErrorKind::PermissionDenied,
            doing,
            "permission denied",
        ))
    }
}

#[async_trait]
impl PostgresSession for Session {
    async fn try_table(&self, _table: &str) -> Result<()> {
        let doing = "create, fill, read and drop a table";
        let owner = self.server.database(&self.login.database, doing, |found| {
            found.facts.owner.clone()
        })?;
        self.allowed(owner == self.login.user, doing)
    }

    async fn try_create_role(&self, _role: &str) -> Result<()> {
        self.allowed(self.facts.create_role, "create a role")
    }

    async fn try_create_database(&self, _database: &str) -> Result<()> {
        self.allowed(self.facts.create_database, "create a database")
    }
}
