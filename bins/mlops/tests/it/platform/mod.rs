//! The whole platform on this machine, by the command, as a user would.
//!
//! These tests start real servers, so they run one after another: a machine with two cores has no room for more.

mod cluster;
mod cluster_load;
mod home;
mod kills;
mod lifecycle;
mod load;
mod secrets;
mod trouble;
