//! Tests of the catalogue as a user of the crate sees it.

mod graph;
