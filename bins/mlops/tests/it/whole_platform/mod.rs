//! The whole platform on this machine, by the command, as a user would.
//!
//! These tests start real servers, so they run one after another, those of a node beside those of this machine: two cores
//! have no room for more. `cargo xtask test` finds them by this module's name and by `cluster` at the beginning of theirs.

mod cluster;
mod cluster_account;
mod cluster_check;
mod cluster_external;
mod cluster_load;
mod cluster_trouble;
mod home;
mod kills;
mod lifecycle;
mod load;
mod machine;
mod secrets;
mod trouble;
