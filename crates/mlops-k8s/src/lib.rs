#![doc = include_str!("../README.md")]

mod apply;
mod client;
mod compare;
mod discovery;
mod error;
pub mod explain;
mod http;
mod lease;
mod managed;
mod objects;
mod observe;
mod plan;
pub mod preflight;
mod reach;
mod remove;
mod steady;
pub mod target;
pub mod validate;
mod wait;

pub use k8s_openapi;
pub use kube;

pub use apply::{
    Applier, ApplyEvent, ApplyOptions, ApplyReport, Outcome, PART_OF, Prepared, SetLock, SetName,
    plan_without_cluster,
};
pub use client::{ClusterAccess, ContextSummary, CredentialProgram, connect_in_cluster};
pub use compare::FIELD_MANAGER;
/// The oldest and the newest Kubernetes that this crate is made for.
pub const SUPPORTED: ((u32, u32), (u32, u32)) = ((1, 33), (1, 37));

pub use discovery::{Kind, Kinds, KnownKinds, Lookup, Scope};
pub use error::{Refusal, RefusalCause, kind_of_status, wrap};
pub use lease::{LeaseGuard, LeaseOptions, holder_name};
pub use objects::{
    APPLIED, GroupKind, MAX_OBJECT_BYTES, Object, ObjectId, ObjectSet, Place, digest_of,
};
pub use observe::{Finding, Live, Observation};
pub use plan::{
    Action, Contested, Existing, FieldChange, ObjectChange, ObjectPlan, Owner, PlanOptions, Shown,
};
pub use reach::{Executed, Forward, LogLine, LogOptions, exec, logs};
pub use remove::RemoveOptions;
pub use wait::{
    Check, ReadyRule, ReadyRules, Status, Target, WaitEvent, WaitOptions, Waiter, status_of,
};
