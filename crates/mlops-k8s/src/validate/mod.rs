//! Checks objects before anything is sent: their fields against the published OpenAPI of Kubernetes and the
//! definitions of custom resources in the same set, the rules that no schema has, and what they say about one another.
//!
//! Nothing here talks to a server. What is not in the set may be in the cluster: the caller says so, by a function
//! from [`Reference`] to [`Presence`].
//!
//! | what is referred to | in the set | [`Presence::Here`] | [`Presence::Unknown`] | [`Presence::Absent`] |
//! |---|---|---|---|---|
//! | an object, a key of one, a port of a service, a custom kind | right | right | warning | error |
//! | the same with `optional: true` | right | right | right | right |
//! | pods that a service or a disruption budget selects | right | right | warning | error |
//! | a key or port that the object *in the set* lacks | error | error | error | error |
//! | a named port that no selected container has | error | error | error | error |
//! | a numbered port, when the selected containers declare only others | warning | warning | warning | warning |
//!
//! What every cluster has (the namespace `default`, the role `view`, the account `default` and the like) is never asked
//! for, nor is a secret that a certificate, an external or a sealed secret of the set makes.
//!
//! ```
//! use mlops_k8s::validate::{Input, Presence, Validator, Version};
//!
//! let text = "\
//! apiVersion: v1
//! kind: Service
//! metadata: {name: web}
//! spec:
//!   prots: []
//! ";
//! let validator = Validator::new(Version::LATEST);
//! let problems = validator.check(&[Input { source: "web.yaml", text }], |_| Presence::Unknown);
//! assert_eq!(problems[0].to_string(), "\
//! error: the service has no ports
//!  --> web.yaml:4:1
//!   |
//! 4 | spec:
//!   | ^^^^
//!   = in: Service default/web, spec
//!   = hint: write `ports`, or `clusterIP: None` when only names are wanted");
//! assert_eq!(problems[1].hint.as_deref(), Some("did you mean `ports`?"));
//! ```

mod check;
mod custom;
mod documents;
mod finds;
mod forms;
mod gone;
mod problem;
mod references;
mod rights;
mod rules;
mod schema;
mod set;
mod snippet;
mod spots;

use serde_json::Value;

pub use forms::quantity::Quantity;
pub use problem::{Problem, Severity};
pub use references::{Presence, Reference};
pub use rights::{Rights, RightsObjects, RightsOptions, rbac_for};
pub use schema::Version;

use documents::Document;
use finds::{Finds, Look as _};
use references::Resolver;
use set::{Meaning, Object, Set};

/// The largest text that is read, in bytes.
pub const MAX_BYTES: usize = 64 << 20;

/// The text of a file: YAML of several documents, or JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Input<'a> {
    /// The file's name, for messages.
    pub source: &'a str,
    /// What is in it.
    pub text: &'a str,
}

/// Checks sets of objects for one version of Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validator {
    version: Version,
    namespace: String,
}

impl Validator {
    /// For a version; objects that name no namespace are taken to go to `default`.
    pub fn new(version: Version) -> Self {
        Self {
            version,
            namespace: "default".to_owned(),
        }
    }

    /// Sets the namespace of objects that name none.
    #[must_use]
    pub fn with_namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// Checks the objects of files as one set: everything that is wrong, in the order of the files and their lines.
    ///
    /// `known_elsewhere` is asked at most once for each thing that the set refers to and does not have.
    pub fn check(
        &self,
        inputs: &[Input<'_>],
        known_elsewhere: impl Fn(&Reference) -> Presence,
    ) -> Vec<Problem> {
        let (documents, mut problems) = documents::read(inputs);
        problems.extend(self.documents(&documents, inputs, &known_elsewhere));
        let number = |problem: &Problem| {
            inputs
                .iter()
                .position(|input| input.source == problem.source)
        };
        problems.sort_by_cached_key(|problem| (number(problem), problem.line, problem.column));
        problems.dedup();
        problems
    }

    /// Checks values as one set: everything that is wrong, in the order of the values. The problems have no places.
    pub fn check_values(
        &self,
        values: &[Value],
        known_elsewhere: impl Fn(&Reference) -> Presence,
    ) -> Vec<Problem> {
        let documents = documents::of_values(values);
        self.documents(&documents, &[], &known_elsewhere)
    }

    fn documents(
        &self,
        documents: &[Document],
        inputs: &[Input<'_>],
        known_elsewhere: &dyn Fn(&Reference) -> Presence,
    ) -> Vec<Problem> {
        let set = Set::new(documents, &self.namespace);
        let mut resolver = Resolver::new(&set, known_elsewhere);
        let mut problems = Vec::new();
        for (number, object) in set.objects.iter().enumerate() {
            let mut finds = Finds::new();
            self.object(&set, number, object, &mut resolver, &mut finds);
            let input = object.input.and_then(|input| inputs.get(input));
            problems.extend(spots::problems(object, input, finds));
        }
        problems
    }

    fn object<'a>(
        &self,
        set: &Set<'a>,
        number: usize,
        object: &Object<'a>,
        resolver: &mut Resolver<'_, 'a>,
        finds: &mut Finds<'a>,
    ) {
        if !rules::identity(set, number, self.version, finds) {
            return;
        }
        let visits = match object.meaning {
            Meaning::BuiltIn(known) => {
                check::check(object.node, known.definition, self.version, finds)
            }
            Meaning::Custom { version, .. } => match version.at(&["schema", "openAPIV3Schema"]) {
                Some(schema) => custom::check(object.node, schema, self.version, finds),
                None => custom::metadata(object.node, self.version, finds),
            },
            Meaning::Foreign | Meaning::OtherVersion { .. } | Meaning::Unknown => {
                custom::metadata(object.node, self.version, finds)
            }
        };
        rules::check(object, &visits, finds);
        references::check(resolver, object, &visits, finds);
    }
}
