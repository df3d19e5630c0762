//! Users and roles of MLflow's basic authentication.

use mlops_core::{ErrorKind, Result, SecretText};
use serde::Deserialize;
use serde_json::json;

use super::types::{Grant, Role, User};
use super::{Ignored, Mlflow, found};

const USERS: &str = "/api/2.0/mlflow/users";
const ROLES: &str = "/api/3.0/mlflow/roles";

#[derive(Deserialize)]
struct OneUser {
    user: User,
}

impl Mlflow {
    /// The user whose credentials this client has.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unauthenticated`] when they are wrong.
    pub async fn current_user(&self) -> Result<User> {
        let one: OneUser = self
            .get(
                &format!("{USERS}/current"),
                &[],
                "ask MLflow who is signed in",
            )
            .await?;
        Ok(one.user)
    }

    /// The user of that name, if there is one. Its roles are not told; see [`Self::list_users`].
    ///
    /// # Errors
    ///
    /// When it cannot be asked for.
    pub async fn find_user(&self, user: &str) -> Result<Option<User>> {
        let one: Result<OneUser> = self
            .get(
                &format!("{USERS}/get"),
                &[("username", user)],
                &format!("find MLflow user `{user}`"),
            )
            .await;
        Ok(found(one)?.map(|one| one.user))
    }

    /// All users, with those of their roles that this user may see: an administrator sees all.
    ///
    /// # Errors
    ///
    /// When they cannot be asked for.
    pub async fn list_users(&self) -> Result<Vec<User>> {
        #[derive(Deserialize)]
        struct Users {
            #[serde(default)]
            users: Vec<User>,
        }
        let users: Users = self
            .get(&format!("{USERS}/list"), &[], "list the users of MLflow")
            .await?;
        Ok(users.users)
    }

    /// Makes a user. MLflow wants 12 characters in a password.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::AlreadyExists`] when there is one of that name.
    pub async fn create_user(&self, user: &str, password: &SecretText) -> Result<()> {
        let _: OneUser = self
            .post(
                &format!("{USERS}/create"),
                &json!({"username": user, "password": password.expose()}),
                &format!("create MLflow user `{user}`"),
            )
            .await?;
        Ok(())
    }

    /// Sets another user's password.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] when there is none; one's own password cannot be set so.
    pub async fn set_password(&self, user: &str, password: &SecretText) -> Result<()> {
        let _: Ignored = self
            .call(
                http::Method::PATCH,
                &format!("{USERS}/update-password"),
                &json!({"username": user, "password": password.expose()}),
                &format!("set the password of MLflow user `{user}`"),
            )
            .await?;
        Ok(())
    }

    /// Deletes a user; fine when there is none.
    ///
    /// # Errors
    ///
    /// When it is oneself, or the server refuses.
    pub async fn remove_user(&self, user: &str) -> Result<()> {
        let done: Result<Ignored> = self
            .call(
                http::Method::DELETE,
                &format!("{USERS}/delete"),
                &json!({"username": user}),
                &format!("delete MLflow user `{user}`"),
            )
            .await;
        found(done).map(drop)
    }

    /// All roles with their grants.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::PermissionDenied`] for anyone but an administrator.
    pub async fn list_roles(&self) -> Result<Vec<Role>> {
        #[derive(Deserialize)]
        struct Roles {
            #[serde(default)]
            roles: Vec<Role>,
        }
        let roles: Roles = self
            .get(&format!("{ROLES}/list"), &[], "list the roles of MLflow")
            .await?;
        Ok(roles.roles)
    }

    /// Makes a role without grants and returns its id.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::AlreadyExists`] when there is one of that name.
    pub async fn create_role(&self, name: &str) -> Result<i64> {
        #[derive(Deserialize)]
        struct One {
            role: Role,
        }
        let one: One = self
            .post(
                &format!("{ROLES}/create"),
                &json!({"name": name, "workspace": "default"}),
                &format!("create MLflow role `{name}`"),
            )
            .await?;
        Ok(one.role.id)
    }

    /// Adds a grant to a role.
    ///
    /// # Errors
    ///
    /// When the server refuses; a grant that is there already is fine.
    pub async fn add_grant(&self, role: i64, grant: &Grant) -> Result<()> {
        let done: Result<Ignored> = self
            .post(
                &format!("{ROLES}/permissions/add"),
                &json!({
                    "role_id": role,
                    "resource_type": grant.resource,
                    "resource_pattern": grant.pattern,
                    "permission": grant.permission,
                }),
                &format!(
                    "grant {} on {} `{}`",
                    grant.permission, grant.resource, grant.pattern
                ),
            )
            .await;
        present(done)
    }

    /// Gives a user a role; fine when the user has it already.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] when there is no such user or role.
    pub async fn assign_role(&self, user: &str, role: i64) -> Result<()> {
        let done: Result<Ignored> = self
            .post(
                &format!("{ROLES}/assign"),
                &json!({"username": user, "role_id": role}),
                &format!("give MLflow user `{user}` a role"),
            )
            .await;
        present(done)
    }

    /// Deletes a role; fine when there is none.
    ///
    /// # Errors
    ///
    /// When the server refuses.
    pub async fn remove_role(&self, role: i64) -> Result<()> {
        let done: Result<Ignored> = self
            .call(
                http::Method::DELETE,
                &format!("{ROLES}/delete"),
                &json!({"role_id": role}),
                "delete an MLflow role",
            )
            .await;
        found(done).map(drop)
    }
}

/// Done, now or before.
fn present(done: Result<Ignored>) -> Result<()> {
    match done {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        other => other.map(drop),
    }
}
