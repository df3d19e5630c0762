//! Tests of the catalogue as a user of the crate sees it.

#[cfg(test)]
mod api_server;
#[cfg(test)]
mod cluster;
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
mod network;
#[cfg(test)]
mod pure;
#[cfg(test)]
mod wrong;
