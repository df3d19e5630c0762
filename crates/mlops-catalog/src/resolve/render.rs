//! A trial of a component's templates: do they mention only what is there, and what do they mention?
//!
//! The language is that of [`mlops_core::template`], with dummies for what only the target knows. One environment
//! serves all components, because making one costs more than filling in a component's texts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior};
use mlops_core::platform::{Problem, Problems};
use mlops_core::{SecretName, Service, ServiceName, Spec, nearest};
use serde_json::Value;

use crate::component::Process;

/// Stands between texts that are filled in together.
const BETWEEN: char = '\u{1e}';

/// What a process mentions.
#[derive(Debug, Default)]
pub(super) struct Mentions {
    pub(super) secrets: BTreeSet<SecretName>,
    pub(super) services: BTreeSet<ServiceName>,
}

/// What the templates of one component may mention.
#[derive(Debug, Default)]
pub(super) struct Sight {
    pub(super) secrets: BTreeMap<String, SecretName>,
    pub(super) services: BTreeMap<String, ServiceName>,
    pub(super) folders: Vec<&'static str>,
    mentioned: Mentions,
}

impl Sight {
    pub(super) fn new(
        secrets: &BTreeSet<SecretName>,
        services: &BTreeMap<ServiceName, Service>,
        folders: Vec<&'static str>,
    ) -> Self {
        Self {
            secrets: secrets
                .iter()
                .map(|name| (name.to_string(), name.clone()))
                .collect(),
            services: services
                .keys()
                .map(|name| (name.to_string(), name.clone()))
                .collect(),
            folders,
            mentioned: Mentions::default(),
        }
    }
}

/// Where templates are tried.
pub(super) struct Trial {
    environment: Environment<'static>,
    sight: Arc<Mutex<Sight>>,
}

pub(super) fn unknown<'k>(what: &str, name: &str, known: impl Iterator<Item = &'k str>) -> Error {
    let hint = nearest(name, known)
        .map(|near| format!(", did you mean `{near}`?"))
        .unwrap_or_default();
    let text = format!("no {what} `{name}` in scope{hint}");
    Error::new(ErrorKind::UndefinedError, text)
}

impl Trial {
    pub(super) fn new() -> Self {
        let sight = Arc::new(Mutex::new(Sight::default()));
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        let shared = Arc::clone(&sight);
        environment.add_function("secret", move |name: &str| {
            let mut sight = shared.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(found) = sight.secrets.get(name).cloned() else {
                return Err(unknown(
                    "secret",
                    name,
                    sight.secrets.keys().map(String::as_str),
                ));
            };
            sight.mentioned.secrets.insert(found);
            Ok("dummy")
        });
        for function in ["url", "host", "port"] {
            let shared = Arc::clone(&sight);
            environment.add_function(function, move |name: &str| {
                let mut sight = shared.lock().unwrap_or_else(PoisonError::into_inner);
                let Some(found) = sight.services.get(name).cloned() else {
                    return Err(unknown(
                        "service",
                        name,
                        sight.services.keys().map(String::as_str),
                    ));
                };
                sight.mentioned.services.insert(found);
                Ok(match function {
                    "url" => minijinja::Value::from("http://127.0.0.1:1"),
                    "host" => minijinja::Value::from("127.0.0.1"),
                    _ => minijinja::Value::from(1),
                })
            });
        }
        let shared = Arc::clone(&sight);
        environment.add_function("folder", move |name: &str| {
            let sight = shared.lock().unwrap_or_else(PoisonError::into_inner);
            if sight.folders.contains(&name) {
                Ok("/dummy")
            } else {
                Err(unknown("folder", name, sight.folders.iter().copied()))
            }
        });
        for filter in ["uri", "ini", "yaml", "shell"] {
            environment.add_filter(filter, str::to_owned);
        }
        environment.add_filter("json", |value: &minijinja::Value| value.to_string());
        Self { environment, sight }
    }

    /// Begins with another component.
    pub(super) fn look(&self, sight: Sight) {
        *self.sight.lock().unwrap_or_else(PoisonError::into_inner) = sight;
    }

