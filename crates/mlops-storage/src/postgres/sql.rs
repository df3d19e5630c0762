//! The SQL that is sent, as pure functions. Names and texts get in through two escape functions only.

use mlops_core::SecretText;
use postgres_protocol::escape::{escape_identifier, escape_literal};
use postgres_protocol::password::scram_sha_256;

use super::model::RoleFacts;

/// One row, one JSON text: everything that [`Catalogue`](super::Catalogue) says.
pub(super) const CATALOGUE: &str = "\
SELECT json_build_object(
  'version', current_setting('server_version_num')::int,
  'superuser', (SELECT rolsuper FROM pg_roles WHERE rolname = current_user),
  'roles', (
    SELECT coalesce(json_object_agg(rolname, json_build_object(
      'comment', shobj_description(oid, 'pg_authid'),
      'login', rolcanlogin, 'superuser', rolsuper, 'create_role', rolcreaterole,
      'create_database', rolcreatedb, 'replication', rolreplication, 'bypass_rls', rolbypassrls)), '{}')
    FROM pg_roles WHERE rolname !~ '^pg_'),
  'databases', (
    SELECT coalesce(json_object_agg(datname, json_build_object(
      'owner', pg_get_userbyid(datdba), 'encoding', pg_encoding_to_char(encoding),
      'comment', shobj_description(oid, 'pg_database'),
      'public_connect', datacl IS NULL OR EXISTS (
        SELECT FROM aclexplode(datacl) WHERE grantee = 0 AND privilege_type = 'CONNECT'))), '{}')
    FROM pg_database WHERE NOT datistemplate)
)::text";

/// One row, one JSON text: everything that [`Inside`](super::Inside) says. What extensions brought does not count.
pub(super) const INSIDE: &str = "\
WITH spaces AS (
  SELECT oid, nspname, nspowner FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'),
brought AS (SELECT classid, objid FROM pg_depend WHERE deptype = 'e'),
relations AS (
  SELECT relkind, relowner AS owner FROM pg_class c JOIN spaces ON spaces.oid = c.relnamespace
  WHERE relkind IN ('r', 'p', 'f', 'm', 'v', 'S')
    AND NOT EXISTS (SELECT FROM brought WHERE classid = 'pg_class'::regclass AND objid = c.oid)),
functions AS (
  SELECT proowner AS owner FROM pg_proc p JOIN spaces ON spaces.oid = p.pronamespace
  WHERE NOT EXISTS (SELECT FROM brought WHERE classid = 'pg_proc'::regclass AND objid = p.oid)),
extra AS (
  SELECT nspowner AS owner FROM spaces
  WHERE nspname <> 'public'
    AND NOT EXISTS (SELECT FROM brought WHERE classid = 'pg_namespace'::regclass AND objid = spaces.oid)),
owners AS (
  SELECT owner FROM relations UNION ALL SELECT owner FROM functions UNION ALL SELECT owner FROM extra)
SELECT json_build_object(
  'extensions', (SELECT coalesce(json_agg(extname), '[]') FROM pg_extension),
  'tables', (SELECT count(*) FROM relations WHERE relkind IN ('r', 'p', 'f', 'm')),
  'foreign_objects', (SELECT count(*) FROM owners
    WHERE owner <> (SELECT datdba FROM pg_database WHERE datname = current_database())),
  'bytes', pg_database_size(current_database()),
  'public_owner', (SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = 'public')
)::text";

fn verifier(password: &SecretText) -> String {
    escape_literal(&scram_sha_256(password.expose().as_bytes()))
}

/// Several statements in one message are one transaction
/// (<https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-MULTI-STATEMENT>).
pub(super) fn create_role(role: &str, password: &SecretText, comment: &str) -> SecretText {
    let name = escape_identifier(role);
    SecretText::new(format!(
        "CREATE ROLE {name} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD {}; {}",
        verifier(password),
        comment_on_role(role, comment)
    ))
}

fn comment_on_role(role: &str, comment: &str) -> String {
    format!(
        "COMMENT ON ROLE {} IS {};",
        escape_identifier(role),
        escape_literal(comment)
    )
}

