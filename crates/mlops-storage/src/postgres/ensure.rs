//! Making sure of roles and databases: one attempt, safe to repeat.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use mlops_core::{DatabaseName, Endpoint, Error, ErrorKind, Result, RoleName, SecretText};

use super::model::{
    Catalogue, Connect, DatabaseFacts, Holdings, Inside, Login, PostgresAdmin, RoleChange,
    RoleFacts,
};
use crate::mark::Mark;
use crate::outcome::{Foreign, Outcome};
use crate::support::{absent_as_none, came_between, not_ours};

/// One server with an administrator's login.
#[derive(Clone)]
pub struct Server {
    connect: Arc<dyn Connect>,
    endpoint: Endpoint,
    login: Login,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("endpoint", &self.endpoint.authority())
            .field("user", &self.login.user)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// The server at `endpoint`, entered with `login`. Nothing is sent yet.
    pub fn new(connect: Arc<dyn Connect>, endpoint: Endpoint, login: Login) -> Self {
        Self {
            connect,
            endpoint,
            login,
        }
    }

    /// The administrator.
    ///
    /// # Errors
    ///
    /// As [`Connect::admin`].
    pub async fn admin(&self) -> Result<Arc<dyn PostgresAdmin>> {
        self.connect.admin(&self.endpoint, &self.login).await
    }

    /// Whether the password is the role's, by trying it.
    ///
    /// # Errors
    ///
    /// When the server gives no clear answer.
    pub async fn signs_in(&self, role: &RoleName, password: &SecretText) -> Result<bool> {
        let login = Login::new(role.as_str(), password.clone(), &self.login.database);
        match self.connect.session(&self.endpoint, &login).await {
            Ok(_) => Ok(true),
            Err(error) => match error.kind() {
                ErrorKind::Unauthenticated => Ok(false),
                // The password is looked at before the right to enter the database.
                ErrorKind::PermissionDenied => Ok(true),
                _ => Err(error),
            },
        }
    }
}

/// A role as it shall be: it may sign in with the password, and nothing else.
#[derive(Debug, Clone)]
pub struct RoleWish {
    /// Its name.
    pub role: RoleName,
    /// Its password.
    pub password: SecretText,
}

/// A database as it shall be: closed to everyone but its owner.
#[derive(Debug, Clone)]
pub struct DatabaseWish {
    /// Its name.
    pub database: DatabaseName,
    /// The role that owns it.
    pub owner: RoleName,
    /// Its encoding.
    pub encoding: String,
    /// The extensions it has.
    pub extensions: Vec<String>,
}

impl DatabaseWish {
    /// A UTF-8 database without extensions.
    pub fn new(database: DatabaseName, owner: RoleName) -> Self {
        Self {
            database,
            owner,
            encoding: "UTF8".to_owned(),
            extensions: Vec::new(),
        }
    }

    /// Wants these extensions as well.
    #[must_use]
    pub fn with_extensions(
        mut self,
        extensions: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        self.extensions
            .extend(extensions.into_iter().map(Into::into));
        self
    }
}

/// What is known of a thing of a wanted name.
pub(super) enum State<F> {
    Absent,
    /// It bears our mark.
    Ours(F),
    /// A killed run of ours left it before it could be marked.
    Unfinished(F),
    Foreign(F, String),
}

fn whose(comment: Option<&str>, owner: Option<&str>) -> String {
    let owner = owner
        .map(|owner| format!("owned by `{owner}`, "))
        .unwrap_or_default();
    match comment {
        Some(comment) => format!("{owner}its comment is \"{}\"", comment.escape_debug()),
        None => format!("{owner}it has no comment"),
    }
}

pub(super) fn role_state<'a>(
    catalogue: &'a Catalogue,
    role: &RoleName,
    mark: &Mark,
) -> State<&'a RoleFacts> {
    match catalogue.roles.get(role.as_str()) {
        None => State::Absent,
        Some(facts) if facts.comment.as_deref() == Some(mark.comment()) => State::Ours(facts),
        Some(facts) => State::Foreign(facts, whose(facts.comment.as_deref(), None)),
    }
}