    fn mentioned(&self) -> Mentions {
        let mut sight = self.sight.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut sight.mentioned)
    }

    fn render(&self, text: &str, vars: &minijinja::Value) -> Result<String, Error> {
        self.environment.render_str(text, vars.clone())
    }

    /// Fills in all texts of a process.
    pub(super) fn process(&self, process: &Process, vars: &Spec, wrong: &mut Problems) -> Mentions {
        let values = minijinja::Value::from(minijinja::value::Serde(vars));
        let args = process.args.iter().enumerate();
        let args: Vec<(Path, &str)> = args
            .map(|(index, text)| (path("args", index.to_string()), text.as_str()))
            .collect();
        let env = process.env.iter();
        let env = env.map(|(name, text)| (path("env", name.clone()), text.as_str()));
        let files = process.files.iter();
        let files = files.map(|(name, text)| (path("files", name.clone()), text.as_str()));
        let rest: Vec<(Path, &str)> = env.chain(files).collect();
        self.together(&args, vars, &values, wrong);
        let mut mentions = self.mentioned();
        if !mentions.secrets.is_empty() {
            self.complain_of_secrets(&args, &values, wrong);
        }
        self.together(&rest, vars, &values, wrong);
        let more = self.mentioned();
        mentions.secrets.extend(more.secrets);
        mentions.services.extend(more.services);
        mentions
    }

    /// Fills in the texts of a Secret of the cluster.
    pub(super) fn secret(
        &self,
        name: &str,
        data: &BTreeMap<String, String>,
        vars: &Spec,
        wrong: &mut Problems,
    ) -> Mentions {
        let values = minijinja::Value::from(minijinja::value::Serde(vars));
        let at = |key: &String| {
            ["cluster", "secrets", name, key]
                .map(str::to_owned)
                .to_vec()
        };
        let texts = data.iter().map(|(key, text)| (at(key), text.as_str()));
        let texts: Vec<(Path, &str)> = texts.collect();
        self.together(&texts, vars, &values, wrong);
        self.mentioned()
    }

    fn complain_of_secrets(
        &self,
        args: &[(Path, &str)],
        values: &minijinja::Value,
        wrong: &mut Problems,
    ) {
        for (at, text) in args {
            drop(self.render(text, values));
            for name in self.mentioned().secrets {
                let message = format!("the secret `{name}` may not be in an argument");
                wrong.add(
                    Problem::at(at.clone(), message).with_hint(
                        "everybody on the machine can see arguments: use `env` or `files`",
                    ),
                );
            }
        }
    }

    /// Fills in many texts at the price of one; each alone only when that fails, to tell which.
    fn together(
        &self,
        texts: &[(Path, &str)],
        vars: &Spec,
        values: &minijinja::Value,
        wrong: &mut Problems,
    ) {
        let mut joined = String::new();
        let mut alone: Vec<&(Path, &str)> = Vec::new();
        for one in texts.iter().filter(|(_, text)| text.contains('{')) {
            if one.1.contains("{%") || one.1.contains("{#") {
                // A block or comment could reach into the next text.
                alone.push(one);
            } else {
                joined.push_str(one.1);
                joined.push(BETWEEN);
            }
        }
        if !joined.is_empty() && self.render(&joined, values).is_err() {
            alone = texts.iter().collect();
        }
        for (at, text) in alone {
            if let Err(error) = self.render(text, values) {
                wrong.add(problem(at.clone(), text, vars, &error));
            }
        }
    }

    /// A value with every text in it filled in.
    pub(super) fn fill(
        &self,
        value: &Value,
        at: &[String],
        vars: &Spec,
        wrong: &mut Problems,
    ) -> Value {
        let below = |step: String| [at, &[step]].concat();
        match value {
            Value::String(text) if text.contains('{') => {
                let values = minijinja::Value::from(minijinja::value::Serde(vars));
                match self.render(text, &values) {
                    Ok(text) => Value::String(text),
                    Err(error) => {
                        wrong.add(problem(at.to_vec(), text, vars, &error));
                        Value::Null
                    }
                }
            }
            Value::Array(items) => items
                .iter()
                .enumerate()
                .map(|(index, item)| self.fill(item, &below(index.to_string()), vars, wrong))
                .collect(),
            Value::Object(fields) => fields
                .iter()
                .map(|(name, field)| {
                    let field = self.fill(field, &below(name.clone()), vars, wrong);
                    (name.clone(), field)
                })
                .collect(),
            other => other.clone(),
        }
    }
}

type Path = Vec<String>;

fn path(part: &str, step: String) -> Path {
    vec![
        "local".to_owned(),
        "process".to_owned(),
        part.to_owned(),
        step,
    ]
}

