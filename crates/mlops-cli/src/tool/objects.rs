//! Objects that the user names: files of them, and one by its kind and name.

use std::path::{Path, PathBuf};

use clap::Args as ClapArgs;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use mlops_core::{Error, ErrorKind, Result, nearest};
use mlops_k8s::explain::ObjectRef;
use mlops_k8s::validate::{Input, Presence, Problem, Validator, Version};
use mlops_k8s::{Kind, Kinds, Object, ObjectSet, Scope};

use super::{Connection, Tool};
use crate::file::{kind_of, read_input};

/// How large an input may be, in bytes.
const MOST: u64 = 256 << 20;

/// How deep files may lie below a folder.
const DEEPEST: usize = 16;

/// Objects with the texts that they were read from.
#[derive(Debug)]
pub struct Objects {
    /// The objects.
    pub set: ObjectSet,
    /// The files, each with its text.
    files: Vec<(String, String)>,
}

/// How objects are checked before anything is asked or sent.
#[derive(Debug, Clone, ClapArgs)]
pub struct Checks {
    /// Do not check the objects against the schemas of Kubernetes and one another.
    #[arg(long)]
    pub no_check: bool,

    /// The Kubernetes by whose schemas the objects are checked [default: 1.35, and then that of the server].
    #[arg(long, value_name = "VERSION", value_parser = version_parser())]
    pub kubernetes: Option<Version>,
}

/// The versions whose schemas are known, as texts that help and completions can list.
fn version_parser() -> impl TypedValueParser<Value = Version> {
    const KNOWN: [&str; Version::ALL.len()] = ["1.33", "1.34", "1.35"];
    PossibleValuesParser::new(KNOWN).try_map(|text| text.parse::<Version>())
}

impl Objects {
    /// Checks the objects against the published schemas of Kubernetes and one another; tells what may be wrong.
    ///
    /// # Errors
    ///
    /// When something is wrong for sure: all of it, each with its place.
    pub fn check(&self, tool: &Tool, checks: &Checks, namespace: &str) -> Result<()> {
        if checks.no_check {
            return Ok(());
        }
        let version = checks.kubernetes.unwrap_or(Version::LATEST);
        let (wrong, doubtful) = self.problems(version, namespace);
        for problem in doubtful {
            tool.printer.say(&problem.to_string());
        }
        refuse(&wrong, "use these objects")
    }

    /// Checks the objects against the schemas of the server's own version, unless another was named. Servers whose schemas
    /// are not known, and those that do not say which they are, are taken as they are.
    ///
    /// # Errors
    ///
    /// As [`Objects::check`], and when the server does not answer.
    pub async fn check_for(&self, checks: &Checks, to: &Connection) -> Result<()> {
        if checks.no_check || checks.kubernetes.is_some() {
            return Ok(());
        }
        match to.version().await? {
            None | Some(Version::LATEST) => Ok(()),
            Some(version) => {
                let (wrong, _) = self.problems(version, &to.namespace);
                let doing = format!("use these objects on Kubernetes {version}, as the server is");
                refuse(&wrong, &doing)
            }
        }
    }

    /// What is wrong for sure, and what may be.
    fn problems(&self, version: Version, namespace: &str) -> (Vec<Problem>, Vec<Problem>) {
        let inputs: Vec<Input<'_>> = self
            .files
            .iter()
            .map(|(source, text)| Input { source, text })
            .collect();
        let validator = Validator::new(version).with_namespace(namespace);
        let problems = validator.check(&inputs, |_| Presence::Unknown);
        problems.into_iter().partition(Problem::is_error)
    }
}

fn refuse(wrong: &[Problem], doing: &str) -> Result<()> {
    if wrong.is_empty() {
        return Ok(());
    }
    let texts: Vec<String> = wrong.iter().map(ToString::to_string).collect();
    let doing = format!("{doing}: {} are wrong", texts.len());
    Err(Error::new(ErrorKind::InvalidInput, doing)
        .with_source(texts.join("\n\n"))
        .with_hint("`--no-check` takes them as they are"))
}

impl Tool {
    /// Reads files and folders of YAML; `-` is standard input. Of a folder, all files below it that end in `.yaml`,
    /// `.yml` or `.json` are read, in the order of their names.
    ///
    /// # Errors
    ///
    /// When one cannot be read or holds no objects, or an object names another namespace than `-n`; with its place.
    pub fn read_objects(&self, paths: &[PathBuf]) -> Result<Objects> {
        let mut files = Vec::new();
        for path in paths {
            if path.as_os_str() == "-" {
                files.push(("standard input".to_owned(), self.input.all(MOST)?));
                continue;
            }
            let mut found = Vec::new();
            find_files(path, 0, &mut found)?;
            for file in found {
                files.push((file.display().to_string(), read_input(&file, MOST)?));
            }
        }
        let set = ObjectSet::from_files(files.iter().map(|(name, text)| (name, text)))?;
        if set.is_empty() {
            return Err(Error::new(ErrorKind::InvalidInput, "read objects")
                .with_source("there is none in what was given"));
        }
        self.refuse_strangers(&set)?;
        Ok(Objects { set, files })
    }