/// Only the attributes that differ are named: an administrator who is not superuser may not even repeat the others.
pub(super) fn alter_role(
    role: &str,
    password: Option<&SecretText>,
    now: Option<&RoleFacts>,
    comment: Option<&str>,
) -> SecretText {
    let mut options = Vec::new();
    if let Some(now) = now {
        let attributes = [
            (!now.login, "LOGIN"),
            (now.superuser, "NOSUPERUSER"),
            (now.create_role, "NOCREATEROLE"),
            (now.create_database, "NOCREATEDB"),
            (now.replication, "NOREPLICATION"),
            (now.bypass_rls, "NOBYPASSRLS"),
        ];
        options.extend(
            attributes
                .into_iter()
                .filter(|(differs, _)| *differs)
                .map(|(_, word)| word.to_owned()),
        );
    }
    if let Some(password) = password {
        options.push(format!("PASSWORD {}", verifier(password)));
    }
    let mut text = String::new();
    if !options.is_empty() {
        text = format!(
            "ALTER ROLE {} {};",
            escape_identifier(role),
            options.join(" ")
        );
    }
    if let Some(comment) = comment {
        text.push_str(&comment_on_role(role, comment));
    }
    SecretText::new(text)
}

/// `template0` is the one template that nobody has added anything to, and that allows every encoding.
pub(super) fn create_database(database: &str, owner: &str, encoding: &str) -> String {
    format!(
        "CREATE DATABASE {} OWNER {} ENCODING {} TEMPLATE template0",
        escape_identifier(database),
        escape_identifier(owner),
        escape_literal(encoding)
    )
}

pub(super) fn set_owner(database: &str, owner: &str) -> String {
    format!(
        "ALTER DATABASE {} OWNER TO {}",
        escape_identifier(database),
        escape_identifier(owner)
    )
}

/// An administrator who is not superuser can only give things to roles it is a member of.
pub(super) fn join_role(role: &str) -> String {
    format!("GRANT {} TO CURRENT_USER", escape_identifier(role))
}

pub(super) fn furnish(schema_owner: Option<&str>, extensions: &[String]) -> String {
    let mut text = String::new();
    if let Some(owner) = schema_owner {
        text = format!(
            "ALTER SCHEMA public OWNER TO {}; REVOKE ALL ON SCHEMA public FROM PUBLIC;",
            escape_identifier(owner)
        );
    }
    for extension in extensions {
        text.push_str("CREATE EXTENSION IF NOT EXISTS ");
        text.push_str(&escape_identifier(extension));
        text.push(';');
    }
    text
}

pub(super) fn close_database(database: &str, comment: &str) -> String {
    let name = escape_identifier(database);
    format!(
        "REVOKE ALL ON DATABASE {name} FROM PUBLIC; COMMENT ON DATABASE {name} IS {};",
        escape_literal(comment)
    )
}

pub(super) fn drop_database(database: &str) -> String {
    format!(
        "DROP DATABASE IF EXISTS {} WITH (FORCE)",
        escape_identifier(database)
    )
}

pub(super) fn drop_role(role: &str) -> String {
    format!("DROP ROLE IF EXISTS {}", escape_identifier(role))
}

pub(super) fn try_table(table: &str) -> String {
    let name = escape_identifier(table);
    format!(
        "CREATE TABLE {name} (value int); INSERT INTO {name} VALUES (42); \
         SELECT 1 / count(*) FROM {name} WHERE value = 42; DROP TABLE {name};"
    )
}

pub(super) fn try_create_role(role: &str) -> String {
    let name = escape_identifier(role);
    format!("BEGIN; CREATE ROLE {name}; ROLLBACK;")
}

/// The right to make databases is looked at before the template is, so an allowed one ends with "no such template".
pub(super) fn try_create_database(database: &str) -> String {
    format!(
        "CREATE DATABASE {} TEMPLATE {}",
        escape_identifier(database),
        escape_identifier(&format!("{database}_no_template"))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_itself_is_never_in_a_statement() {
        let password = SecretText::new("hunter2hunter2");
        let made = create_role("r", &password, "mlops:demo");
        assert!(!made.expose().contains("hunter2"));
        assert!(made.expose().contains("'SCRAM-SHA-256$4096:"));
        let altered = alter_role("r", Some(&password), None, None);
        assert!(!altered.expose().contains("hunter2"));
    }

    #[test]
    fn strange_names_cannot_leave_their_quotes() {
        assert_eq!(
            drop_role("a\"; DROP DATABASE x; --"),
            "DROP ROLE IF EXISTS \"a\"\"; DROP DATABASE x; --\""
        );
        assert_eq!(
            close_database("d", "it's\\"),
            "REVOKE ALL ON DATABASE \"d\" FROM PUBLIC; COMMENT ON DATABASE \"d\" IS  E'it''s\\\\';"
        );
    }

    #[test]
    fn only_what_differs_is_altered() {
        let now = RoleFacts {
            create_role: true,
            ..RoleFacts::default()
        };
        assert_eq!(
            alter_role("r", None, Some(&now), None).expose(),
            "ALTER ROLE \"r\" LOGIN NOCREATEROLE;"
        );
        assert_eq!(
            alter_role("r", None, None, Some("c")).expose(),
            "COMMENT ON ROLE \"r\" IS 'c';"
        );
    }
}
