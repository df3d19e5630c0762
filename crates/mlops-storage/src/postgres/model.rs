//! What can be asked of a PostgreSQL server, and the answers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use mlops_core::{DatabaseName, Endpoint, Result, RoleName, SecretText};
use serde::Deserialize;

use crate::outcome::{bytes, count};

/// Who signs in, and to which database.
#[derive(Debug, Clone)]
pub struct Login {
    /// The role.
    pub user: String,
    /// Its password.
    pub password: SecretText,
    /// The database.
    pub database: String,
}

impl Login {
    /// The login of `user` to `database`.
    pub fn new(user: impl Into<String>, password: SecretText, database: impl Into<String>) -> Self {
        Self {
            user: user.into(),
            password,
            database: database.into(),
        }
    }
}

/// A role as the server's catalogue tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the catalogue has these columns"
)]
pub struct RoleFacts {
    /// Its comment, where our mark is.
    pub comment: Option<String>,
    /// Whether it may sign in.
    pub login: bool,
    /// Whether every check is skipped for it.
    pub superuser: bool,
    /// Whether it may make roles.
    pub create_role: bool,
    /// Whether it may make databases.
    pub create_database: bool,
    /// Whether it may stream the server's log.
    pub replication: bool,
    /// Whether row security is skipped for it.
    pub bypass_rls: bool,
}

impl RoleFacts {
    /// Whether it may sign in and has no power beyond what it owns.
    pub fn is_plain_login(&self) -> bool {
        self.login
            && !(self.superuser
                || self.create_role
                || self.create_database
                || self.replication
                || self.bypass_rls)
    }
}

/// A database as the server's catalogue tells it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct DatabaseFacts {
    /// The role that owns it.
    pub owner: String,
    /// Its encoding, such as `UTF8`.
    pub encoding: String,
    /// Its comment, where our mark is.
    pub comment: Option<String>,
    /// Whether every role of the server may connect to it.
    pub public_connect: bool,
}

/// Everything that one wide read tells of a server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Catalogue {
    /// The server's version as a number, such as `150018`.
    pub version: u32,
    /// Whether the administrator is a superuser.
    pub superuser: bool,
    /// The roles by name, without those that the server keeps for itself.
    pub roles: BTreeMap<String, RoleFacts>,
    /// The databases by name, without templates.
    pub databases: BTreeMap<String, DatabaseFacts>,
}

/// What is inside one database; only a connection to it can tell.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Inside {
    /// The extensions it has.
    pub extensions: BTreeSet<String>,
    /// Tables that people or programs made.
    pub tables: u64,
    /// What somebody else than the database's owner made: tables, views, sequences, functions, schemas.
    pub foreign_objects: u64,
    /// Bytes on disk, with what every database has (about 7 MB).
    pub bytes: u64,
    /// Who owns the schema `public`; `None` when it is gone.
    pub public_owner: Option<String>,
}

/// What data a database holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holdings {
    /// Tables that people or programs made.
    pub tables: u64,
    /// Bytes on disk.
    pub bytes: u64,
}

impl fmt::Display for Holdings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", count(self.tables, "table"), bytes(self.bytes))
    }
}

/// What to change of a role; all of it in one transaction.
#[derive(Debug, Clone, Default)]
pub struct RoleChange {
    /// The new password.
    pub password: Option<SecretText>,
    /// The attributes as they are now, when they shall become those of a plain login.
    pub plain_login: Option<RoleFacts>,
    /// The new comment.
    pub comment: Option<String>,
}

/// What an administrator does on a server.
#[async_trait]
pub trait PostgresAdmin: Send + Sync {
    /// Everything about roles and databases that one read can tell.
    ///
    /// # Errors
    ///
    /// When the server cannot be asked.
    async fn catalogue(&self) -> Result<Catalogue>;

    /// What is inside a database.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](mlops_core::ErrorKind::NotFound) when there is no such database.
    async fn inside(&self, database: &str) -> Result<Inside>;

