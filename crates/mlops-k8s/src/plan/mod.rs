//! What will be done, as a value: printed, compared, saved. It never holds a value of a Secret.

mod decide;
mod immutable;
mod show;

use std::collections::BTreeSet;

use mlops_core::Failure;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::objects::ObjectId;

pub(crate) use decide::decide;
pub(crate) use immutable::loses_data;

/// What a plan may do to what is there already.
#[derive(Debug, Clone, Default)]
pub struct PlanOptions {
    /// What to do with objects that exist and belong to nobody's set. Default: refuse.
    pub existing: Existing,
    /// What to do with fields that another manager applies. Default: leave them.
    pub contested: Contested,
    /// What holds data (volumes, claims, `CustomResourceDefinitions`, namespaces) and may be removed: just these.
    pub may_remove: BTreeSet<ObjectId>,
}

/// What to do with an object that exists and is in no set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Existing {
    /// Call it a conflict.
    #[default]
    Refuse,
    /// Take it into the set, with the fields that we want of it.
    Adopt,
}

/// What to do with a field that we want to be different and that another manager applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Contested {
    /// Call it a conflict.
    #[default]
    Leave,
    /// Take it over.
    Take,
}

/// All changes of a set of objects, wanted ones in their order, then those to remove.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ObjectPlan {
    /// One for each object.
    pub changes: Vec<ObjectChange>,
}

/// What is to be done with one object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ObjectChange {
    /// Which object.
    pub id: ObjectId,
    /// Where it was read, as `file:line:column`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// What is to be done.
    #[serde(flatten)]
    pub action: Action,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Action {
    /// It is as it is wanted.
    Nothing,
    /// It is not there.
    Create,
    /// It is ours and differs. Fields may be none, when the file says the same in other words.
    Update {
        /// What differs. Those with an owner are taken from it.
        fields: Vec<FieldChange>,
    },
    /// It is there, in no set, and will be in ours.
    Adopt {
        /// What differs. Those with an owner are taken from it.
        fields: Vec<FieldChange>,
    },
    /// A field that differs cannot be changed: it will be removed and made again.
    Replace {
        /// What differs.
        fields: Vec<FieldChange>,
    },
    /// It is in the way: nothing will be done until somebody decides.
    Conflict {
        /// Why.
        reason: String,
        /// The fields that are contested.
        fields: Vec<FieldChange>,
    },
    /// It is in the set and wanted no more.
    Remove,
    /// It is in the set, wanted no more, and holds data: it stays unless it is named.
    Keep {
        /// Why.
        reason: String,
    },
    /// The server could not be asked about it.
    Unknown {
        /// Why.
        failure: Failure,
    },
}

/// A field that differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FieldChange {
    /// The path, as the API server writes it: `.spec.replicas`.
    pub path: String,
    /// What is there.
    pub from: Shown,
    /// What is wanted.
    pub to: Shown,
    /// The manager that owns the field now, if it is not us.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
}

/// Who owns a field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The name in `managedFields`.
    pub manager: String,
    /// Whether it applies, as another tool like this one does; else it wrote the field, as a person with an editor.
    pub applies: bool,
    /// The subresource through which it writes, such as `scale`; empty for the object itself.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subresource: String,
}

/// A value as a plan may show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shown {
    /// There is none.
    Absent,
    /// There is one, of a Secret.
    Hidden,
    /// This one.
    Value(Value),
}

impl Action {
    /// Whether nothing will be written for it.
    pub fn is_nothing(&self) -> bool {
        matches!(self, Self::Nothing | Self::Keep { .. })
    }

    /// Whether it stands in the way of an apply.
    pub fn is_obstacle(&self) -> bool {
        matches!(self, Self::Conflict { .. } | Self::Unknown { .. })
    }
}

impl ObjectPlan {
    /// Whether an apply would write nothing.
    pub fn is_empty(&self) -> bool {
        self.changes.iter().all(|change| change.action.is_nothing())
    }

    /// What stands in the way.
    pub fn obstacles(&self) -> impl Iterator<Item = &ObjectChange> {
        self.changes
            .iter()
            .filter(|change| change.action.is_obstacle())
    }

    /// The action for an object.
    pub fn action(&self, id: &ObjectId) -> Option<&Action> {
        self.changes
            .iter()
            .find(|change| change.id == *id)
            .map(|change| &change.action)
    }

    /// How many objects are to be created, changed (updated, adopted, replaced) and removed.
    pub fn counts(&self) -> (usize, usize, usize) {
        let count = |test: fn(&Action) -> bool| {
            self.changes
                .iter()
                .filter(|change| test(&change.action))
                .count()
        };
        (
            count(|action| matches!(action, Action::Create)),
            count(|action| {
                matches!(
                    action,
                    Action::Update { .. } | Action::Adopt { .. } | Action::Replace { .. }
                )
            }),
            count(|action| matches!(action, Action::Remove)),
        )
    }
}

#[cfg(test)]
mod tests;