/// Only a database without any comment, of a role of ours, is looked into. What that role itself has made there already
/// does not make it somebody else's: consumers wait for their database and use it as soon as it is there.
pub(super) async fn database_state<'a>(
    admin: &dyn PostgresAdmin,
    catalogue: &'a Catalogue,
    database: &DatabaseName,
    mark: &Mark,
) -> Result<State<&'a DatabaseFacts>> {
    let Some(facts) = catalogue.databases.get(database.as_str()) else {
        return Ok(State::Absent);
    };
    if facts.comment.as_deref() == Some(mark.comment()) {
        return Ok(State::Ours(facts));
    }
    if facts.comment.is_none()
        && is_our_role(catalogue, &facts.owner, mark)
        && admin.inside(database.as_str()).await?.foreign_objects == 0
    {
        return Ok(State::Unfinished(facts));
    }
    Ok(State::Foreign(
        facts,
        whose(facts.comment.as_deref(), Some(&facts.owner)),
    ))
}

pub(super) fn is_our_role(catalogue: &Catalogue, role: &str, mark: &Mark) -> bool {
    catalogue
        .roles
        .get(role)
        .is_some_and(|facts| facts.comment.as_deref() == Some(mark.comment()))
}

/// Makes sure that a role is there, marked, with this password and no rights of its own.
///
/// # Errors
///
/// [`ErrorKind::Conflict`] when there is one that is not ours and may not be taken over, and what the server refuses.
pub async fn ensure_role(
    server: &Server,
    wish: &RoleWish,
    mark: &Mark,
    foreign: Foreign,
) -> Result<Outcome> {
    match role_once(server, wish, mark, foreign).await {
        Err(error) if came_between(&error) => role_once(server, wish, mark, foreign).await,
        result => result,
    }
}

async fn role_once(
    server: &Server,
    wish: &RoleWish,
    mark: &Mark,
    foreign: Foreign,
) -> Result<Outcome> {
    let admin = server.admin().await?;
    let catalogue = admin.catalogue().await?;
    let (facts, taken) = match role_state(&catalogue, &wish.role, mark) {
        State::Absent => {
            admin
                .create_role(&wish.role, &wish.password, mark.comment())
                .await?;
            return Ok(Outcome::Created);
        }
        State::Ours(facts) | State::Unfinished(facts) => (facts, false),
        State::Foreign(facts, _) if foreign == Foreign::TakeOver => (facts, true),
        State::Foreign(_, whose) => {
            return Err(not_ours(&format!("role `{}`", wish.role), &whose));
        }
    };
    let works = facts.login && server.signs_in(&wish.role, &wish.password).await?;
    if works && facts.is_plain_login() && !taken {
        return Ok(Outcome::Unchanged);
    }
    let change = RoleChange {
        password: (!works).then(|| wish.password.clone()),
        plain_login: (!facts.is_plain_login()).then(|| facts.clone()),
        comment: taken.then(|| mark.comment().to_owned()),
    };
    admin.alter_role(&wish.role, &change).await?;
    Ok(Outcome::Updated)
}

/// Whether everything inside is as wanted.
fn is_furnished(inside: &Inside, wish: &DatabaseWish) -> bool {
    let wanted: BTreeSet<&String> = wish.extensions.iter().collect();
    wanted.iter().all(|name| inside.extensions.contains(*name))
}

/// Makes sure that a database is there, marked, owned by the role and closed to everyone else.
///
/// The steps are: create it (with its owner), furnish it, close and mark it. Killed between two of them, it has no mark
/// yet, belongs to a role of ours and holds nothing that others made, which is how the next call knows it.
///
/// # Errors
///
/// [`ErrorKind::Conflict`] when there is one that is not ours and may not be taken over,
/// [`ErrorKind::Unsupported`] when it has another encoding, and what the server refuses.
pub async fn ensure_database(
    server: &Server,
    wish: &DatabaseWish,
    mark: &Mark,
    foreign: Foreign,
) -> Result<Outcome> {
    match database_once(server, wish, mark, foreign).await {
        Err(error) if came_between(&error) => database_once(server, wish, mark, foreign).await,
        result => result,
    }
}

