//! A consumer on a real server.

use async_trait::async_trait;
use mlops_core::{ErrorKind, Result};
use tokio_postgres::Client;

use super::error::wrap;
use super::model::PostgresSession;
use super::sql;

pub(super) struct RealSession {
    client: Client,
}

impl RealSession {
    pub(super) fn new(client: Client) -> Self {
        Self { client }
    }

    async fn run(&self, text: &str, doing: &str) -> Result<()> {
        self.client
            .batch_execute(text)
            .await
            .map_err(|error| wrap(error, doing))
    }
}

#[async_trait]
impl PostgresSession for RealSession {
    async fn try_table(&self, table: &str) -> Result<()> {
        self.run(
            &sql::try_table(table),
            "create, fill, read and drop a table",
        )
        .await
    }

    async fn try_create_role(&self, role: &str) -> Result<()> {
        let result = self.run(&sql::try_create_role(role), "create a role").await;
        if result.is_err() {
            // A refusal leaves the transaction open, and nothing in it.
            self.run("ROLLBACK", "end the transaction").await?;
        }
        result
    }

    async fn try_create_database(&self, database: &str) -> Result<()> {
        let text = sql::try_create_database(database);
        match self.run(&text, "create a database").await {
            // The right is there: only the template was missing.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }
}
