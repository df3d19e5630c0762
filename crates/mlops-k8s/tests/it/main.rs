//! Against a real API server.

mod apply_set;
mod lease_holding;
mod support;
mod trouble;
mod wait_watch;
