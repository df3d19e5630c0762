//! From what is wanted and what was found to what is to be done. Pure: same input, same plan.

use std::collections::BTreeSet;

use super::removal::{Fates, removals};
use super::{Action, Change, Direction, KindRules, Plan, Rules, compare};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Failure, Result};
use crate::graph::Graph;
use crate::observation::{Observation, Observed, Owner};
use crate::resource::Resource;

/// What one resource needs, given what was found of it.
///
/// # Errors
///
/// When it could not be asked for, when it is somebody else's, or when making it as wanted would destroy data.
pub fn decide(resource: &Resource, observed: &Observed, rules: &KindRules) -> Result<Action> {
    let found = match observed {
        Observed::Absent => return Ok(Action::Create),
        Observed::Hidden { behind } => {
            return Ok(Action::Later {
                behind: behind.clone(),
            });
        }
        Observed::Unknown(failure) => {
            return Err(
                Error::new(failure.kind, format!("look at `{}`", resource.id))
                    .with_source(failure.to_error()),
            );
        }
        Observed::Found(found) => found,
    };
    let differences = compare(&resource.spec, &found.fields);
    if let Owner::Other(whose) = &found.owner {
        if !resource.adopt {
            return Err(
                Error::new(ErrorKind::Conflict, format!("plan `{}`", resource.id))
                    .with_source(format!("it exists already and is not ours: {whose}"))
                    .with_hint("choose another name, or say `adopt: true` to take it over"),
            );
        }
        refuse_loss(resource, rules, &differences)?;
        return Ok(Action::Adopt {
            from: whose.clone(),
            differences,
        });
    }
    if differences.is_empty() {
        return Ok(if found.ready {
            Action::Nothing
        } else {
            Action::Wait
        });
    }
    if touches_immutable(rules, &differences) {
        refuse_loss(resource, rules, &differences)?;
        return Ok(Action::Replace { differences });
    }
    Ok(Action::Update { differences })
}

fn touches_immutable(rules: &KindRules, differences: &[super::FieldDifference]) -> bool {
    differences.iter().any(|difference| {
        let top = difference.field.split('.').next().unwrap_or_default();
        rules.immutable.contains(top)
    })
}

fn refuse_loss(
    resource: &Resource,
    rules: &KindRules,
    differences: &[super::FieldDifference],
) -> Result<()> {
    if !(resource.holds_data && touches_immutable(rules, differences)) {
        return Ok(());
    }
    let fields: Vec<&str> = differences
        .iter()
        .map(|difference| difference.field.as_str())
        .collect();
    Err(
        Error::new(ErrorKind::Conflict, format!("plan `{}`", resource.id))
            .with_source(format!(
                "`{}` cannot be changed on an existing one, and making it anew would lose its data",
                fields.join("`, `")
            ))
            .with_hint("put the setting back, or remove it by name first if its data may go"),
    )
}

/// The plan that leads from what was found to the graph. Strays that hold no data are removed.
///
/// # Errors
///
/// All that [`decide`] refuses, together.
pub fn plan(graph: &Graph, observation: &Observation, rules: &Rules) -> Result<Plan> {
    let none = KindRules::default();
    let mut changes = Vec::with_capacity(graph.len() + observation.strays.len());
    let mut refused = Vec::new();
    for resource in graph.ordered() {
        let rules = rules.get(resource.id.kind()).unwrap_or(&none);
        match decide(resource, observation.get(&resource.id), rules) {
            Ok(action) => changes.push(Change {
                id: resource.id.clone(),
                component: resource.component.clone(),
                action,
                after: resource.needs.clone(),
            }),
            Err(error) => refused.push(error),
        }
    }
    if !refused.is_empty() {
        return Err(together(refused));
    }
    let strays: Vec<&Resource> = observation.strays.iter().collect();
    let fates = Fates::new(&strays, observation, &BTreeSet::new());
    changes.extend(removals(&strays, |stray| {
        if fates.is_kept(stray) {
            Action::Keep
        } else {
            Action::Remove
        }
    }));
    Ok(Plan {
        format: 1,
        platform: graph.platform.clone(),
        direction: Direction::Apply,
        graph: graph.digest(),
        observation: Digest::of(observation),
        changes,
    })
}

/// One error as it is, several as one whose cause lists them.
fn together(mut errors: Vec<Error>) -> Error {
    if errors.len() == 1
        && let Some(error) = errors.pop()
    {
        return error;
    }
    let kind = errors.first().map_or(ErrorKind::Failed, Error::kind);
    let hint = errors.iter().find_map(Error::hint).map(str::to_owned);
    let lines: Vec<String> = errors
        .iter()
        .map(|error| {
            let failure = Failure::from(error);
            format!("{}: {}", error.doing(), failure.causes.join(": "))
        })
        .collect();
    let error = Error::new(kind, "make a plan").with_source(lines.join("\n"));
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

#[cfg(test)]
mod tests;
