//! Templates of objects: filled in when a platform is resolved, without any secret.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior};
use mlops_core::platform::{Diagnostic, Diagnostics, Snippet, Source};
use mlops_core::template::{Scope, render};
use mlops_core::{Endpoint, Spec};
use serde_json::{Value, json};
use url::Url;

use crate::resolve::render::{missing, nearest_of, unknown};

/// What templates can mention, for messages.
const SIGHT: &str = "templates of objects see `settings`, `size`, `bindings`, `platform`, `component`, `namespace`, \
                     `storage_class` and the functions `url`, `host`, `port`, `image`, `file`";

/// Where a service is, as the functions of templates tell it.
#[derive(Debug, Clone)]
pub(super) struct Place {
    url: String,
    host: String,
    port: u16,
}

impl Place {
    pub(super) fn of(url: Url) -> Option<Self> {
        let endpoint = Endpoint::new(url).ok()?;
        Some(Self {
            url: endpoint.url().as_str().trim_end_matches('/').to_owned(),
            host: endpoint.host().to_owned(),
            port: endpoint.port(),
        })
    }
}

/// What the templates of one component may mention beside variables.
#[derive(Debug, Default)]
pub(super) struct View {
    pub(super) places: BTreeMap<String, Place>,
    pub(super) images: BTreeMap<String, String>,
    pub(super) files: Option<BTreeMap<String, Arc<str>>>,
    pub(super) secrets: BTreeSet<String>,
}

/// Fills in the templates of objects. One serves all components, because making one costs more than its use.
pub(in crate::resolve) struct Stencil {
    environment: Environment<'static>,
    view: Arc<Mutex<View>>,
}

impl Stencil {
    pub(in crate::resolve) fn new() -> Self {
        let view = Arc::new(Mutex::new(View::default()));
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        for function in ["url", "host", "port"] {
            let shared = Arc::clone(&view);
            environment.add_function(function, move |name: &str| {
                let view = shared.lock().unwrap_or_else(PoisonError::into_inner);
                let known = || view.places.keys().map(String::as_str);
                let place = view.places.get(name);
                let place = place.ok_or_else(|| unknown("service", name, known()))?;
                Ok(match function {
                    "url" => minijinja::Value::from(place.url.clone()),
                    "host" => minijinja::Value::from(place.host.clone()),
                    _ => minijinja::Value::from(place.port),
                })
            });
        }
        let shared = Arc::clone(&view);
        environment.add_function("image", move |name: &str| {
            let view = shared.lock().unwrap_or_else(PoisonError::into_inner);
            let known = || view.images.keys().map(String::as_str);
            let image = view.images.get(name).cloned();
            image.ok_or_else(|| unknown("image", name, known()))
        });
        let shared = Arc::clone(&view);
        environment.add_function("file", move |name: &str| {
            let view = shared.lock().unwrap_or_else(PoisonError::into_inner);
            let files = view.files.iter().flatten();
            let known = || files.clone().map(|(name, _)| name.as_str());
            let file = files.clone().find(|(file, _)| file.as_str() == name);
            file.map(|(_, text)| minijinja::Value::from(Arc::clone(text)))
                .ok_or_else(|| unknown("file", name, known()))
        });
        let shared = Arc::clone(&view);
        environment.add_function("secret", move |name: &str| -> Result<String, Error> {
            let view = shared.lock().unwrap_or_else(PoisonError::into_inner);
            if !view.secrets.contains(name) {
                let known = view.secrets.iter().map(String::as_str);
                return Err(unknown("secret", name, known));
            }
            let text = format!("the secret `{name}` may not be in an object");
            Err(Error::new(ErrorKind::InvalidOperation, text))
        });
        add_filters(&mut environment);
        Self { environment, view }
    }

    /// Begins with another component.
    pub(super) fn look(&self, view: View) {
        *self.view.lock().unwrap_or_else(PoisonError::into_inner) = view;
    }

    /// The object of a template, with the text it was read from; `None` when the template comes to nothing.
    pub(super) fn object(
        &self,
        source: &Source,
        vars: &Spec,
    ) -> Result<Option<(Source, Value)>, Diagnostics> {
        let values = minijinja::Value::from(minijinja::value::Serde(vars));
        let text = self
            .environment
            .render_str(source.text(), values)
            .map_err(|error| explain(source, vars, &error))?;
        let is_nothing = |line: &str| line.trim().is_empty() || line.trim().starts_with('#');
        if text.lines().all(is_nothing) {
            return Ok(None);
        }
        let filled = Source::new(format!("{} (filled in)", source.path()), text);
        let object = filled.read::<Value>()?;
        Ok(Some((filled, object)))
    }
}

fn add_filters(environment: &mut Environment<'static>) {
    let as_json = |value: &minijinja::Value| {
        serde_json::to_string(value)
            .map_err(|error| Error::new(ErrorKind::InvalidOperation, error.to_string()))
    };
    environment.add_filter("json", as_json);
    // JSON is YAML. Here numbers are let through too, for quantities may be written as such.
    environment.add_filter("yaml", as_json);
    for (name, template) in [
        ("uri", "{{ text | uri }}"),
        ("ini", "{{ text | ini }}"),
        ("shell", "{{ text | shell }}"),
    ] {
        environment.add_filter(name, move |text: &str| {
            let mut scope = Scope::default();
            scope.vars.insert("text".to_owned(), json!(text));
            let filled = render(template, &scope);
            let filled = filled.map_err(|error| {
                let causes = error.causes();
                let cause = causes.first().cloned().unwrap_or_default();
                Error::new(ErrorKind::InvalidOperation, cause)
            });
            // There are no secrets here, and this is none.
            filled.map(|text| text.expose().to_owned())
        });
    }
}

/// What is wrong with a template, at its line.
fn explain(source: &Source, vars: &Spec, error: &Error) -> Diagnostics {
    let detail = error.detail().unwrap_or_default();
    let (message, hint) = if detail.ends_with("may not be in an object") {
        let hint = "everybody who may read the object can see it: use `cluster.secrets` and mention that Secret";
        (detail.to_owned(), Some(hint.to_owned()))
    } else if let Some((missing, known)) = missing(source.text(), vars)
        && error.kind() == ErrorKind::UndefinedError
        && detail.is_empty()
    {
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let message = format!("there is no `{missing}` here");
        (message, nearest_of(&missing, &known))
    } else {
        let between = if detail.is_empty() { "" } else { ": " };
        let message = format!(
            "this template cannot be filled in: {}{between}{detail}",
            error.kind()
        );
        (message, Some(SIGHT.to_owned()))
    };
    let place = error.line().and_then(|line| {
        let text = source.text().lines().nth(line.checked_sub(1)?)?;
        let start = text.chars().take_while(|c| c.is_whitespace()).count();
        let shown: String = text.chars().take(120).collect();
        let width = shown.trim().chars().count().max(1);
        let snippet = Snippet {
            text: shown.trim_end().to_owned(),
            start,
            width,
        };
        Some((line as u64, start as u64 + 1, snippet))
    });
    Diagnostics::new([Diagnostic {
        path: source.path().to_owned(),
        line: place.as_ref().map(|(line, ..)| *line),
        column: place.as_ref().map(|(_, column, _)| *column),
        message,
        hint,
        snippet: place.map(|(.., snippet)| snippet),
    }])
}
