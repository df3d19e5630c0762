//! A trial of a component's templates: do they mention only what is there, and what do they mention?

use std::collections::{BTreeMap, BTreeSet};

use mlops_core::platform::{Problem, Problems};
use mlops_core::template::{Scope, render};
use mlops_core::{Endpoint, SecretName, SecretText, Service, ServiceName, Spec};
use serde_json::Value;

use crate::component::Process;

/// Stands between texts that are filled in together.
const BETWEEN: char = '\u{1e}';

/// The port of the first dummy service.
const FIRST_PORT: u16 = 41_001;

/// What a process mentions.
pub(super) struct Mentions {
    pub(super) secrets: BTreeSet<SecretName>,
    pub(super) services: BTreeSet<ServiceName>,
}

/// What templates see, with dummies for what only the target knows.
///
/// Every dummy is a text that occurs nowhere else and that no filter changes, so that what comes out tells what was
/// mentioned.
pub(super) struct Sight {
    scope: Scope,
    secrets: Vec<(SecretName, String)>,
    services: Vec<(ServiceName, String, String)>,
}

impl Sight {
    pub(super) fn new(
        vars: &Spec,
        secrets: &BTreeSet<SecretName>,
        services: &BTreeMap<ServiceName, Service>,
        folders: &[&str],
    ) -> Self {
        let secrets: Vec<_> = secrets
            .iter()
            .enumerate()
            .map(|(index, name)| (name.clone(), format!("zq{index:06}qz")))
            .collect();
        let places: Vec<_> = services
            .values()
            .zip(FIRST_PORT..)
            .filter_map(|(service, port)| {
                let host = format!("service-{port}.invalid");
                let url = format!("{}://{host}:{port}", service.scheme);
                let endpoint = Endpoint::new(url.parse().ok()?).ok()?;
                Some((service.name.clone(), host, port.to_string(), endpoint))
            })
            .collect();
        let scope = Scope {
            vars: vars.clone(),
            secrets: secrets
                .iter()
                .map(|(name, text)| (name.clone(), SecretText::new(text.clone())))
                .collect(),
            services: places
                .iter()
                .map(|(name, _, _, endpoint)| (name.clone(), endpoint.clone()))
                .collect(),
            folders: folders
                .iter()
                .map(|name| ((*name).to_owned(), format!("/{name}")))
                .collect(),
        };
        Self {
            scope,
            secrets,
            services: places
                .into_iter()
                .map(|(name, host, port, _)| (name, host, port))
                .collect(),
        }
    }

    /// Fills in all texts of a process.
    pub(super) fn process(&self, process: &Process, wrong: &mut Problems) -> Mentions {
        let args = process.args.iter().enumerate();
        let args: Vec<(Path, &str)> = args
            .map(|(index, text)| (path("args", &index.to_string()), text.as_str()))
            .collect();
        let env = process.env.iter();
        let env = env.map(|(name, text)| (path("env", name), text.as_str()));
        let files = process.files.iter();
        let files = files.map(|(name, text)| (path("files", name), text.as_str()));
        let rest: Vec<(Path, &str)> = env.chain(files).collect();
        let (Some(args_text), Some(rest_text)) =
            (self.together(&args, wrong), self.together(&rest, wrong))
        else {
            return Mentions::none();
        };
        for (name, dummy) in &self.secrets {
            if args_text.contains(dummy.as_str()) {
                let mut single = args.iter();
                let at = single.find(|(_, text)| {
                    render(text, &self.scope).is_ok_and(|text| text.expose().contains(dummy))
                });
                let at = at.map_or_else(|| path("args", "0"), |(at, _)| at.clone());
                wrong.add(
                    Problem::at(at, format!("the secret `{name}` may not be in an argument"))
                        .with_hint(
                            "everybody on the machine can see arguments: use `env` or `files`",
                        ),
                );
            }
        }
        let text = args_text + &rest_text;
        Mentions {
            secrets: self
                .secrets
                .iter()
                .filter(|(_, dummy)| text.contains(dummy.as_str()))
                .map(|(name, _)| name.clone())
                .collect(),
            services: self
                .services
                .iter()
                .filter(|(_, host, port)| text.contains(host.as_str()) || text.contains(port))
                .map(|(name, ..)| name.clone())
                .collect(),
        }
    }