    /// Makes a role that may sign in and nothing else, with its comment, in one transaction. The server is sent a
    /// SCRAM-SHA-256 verifier, never the password.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::AlreadyExists`](mlops_core::ErrorKind::AlreadyExists) when there is one.
    async fn create_role(
        &self,
        role: &RoleName,
        password: &SecretText,
        comment: &str,
    ) -> Result<()>;

    /// Changes a role.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](mlops_core::ErrorKind::NotFound) when there is none.
    async fn alter_role(&self, role: &RoleName, change: &RoleChange) -> Result<()>;

    /// Makes a database, without a mark yet.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::AlreadyExists`](mlops_core::ErrorKind::AlreadyExists) when there is one.
    async fn create_database(
        &self,
        database: &DatabaseName,
        owner: &RoleName,
        encoding: &str,
    ) -> Result<()>;

    /// Gives a database to another role.
    ///
    /// # Errors
    ///
    /// When database or role is missing, or the administrator may not.
    async fn set_database_owner(&self, database: &DatabaseName, owner: &RoleName) -> Result<()>;

    /// Inside the database: its owner owns the schema `public`, and the extensions are there. One transaction.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`](mlops_core::ErrorKind::Unsupported) when the server has no such extension.
    async fn furnish_database(
        &self,
        database: &DatabaseName,
        owner: &RoleName,
        extensions: &[String],
    ) -> Result<()>;

    /// Nobody but owner and superusers may connect any more, and the comment is set. One transaction.
    ///
    /// # Errors
    ///
    /// When the database is missing, or the administrator may not.
    async fn close_database(&self, database: &DatabaseName, comment: &str) -> Result<()>;

    /// Removes a database with everything in it, and ends the connections to it. Fine when it is gone.
    ///
    /// # Errors
    ///
    /// When the administrator may not.
    async fn drop_database(&self, database: &DatabaseName) -> Result<()>;

    /// Removes a role. Fine when it is gone.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Conflict`](mlops_core::ErrorKind::Conflict) when it still owns something.
    async fn drop_role(&self, role: &RoleName) -> Result<()>;
}

/// What a consumer does in its database, as far as probes need it. Nothing of it leaves anything behind.
#[async_trait]
pub trait PostgresSession: Send + Sync {
    /// Makes a table, writes a row, reads it back and drops the table, all in one transaction.
    ///
    /// # Errors
    ///
    /// What the server refuses.
    async fn try_table(&self, table: &str) -> Result<()>;

    /// Tries to make a role and takes it back.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::PermissionDenied`](mlops_core::ErrorKind::PermissionDenied) when the server refuses.
    async fn try_create_role(&self, role: &str) -> Result<()>;

    /// Tries to make a database in a way that never makes one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::PermissionDenied`](mlops_core::ErrorKind::PermissionDenied) when the server refuses.
    async fn try_create_database(&self, database: &str) -> Result<()>;
}

/// How a login becomes a connection.
#[async_trait]
pub trait Connect: Send + Sync {
    /// Signs in as an administrator. Connections may be shared and kept.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unavailable`](mlops_core::ErrorKind::Unavailable) when nobody answers,
    /// [`ErrorKind::Unauthenticated`](mlops_core::ErrorKind::Unauthenticated) when the login is wrong.
    async fn admin(&self, endpoint: &Endpoint, login: &Login) -> Result<Arc<dyn PostgresAdmin>>;

    /// Signs in as a consumer, on a connection of its own.
    ///
    /// # Errors
    ///
    /// As [`Connect::admin`], and [`ErrorKind::PermissionDenied`](mlops_core::ErrorKind::PermissionDenied) when the
    /// login is right and the database is closed to it.
    async fn session(&self, endpoint: &Endpoint, login: &Login)
    -> Result<Arc<dyn PostgresSession>>;
}
