//! From what is wanted and what was found to what is to be done: a plain function.

use crate::compare::{Comparison, compare};
use crate::objects::{ObjectId, Wanted};
use crate::observe::{Finding, Live, Member, Observation};

use super::immutable::{holds_data, is_fixed, loses_data};
use super::{Action, Contested, Existing, FieldChange, ObjectChange, ObjectPlan, PlanOptions};

/// Decides for every object.
pub(crate) fn decide(
    wanted: &[Wanted],
    observation: &Observation,
    part_of: Option<&str>,
    options: &PlanOptions,
) -> ObjectPlan {
    let mut changes: Vec<ObjectChange> = wanted
        .iter()
        .map(|wanted| ObjectChange {
            id: wanted.id.clone(),
            place: wanted.object.place().map(ToString::to_string),
            action: match observation.find(&wanted.id) {
                Finding::Absent | Finding::NoSuchKind => Action::Create,
                Finding::Unknown(failure) => Action::Unknown {
                    failure: failure.clone(),
                },
                Finding::Found(live) => of_found(wanted, live, part_of, options),
            },
        })
        .collect();
    changes.extend(observation.unwanted().map(|(id, member)| ObjectChange {
        id: id.clone(),
        place: None,
        action: of_unwanted(id, member, options),
    }));
    ObjectPlan { changes }
}

fn of_unwanted(id: &ObjectId, member: &Member, options: &PlanOptions) -> Action {
    match loses_data(id, &member.json) {
        Some(reason) if !options.may_remove.contains(id) => Action::Keep {
            reason: reason.to_owned(),
        },
        _ => Action::Remove,
    }
}

fn of_found(wanted: &Wanted, live: &Live, part_of: Option<&str>, options: &PlanOptions) -> Action {
    let compared = compare(wanted, live.json(), part_of);
    if live.is_leaving() {
        let reason = "it is being removed, and something still holds it".to_owned();
        return Action::Conflict {
            reason,
            fields: Vec::new(),
        };
    }
    match (live.part_of(), part_of) {
        // Written without its label it would leave its set, and nobody would remove it again.
        (Some(other), ours) if Some(other) != ours => {
            let reason = format!(
                "it belongs to another set of objects, `{}`",
                crate::error::printable(other)
            );
            Action::Conflict {
                reason,
                fields: compared.fields,
            }
        }
        (None, _) if !compared.is_applied => match options.existing {
            Existing::Refuse => {
                let reason = "it is there already, and not ours".to_owned();
                Action::Conflict {
                    reason,
                    fields: compared.fields,
                }
            }
            Existing::Adopt => changed(wanted, live, compared, options, |fields| Action::Adopt {
                fields,
            }),
        },
        _ if compared.is_same_digest && compared.fields.is_empty() => Action::Nothing,
        _ => changed(wanted, live, compared, options, |fields| Action::Update {
            fields,
        }),
    }
}

fn changed(
    wanted: &Wanted,
    live: &Live,
    compared: Comparison,
    options: &PlanOptions,
    otherwise: fn(Vec<FieldChange>) -> Action,
) -> Action {
    let fields = compared.fields;
    let fixed: Vec<&FieldChange> = fields
        .iter()
        .filter(|field| is_fixed(&wanted.id, live.json(), &field.path))
        .collect();
    if !fixed.is_empty() {
        let names: Vec<&str> = fixed.iter().map(|field| field.path.as_str()).collect();
        return match holds_data(&wanted.id, live.json()) {
            Some(why) => Action::Conflict {
                reason: format!(
                    "{} cannot be changed, and the object is not replaced because {why}",
                    names.join(", ")
                ),
                fields: fixed.into_iter().cloned().collect(),
            },
            None => Action::Replace { fields },
        };
    }
    let contested: Vec<FieldChange> = fields
        .iter()
        .filter(|field| is_contested(field))
        .cloned()
        .collect();
    if !contested.is_empty() && options.contested == Contested::Leave {
        let mut names: Vec<&str> = contested
            .iter()
            .filter_map(|field| Some(field.owner.as_ref()?.manager.as_str()))
            .collect();
        names.sort_unstable();
        names.dedup();
        let reason = format!("fields of it belong to {}", names.join(", "));
        return Action::Conflict {
            reason,
            fields: contested,
        };
    }
    otherwise(fields)
}

/// Whether a field belongs to a program that will want it back: one that applies, or that scales. What a person wrote
/// with an editor is put back instead.
fn is_contested(field: &FieldChange) -> bool {
    let owner = field.owner.as_ref();
    owner.is_some_and(|owner| owner.applies || owner.subresource == "scale")
}
