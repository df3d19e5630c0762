//! The whole platform on this machine, by the command, as a user would.
//!
//! These tests start real servers, so they run one after another: a machine with two cores has no room for more.

mod cluster;
mod cluster_check;
mod cluster_external;
mod cluster_load;
mod cluster_trouble;
mod home;
mod kills;
mod lifecycle;
mod load;
mod secrets;
mod trouble;
