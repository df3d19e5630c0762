//! The components, profiles and samples that a platform is made of.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use mlops_core::platform::{Diagnostics, Problem, Problems, Source};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::component::{Component, Profile, Sample};
use crate::embedded;

/// The components, profiles and samples that a platform is made of. A file is read when it is needed first.
///
/// ```
/// use mlops_catalog::Catalog;
///
/// let catalog = Catalog::embedded();
/// let mlflow = catalog.component("mlflow")?.expect("it is part of the catalogue");
/// assert_eq!(mlflow.title, "MLflow");
/// assert!(catalog.component_names().any(|name| name == "postgres"));
/// # Ok::<(), mlops_core::Diagnostics>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    components: BTreeMap<String, Entry<Component>>,
    profiles: BTreeMap<String, Entry<Profile>>,
    samples: BTreeMap<String, Entry<Sample>>,
    docs: BTreeMap<String, String>,
    /// Templates of objects, by component and file.
    objects: BTreeMap<String, BTreeMap<String, Source>>,
    /// Files that templates of objects take in as they are, by component and file.
    files: BTreeMap<String, BTreeMap<String, Arc<str>>>,
    python_lock: Option<String>,
}

/// A file and, once it was needed, what it says.
#[derive(Debug, Clone)]
struct Entry<T> {
    source: Source,
    value: OnceLock<Result<T, Diagnostics>>,
}

impl<T: DeserializeOwned + JsonSchema> Entry<T> {
    fn new(path: &str, text: impl Into<String>) -> Self {
        Self {
            source: Source::new(path, text),
            value: OnceLock::new(),
        }
    }

    fn get(&self) -> Result<&T, Diagnostics> {
        self.value
            .get_or_init(|| self.source.read())
            .as_ref()
            .map_err(Clone::clone)
    }
}

/// What a file of a catalogue folder is, by its path.
enum Role {
    Component(String),
    Docs(String),
    Object(String, String),
    File(String, String),
    Profile(String),
    Sample(String),
}

impl Role {
    fn of(path: &Path) -> Option<Self> {
        let part = |path: &Path| Some(path.file_name()?.to_str()?.to_owned());
        let parent = path.parent()?;
        let folder = part(parent)?;
        let file = part(path)?;
        let is_object = folder == "objects" && path.extension().is_some_and(|end| end == "yaml");
        if is_object || folder == "files" {
            let component = parent.parent().and_then(part)?;
            return Some(if is_object {
                Self::Object(component, file)
            } else {
                Self::File(component, file)
            });
        }
        match file.as_str() {
            "component.yaml" => Some(Self::Component(folder)),
            "docs.md" => Some(Self::Docs(folder)),
            file => {
                let stem = file.strip_suffix(".yaml")?.to_owned();
                match folder.as_str() {
                    "profiles" => Some(Self::Profile(stem)),
                    "samples" => Some(Self::Sample(stem)),
                    _ => None,
                }
            }
        }
    }
}

impl Catalog {
    /// The catalogue that is part of the program.
    pub fn embedded() -> Self {
        let mut catalog = Self::default();
        for (path, text) in embedded::FILES {
            catalog.insert(path, Path::new(path), *text);
        }
        catalog
    }

    /// Adds the files of a user's own folder: `NAME/component.yaml`, `NAME/docs.md`, `NAME/objects/*.yaml` and
    /// `NAME/files/*` (also below a folder `components`), `profiles/NAME.yaml` and `samples/NAME.yaml`. Other files are
    /// left alone. The caller reads them; the paths are for messages as well.
    ///
    /// # Errors
    ///
    /// When no component, profile or sample is among them, or a component has the name of one that is there already
    /// and does not say `replaces: true`.
    pub fn with_folder(mut self, files: BTreeMap<PathBuf, String>) -> Result<Self, Diagnostics> {
        let before = self.clone();
        let mut added = 0_usize;
        let mut wrong = Diagnostics::default();
        let mut replaced = Vec::new();
        for (path, text) in &files {
            let shown = path.display().to_string();
            if let Some(Role::Component(name)) = Role::of(path)
                && before.components.contains_key(&name)
            {
                let entry = Entry::<Component>::new(&shown, text.as_str());
                match entry.get() {
                    Ok(component) if component.replaces => {
                        replaced.push(name);
                    }
                    Ok(_) => wrong = wrong.and(taken(&name, &entry.source)),
                    Err(more) => wrong = wrong.and(more),
                }
            }
        }
        // Objects of the one that was there before are none of the new one.
        for name in replaced {
            self.objects.remove(&name);
            self.files.remove(&name);
        }
        for (path, text) in files {
            let shown = path.display().to_string();
            added += usize::from(self.insert(&shown, &path, text));
        }
        if added == 0 {
            let mut problems = Problems::new();
            problems.add(
                Problem::of_file("there is no component, profile or sample here")
                    .with_hint("a component is a folder with a file `component.yaml`"),
            );
            wrong = wrong.and(problems.locate(None, "the catalogue folder"));
        }
        wrong.or(self)
    }

