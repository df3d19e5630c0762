//! Texts with places for settings, secrets and addresses, and the escaping that each place needs.
//!
//! The language is Jinja's, by `minijinja`. A template sees its variables, the functions `secret(NAME)`,
//! `url(SERVICE)`, `host(SERVICE)`, `port(SERVICE)`, `folder(NAME)`, and the filters `uri` (percent-encoding for
//! one part of a URI), `ini` (a value for Python's `configparser`), `json`, `yaml` and `shell`.

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, UndefinedBehavior, Value};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::error::{Error, ErrorKind, Result};
use crate::name::{SecretName, ServiceName};
use crate::resource::Spec;
use crate::secret::SecretText;
use crate::service::Endpoint;

/// Everything but the characters that RFC 3986 calls unreserved.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// What a template may mention.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// Variables by name.
    pub vars: Spec,
    /// The secrets that `secret(NAME)` gives.
    pub secrets: BTreeMap<SecretName, SecretText>,
    /// The services that `url`, `host` and `port` give.
    pub services: BTreeMap<ServiceName, Endpoint>,
    /// The folders that `folder(NAME)` gives.
    pub folders: BTreeMap<String, String>,
}

/// Fills in a template. What comes out may hold a secret, so it is one.
///
/// ```
/// use mlops_core::template::{Scope, render};
///
/// let mut scope = Scope::default();
/// scope.secrets.insert("db/password".parse()?, mlops_core::SecretText::new("p@ss/word"));
/// let uri = render("postgresql://me:{{ secret('db/password') | uri }}@host/db", &scope)?;
/// assert_eq!(uri.expose(), "postgresql://me:p%40ss%2Fword@host/db");
/// # Ok::<(), mlops_core::Error>(())
/// ```
///
/// # Errors
///
/// When the template is malformed or mentions something that is not in scope. The error never holds rendered text.
pub fn render(template: &str, scope: &Scope) -> Result<SecretText> {
    let environment = environment(scope);
    let text = environment
        .render_str(template, Value::from(minijinja::value::Serde(&scope.vars)))
        .map_err(|error| {
            Error::new(
                ErrorKind::InvalidInput,
                format!("fill in `{}`", first_line(template)),
            )
            .with_source(describe(&error))
        })?;
    Ok(SecretText::new(text))
}

/// The first line, shortened: enough to find a template by.
fn first_line(template: &str) -> String {
    template
        .lines()
        .next()
        .unwrap_or_default()
        .chars()
        .take(80)
        .collect()
}

/// `minijinja` shows local variables in its long form; this is the short one.
fn describe(error: &minijinja::Error) -> String {
    let detail = error.detail().unwrap_or_default();
    if detail.is_empty() {
        error.kind().to_string()
    } else {
        format!("{}: {detail}", error.kind())
    }
}

fn unknown(what: &str, name: &str, known: impl Iterator<Item = String>) -> minijinja::Error {
    let known: Vec<String> = known.collect();
    let hint = crate::nearest(name, known.iter().map(String::as_str))
        .map(|near| format!(", did you mean `{near}`?"))
        .unwrap_or_default();
    minijinja::Error::new(
        minijinja::ErrorKind::UndefinedError,
        format!("no {what} `{name}` in scope{hint}"),
    )
}

