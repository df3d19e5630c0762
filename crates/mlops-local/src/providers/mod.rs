//! The providers of the local target.

mod data_folder;
mod process;
mod python_environment;
mod render;
mod supervisor;

pub use data_folder::{DATA_FOLDER, DataFolderProvider, DataFolderSpec};
pub use process::{PROCESS, ProcessProvider};
pub use python_environment::{
    PYTHON_ENVIRONMENT, PythonEnvironmentProvider, PythonEnvironmentSpec,
};
pub use supervisor::{SUPERVISOR, SupervisorProvider, SupervisorSpec};

use mlops_core::plan::{KindRules, Rules};
use mlops_core::{Failure, Found, Kind, Observed, Resource, ResourceId, Result};

/// Rules of one kind, whose `immutable` fields cannot be changed.
fn rules(kind: &str, immutable: &[&str]) -> Rules {
    let rules = KindRules {
        immutable: immutable.iter().map(|field| (*field).to_owned()).collect(),
        shared: false,
    };
    Rules::from([(Kind::new(kind), rules)])
}

/// What was found, or that it could not be asked for.
fn observed(found: Result<Option<Found>>) -> Observed {
    match found {
        Ok(Some(found)) => Observed::Found(found),
        Ok(None) => Observed::Absent,
        Err(error) => Observed::Unknown(Failure::from(&error)),
    }
}

/// The same answer for all.
fn all_unknown(wanted: &[&Resource], error: &mlops_core::Error) -> Vec<(ResourceId, Observed)> {
    let failure = Failure::from(error);
    wanted
        .iter()
        .map(|resource| (resource.id.clone(), Observed::Unknown(failure.clone())))
        .collect()
}