    /// Says by which locked Python environment the components of Python run: a short digest of its lock file.
    #[must_use]
    pub fn with_python_lock(mut self, digest: impl Into<String>) -> Self {
        self.python_lock = Some(digest.into());
        self
    }

    fn insert(&mut self, shown: &str, path: &Path, text: impl Into<String>) -> bool {
        match Role::of(path) {
            Some(Role::Component(name)) => {
                self.components.insert(name, Entry::new(shown, text));
            }
            Some(Role::Profile(name)) => {
                self.profiles.insert(name, Entry::new(shown, text));
            }
            Some(Role::Sample(name)) => {
                self.samples.insert(name, Entry::new(shown, text));
            }
            Some(Role::Docs(name)) => {
                self.docs.insert(name, text.into());
                return false;
            }
            Some(Role::Object(component, file)) => {
                let of_component = self.objects.entry(component).or_default();
                of_component.insert(file, Source::new(shown, text));
                return false;
            }
            Some(Role::File(component, file)) => {
                let of_component = self.files.entry(component).or_default();
                of_component.insert(file, text.into().into());
                return false;
            }
            None => return false,
        }
        true
    }

    /// A component by name; `None` when there is none.
    ///
    /// # Errors
    ///
    /// When its file is wrong, or says another name than its folder.
    pub fn component(&self, name: &str) -> Result<Option<&Component>, Diagnostics> {
        let Some(entry) = self.components.get(name) else {
            return Ok(None);
        };
        let component = entry.get()?;
        if component.name.as_str() == name {
            return Ok(Some(component));
        }
        let mut problems = Problems::new();
        problems.add(
            Problem::at(
                ["name"],
                format!(
                    "the component is called `{}`, its folder `{name}`",
                    component.name
                ),
            )
            .with_hint("use one name for both"),
        );
        Err(problems.locate(Some(&entry.source), name))
    }

    /// Reads many components at once, where that is faster than one after another.
    pub(crate) fn read_ahead<'n>(&self, names: impl Iterator<Item = &'n str>) {
        let entries: Vec<_> = names
            .filter_map(|name| self.components.get(name))
            .filter(|entry| entry.value.get().is_none())
            .collect();
        // What is wrong is kept, and told when the component is asked for.
        mlops_core::threads::map(&entries, |entry| drop(entry.get()));
    }

    /// The file of a component, for messages.
    pub fn source(&self, component: &str) -> Option<&Source> {
        self.components.get(component).map(|entry| &entry.source)
    }

    /// The page of a component.
    pub fn docs(&self, component: &str) -> Option<&str> {
        self.docs.get(component).map(String::as_str)
    }

    /// The templates of a component's objects, by file name.
    pub fn objects(&self, component: &str) -> impl Iterator<Item = (&str, &Source)> {
        let of_component = self.objects.get(component).into_iter().flatten();
        of_component.map(|(file, source)| (file.as_str(), source))
    }

    /// The files that templates of a component's objects take in as they are.
    pub(crate) fn files(&self, component: &str) -> Option<&BTreeMap<String, Arc<str>>> {
        self.files.get(component)
    }

    /// The names of all components.
    pub fn component_names(&self) -> impl Iterator<Item = &str> {
        self.components.keys().map(String::as_str)
    }

    /// A profile by name; `None` when there is none.
    ///
    /// # Errors
    ///
    /// When its file is wrong.
    pub fn profile(&self, name: &str) -> Result<Option<&Profile>, Diagnostics> {
        self.profiles.get(name).map(Entry::get).transpose()
    }

    /// The names of all profiles.
    pub fn profile_names(&self) -> impl Iterator<Item = &str> {
        self.profiles.keys().map(String::as_str)
    }

    /// A sample model by name; `None` when there is none.
    ///
    /// # Errors
    ///
    /// When its file is wrong.
    pub fn sample(&self, name: &str) -> Result<Option<&Sample>, Diagnostics> {
        self.samples.get(name).map(Entry::get).transpose()
    }

    /// The names of all sample models.
    pub fn sample_names(&self) -> impl Iterator<Item = &str> {
        self.samples.keys().map(String::as_str)
    }

    /// The digest of the locked Python environment, if one was said.
    pub fn python_lock(&self) -> Option<&str> {
        self.python_lock.as_deref()
    }

    /// The JSON Schema of `component.yaml`, made from the types.
    pub fn component_schema() -> Value {
        schemars::schema_for!(Component).to_value()
    }
}

fn taken(name: &str, source: &Source) -> Diagnostics {
    let mut problems = Problems::new();
    problems.add(
        Problem::at(
            ["name"],
            format!("the catalogue has a component `{name}` already"),
        )
        .with_hint("choose another name, or say `replaces: true` to put this one in its place"),
    );
    problems.locate(Some(source), name)
}