fn environment(scope: &Scope) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    if let Ok(syntax) = SyntaxConfig::builder().keep_trailing_newline(true).build() {
        environment.set_syntax(syntax);
    }
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    let secrets = Arc::new(
        scope
            .secrets
            .iter()
            .map(|(name, text)| (name.to_string(), text.clone()))
            .collect::<BTreeMap<_, _>>(),
    );
    environment.add_function("secret", move |name: &str| {
        secrets
            .get(name)
            .map(|text| text.expose().to_owned())
            .ok_or_else(|| unknown("secret", name, secrets.keys().cloned()))
    });
    let services = Arc::new(
        scope
            .services
            .iter()
            .map(|(name, place)| (name.to_string(), place.clone()))
            .collect::<BTreeMap<_, _>>(),
    );
    add_place(&mut environment, "url", &services, |place| {
        Value::from(place.url().as_str().trim_end_matches('/'))
    });
    add_place(&mut environment, "host", &services, |place| {
        Value::from(place.host())
    });
    add_place(&mut environment, "port", &services, |place| {
        Value::from(place.port())
    });
    let folders = Arc::new(scope.folders.clone());
    environment.add_function("folder", move |name: &str| {
        folders
            .get(name)
            .cloned()
            .ok_or_else(|| unknown("folder", name, folders.keys().cloned()))
    });
    environment.add_filter("uri", |text: &str| {
        utf8_percent_encode(text, RESERVED).to_string()
    });
    environment.add_filter("ini", ini);
    environment.add_filter("yaml", |text: &str| {
        // Every JSON string is a YAML string.
        serde_json::to_string(text).unwrap_or_default()
    });
    environment.add_filter("json", |value: &Value| {
        serde_json::to_string(value).map_err(|error| {
            minijinja::Error::new(minijinja::ErrorKind::InvalidOperation, error.to_string())
        })
    });
    environment.add_filter("shell", |text: &str| {
        format!("'{}'", text.replace('\'', "'\\''"))
    });
    environment
}

fn add_place(
    environment: &mut Environment<'static>,
    function: &'static str,
    services: &Arc<BTreeMap<String, Endpoint>>,
    part: impl Fn(&Endpoint) -> Value + Send + Sync + 'static,
) {
    let services = Arc::clone(services);
    environment.add_function(function, move |name: &str| {
        services
            .get(name)
            .map(&part)
            .ok_or_else(|| unknown("service", name, services.keys().cloned()))
    });
}

/// A value for Python's `configparser` with its default interpolation: `%` doubled, nothing that ends the line.
fn ini(text: &str) -> std::result::Result<String, minijinja::Error> {
    if text.contains(['\n', '\r', '\0']) || text.trim() != text {
        return Err(minijinja::Error::new(
            minijinja::ErrorKind::InvalidOperation,
            "an INI value can hold neither a line end nor space at its ends",
        ));
    }
    Ok(text.replace('%', "%%"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scope(secret: &str) -> Scope {
        let mut scope = Scope::default();
        scope
            .secrets
            .insert("a/b".parse().unwrap(), SecretText::new(secret));
        scope
    }

    #[test]
    fn what_is_not_in_scope_is_an_error_without_values() {
        let error = render("{{ secret('a/c') }} x", &scope("hunter2")).unwrap_err();
        assert!(
            error.causes()[0].contains("did you mean `a/b`"),
            "{error:?}"
        );
        assert!(!format!("{error:?}").contains("hunter2"));
        let error = render("{{ missing }}", &scope("hunter2")).unwrap_err();
        assert!(!format!("{error:?}").contains("hunter2"));
        assert!(render("{{ secret('a/b') | ini }}", &scope("two\nlines")).is_err());
    }

    proptest! {
        #[test]
        fn a_secret_comes_back_from_a_uri(text in "\\PC{1,40}") {
            let rendered = render("x://u:{{ secret('a/b') | uri }}@h/", &scope(&text)).unwrap();
            let url: url::Url = rendered.expose().parse().unwrap();
            let decoded = percent_encoding::percent_decode_str(url.password().unwrap()).decode_utf8().unwrap();
            prop_assert_eq!(decoded, text);
        }

        #[test]
        fn json_and_yaml_give_the_text_back(text in "\\PC{0,40}") {
            let rendered = render("{{ secret('a/b') | json }}", &scope(&text)).unwrap();
            prop_assert_eq!(&serde_json::from_str::<String>(rendered.expose()).unwrap(), &text);
            let rendered = render("{{ secret('a/b') | yaml }}", &scope(&text)).unwrap();
            prop_assert_eq!(&serde_saphyr::from_str::<String>(rendered.expose()).unwrap(), &text);
        }
    }
}