    /// Refuses objects that name another namespace than the one that was given: either of both is a mistake.
    fn refuse_strangers(&self, set: &ObjectSet) -> Result<()> {
        let Some(given) = &self.options.namespace else {
            return Ok(());
        };
        let is_stranger = |object: &&Object| {
            let named = object.id().namespace.as_ref();
            named.is_some_and(|named| named != given)
        };
        let strangers: Vec<String> = set
            .iter()
            .filter(is_stranger)
            .map(|object| match object.place() {
                Some(place) => format!("{place}: {}", object.id()),
                None => object.id().to_string(),
            })
            .collect();
        if strangers.is_empty() {
            return Ok(());
        }
        let doing = format!(
            "use these objects: {} of them name another namespace than `{given}`",
            strangers.len()
        );
        Err(Error::new(ErrorKind::InvalidInput, doing)
            .with_source(strangers.join("\n"))
            .with_hint("without `-n` each goes where it says; or correct its `metadata.namespace`"))
    }
}

/// The file itself, or the files below a folder. Links to folders are not followed.
fn find_files(path: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<()> {
    let failed = |error: std::io::Error| {
        Error::new(kind_of(&error), format!("read `{}`", path.display())).with_source(error)
    };
    if depth == 0 && !path.is_dir() {
        found.push(path.to_owned());
        return Ok(());
    }
    let entries = std::fs::read_dir(path).map_err(failed)?;
    let mut entries: Vec<_> = entries.collect::<std::io::Result<_>>().map_err(failed)?;
    entries.sort_by_key(std::fs::DirEntry::path);
    for entry in entries {
        let path = entry.path();
        let is_object = path
            .extension()
            .is_some_and(|end| end == "yaml" || end == "yml" || end == "json");
        if entry.file_type().map_err(failed)?.is_dir() {
            if depth < DEEPEST {
                find_files(&path, depth + 1, found)?;
            }
        } else if is_object {
            found.push(path);
        }
    }
    Ok(())
}

/// The object that `KIND/NAME` means: the kind as it is written in files or in paths, with its group behind a dot where
/// several have it (`deployment/web`, `deployments.apps/web`).
///
/// # Errors
///
/// When the text has another form, or the server has no such kind; with the nearest.
pub fn find_object(kinds: &Kinds, text: &str, namespace: &str) -> Result<ObjectRef> {
    let wrong = |cause: String| {
        Error::new(
            ErrorKind::InvalidInput,
            format!("find the object `{}`", text.escape_debug()),
        )
        .with_source(cause)
    };
    let (word, name) = match text.split_once('/') {
        Some((word, name)) if !word.is_empty() && !name.is_empty() => (word.to_lowercase(), name),
        _ => {
            return Err(wrong("an object is written KIND/NAME".to_owned())
                .with_hint("an example: `deployment/mlflow`"));
        }
    };
    let (word, group) = match word.split_once('.') {
        Some((word, group)) => (word, Some(group)),
        None => (word.as_str(), None),
    };
    let is_meant = |kind: &&Kind| {
        (kind.kind.to_lowercase() == word || kind.plural == word)
            && group.is_none_or(|group| kind.group == group)
    };
    // The core group comes first: a Pod is the Pod that everybody means.
    let Some(kind) = kinds.iter().find(is_meant) else {
        let known: Vec<String> = kinds.iter().map(|kind| kind.kind.to_lowercase()).collect();
        let error = wrong(format!("the server has no kind `{}`", word.escape_debug()));
        return Err(match nearest(word, known.iter().map(String::as_str)) {
            Some(near) => error.with_hint(format!("did you mean `{near}`?")),
            None => error,
        });
    };
    let namespace = (kind.scope == Scope::Namespaced).then_some(namespace);
    Ok(ObjectRef::new(
        &kind.api_version(),
        &kind.kind,
        namespace,
        name,
    ))
}

#[cfg(test)]
mod tests {
    use clap::Args as _;
    use clap::builder::PossibleValue;

    use super::*;

    #[test]
    fn the_versions_are_those_whose_schemas_are_known() {
        let command = Checks::augment_args(clap::Command::new("test"));
        let mut arguments = command.get_arguments();
        let argument = arguments
            .find(|argument| argument.get_id() == "kubernetes")
            .unwrap();
        let values = argument.get_possible_values();
        let names: Vec<&str> = values.iter().map(PossibleValue::get_name).collect();
        assert_eq!(names, Version::ALL.map(|version| version.to_string()));
        let help = argument.get_help().unwrap().to_string();
        let default = format!("[default: {},", Version::LATEST);
        assert!(help.contains(&default), "{help}");
    }
}
