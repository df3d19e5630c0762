//! Real processes, real files, real sockets.

#[cfg(test)]
mod contract;
#[cfg(test)]
mod python;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod supervisor;
#[cfg(test)]
mod target;
#[cfg(test)]
mod world;
