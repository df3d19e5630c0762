//! What an explanation is made of.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::codes::CauseCode;
use super::text::clean;

/// Which object of a cluster is meant.
///
/// ```
/// use mlops_k8s::explain::ObjectRef;
///
/// let object = ObjectRef::new("apps/v1", "Deployment", Some("models"), "mlflow");
/// assert_eq!(object.group, "apps");
/// assert_eq!(object.to_string(), "Deployment models/mlflow");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ObjectRef {
    /// The API group; empty for the core group.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// The version within the group, such as `v1`.
    pub version: String,
    /// The kind, such as `Deployment`.
    pub kind: String,
    /// The namespace; none for objects of the whole cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The name.
    pub name: String,
}

impl ObjectRef {
    /// Names an object by its `apiVersion` (`v1`, `apps/v1`), kind, namespace and name.
    pub fn new(api_version: &str, kind: &str, namespace: Option<&str>, name: &str) -> Self {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        Self {
            group: group.to_owned(),
            version: version.to_owned(),
            kind: kind.to_owned(),
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
        }
    }

    /// Names a namespace, for an explanation of all that is in it.
    pub fn of_namespace(name: &str) -> Self {
        Self::new("v1", "Namespace", None, name)
    }

    /// The `apiVersion` as objects write it.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, name) = (clean(&self.kind), clean(&self.name));
        match &self.namespace {
            Some(namespace) => write!(f, "{kind} {}/{name}", clean(namespace)),
            None => write!(f, "{kind} {name}"),
        }
    }
}

/// Why an object is not ready: the first cause, and what else was found.
///
/// `Display` gives it as text for a terminal: the cause, its evidence and the remedy, then the others by one line each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// What was asked about.
    pub subject: ObjectRef,
    /// Whether it is ready. Without a cause and not ready, it is still on its way.
    pub ready: bool,
    /// The cause that lies deepest: mend this one first.
    pub cause: Option<Cause>,
    /// The other causes and consequences, deepest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<Cause>,
    /// What could not be asked, so that a cause there would have stayed unseen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<String>,
}

/// One reason why something is not ready.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cause {
    /// The stable code.
    pub code: CauseCode,
    /// The object at fault.
    pub subject: ObjectRef,
    /// What is wrong, as one sentence without a full stop.
    pub message: String,
    /// What shows it.
    pub evidence: Vec<Evidence>,
    /// What a person can do about it, in the imperative.
    pub remedy: String,
}

/// What was seen in the cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Evidence {
    /// An event.
    Event {
        /// The object that the event is about.
        about: ObjectRef,
        /// Its reason, such as `FailedScheduling`.
        reason: String,
        /// Its text.
        message: String,
        /// How often it happened.
        count: i64,
        /// When it happened last.
        last: Option<Timestamp>,
    },
    /// A condition in the status of an object.
    Condition {
        /// The object that has it.
        about: ObjectRef,
        /// Its type, such as `Available`.
        condition: String,
        /// `True`, `False` or `Unknown`.
        status: String,
        /// Its reason.
        reason: String,
        /// Its text.
        message: String,
    },
    /// The state of a container.
    Container {
        /// The pod.
        about: ObjectRef,
        /// The container.
        container: String,
        /// `waiting`, `running` or `terminated`.
        state: String,
        /// The reason, such as `CrashLoopBackOff`.
        reason: String,
        /// The text.
        message: String,
        /// With what it ended, if it did.
        exit_code: Option<i64>,
        /// How often it was started again.
        restarts: i64,
    },
    /// The last lines that a container wrote.
    Log {
        /// The pod.
        about: ObjectRef,
        /// The container.
        container: String,
        /// The lines, oldest first; at most 5 of at most 300 characters.
        lines: Vec<String>,
    },
    /// A field of an object.
    Field {
        /// The object.
        about: ObjectRef,
        /// The path, such as `spec.storageClassName`.
        path: String,
        /// The value. Never one of a Secret.
        value: String,
    },
    /// An object that is not there.
    Missing {
        /// The object.
        object: ObjectRef,
    },
    /// What the server answered to a request.
    Answer {
        /// Its text.
        message: String,
    },
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event {
                about,
                reason,
                message,
                count,
                ..
            } => {
                let times = if *count > 1 {
                    format!(" ({count} times)")
                } else {
                    String::new()
                };
                write!(
                    f,
                    "event of {about}: {}: {}{times}",
                    clean(reason),
                    clean(message)
                )
            }
            Self::Condition {
                about,
                condition,
                status,
                reason,
                message,
            } => {
                let (condition, status) = (clean(condition), clean(status));
                write!(
                    f,
                    "condition of {about}: {condition}={status} {}",
                    clean(reason)
                )?;
                after_colon(f, message)
            }
            Self::Container { .. } => self.fmt_container(f),
            Self::Log {
                about,
                container,
                lines,
            } => {
                write!(f, "log of container {} of {about}:", clean(container))?;
                lines
                    .iter()
                    .try_for_each(|line| write!(f, "\n  | {}", clean(line)))
            }
            Self::Field { about, path, value } => {
                let value = if value.is_empty() {
                    "\"\"".to_owned()
                } else {
                    clean(value)
                };
                write!(f, "{about}: {} is {value}", clean(path))
            }
            Self::Missing { object } => write!(f, "{object} is not there"),
            Self::Answer { message } => write!(f, "the server answered: {}", clean(message)),
        }
    }
}

impl Evidence {
    fn fmt_container(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Container {
            about,
            container,
            state,
            reason,
            message,
            exit_code,
            restarts,
        } = self
        else {
            return Ok(());
        };
        write!(
            f,
            "container {} of {about}: {} {}",
            clean(container),
            clean(state),
            clean(reason)
        )?;
        if let Some(code) = exit_code {
            write!(f, ", exit code {code}")?;
        }
        if *restarts > 0 {
            write!(f, ", restarts {restarts}")?;
        }
        after_colon(f, message)
    }
}

fn after_colon(f: &mut fmt::Formatter<'_>, message: &str) -> fmt::Result {
    if message.is_empty() {
        return Ok(());
    }
    write!(f, ": {}", clean(message))
}

impl Cause {
    /// It in one line, without evidence and remedy.
    pub fn line(&self) -> String {
        let message = clean(&self.message);
        format!("{}: {message} ({})", self.subject, self.code)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}: {}: {}",
            self.code,
            self.subject,
            clean(&self.message)
        )?;
        for evidence in &self.evidence {
            for line in evidence.to_string().lines() {
                writeln!(f, "  {line}")?;
            }
        }
        write!(f, "  remedy: {}", clean(&self.remedy))
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subject = &self.subject;
        match (&self.cause, self.ready) {
            (None, true) => write!(f, "{subject} is ready")?,
            (None, false) => write!(f, "{subject} is not ready; nothing says that it has failed")?,
            (Some(cause), true) => write!(f, "{subject} is ready\n{cause}")?,
            (Some(cause), false) => write!(f, "{subject} is not ready\n{cause}")?,
        }
        for other in &self.others {
            write!(
                f,
                "\nalso {}: {}: {}",
                other.code,
                other.subject,
                clean(&other.message)
            )?;
        }
        for unknown in &self.unknown {
            write!(f, "\nnot known: {}", clean(unknown))?;
        }
        Ok(())
    }
}