    /// Fills in many texts at the price of one; each alone only when that fails, to tell which.
    fn together(&self, texts: &[(Path, &str)], wrong: &mut Problems) -> Option<String> {
        let mut plain = String::new();
        let mut joined = String::new();
        let mut alone = Vec::new();
        for (at, text) in texts {
            if !text.contains('{') {
                plain.push_str(text);
                plain.push(BETWEEN);
            } else if text.contains("{%") || text.contains("{#") {
                // A block or comment could reach into the next text.
                alone.push((at, *text));
            } else {
                joined.push_str(text);
                joined.push(BETWEEN);
            }
        }
        if joined.is_empty() {
            // Nothing to fill in.
        } else if let Ok(text) = render(&joined, &self.scope) {
            plain.push_str(text.expose());
        } else {
            let rest = texts.iter().filter(|(_, text)| text.contains('{'));
            alone = rest.map(|(at, text)| (at, *text)).collect();
        }
        let mut is_right = true;
        for (at, text) in alone {
            match render(text, &self.scope) {
                Ok(text) => plain.push_str(text.expose()),
                Err(error) => {
                    is_right = false;
                    wrong.add(problem(at.clone(), text, &self.scope, &error));
                }
            }
        }
        is_right.then_some(plain)
    }

    /// A value with every text in it filled in.
    pub(super) fn fill(&self, value: &Value, at: &[String], wrong: &mut Problems) -> Value {
        let below = |step: String| [at, &[step]].concat();
        match value {
            Value::String(text) if text.contains('{') => match render(text, &self.scope) {
                Ok(text) => Value::String(text.expose().to_owned()),
                Err(error) => {
                    wrong.add(problem(at.to_vec(), text, &self.scope, &error));
                    Value::Null
                }
            },
            Value::Array(items) => items
                .iter()
                .enumerate()
                .map(|(index, item)| self.fill(item, &below(index.to_string()), wrong))
                .collect(),
            Value::Object(fields) => fields
                .iter()
                .map(|(name, field)| (name.clone(), self.fill(field, &below(name.clone()), wrong)))
                .collect(),
            other => other.clone(),
        }
    }
}

type Path = Vec<String>;

fn path(part: &str, step: &str) -> Path {
    ["local", "process", part, step].map(str::to_owned).into()
}

fn problem(at: Path, text: &str, scope: &Scope, error: &mlops_core::Error) -> Problem {
    let causes = error.causes();
    let cause = causes.first().map_or("it is malformed", String::as_str);
    if let Some((missing, known)) = missing(text, scope) {
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        return Problem::at(at, format!("there is no `{missing}` here"))
            .with_nearest(&missing, known);
    }
    Problem::at(at, format!("this template cannot be filled in: {cause}")).with_hint(
        "templates see `settings`, `size`, `bindings`, `platform`, `component` and the functions `secret`, `url`, `host`, `port`, `folder`",
    )
}

/// The first variable that a template mentions and that is not in scope, and what is there in its place. The template
/// language itself only says that something is missing.
fn missing(text: &str, scope: &Scope) -> Option<(String, Vec<String>)> {
    let environment = minijinja::Environment::new();
    let template = environment.template_from_str(text).ok()?;
    let mut mentioned: Vec<String> = template.undeclared_variables(true).into_iter().collect();
    mentioned.sort();
    mentioned.into_iter().find_map(|name| {
        let mut fields = &scope.vars;
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
const FUNCTIONS: [&str; 5] = ["secret", "url", "host", "port", "folder"];
