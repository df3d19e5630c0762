//! Roles and databases of PostgreSQL servers: made idempotently, marked, and proven with the consumer's own login.
//!
//! - [`Server`]: one server with an administrator's login; what [`ensure_role`] and [`ensure_database`] work on.
//! - [`Connect`]: how logins become connections. [`PostgresClient`] is the real one,
//!   [`FakePostgres`](crate::fake::FakePostgres) the one in memory.
//! - [`PostgresAdmin`] and [`PostgresSession`]: what an administrator and a consumer can do.
//! - [`RoleProvider`], [`DatabaseProvider`] and [`PostgresProber`]: the same for the engine.
//!
//! # What happens when a run is killed
//!
//! A role and its mark are made in one transaction. `CREATE DATABASE` cannot run in one, so a database may be left
//! without mark. It is known again by its owner, which bears our mark, and by holding nothing that anybody else made;
//! the next run finishes it.
//! Everything else is one transaction each, and safe to repeat.

mod admin;
mod client;
mod database;
mod ensure;
mod error;
mod model;
mod probe;
mod provider;
mod role;
mod session;
mod spec;
mod sql;
mod strays;

pub use client::{PostgresClient, Tls};
pub use database::DatabaseProvider;
pub use ensure::{
    DatabaseWish, RoleWish, Server, ensure_database, ensure_role, remove_database, remove_role,
};
pub use error::kind_of_sqlstate;
pub use model::{
    Catalogue, Connect, DatabaseFacts, Holdings, Inside, Login, PostgresAdmin, PostgresSession,
    RoleChange, RoleFacts,
};
pub use probe::{PROBE, PostgresProber};
pub use role::RoleProvider;
pub use spec::{AdminSpec, BindingProbeSpec, DATABASE, DatabaseSpec, ROLE, RoleSpec};
