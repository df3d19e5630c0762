//! The command as a user meets it, without servers and, in `platform`, with a whole platform.

#[cfg(test)]
mod basics;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod exits;
#[cfg(test)]
mod platform;
#[cfg(test)]
mod signals;
#[cfg(test)]
mod support;