async fn database_once(
    server: &Server,
    wish: &DatabaseWish,
    mark: &Mark,
    foreign: Foreign,
) -> Result<Outcome> {
    let admin = server.admin().await?;
    let catalogue = admin.catalogue().await?;
    let name = &wish.database;
    let (facts, outcome) = match database_state(&*admin, &catalogue, name, mark).await? {
        State::Absent => {
            admin
                .create_database(name, &wish.owner, &wish.encoding)
                .await?;
            furnish(&*admin, wish, mark).await?;
            return Ok(Outcome::Created);
        }
        State::Unfinished(facts) => (facts, Outcome::Created),
        State::Ours(facts) => (facts, Outcome::Unchanged),
        State::Foreign(facts, _) if foreign == Foreign::TakeOver => (facts, Outcome::Updated),
        State::Foreign(_, whose) => return Err(not_ours(&format!("database `{name}`"), &whose)),
    };
    if !facts.encoding.eq_ignore_ascii_case(&wish.encoding) {
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!("change the encoding of database `{name}`"),
        )
        .with_source(format!("it is {} and cannot be changed", facts.encoding)));
    }
    let mut changed = outcome != Outcome::Unchanged || facts.public_connect;
    if facts.owner != wish.owner.as_str() {
        admin.set_database_owner(name, &wish.owner).await?;
        changed = true;
    }
    let furnished =
        wish.extensions.is_empty() || is_furnished(&admin.inside(name.as_str()).await?, wish);
    if changed || !furnished {
        furnish(&*admin, wish, mark).await?;
        changed = true;
    }
    Ok(match outcome {
        Outcome::Unchanged if changed => Outcome::Updated,
        outcome => outcome,
    })
}

async fn furnish(admin: &dyn PostgresAdmin, wish: &DatabaseWish, mark: &Mark) -> Result<()> {
    admin
        .furnish_database(&wish.database, &wish.owner, &wish.extensions)
        .await?;
    admin.close_database(&wish.database, mark.comment()).await
}

/// Removes a role of ours; fine when it is gone.
///
/// # Errors
///
/// [`ErrorKind::Conflict`] when it is not ours, or still owns something.
pub async fn remove_role(server: &Server, role: &RoleName, mark: &Mark) -> Result<()> {
    let admin = server.admin().await?;
    match role_state(&admin.catalogue().await?, role, mark) {
        State::Absent => Ok(()),
        State::Ours(_) | State::Unfinished(_) => admin.drop_role(role).await,
        State::Foreign(_, whose) => Err(not_ours(&format!("role `{role}`"), &whose)),
    }
}

/// Removes a database of ours with everything in it; fine when it is gone.
///
/// # Errors
///
/// [`ErrorKind::Conflict`] when it is not ours.
pub async fn remove_database(server: &Server, database: &DatabaseName, mark: &Mark) -> Result<()> {
    let admin = server.admin().await?;
    let catalogue = admin.catalogue().await?;
    match database_state(&*admin, &catalogue, database, mark).await? {
        State::Absent => Ok(()),
        State::Ours(_) | State::Unfinished(_) => admin.drop_database(database).await,
        State::Foreign(_, whose) => Err(not_ours(&format!("database `{database}`"), &whose)),
    }
}

/// What data a database holds; `None` when there is no such database.
pub(super) async fn holdings(server: &Server, database: &str) -> Result<Option<Holdings>> {
    let inside = absent_as_none(server.admin().await?.inside(database).await)?;
    Ok(inside.map(|inside| Holdings {
        tables: inside.tables,
        bytes: inside.bytes,
    }))
}
