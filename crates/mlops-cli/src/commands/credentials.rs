//! `mlops credentials`: who uses what, and a secret when asked by name.

use mlops::session::Credential;
use mlops::session::Network;
use mlops_core::{Error, ErrorKind, Result, SecretName, nearest};
use serde_json::{Value, json};

use crate::args::CredentialsArgs;
use crate::cx::Cx;
use crate::exit::Exit;
use crate::text::{Paint, plain_line, table};

/// Lists credentials without secret text, or prints one secret.
pub(crate) async fn credentials(cx: &Cx, args: &CredentialsArgs) -> Result<Exit> {
    let session = cx.session(Network::Avoid)?;
    let all = session.credentials().await?;
    if args.show {
        let name = secret_name(&all, args.whose.as_deref().unwrap_or_default())?;
        let secret = session.secret(&name).await?;
        if cx.printer.is_json() {
            cx.printer
                .json(&json!({ "name": name, "secret": secret.expose() }))?;
        } else {
            cx.printer.text(secret.expose())?;
        }
        return Ok(Exit::Done);
    }
    let chosen = match &args.whose {
        Some(name) => matching(&all, name)?,
        None => all.iter().collect(),
    };
    cx.printer.show(&chosen, |paint| describe(paint, &chosen))?;
    if args.whose.is_some() {
        cx.printer
            .say("\n`--show` with the name of a secret prints it.");
    }
    Ok(Exit::Done)
}

fn describe(paint: Paint, credentials: &[&Credential]) -> String {
    let rows: Vec<[String; 5]> = credentials
        .iter()
        .map(|credential| {
            let facts: Vec<String> = credential
                .facts
                .iter()
                .map(|(name, value)| match value {
                    Value::String(text) => format!("{name}={text}"),
                    other => format!("{name}={other}"),
                })
                .collect();
            let secrets: Vec<String> = credential
                .secrets
                .values()
                .map(ToString::to_string)
                .collect();
            [
                credential.name.clone(),
                credential.capability.clone(),
                credential.url.clone().unwrap_or_else(|| "-".to_owned()),
                facts.join(" "),
                secrets.join(" "),
            ]
        })
        .collect();
    let header = ["NAME", "USES", "URL", "FACTS", "SECRETS"];
    table(paint, header, &rows)
}

/// The credentials of a consumer, of one of its bindings, or that a secret belongs to.
fn matching<'a>(all: &'a [Credential], name: &str) -> Result<Vec<&'a Credential>> {
    let chosen: Vec<&Credential> = all
        .iter()
        .filter(|credential| {
            credential.name == name
                || consumer(credential) == name
                || credential
                    .secrets
                    .values()
                    .any(|secret| secret.as_str() == name)
        })
        .collect();
    if chosen.is_empty() {
        return Err(unknown(all, name));
    }
    Ok(chosen)
}

fn consumer(credential: &Credential) -> &str {
    credential
        .name
        .split_once('/')
        .map_or(credential.name.as_str(), |(consumer, _)| consumer)
}

/// The secret that a name means: its own, or that of a binding that has only one.
fn secret_name(all: &[Credential], name: &str) -> Result<SecretName> {
    let binding = all.iter().find(|credential| credential.name == name);
    if let Some(credential) = binding {
        let mut secrets = credential.secrets.values();
        if let (Some(only), None) = (secrets.next(), secrets.next()) {
            return Ok(only.clone());
        }
    }
    match name.parse() {
        // Whether there is a secret of that name is for the store to say.
        Ok(name) => Ok(name),
        Err(_) => Err(unknown(all, name)),
    }
}

fn unknown(all: &[Credential], name: &str) -> Error {
    let mut known: Vec<&str> = all
        .iter()
        .map(|credential| credential.name.as_str())
        .collect();
    known.extend(
        all.iter()
            .flat_map(|credential| credential.secrets.values())
            .map(SecretName::as_str),
    );
    known.sort_unstable();
    known.dedup();
    let names: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
    let near = nearest(name, known.iter().copied())
        .map(|near| format!("did you mean `{near}`? "))
        .unwrap_or_default();
    Error::new(
        ErrorKind::InvalidInput,
        format!("find the credentials `{}`", plain_line(name)),
    )
    .with_source("there is no consumer, binding or secret of that name")
    .with_hint(format!("{near}known: {}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Credential> {
        let credential = |name: &str, secret: &str| Credential {
            name: name.to_owned(),
            capability: "s3".to_owned(),
            url: None,
            facts: [
                ("bucket".to_owned(), json!("models")),
                ("port".to_owned(), json!(1)),
            ]
            .into_iter()
            .collect(),
            secrets: [("password".to_owned(), secret.parse().unwrap())].into(),
        };
        vec![
            credential("mlflow/artifacts", "mlflow/artifacts-key"),
            credential("mlflow/login", "mlflow/admin-password"),
            credential("server/registry", "server/key"),
        ]
    }

    #[test]
    fn names_mean_consumers_bindings_and_secrets() {
        let all = all();
        let count = |name: &str| matching(&all, name).map(|chosen| chosen.len());
        assert_eq!(count("mlflow").unwrap(), 2);
        assert_eq!(count("mlflow/login").unwrap(), 1);
        assert_eq!(count("server/key").unwrap(), 1);
        let error = count("mflow").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn a_secret_is_meant_by_its_name_or_its_binding() {
        let all = all();
        let name = |text: &str| secret_name(&all, text).map(|name| name.to_string());
        assert_eq!(name("mlflow/login").unwrap(), "mlflow/admin-password");
        assert_eq!(
            name("postgres/superuser-password").unwrap(),
            "postgres/superuser-password"
        );
        assert!(name("mlflow").is_err());
    }

    #[test]
    fn the_list_has_names_only() {
        let all = all();
        assert_eq!(
            describe(Paint::new(false), &all.iter().take(1).collect::<Vec<_>>()),
            "NAME              USES  URL  FACTS                 SECRETS\n\
             mlflow/artifacts  s3    -    bucket=models port=1  mlflow/artifacts-key"
        );
    }
}
