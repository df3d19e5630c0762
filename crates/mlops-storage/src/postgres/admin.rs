//! An administrator on a real server.

use std::sync::Arc;

use async_trait::async_trait;
use mlops_core::{DatabaseName, Endpoint, Error, ErrorKind, Result, RoleName, SecretText};
use serde::de::DeserializeOwned;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::client::PostgresClient;
use super::error::wrap;
use super::model::{Catalogue, Inside, Login, PostgresAdmin, RoleChange};
use super::sql;

/// Statements go as simple queries: one round trip each, and several of them are one transaction. A future that is
/// dropped half-way leaves its statement to be done wholly or not at all.
pub(super) struct RealAdmin {
    connect: PostgresClient,
    endpoint: Endpoint,
    login: Login,
    client: Arc<Client>,
}

impl RealAdmin {
    pub(super) fn new(
        connect: PostgresClient,
        endpoint: Endpoint,
        login: Login,
        client: Arc<Client>,
    ) -> Self {
        Self {
            connect,
            endpoint,
            login,
            client,
        }
    }

    async fn run(&self, text: &str, doing: String) -> Result<()> {
        self.client
            .batch_execute(text)
            .await
            .map_err(|error| wrap(error, self.at(&doing)))
    }

    fn at(&self, doing: &str) -> String {
        format!("{doing} at {}", self.endpoint.authority())
    }

    async fn open(&self, database: &str) -> Result<Client> {
        let mut login = self.login.clone();
        database.clone_into(&mut login.database);
        self.connect.open(&self.endpoint, &login).await
    }

    /// Before giving something to a role; superusers may anyway.
    async fn join(&self, role: &RoleName) -> Result<()> {
        let query = "SELECT rolsuper FROM pg_roles WHERE rolname = current_user";
        let superuser = self
            .client
            .simple_query(query)
            .await
            .map_err(|error| wrap(error, self.at("read the administrator's rights")))?
            .iter()
            .any(|message| {
                matches!(message, SimpleQueryMessage::Row(row) if row.get(0) == Some("t"))
            });
        if superuser {
            return Ok(());
        }
        let doing = format!("become a member of role `{role}`");
        self.run(&sql::join_role(role.as_str()), doing).await
    }
}

async fn read_json<T: DeserializeOwned>(client: &Client, query: &str, doing: String) -> Result<T> {
    let messages = match client.simple_query(query).await {
        Ok(messages) => messages,
        Err(error) => return Err(wrap(error, doing)),
    };
    let text = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    let answer = text.map(serde_json::from_str::<T>);
    match answer {
        Some(Ok(value)) => Ok(value),
        Some(Err(error)) => Err(Error::new(ErrorKind::Protocol, doing).with_source(error)),
        None => Err(Error::new(ErrorKind::Protocol, doing).with_source("no row came back")),
    }
}

#[async_trait]
impl PostgresAdmin for RealAdmin {
    async fn catalogue(&self) -> Result<Catalogue> {
        let doing = self.at("read roles and databases");
        read_json(&self.client, sql::CATALOGUE, doing).await
    }

    async fn inside(&self, database: &str) -> Result<Inside> {
        let client = self.open(database).await?;
        let doing = self.at(&format!("look into database `{database}`"));
        read_json(&client, sql::INSIDE, doing).await
    }

    async fn create_role(
        &self,
        role: &RoleName,
        password: &SecretText,
        comment: &str,
    ) -> Result<()> {
        let text = sql::create_role(role.as_str(), password, comment);
        self.run(text.expose(), format!("create role `{role}`"))
            .await
    }

    async fn alter_role(&self, role: &RoleName, change: &RoleChange) -> Result<()> {
        let text = sql::alter_role(
            role.as_str(),
            change.password.as_ref(),
            change.plain_login.as_ref(),
            change.comment.as_deref(),
        );
        self.run(text.expose(), format!("change role `{role}`"))
            .await
    }

    async fn create_database(
        &self,
        database: &DatabaseName,
        owner: &RoleName,
        encoding: &str,
    ) -> Result<()> {
        self.join(owner).await?;
        let text = sql::create_database(database.as_str(), owner.as_str(), encoding);
        self.run(&text, format!("create database `{database}`"))
            .await
    }

    async fn set_database_owner(&self, database: &DatabaseName, owner: &RoleName) -> Result<()> {
        self.join(owner).await?;
        let text = sql::set_owner(database.as_str(), owner.as_str());
        self.run(&text, format!("give database `{database}` to `{owner}`"))
            .await
    }

    async fn furnish_database(
        &self,
        database: &DatabaseName,
        owner: &RoleName,
        extensions: &[String],
    ) -> Result<()> {
        let client = self.open(database.as_str()).await?;
        let doing = self.at(&format!("furnish database `{database}`"));
        let inside: Inside = read_json(&client, sql::INSIDE, doing.clone()).await?;
        // Since version 15 this stand-in for "whoever owns the database" owns it, which is all that is wanted.
        let schema_owner = inside
            .public_owner
            .filter(|now| now != "pg_database_owner" && now != owner.as_str())
            .map(|_| owner.as_str());
        let missing: Vec<String> = extensions
            .iter()
            .filter(|name| !inside.extensions.contains(*name))
            .cloned()
            .collect();
        client
            .batch_execute(&sql::furnish(schema_owner, &missing))
            .await
            .map_err(|error| {
                let error = wrap(error, doing);
                if error.kind() == ErrorKind::Unsupported {
                    return error.with_hint(
                        "install the extension's files on the server's machine, such as Debian's \
                         postgresql-contrib",
                    );
                }
                error
            })
    }

    async fn close_database(&self, database: &DatabaseName, comment: &str) -> Result<()> {
        let text = sql::close_database(database.as_str(), comment);
        self.run(&text, format!("close and mark database `{database}`"))
            .await
    }

    async fn drop_database(&self, database: &DatabaseName) -> Result<()> {
        let text = sql::drop_database(database.as_str());
        self.run(&text, format!("drop database `{database}`")).await
    }

    async fn drop_role(&self, role: &RoleName) -> Result<()> {
        let text = sql::drop_role(role.as_str());
        self.run(&text, format!("drop role `{role}`")).await
    }
}