fn problem(at: Path, text: &str, vars: &Spec, error: &Error) -> Problem {
    if let Some((missing, known)) = missing(text, vars) {
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        return Problem::at(at, format!("there is no `{missing}` here"))
            .with_nearest(&missing, known);
    }
    let detail = error.detail().unwrap_or_default();
    let between = if detail.is_empty() { "" } else { ": " };
    let cause = format!("{}{between}{detail}", error.kind());
    Problem::at(at, format!("this template cannot be filled in: {cause}")).with_hint(
        "templates see `settings`, `size`, `bindings`, `platform`, `component` and the functions `secret`, `url`, `host`, `port`, `folder`",
    )
}

/// "Did you mean", when one of the known names is near, or else these names.
pub(super) fn nearest_of(given: &str, known: &[&str]) -> Option<String> {
    if let Some(near) = nearest(given, known.iter().copied()) {
        return Some(format!("did you mean `{near}`?"));
    }
    let known: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
    (!known.is_empty()).then(|| format!("known: {}", known.join(", ")))
}

/// The first variable that a template mentions and that is not in scope, and what is there in its place. The template
/// language itself only says that something is missing.
pub(super) fn missing(text: &str, vars: &Spec) -> Option<(String, Vec<String>)> {
    let environment = Environment::new();
    let template = environment.template_from_str(text).ok()?;
    let mut mentioned: Vec<String> = template.undeclared_variables(true).into_iter().collect();
    mentioned.sort();
    mentioned.into_iter().find_map(|name| {
        let mut fields = vars;
        let mut before = String::new();
        for step in name.split('.') {
            if FUNCTIONS.contains(&step) {
                return None;
            }
            match fields.get(step) {
                Some(Value::Object(below)) => fields = below,
                Some(_) => return None,
                None => {
                    let known = fields.keys().map(|key| format!("{before}{key}")).collect();
                    return Some((format!("{before}{step}"), known));
                }
            }
            before = format!("{before}{step}.");
        }
        None
    })
}

/// What templates can call.
const FUNCTIONS: [&str; 7] = ["secret", "url", "host", "port", "folder", "image", "file"];

#[cfg(test)]
mod tests {
    use mlops_core::Endpoint;
    use mlops_core::template::{Scope, render};
    use serde_json::json;

    use super::*;

    const EXPRESSIONS: &[&str] = &[
        "secret('a/b')",
        "secret('a/b') | uri",
        "secret('a/b') | ini",
        "secret('a/b') | json",
        "settings | json",
        "settings.a | json",
        "secret('a/b') | yaml",
        "secret('a/b') | shell",
        "settings.a | uri",
        "settings.a | shell",
        "url('web')",
        "host('web')",
        "port('web')",
        "port('web') + settings.a",
        "port('web') | uri",
        "folder('run')",
        "folder('run') ~ '/x'",
        "settings.b or settings.a",
        "'y' if settings.c else 'n'",
        "settings.c | upper",
        "settings.c | join(',')",
        "settings.missing",
        "missing",
        "secret('a/c')",
        "secret(settings.a)",
        "url('wep')",
        "folder('data')",
        "settings.c | shout",
        "shout(settings.c)",
        "url('web') | ini",
        "settings.c +",
    ];

    /// The trial knows the language of the real thing: what the one takes the other takes, and the other way round.
    #[test]
    fn the_trial_agrees_with_the_real_templates() {
        let Value::Object(vars) = json!({ "settings": { "a": 1, "b": null, "c": "x" } }) else {
            panic!("an object");
        };
        let mut scope = Scope {
            vars: vars.clone(),
            ..Scope::default()
        };
        let secret: SecretName = "a/b".parse().unwrap();
        let service: ServiceName = "web".parse().unwrap();
        let endpoint = Endpoint::new("http://127.0.0.1:1".parse().unwrap()).unwrap();
        scope
            .secrets
            .insert(secret.clone(), "dummy".to_owned().into());
        scope.services.insert(service.clone(), endpoint);
        scope.folders.insert("run".to_owned(), "/dummy".to_owned());
        let trial = Trial::new();
        trial.look(Sight {
            secrets: BTreeMap::from([(secret.to_string(), secret)]),
            services: BTreeMap::from([(service.to_string(), service)]),
            folders: vec!["run"],
            mentioned: Mentions::default(),
        });
        let values = minijinja::Value::from(minijinja::value::Serde(&vars));
        for expression in EXPRESSIONS {
            let text = format!("{{{{ {expression} }}}}");
            let (tried, real) = (trial.render(&text, &values), render(&text, &scope));
            assert_eq!(
                tried.is_ok(),
                real.is_ok(),
                "{expression}: {tried:?} {:?}",
                real.map(|text| text.expose().to_owned())
            );
        }
    }
}
