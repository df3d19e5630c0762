//! The tests of the crate, as one program.

mod validate_corpus;
mod validate_properties;
mod validate_rights;
mod validate_server;
