//! One function for each verb.

pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod credentials;
pub(crate) mod diff;
pub(crate) mod doctor;
pub(crate) mod down;
pub(crate) mod env;
pub(crate) mod events;
pub(crate) mod images;
pub(crate) mod init;
pub(crate) mod logs;
pub(crate) mod man;
pub(crate) mod open;
pub(crate) mod plan;
pub(crate) mod predict;
pub(crate) mod prefetch;
pub(crate) mod remove;
pub(crate) mod rights;
pub(crate) mod schema;
pub(crate) mod serve;
pub(crate) mod status;
pub(crate) mod up;
