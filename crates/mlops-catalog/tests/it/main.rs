//! Tests of the catalogue as a user of the crate sees it.

#[cfg(test)]
mod docs;
#[cfg(test)]
mod embedded;
#[cfg(test)]
mod folder;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod graph;
#[cfg(test)]
mod wrong;
