//! Make a role that may sign in and nothing else, and a database that only this role may enter.
//!
//! Needs:  a PostgreSQL server: `POSTGRES_URL`, and `PGUSER` with `PGPASSWORD` of a user who may make roles and
//!         databases; `REPORTS_PASSWORD` for the role that is made
//! Run:    cargo run -p mlops-examples --example make_database_and_role
//! Prints: "created" for both, "unchanged" when run again, and whether the role signs in
//! Undo:   the same command with `-- remove`: the database goes with everything in it

use std::sync::Arc;

use mlops_core::{Endpoint, SecretText};
use mlops_examples::var;
use mlops_storage::postgres::{DatabaseWish, Login, PostgresClient, RoleWish, Server};
use mlops_storage::postgres::{ensure_database, ensure_role, remove_database, remove_role};
use mlops_storage::{Foreign, Mark};

async fn make(
    server: &Server,
    mark: &Mark,
    role: &RoleWish,
    database: &DatabaseWish,
) -> anyhow::Result<()> {
    // A role or database of that name without our mark is somebody else's: left alone, and an error.
    let outcome = ensure_role(server, role, mark, Foreign::Refuse).await?;
    println!("role reports: {outcome}");
    let outcome = ensure_database(server, database, mark, Foreign::Refuse).await?;
    println!("database reports: {outcome}");
    let works = server.signs_in(&role.role, &role.password).await?;
    println!("signs in: {works}");
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let server = Server::new(
        // Encrypted with a verified certificate, except to this machine itself.
        Arc::new(PostgresClient::new()),
        Endpoint::new(var("POSTGRES_URL")?.parse()?)?,
        Login::new(
            var("PGUSER")?,
            SecretText::new(var("PGPASSWORD")?),
            "postgres",
        ),
    );
    let mark = Mark::of(&"recipe".parse()?);
    let role = RoleWish {
        role: "reports".parse()?,
        password: SecretText::new(var("REPORTS_PASSWORD")?),
    };
    let database = DatabaseWish::new("reports".parse()?, "reports".parse()?);
    if std::env::args().nth(1).as_deref() == Some("remove") {
        remove_database(&server, &database.database, &mark).await?;
        remove_role(&server, &role.role, &mark).await?;
        println!("removed");
        return Ok(());
    }
    make(&server, &mark, &role, &database).await
}
